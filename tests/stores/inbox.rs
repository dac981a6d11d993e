//! The reference store for inboxes, and the conformance cases themselves: they find what is wrong
//! with a store.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use integration_tests::{
    HandClock,
    inbox::{EventRow, MapInbox, Row},
};
use webhook_verify::{
    clock::Clock as _,
    idempotency::{Settled, StoreError},
    inbox::{
        Advance, Change, Entry, EntryHolder, EntryState, Extended, Filter, InboxStore, Inserted,
        Intake, LeaseRequest, Leased, Order, Retention, Settlement, Stats, Verdict,
    },
    testing::conformance::{Failures, inbox::Suite},
};

use crate::common::*;

/// Runs the cases on what `wrap` makes of the reference store.
fn suite<S: InboxStore>(
    wrap: impl FnOnce(MapInbox<HandClock>, HandClock) -> S,
) -> Result<(), Failures> {
    let clock = at_zero();
    let store = wrap(MapInbox::new(clock.clone()), clock.clone());
    let run = Suite::new(&store).run(async |time| clock.advance(time));
    run.now_or_never().expect("memory does not wait")
}

#[test]
fn conformance() {
    suite(|store, _| store).unwrap();
}

/// Defines the faults, and the cases that find each.
macro_rules! faults {
    ($($fault:ident: $($case:ident)*,)*) => {
        /// A fault of a store.
        #[derive(Clone, Copy, Debug, PartialEq)]
        enum Fault { $($fault,)* }

        const FAULTS: &[(Fault, &[&str])] = &[$((Fault::$fault, &[$(stringify!($case)),*])),*];
    };
}

