//! The reference store for inboxes, and the conformance cases themselves: they find what is wrong
//! with a store.

use futures_util::FutureExt as _;
use integration_tests::{HandClock, inbox::MapInbox};
use webhook_verify::{
    inbox::InboxStore,
    testing::conformance::{Failures, inbox::Suite},
};

use crate::common::*;

/// Runs the cases on what `wrap` makes of the reference store.
fn suite<S: InboxStore>(wrap: impl FnOnce(MapInbox<HandClock>) -> S) -> Result<(), Failures> {
    let clock = at_zero();
    let store = wrap(MapInbox::new(clock.clone()));
    let run = Suite::new(&store).run(async |time| clock.advance(time));
    run.now_or_never().expect("memory does not wait")
}

#[test]
fn conformance() {
    suite(|store| store).unwrap();
}
