//! A lease is renewed while its handler runs, by a timer that the test moves on.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use integration_tests::Pauses;
use tokio::sync::oneshot;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Rejection,
    adapter::{Admission, Admitted},
    scheme,
    testing::SignedRequest,
};

use crate::common::{
    HandClock, Watched, admit, finish, its_status, never, receiver_with, seconds, signed, soon,
};

struct Renewal {
    asked: Instant,
    clock: HandClock,
    store: Arc<Watched>,
    pauses: Pauses,
    request: SignedRequest,
    receiver: Receiver,
}

async fn renewal(lease: Duration, most: Duration) -> (Renewal, Admitted) {
    let clock = HandClock::new();
    let store = Watched::over(MemoryStore::new().clock(clock.clone()));
    let idempotency =
        Idempotency::new(Arc::clone(&store), "tests").lease(lease).max_handler_time(most);
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let asked = Instant::now();
    let (pauses, timer) = Pauses::new();
    let Admission::Admitted(admitted) = admit(&receiver, &request, timer).await.unwrap() else {
        panic!("the first of its kind");
    };
    (Renewal { asked, clock, store, pauses, request, receiver }, admitted)
}

impl Renewal {
    /// A pause of so many seconds. The first is shorter by what the claim took, which on a machine
    /// that stood still may be any time.
    fn assert_pause(&self, pause: Duration, expected: Duration) {
        let taken = self.asked.elapsed();
        assert!(pause <= expected, "{pause:?} is longer than {expected:?}");
        let shorter = expected - pause;
        assert!(shorter <= taken, "{pause:?} is shorter than {expected:?} by more than {taken:?}");
    }
}

/// Every third of its time, the lease is renewed, so that it never lapses under a handler that runs.
#[tokio::test]
async fn a_lease_is_renewed_while_the_handler_runs() {
    let (mut test, admitted) = renewal(seconds(60), seconds(900)).await;
    let (end, ended) = oneshot::channel();
    {
        let handler = async { ended.await.unwrap() };
        let mut running = Box::pin(admitted.handle(handler, its_status));
        for round in 0..20 {
            assert!((&mut running).now_or_never().is_none());
            assert_eq!(test.store.extends.load(SeqCst), round);
            let (pause, over) = test.pauses.begun().expect("a pause before each renewal");
            match round {
                0 => test.assert_pause(pause, seconds(20)),
                _ => assert_eq!(pause, seconds(20)),
            }
            assert!(test.pauses.begun().is_none());
            test.clock.advance(seconds(20));
            let early = admit(&test.receiver, &test.request, never).await;
            assert!(matches!(early, Err(Rejection::InFlight { .. })), "{round}");
            over.send(()).unwrap();
        }
        assert!((&mut running).now_or_never().is_none());
        assert_eq!(test.store.extends.load(SeqCst), 20);
        end.send(202).unwrap();
        assert_eq!(running.await.unwrap(), 202);
    }
    assert_eq!(test.store.extends.load(SeqCst), 20);
    let replay = admit(&test.receiver, &test.request, never).await.unwrap();
    assert!(matches!(replay, Admission::Answer(answer) if answer.status() == 202));
}

/// A renewal that fails is tried again, and sooner, since the lease goes on running out.
#[tokio::test]
async fn a_renewal_that_fails_is_tried_again() {
    let (mut test, admitted) = renewal(seconds(60), seconds(900)).await;
    test.store.fail_extends.store(1, SeqCst);
    let mut running = Box::pin(admitted.handle(pending::<u16>(), its_status));
    for renewals in 1..=3 {
        assert!((&mut running).now_or_never().is_none());
        let (pause, end) = test.pauses.begun().unwrap();
        test.clock.advance(pause);
        end.send(()).unwrap();
        assert!((&mut running).now_or_never().is_none());
        assert_eq!(test.store.extends.load(SeqCst), renewals);
    }
    // The first was lost; those after it count.
    let refused = admit(&test.receiver, &test.request, never).await;
    assert_eq!(refused.unwrap_err().retry_after(), Some(seconds(60)), "the lease is whole again");
}

/// A handler that never ends does not hold its claim for ever.
#[tokio::test]
async fn a_lease_is_not_renewed_beyond_the_handlers_time() {
    let (mut test, admitted) = renewal(seconds(30), seconds(100)).await;
    let mut running = Box::pin(admitted.handle(pending::<u16>(), its_status));
    assert!((&mut running).now_or_never().is_none());
    let mut elapsed = Duration::ZERO;
    while let Some((pause, end)) = test.pauses.begun() {
        if elapsed.is_zero() {
            test.assert_pause(pause, seconds(10));
        } else {
            assert_eq!(pause, seconds(10));
        }
        elapsed += seconds(10);
        test.clock.advance(seconds(10));
        end.send(()).unwrap();
        assert!((&mut running).now_or_never().is_none());
        assert!(elapsed <= seconds(110), "renewed for too long");
    }
    assert!(elapsed >= seconds(100), "renewed for too short a time");
    assert_eq!(test.store.extends.load(SeqCst), 10);
    test.clock.advance(seconds(30));
    let successor = admit(&test.receiver, &test.request, never).await.unwrap();
    let Admission::Admitted(successor) = successor else {
        panic!("the lease has lapsed");
    };
    assert_eq!(successor.delivery().claim().unwrap().fencing_token(), 2);
}