faults! {
    Unreachable: new_events_are_stored intake_of_nothing announcing_is_possible,
    DuplicateIsNew: duplicates_change_nothing racing_intakes_store_each_key_once,
    KeyTwiceIsNew: a_key_twice_in_one_call,
    InsertIsReversed: results_in_order a_key_twice_in_one_call,
    DuplicateReplacesTheBody: duplicates_change_nothing a_key_twice_in_one_call,
    DuplicateAddsConsumers: duplicates_change_nothing,
    InsertWantsOne: intake_of_nothing,
    NewIsDueLater: new_events_are_stored,
    OfManyTheRestIsLost: a_thousand_events,
    OneConsumerOnly: each_consumer_has_its_entry,
    EndpointsAreOne: endpoints_are_independent,
    BodyIsText: any_bytes_are_a_body,
    BodyEndsAtNul: any_bytes_are_a_body nul_in_texts,
    HeadersAreSorted: every_field_comes_back,
    EmptyTextIsNone: every_field_comes_back each_filter_selects,
    TimeIsInSeconds: every_field_comes_back,
    NulIsRefused: nul_in_texts,
    NulInAnErrorIsRefused: nul_in_texts,
    LeaseIgnoresMax: lease_up_to_max exhausted_entries_are_settled_as_dead,
    LeaseIsReversed: longest_due_first,
    LeaseIsByNumber: longest_due_first,
    LeaseRepeats: lease_up_to_max racing_leases_share_nothing,
    LeaseIsForNoTime: lease_up_to_max,
    LeaseNeverExpires: expired_leases_are_leased_again,
    AttemptStandsStill: attempts_rise_by_one expired_leases_are_leased_again,
    NeverExhausted: exhausted_entries_are_settled_as_dead exhausted_entries_are_returned_again,
    ExhaustedIsDead: exhausted_entries_are_settled_as_dead exhausted_entries_are_returned_again,
    ExhaustedCountsAnAttempt: exhausted_entries_are_settled_as_dead
        exhausted_entries_are_returned_again,
    WaitingIsExhausted: waiting_entries_have_another_attempt,
    ExtendDoesNothing: extend_counts_from_now a_late_extension_counts_if_nobody_took_over,
    ExtendAdds: extend_counts_from_now,
    ExtendNeedsALiveLease: a_late_extension_counts_if_nobody_took_over,
    AnyOwnerExtends: former_owners_extend_nothing extensions_in_order,
    LostIsRenewed: a_lease_is_extended_or_taken_over former_owners_extend_nothing,
    ExtendIsReversed: extensions_in_order,
    ExtendWantsOne: extensions_in_order,
    OrderIsIgnored: one_at_a_time_as_stored retries_delay_the_rest racing_leases_keep_the_order,
    PositionIsIgnored: one_at_a_time_by_position,
    AlwaysOrdered: without_an_order,
    NoOrderKeyIsAKey: without_an_order,
    DeadIsAlwaysSkipped: dead_entries_block,
    DeadAlwaysBlocks: dead_entries_are_skipped,
    RunningDoesNotDelay: one_at_a_time_as_stored an_earlier_event_arrives_late,
    OrderOfAllConsumers: consumers_have_their_own_order,
    DiscardedIsDone: each_verdict_has_its_state,
    DeadIsDiscarded: each_verdict_has_its_state,
    ReleasedIsDone: each_verdict_has_its_state released_entries_are_due,
    RetryIsDueAtOnce: not_due_yet a_retry_is_due_later retries_delay_the_rest,
    ErrorIsLost: each_verdict_has_its_state,
    ReleaseErasesTheError: released_entries_are_due,
    DoneErasesTheError: errors_stay,
    ReleaseReturnsTheAttempt: attempts_rise_by_one,
    OwnerStays: a_second_settlement_changes_nothing,
    AnyOwnerSettles: former_owners_settle_nothing settlements_in_order,
    SettleNeedsALiveLease: a_late_settlement_counts_if_nobody_took_over,
    SettleIsReversed: settlements_in_order,
    SettleTakesTheFirstVerdict: settlements_in_order,
    SettleWantsOne: settlements_in_order,
    AnyVersionCounts: later_versions_are_recorded an_event_repeats_its_call,
    SameVersionCounts: later_versions_are_recorded an_event_repeats_its_call,
    RepeatedVersionIsStale: an_event_repeats_its_call,
    VersionsOfAllConsumers: versions_are_independent,
    VersionKeyEndsAtNul: versions_are_independent,
    VersionsStayForGood: versions_go_with_their_event,
    VersionsGoWithAnyPurge: versions_go_with_their_event,
    StatsOmitRunning: stats_count,
    StatsCountDone: stats_count,
    OldestIsTooOld: stats_know_the_oldest,
    FilterIgnoresTheState: each_filter_selects change_leaves_the_rest,
    FilterIgnoresTheKey: each_filter_selects,
    FilterIgnoresTheType: each_filter_selects,
    FilterIgnoresTheNamespace: each_filter_selects,
    FilterIgnoresTheConsumer: each_filter_selects,
    FilterIgnoresAfter: each_filter_selects pages_follow_in_order,
    ListIsReversed: pages_follow_in_order,
    ListIsByConsumer: pages_follow_in_order,
    ListIgnoresTheLimit: pages_follow_in_order,
    RetryKeepsTheAttempts: retry_starts_again,
    RetryResetsTheAttempts: retry_starts_again,
    RetryKeepsTheDelay: retry_starts_again,
    RetryLosesThePlace: retried_entries_keep_their_place,
    DiscardIsDone: discard_ends,
    ChangeMovesRunning: change_leaves_the_rest,
    ChangeMiscounts: change_up_to_the_limit,
    ChangeIgnoresTheLimit: change_up_to_the_limit,
    ChangeLimitsTheSearch: change_up_to_the_limit,
    PurgesDead: unfinished_events_stay,
    PurgesRunning: unfinished_events_stay,
    PurgesForOneConsumer: unfinished_events_stay,
    PurgeIgnoresTheRetention: bodies_go_after_their_retention keys_stay_for_their_ttl,
    PurgeDoesNothing: bodies_go_after_their_retention keys_stay_for_their_ttl discard_ends,
    PurgeNeverEnds: unfinished_events_stay purge_up_to_max,
    TtlIsIgnored: keys_stay_for_their_ttl bodies_go_after_their_retention,
    KeysStayForGood: keys_stay_for_their_ttl purge_up_to_max,
    PurgeIgnoresMax: purge_up_to_max,
    PurgeMiscounts: purge_up_to_max,
    PurgesAllEndpoints: other_endpoints_stay,
}

