//! Tests that every [`InboxStore`] has to pass, including your own.
//!
//! They check only what the documentation of [`InboxStore`] promises. Stores may differ in
//! everything else.
//!
//! ```no_run
//! # async fn run(store: impl webhook_verify::inbox::InboxStore)
//! #     -> Result<(), webhook_verify::testing::conformance::Failures>
//! # {
//! use webhook_verify::testing::conformance::inbox::Suite;
//!
//! Suite::new(&store).run(tokio::time::sleep).await?;
//! # Ok(())
//! # }
//! ```
//!
//! For a store whose clock a test can move, `advance` moves it instead. No case fails because the
//! machine is slow. The store may contain other events, because each case has an endpoint of its
//! own.
//!
//! # What is checked
//!
//! * **Intake.** Each event is new once per endpoint, within one call, across calls and under
//!   concurrency, and has an entry for each consumer. All fields come back, with the exact bytes of
//!   the body. The results have the order of the events.
//! * **Leases.** Due entries are leased up to `max`, the longest due first, to one owner each, and
//!   the attempt rises by one. An expired lease is leased again, or the entry is dead if no attempt
//!   is left. `extend` counts from the time of the call. No other owner gets an entry whose lease it
//!   renewed. A former owner changes nothing.
//! * **Order.** Of the entries with the same order key one runs at a time: by position or as stored.
//!   Dead entries block or are skipped. An expired lease is not extended.
//! * **Settlements.** Each verdict leads to its state. The second of two settlements changes
//!   nothing. A late one takes effect if no one took over. The results have the order of the
//!   settlements.
//! * **Versions.** Only a later version is recorded, for each key, consumer and endpoint. The event
//!   that recorded a version may repeat its call. A version counts until that event is purged.
//! * **Operation.** `stats` counts, `list` filters and pages, `change` retries and discards waiting
//!   and dead entries only.
//! * **Purging.** It keeps unfinished and dead entries, bodies for their retention, and keys for
//!   their `ttl`. It removes at most `max`.
//!
//! The suite runs in one task, which polls racing calls concurrently. It does not check
//! [`watch`](InboxStore::watch).

mod bench;
mod intake;
mod leases;
mod operators;
mod order;
mod purges;
mod settlements;
mod versions;

use std::time::Duration;

use self::bench::Bench;
use super::Failures;
use crate::inbox::InboxStore;

/// Runs the cases on a store.
#[derive(Debug)]
#[must_use = "nothing is tested until `run` is called"]
pub struct Suite<'a, S> {
    store: &'a S,
    tick: Duration,
}

impl<'a, S: InboxStore> Suite<'a, S> {
    /// Returns the suite for `store`.
    pub fn new(store: &'a S) -> Self {
        Self { store, tick: Duration::from_millis(200) }
    }

    /// Sets the length of the shortest leases. The default is 200 ms. A store whose clock counts in
    /// seconds needs two seconds.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Runs all cases in sequence. `advance` lets the given time pass on the store's clock.
    ///
    /// # Errors
    ///
    /// [`Failures`], which names the cases that failed.
    pub async fn run(self, advance: impl AsyncFn(Duration)) -> Result<(), Failures> {
        let mut failures = Vec::new();
        macro_rules! run {
            ($($module:ident: $($case:ident)*;)*) => {$($(
                let checked = async {
                    let bench = Bench::new(self.store, &advance, self.tick)?;
                    $module::$case(&bench).await
                };
                if let Err(what) = checked.await {
                    failures.push((stringify!($case), what));
                }
            )*)*};
        }
        run! {
            intake: new_events_are_stored duplicates_change_nothing a_key_twice_in_one_call
                results_in_order intake_of_nothing a_thousand_events each_consumer_has_its_entry
                endpoints_are_independent every_field_comes_back any_bytes_are_a_body
                nul_in_texts racing_intakes_store_each_key_once announcing_is_possible;
            leases: lease_up_to_max longest_due_first attempts_rise_by_one not_due_yet
                expired_leases_are_leased_again exhausted_entries_are_settled_as_dead
                exhausted_entries_are_returned_again
                waiting_entries_have_another_attempt racing_leases_share_nothing
                extend_counts_from_now a_late_extension_counts_if_nobody_took_over
                a_lease_is_extended_or_taken_over extensions_in_order former_owners_extend_nothing;
            order: one_at_a_time_as_stored one_at_a_time_by_position without_an_order
                retries_delay_the_rest dead_entries_block dead_entries_are_skipped
                an_earlier_event_arrives_late consumers_have_their_own_order
                racing_leases_keep_the_order;
            settlements: each_verdict_has_its_state a_retry_is_due_later released_entries_are_due
                errors_stay a_second_settlement_changes_nothing former_owners_settle_nothing
                a_late_settlement_counts_if_nobody_took_over settlements_in_order;
            versions: later_versions_are_recorded an_event_repeats_its_call
                versions_are_independent versions_go_with_their_event;
            operators: stats_count stats_know_the_oldest each_filter_selects pages_follow_in_order
                retry_starts_again retried_entries_keep_their_place discard_ends
                change_leaves_the_rest change_up_to_the_limit;
            purges: unfinished_events_stay bodies_go_after_their_retention
                keys_stay_for_their_ttl purge_up_to_max other_endpoints_stay;
        }
        if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
    }
}