/// A holder that was superseded stops to renew, and what it settles is not recorded.
#[tokio::test]
async fn a_lost_lease_is_not_renewed() {
    let (mut test, admitted) = renewal(seconds(60), seconds(900)).await;
    let runs = AtomicUsize::new(0);
    let (end, ended) = oneshot::channel();
    {
        let handler = async {
            runs.fetch_add(1, SeqCst);
            ended.await.unwrap()
        };
        let mut running = Box::pin(admitted.handle(handler, its_status));
        assert!((&mut running).now_or_never().is_none());
        test.clock.advance(seconds(60));
        let successor = admit(&test.receiver, &test.request, never).await.unwrap();
        let Admission::Admitted(successor) = successor else {
            panic!("the lease has lapsed");
        };
        test.pauses.begun().unwrap().1.send(()).unwrap();
        assert!((&mut running).now_or_never().is_none());
        assert_eq!(test.store.extends.load(SeqCst), 1);
        assert!(test.pauses.begun().is_none(), "no further renewal");
        finish(successor, 201).await.unwrap();
        end.send(202).unwrap();
        assert_eq!(running.await.unwrap(), 202);
    }
    let replay = admit(&test.receiver, &test.request, never).await.unwrap();
    assert!(matches!(replay, Admission::Answer(answer) if answer.status() == 201));
    assert_eq!(runs.load(SeqCst), 1);
}

/// A handler can tell that it had better stop: when another has taken over, when the store has not renewed the lease for
/// as long as it holds, and when the handler has had its time. Not before.
#[tokio::test]
async fn a_handler_learns_that_its_lease_is_lost() {
    #[derive(Debug, PartialEq)]
    enum Cause {
        Successor,
        Silence,
        Overtime,
    }
    for cause in [Cause::Successor, Cause::Silence, Cause::Overtime] {
        let (mut test, admitted) = renewal(seconds(60), seconds(900)).await;
        if cause == Cause::Silence {
            test.store.fail_extends.store(usize::MAX, SeqCst);
        }
        let claim = admitted.delivery().claim().unwrap().clone();
        let handler = async {
            claim.lost().await;
            503
        };
        let mut running = Box::pin(admitted.handle(handler, its_status));
        let mut elapsed = Duration::ZERO;
        let lost = loop {
            match (&mut running).now_or_never() {
                Some(lost) => break lost,
                None => assert!(elapsed <= seconds(1000), "{cause:?}: never told"),
            }
            if cause == Cause::Successor && elapsed == seconds(100) {
                test.clock.advance(seconds(60));
                let successor = admit(&test.receiver, &test.request, never).await;
                assert!(matches!(successor, Ok(Admission::Admitted(_))));
            }
            let (pause, end) = test.pauses.begun().unwrap();
            // The first third counts from the claim.
            let pause = if elapsed.is_zero() { seconds(20) } else { pause };
            test.clock.advance(pause);
            elapsed += pause;
            end.send(()).unwrap();
        };
        assert_eq!(lost.unwrap(), 503);
        let expected = match cause {
            Cause::Successor => 120..=120,
            // A third of the lease, then twelfths of it; a call that fails may have taken its second.
            Cause::Silence => 50..=60,
            Cause::Overtime => 900..=900,
        };
        assert!(expected.contains(&elapsed.as_secs()), "{cause:?}: {elapsed:?}");
        // Whoever asks late is told, too.
        assert!(claim.lost().now_or_never().is_some());
    }
    let (_test, admitted) = renewal(seconds(60), seconds(900)).await;
    let claim = admitted.delivery().claim().unwrap().clone();
    assert!(claim.lost().now_or_never().is_none());
    finish(admitted, 200).await.unwrap();
    // Nobody waits for good for something that cannot be lost any more.
    assert!(claim.lost().now_or_never().is_some());
}

/// A handler that works for most of its lease before it first waits, or whose claim took as long, is renewed at once.
#[tokio::test]
async fn what_was_used_up_before_counts() {
    let (mut test, admitted) = renewal(seconds(1), seconds(900)).await;
    let handler = async {
        std::thread::sleep(seconds(1) / 3);
        pending::<u16>().await
    };
    let mut running = Box::pin(admitted.handle(handler, its_status));
    assert!((&mut running).now_or_never().is_none());
    let (pause, _end) = test.pauses.begun().unwrap();
    assert_eq!(pause, Duration::ZERO);
}

/// A panic ends the renewal with the handler, whether it comes at once or late.
#[tokio::test]
async fn a_panic_is_caught_wherever_it_comes() {
    for late in [false, true] {
        let (test, admitted) = renewal(seconds(60), seconds(900)).await;
        let handler = async {
            if late {
                tokio::task::yield_now().await;
            }
            if true {
                panic!("on purpose");
            }
            200_u16
        };
        let panicked = soon("end of the handler", admitted.handle(handler, its_status)).await;
        assert!(matches!(panicked, Err(Rejection::HandlerPanicked)));
        assert_eq!(test.store.releases.load(SeqCst), 1);
    }
}

/// A handler that uses up all that its task may do in one go, every time, is no hindrance to its renewal.
#[tokio::test]
async fn a_busy_handler_does_not_starve_its_renewal() {
    let (mut test, admitted) = renewal(seconds(60), seconds(900)).await;
    let store = Arc::clone(&test.store);
    let tasks = tokio::task::LocalSet::new();
    let running = tasks.spawn_local(async move {
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        admitted.handle(busy, |()| None).await
    });
    let renewed = async {
        for renewals in 1..=3 {
            let (_, end) = soon("pause before a renewal", async {
                loop {
                    match test.pauses.begun() {
                        Some(pause) => return pause,
                        None => tokio::task::yield_now().await,
                    }
                }
            })
            .await;
            end.send(()).unwrap();
            soon("renewal", async {
                while store.extends.load(SeqCst) < renewals {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        running.abort();
    };
    tasks.run_until(renewed).await;
}