/// A call of `advance`: endpoint, key, version and number.
type Version = (String, Vec<u8>, i64, i64);

/// The faults for which `insert` looks for each event.
const EDITS: [Fault; 3] =
    [Fault::DuplicateReplacesTheBody, Fault::DuplicateAddsConsumers, Fault::NewIsDueLater];

struct Faulty {
    inner: MapInbox<HandClock>,
    clock: HandClock,
    fault: Fault,
    /// The last entries that were leased.
    leased: Mutex<Leased>,
    versions: Mutex<HashSet<Version>>,
    purges: AtomicUsize,
}

impl Faulty {
    fn new(inner: MapInbox<HandClock>, clock: HandClock, fault: Fault) -> Self {
        let (leased, versions, purges) = Default::default();
        Self { inner, clock, fault, leased, versions, purges }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn refuses(&self, fault: Fault, refuses: bool) -> Result<(), StoreError> {
        if self.is(fault) && refuses { Err(StoreError::new("refused")) } else { Ok(()) }
    }

    fn each_row(&self, mut f: impl FnMut(&mut Row)) {
        self.inner.edit(|event| event.entries.values_mut().for_each(&mut f));
    }

    fn row(&self, holder: &EntryHolder, f: impl FnOnce(&mut Row)) {
        self.inner.edit_one(holder.number, |event| {
            event.entries.get_mut(&*holder.consumer).map(f);
        });
    }

    /// Returns the holder, with the owner of the entry for this fault.
    fn holder(&self, holder: &EntryHolder, fault: Fault) -> EntryHolder {
        let mut holder = holder.clone();
        if self.is(fault) {
            let mut owner = None;
            self.row(&holder, |row| owner = row.owner);
            holder.owner = owner.unwrap_or(holder.owner);
        }
        holder
    }

    /// Returns how much longer the lease lasts.
    fn lease_left(&self, holder: &EntryHolder) -> Duration {
        let mut left = Duration::ZERO;
        self.row(holder, |row| left = row.due_at.saturating_sub(self.clock.now()));
        left
    }

    fn filter(&self, filter: &Filter) -> Filter {
        let mut filter = filter.clone();
        match self.fault {
            Fault::EndpointsAreOne => filter.endpoint = "all".into(),
            Fault::FilterIgnoresTheState => filter.state = None,
            Fault::FilterIgnoresTheKey => filter.key = None,
            Fault::FilterIgnoresTheType => filter.event_type = None,
            Fault::FilterIgnoresTheNamespace => filter.namespace = None,
            Fault::FilterIgnoresTheConsumer => filter.consumer = None,
            Fault::FilterIgnoresAfter => filter.after = 0,
            Fault::ListIgnoresTheLimit => filter.limit = usize::MAX,
            _ => {}
        }
        filter
    }

    fn settle_one(&self, settlement: &Settlement) -> Option<Settlement> {
        let Settlement { holder, verdict, .. } = settlement;
        let mut settlement = settlement.clone();
        settlement.holder = self.holder(holder, Fault::AnyOwnerSettles);
        if self.is(Fault::SettleNeedsALiveLease) && self.lease_left(holder).is_zero() {
            return None;
        }
        settlement.verdict = match (self.fault, verdict.clone()) {
            (Fault::DiscardedIsDone, Verdict::Discarded)
            | (Fault::ReleasedIsDone, Verdict::Released) => Verdict::Done,
            (Fault::DeadIsDiscarded, Verdict::Dead { .. }) => Verdict::Discarded,
            (Fault::RetryIsDueAtOnce, Verdict::Retry { error, .. }) => {
                Verdict::Retry { after: Duration::ZERO, error }
            }
            (Fault::ErrorIsLost, Verdict::Dead { .. }) => Verdict::Dead { error: String::new() },
            (_, verdict) => verdict,
        };
        Some(settlement)
    }
}

impl InboxStore for Faulty {
    async fn insert(&self, intake: &Intake) -> Result<Vec<Inserted>, StoreError> {
        let has_nul = |event: &webhook_verify::inbox::NewEvent| {
            event.event.event_type.as_ref().is_some_and(|text| text.contains('\0'))
        };
        self.refuses(Fault::Unreachable, true)?;
        self.refuses(Fault::InsertWantsOne, intake.events.is_empty())?;
        self.refuses(Fault::NulIsRefused, intake.events.iter().any(has_nul))?;
        let (count, mut intake) = (intake.events.len(), intake.clone());
        match self.fault {
            Fault::EndpointsAreOne => intake.endpoint = "all".into(),
            Fault::OneConsumerOnly => intake.consumers = intake.consumers[..1].into(),
            Fault::OfManyTheRestIsLost => intake.events.truncate(100),
            _ => {}
        }
        for event in &mut intake.events {
            let stored = &mut event.event;
            match self.fault {
                Fault::BodyIsText => {
                    stored.body = String::from_utf8_lossy(&stored.body).into_owned().into();
                }
                Fault::BodyEndsAtNul => {
                    let nul = stored.body.iter().position(|byte| *byte == 0);
                    stored.body.truncate(nul.unwrap_or(usize::MAX));
                }
                Fault::HeadersAreSorted => stored.headers.sort(),
                Fault::EmptyTextIsNone => {
                    stored.event_type = stored.event_type.take().filter(|text| !text.is_empty());
                }
                Fault::TimeIsInSeconds => {
                    stored.time = stored.time.map(|time| Duration::from_secs(time.as_secs()));
                }
                Fault::PositionIsIgnored => event.position = None,
                Fault::NoOrderKeyIsAKey => {
                    event.order_key.get_or_insert_default();
                }
                Fault::TtlIsIgnored => event.ttl = Duration::ZERO,
                Fault::KeysStayForGood => event.ttl *= 1000,
                _ => {}
            }
        }
        let mut inserted = self.inner.insert(&intake).await?;
        let mut keys = Vec::new();
        for (event, inserted) in intake.events.iter().zip(&mut inserted) {
            let known = keys.contains(&event.event.key);
            keys.push(event.event.key);
            match self.fault {
                Fault::DuplicateIsNew => *inserted = Inserted::New,
                Fault::KeyTwiceIsNew if known => *inserted = Inserted::New,
                _ => {}
            }
            if !EDITS.contains(&self.fault) {
                continue;
            }
            self.inner.edit(|row| {
                if row.event.event.key != event.event.key || row.endpoint != *intake.endpoint {
                    return;
                }
                match self.fault {
                    Fault::DuplicateReplacesTheBody => {
                        row.event.event.body = event.event.body.clone();
                    }
                    Fault::DuplicateAddsConsumers => {
                        for consumer in &*intake.consumers {
                            let new = Row::new(self.clock.now());
                            row.entries.entry(consumer.to_string()).or_insert(new);
                        }
                    }
                    Fault::NewIsDueLater => {
                        for row in row.entries.values_mut().filter(|row| row.attempts == 0) {
                            row.due_at += HOUR;
                        }
                    }
                    _ => {}
                }
            });
        }
        match self.fault {
            Fault::InsertIsReversed => inserted.reverse(),
            Fault::OfManyTheRestIsLost => inserted.resize(count, Inserted::New),
            _ => {}
        }
        Ok(inserted)
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Leased, StoreError> {
        let mut request = request.clone();
        let now = self.clock.now();
        match (self.fault, request.order) {
            (Fault::EndpointsAreOne, _) => request.endpoint = "all".into(),
            (Fault::LeaseIgnoresMax, _) => request.max += 1,
            (Fault::LeaseIsForNoTime, _) => request.lease = Duration::ZERO,
            (Fault::LeaseNeverExpires, _) => request.lease *= 10_000,
            (Fault::NeverExhausted, _) => request.max_attempts = u32::MAX,
            (Fault::OrderIsIgnored, _) => request.order = Order::None,
            (Fault::AlwaysOrdered, Order::None)
            | (Fault::DeadAlwaysBlocks, Order::DeadIsSkipped) => {
                request.order = Order::DeadBlocks;
            }
            (Fault::DeadIsAlwaysSkipped, Order::DeadBlocks) => request.order = Order::DeadIsSkipped,
            _ => {}
        }
        let mut is_blocked = false;
        let mut restore = Vec::new();
        self.inner.edit(|event| {
            for (consumer, row) in &mut event.entries {
                is_blocked |= row.state == EntryState::Running
                    && **consumer != *request.consumer
                    && request.order != Order::None;
                match self.fault {
                    Fault::WaitingIsExhausted
                        if row.state == EntryState::Waiting
                            && row.attempts >= request.max_attempts =>
                    {
                        row.state = EntryState::Dead;
                    }
                    Fault::RunningDoesNotDelay if row.is_leased(now) => {
                        restore.push((event.number, consumer.clone(), row.clone()));
                        row.state = EntryState::Done;
                    }
                    _ => {}
                }
            }
        });
        if self.is(Fault::OrderOfAllConsumers) && is_blocked {
            return Ok(Leased::default());
        }
        let mut leased = self.inner.lease(&request).await?;
        self.inner.edit(|event| {
            for (number, consumer, row) in &restore {
                if *number == event.number {
                    event.entries.insert(consumer.clone(), row.clone());
                }
            }
        });
        match self.fault {
            Fault::LeaseIsReversed => leased.events.reverse(),
            Fault::LeaseIsByNumber => leased.events.sort_by_key(|event| event.number),
            Fault::LeaseRepeats => {
                let mut last = self.leased.lock().unwrap();
                if leased.events.is_empty() && request.max > 0 {
                    return Ok(last.clone());
                }
                *last = leased.clone();
            }
            Fault::AttemptStandsStill => {
                leased.events.iter_mut().for_each(|event| event.attempt = 1);
                self.each_row(|row| row.attempts = row.attempts.min(1));
            }
            Fault::ExhaustedIsDead | Fault::ExhaustedCountsAnAttempt => {
                for (number, ..) in &leased.exhausted {
                    self.row(&EntryHolder::new(*number, &request.consumer, request.owner), |row| {
                        if self.is(Fault::ExhaustedCountsAnAttempt) {
                            row.attempts += 1;
                        } else {
                            row.state = EntryState::Dead;
                            row.owner = None;
                        }
                    });
                }
            }
            _ => {}
        }
        Ok(leased)
    }

    async fn extend(
        &self,
        holders: &[EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> Result<Vec<Extended>, StoreError> {
        self.refuses(Fault::ExtendWantsOne, holders.is_empty())?;
        let mut results = Vec::new();
        for holder in holders {
            let holder = self.holder(holder, Fault::AnyOwnerExtends);
            let left = self.lease_left(&holder);
            let lease = match self.fault {
                Fault::ExtendAdds => lease + left,
                Fault::ExtendDoesNothing => left,
                _ => lease,
            };
            if self.is(Fault::ExtendNeedsALiveLease) && left.is_zero() {
                results.push(Extended::Lost);
            } else {
                results.extend(self.inner.extend(&[holder], lease, limit).await?);
            }
        }
        if self.is(Fault::LostIsRenewed) {
            results.fill(Extended::Renewed);
        }
        if self.is(Fault::ExtendIsReversed) {
            results.reverse();
        }
        Ok(results)
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        limit: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        self.refuses(Fault::SettleWantsOne, settlements.is_empty())?;
        let mut results = Vec::new();
        for settlement in settlements {
            let Some(mut changed) = self.settle_one(settlement) else {
                results.push(Settled::Superseded);
                continue;
            };
            if self.is(Fault::SettleTakesTheFirstVerdict) {
                changed.verdict = settlements[0].verdict.clone();
            }
            if let Verdict::Retry { error, .. } = &changed.verdict {
                self.refuses(Fault::NulInAnErrorIsRefused, error.contains('\0'))?;
            }
            let is_release = changed.verdict == Verdict::Released;
            let settled = self.inner.settle(&[changed], limit).await?[0];
            if settled == Settled::Applied {
                self.row(&settlement.holder, |row| match self.fault {
                    Fault::OwnerStays => row.owner = Some(settlement.holder.owner),
                    Fault::ReleaseErasesTheError if is_release => row.error = None,
                    Fault::DoneErasesTheError if settlement.verdict == Verdict::Done => {
                        row.error = None;
                    }
                    Fault::ReleaseReturnsTheAttempt if is_release => row.attempts -= 1,
                    _ => {}
                });
            }
            results.push(settled);
        }
        if self.is(Fault::SettleIsReversed) {
            results.reverse();
        }
        Ok(results)
    }

    async fn advance(&self, advance: &Advance, limit: Duration) -> Result<bool, StoreError> {
        let mut advance = advance.clone();
        match self.fault {
            Fault::SameVersionCounts => advance.number = 0,
            Fault::VersionsOfAllConsumers => advance.consumer = "all".into(),
            Fault::VersionKeyEndsAtNul => {
                let nul = advance.key.iter().position(|byte| *byte == 0);
                advance.key.truncate(nul.unwrap_or(usize::MAX));
            }
            Fault::VersionsStayForGood => advance.number = -advance.number,
            Fault::VersionsGoWithAnyPurge => {
                advance.key.extend(self.purges.load(Relaxed).to_be_bytes());
            }
            _ => {}
        }
        let recorded = self.inner.advance(&advance, limit).await?;
        let Advance { endpoint, key, version, number, .. } = advance;
        let call = (endpoint.to_string(), key, version, number);
        let is_first = self.versions.lock().unwrap().insert(call);
        Ok(match self.fault {
            Fault::AnyVersionCounts => true,
            Fault::RepeatedVersionIsStale => recorded && is_first,
            _ => recorded,
        })
    }

    async fn stats(&self, endpoint: &str) -> Result<Vec<Stats>, StoreError> {
        let endpoint = if self.is(Fault::EndpointsAreOne) { "all" } else { endpoint };
        let mut stats = self.inner.stats(endpoint).await?;
        for stats in &mut stats {
            match self.fault {
                Fault::StatsOmitRunning => stats.running = 0,
                Fault::StatsCountDone => stats.waiting += 1,
                Fault::OldestIsTooOld => {
                    stats.oldest.get_or_insert(HOUR);
                }
                _ => {}
            }
        }
        Ok(stats)
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.inner.list(&self.filter(filter)).await?;
        match self.fault {
            Fault::ListIsReversed => entries.reverse(),
            Fault::ListIsByConsumer => entries.sort_by(|a, b| a.consumer.cmp(&b.consumer)),
            _ => {}
        }
        Ok(entries)
    }

    async fn change(&self, filter: &Filter, change: Change) -> Result<usize, StoreError> {
        let mut filter = self.filter(filter);
        match self.fault {
            Fault::ChangeMovesRunning => self.inner.edit(|event: &mut EventRow| {
                let matches = filter.key == Some(event.event.event.key);
                for row in event.entries.values_mut().filter(|_| matches) {
                    if row.state == EntryState::Running {
                        row.state = EntryState::Waiting;
                    }
                }
            }),
            Fault::ChangeIgnoresTheLimit => filter.limit = usize::MAX,
            Fault::ChangeLimitsTheSearch => {
                let mut changed = 0;
                for entry in self.inner.list(&filter).await? {
                    filter.key = Some(entry.event.key);
                    changed += self.inner.change(&filter, change).await?;
                }
                return Ok(changed);
            }
            _ => {}
        }
        let mut before = Vec::new();
        self.each_row(|row| before.push((row.retried_at_attempt, row.due_at)));
        let changed = self.inner.change(&filter, change).await?;
        let mut before = before.into_iter();
        self.each_row(|row| {
            let (retried_at_attempt, due_at) = before.next().unwrap();
            match (self.fault, change) {
                (Fault::RetryKeepsTheAttempts, Change::Retry) => {
                    row.retried_at_attempt = retried_at_attempt;
                }
                (Fault::RetryResetsTheAttempts, Change::Retry)
                    if row.state == EntryState::Waiting =>
                {
                    row.attempts = 0;
                    row.retried_at_attempt = 0;
                }
                (Fault::RetryKeepsTheDelay, Change::Retry) => row.due_at = due_at,
                (Fault::DiscardIsDone, Change::Discard) if row.state == EntryState::Discarded => {
                    row.state = EntryState::Done;
                }
                _ => {}
            }
        });
        if self.is(Fault::RetryLosesThePlace) && change == Change::Retry {
            let now = self.clock.now();
            self.inner.edit(|event| {
                if filter.key == Some(event.event.event.key) {
                    event.entries.values_mut().for_each(|row| row.due_at = now);
                }
            });
        }
        Ok(if self.is(Fault::ChangeMiscounts) { 2 * changed } else { changed })
    }

    async fn purge_inbox(
        &self,
        endpoint: &str,
        retention: &Retention,
        max: usize,
    ) -> Result<usize, StoreError> {
        self.purges.fetch_add(1, Relaxed);
        let (mut retention, mut most) = (*retention, max);
        let endpoint = if self.is(Fault::EndpointsAreOne) { "all" } else { endpoint };
        let mut endpoints = vec![endpoint.to_owned()];
        match self.fault {
            Fault::PurgesDead | Fault::PurgesRunning | Fault::PurgesForOneConsumer => {
                self.inner.edit(|event| {
                    let any = event.entries.values().any(|row| row.finished_at().is_some());
                    for row in event.entries.values_mut() {
                        let finishes = match self.fault {
                            Fault::PurgesDead => row.state == EntryState::Dead,
                            Fault::PurgesRunning => row.state == EntryState::Running,
                            _ => any,
                        };
                        if finishes {
                            row.state = EntryState::Done;
                            row.due_at = event.received_at;
                        }
                    }
                });
            }
            Fault::PurgeIgnoresTheRetention => retention.bodies = Duration::ZERO,
            Fault::PurgeDoesNothing => return Ok(0),
            Fault::PurgeIgnoresMax => most = usize::MAX,
            Fault::PurgesAllEndpoints => {
                endpoints.clear();
                self.inner.edit(|event| endpoints.push(event.endpoint.clone()));
                endpoints.dedup();
            }
            _ => {}
        }
        let mut removed = 0;
        for endpoint in endpoints {
            removed += self.inner.purge_inbox(&endpoint, &retention, most).await?;
        }
        Ok(match self.fault {
            Fault::PurgeNeverEnds => max,
            Fault::PurgeMiscounts => removed / 2,
            _ => removed,
        })
    }

    async fn announce(&self, _: &str) -> Result<(), StoreError> {
        self.refuses(Fault::Unreachable, true)
    }
}

/// The cases about each fault find it.
#[test]
fn the_cases_find_what_is_wrong() {
    let mut missed = Vec::new();
    for (fault, cases) in FAULTS {
        let failures = suite(|inner, clock| Faulty::new(inner, clock, *fault)).err();
        let found: Vec<_> = failures.iter().flat_map(Failures::cases).collect();
        for case in cases.iter().filter(|case| !found.contains(case)) {
            missed.push(format!("{fault:?} is not found by {case}, but by {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Every case finds a fault.
#[test]
fn each_case_finds_a_fault() {
    let failures = suite(|inner, clock| Faulty::new(inner, clock, Fault::Unreachable));
    let all: Vec<_> = failures.unwrap_err().cases().collect();
    let named: HashSet<_> = FAULTS[1..].iter().flat_map(|(_, cases)| *cases).collect();
    let unnamed: Vec<_> = all.iter().filter(|case| !named.contains(case)).collect();
    assert_eq!(unnamed, [&"announcing_is_possible"]);
}
