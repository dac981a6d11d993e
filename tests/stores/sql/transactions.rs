//! Handlers whose effects are in the database that holds the claims.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{future::join_all, poll, stream};
use integration_tests::{Calls as _, Pauses, Watched, finish, its_status};
use tokio::{task::yield_now, time::sleep};
use webhook_verify::{
    Delivery, Idempotency, Receiver, Rejection, RequestHead, Verifier,
    adapter::{Admission, Admitted},
    idempotency::{ClaimStore, CommitError, Settled},
    scheme,
    testing::{SignedRequest, Signer},
};

use super::{HOUR, MS, answered, is_busy, is_completed, request, soon, won};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A store, and effects in the same database.
pub(crate) trait Ledger: Clone + Send + Sync + 'static {
    type Store: ClaimStore + Clone;
    type Open: Send;

    fn store(&self) -> &Self::Store;
    /// A transaction with an effect in it.
    fn begin(&self) -> impl Future<Output = Self::Open> + Send;
    fn complete_in(
        &self,
        open: &mut Self::Open,
        delivery: &Delivery,
        status: u16,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;
    fn end(&self, open: Self::Open) -> impl Future<Output = ()> + Send;
    fn commit(
        &self,
        open: Self::Open,
        delivery: &Delivery,
        status: u16,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;
    fn effects(&self) -> impl Future<Output = i64> + Send;
    /// As [`Place::age`](integration_tests::Place::age).
    fn age(&self, by: Duration) -> impl Future<Output = ()> + Send;
    /// Waits until a claim waits for the open transaction, where that can be seen.
    fn until_one_waits(&self) -> impl Future<Output = ()> + Send;
}

/// Longer than any machine takes. Nothing renews claims but [`Admitted::handle`].
const LEASE: Duration = Duration::from_secs(60);

fn receiver(store: impl ClaimStore) -> Receiver {
    let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
    let idempotency = Idempotency::new(store, "tests").lease(LEASE);
    Receiver::builder(verifier).idempotency(idempotency.claim_timeout(LEASE / 6)).build().unwrap()
}

fn signed(body: &str) -> SignedRequest {
    let signer = Signer::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
    signer.id(body.replace(' ', "_")).sign(body.to_owned()).unwrap()
}

async fn admit(receiver: &Receiver, request: &SignedRequest) -> Result<Admission, Rejection> {
    let head = RequestHead::new(&request.headers).method(&request.method).target(&request.target);
    let body = stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
    receiver.clone().or_timer(sleep).admit(&head, body).await
}

/// As [`admit`], again for as long as the store does not answer in time.
async fn admit_in_the_end(receiver: &Receiver, request: &SignedRequest) -> Admission {
    let tries = async {
        loop {
            match admit(receiver, request).await {
                Ok(admission) => return admission,
                Err(refused) => assert_eq!(refused.status(), 503),
            }
            sleep(10 * MS).await;
        }
    };
    soon("admission", tries).await
}

async fn admitted(receiver: &Receiver, request: &SignedRequest) -> Admitted {
    match admit_in_the_end(receiver, request).await {
        Admission::Admitted(admitted) => admitted,
        Admission::Answer(answer) => panic!("answered {}", answer.status()),
    }
}

async fn replayed(receiver: &Receiver, request: &SignedRequest) -> u16 {
    match admit_in_the_end(receiver, request).await {
        Admission::Answer(answer) => answer.status(),
        Admission::Admitted(_) => panic!("it ran again"),
    }
}

/// Of 32 that come at once, one has an effect, also when handlers fail before that.
pub(crate) async fn many_at_once<L: Ledger>(ledger: &L) {
    let receiver = receiver(ledger.store().clone());
    for failures in [0, 3] {
        let before = ledger.effects().await;
        let request = signed(&format!("many, {failures} failures"));
        let runs = AtomicUsize::new(0);
        let deliver = async || {
            loop {
                match admit(&receiver, &request).await {
                    Err(_) => sleep(10 * MS).await,
                    Ok(Admission::Answer(answer)) => break assert_eq!(answer.status(), 202),
                    Ok(Admission::Admitted(admitted)) => {
                        let open = ledger.begin().await;
                        if runs.fetch_add(1, SeqCst) < failures {
                            drop(open);
                            finish(admitted, 500).await.unwrap();
                            continue;
                        }
                        ledger.commit(open, admitted.delivery(), 202).await.unwrap();
                        break finish(admitted, 200).await.unwrap();
                    }
                }
            }
        };
        soon("end of all deliveries", join_all((0..32).map(|_| deliver()))).await;
        assert_eq!(runs.load(SeqCst), failures + 1);
        assert_eq!(ledger.effects().await, before + 1);
    }
}

/// One that stood still for longer than its lease has no effect beside that of its successor, whoever is first.
pub(crate) async fn who_was_superseded_rolls_back<L: Ledger>(ledger: &L) {
    let receiver = receiver(ledger.store().clone());
    for late_first in [false, true] {
        let before = ledger.effects().await;
        let request = signed(&format!("superseded, late first: {late_first}"));
        let a = admitted(&receiver, &request).await;
        ledger.age(LEASE).await;
        let b = admitted(&receiver, &request).await;
        assert_eq!(b.delivery().claim().unwrap().fencing_token(), 2);
        if late_first {
            let late = ledger.commit(ledger.begin().await, a.delivery(), 200).await;
            assert!(matches!(late, Err(CommitError::Superseded)), "{late:?}");
            assert_eq!(ledger.effects().await, before);
        }
        ledger.commit(ledger.begin().await, b.delivery(), 201).await.unwrap();
        let late = ledger.commit(ledger.begin().await, a.delivery(), 200).await;
        assert!(matches!(late, Err(CommitError::Superseded)), "{late:?}");
        assert_eq!(ledger.effects().await, before + 1);
        finish(a, 500).await.unwrap();
        finish(b, 204).await.unwrap();
        assert_eq!(replayed(&receiver, &request).await, 201);
    }
}

/// A claim that comes while a handler commits waits for it: then it is a duplicate, or its turn.
pub(crate) async fn who_waits_is_told<L: Ledger>(ledger: &L) {
    let receiver = receiver(ledger.store().clone());
    for commits in [true, false] {
        let before = ledger.effects().await;
        let request_of = signed(&format!("waits, commits: {commits}"));
        let a = admitted(&receiver, &request_of).await;
        let mut claim = request(0);
        claim.key = a.delivery().claim().unwrap().key();
        ledger.age(LEASE).await;

        let mut open = ledger.begin().await;
        ledger.complete_in(&mut open, a.delivery(), 200).await.unwrap();
        let waiting = tokio::spawn({
            let (ledger, claim) = (ledger.clone(), claim.clone());
            // One that has waited for as long as it may is told that, and waits again.
            async move { answered(|| ledger.store().claim_one(&claim)).await }
        });
        ledger.until_one_waits().await;
        assert!(!waiting.is_finished());
        if commits {
            ledger.end(open).await;
        } else {
            drop(open);
        }
        let outcome = soon("answer to the claim that waits", waiting).await.unwrap();
        if commits {
            assert!(is_completed(outcome), "{outcome:?}");
            assert_eq!(ledger.effects().await, before + 1);
        } else {
            assert_eq!(outcome, won(2));
            assert_eq!(ledger.effects().await, before);
            let late = ledger.commit(ledger.begin().await, a.delivery(), 200).await;
            assert!(matches!(late, Err(CommitError::Superseded)), "{late:?}");
        }
    }
}

/// The receiver settles after the handler, as always; what the transaction says stands.
pub(crate) async fn the_receiver_settles_after_it<L: Ledger>(ledger: &L) {
    let receiver = receiver(ledger.store().clone());
    let before = ledger.effects().await;
    for (body, answered) in
        [("answers 2xx", Some(200)), ("answers 500", Some(500)), ("panics", None)]
    {
        let request = signed(body);
        let a = admitted(&receiver, &request).await;
        let delivery = a.delivery().clone();
        let handler = async {
            ledger.commit(ledger.begin().await, &delivery, 202).await.unwrap();
            assert!(answered.is_some(), "a panic on purpose");
        };
        let handled = a.handle(handler, |()| answered).await;
        assert_eq!(handled.is_ok(), answered.is_some());
        assert_eq!(replayed(&receiver, &request).await, 202);
    }
    assert_eq!(ledger.effects().await, before + 3);
}

/// A handler that goes on after its commit is not told that it lost its lease, nor is anybody else; and what it answers then
/// changes nothing.
pub(crate) async fn a_commit_is_no_lost_lease<L: Ledger>(ledger: &L) {
    for status in [200, 500] {
        let (mut pauses, timer) = Pauses::new();
        let store = Watched::over(ledger.store().clone());
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
        let idempotency = Idempotency::new(Arc::clone(&store), "tests")
            .lease(LEASE)
            .claim_timeout(LEASE / 6)
            .on_event(move |event| telling.lock().unwrap().push(event.kind.name()));
        let receiver = Receiver::builder(verifier).idempotency(idempotency);
        let receiver = receiver.timer(timer).build().unwrap();
        let request = signed(&format!("goes on, answers {status}"));
        let a = admitted(&receiver, &request).await;
        let delivery = a.delivery().clone();
        let claim = delivery.claim().unwrap().clone();
        let handler = async {
            let committed = ledger.commit(ledger.begin().await, &delivery, 202);
            committed.await.unwrap();
            // The pause before a renewal is over, and nothing is renewed any more.
            let pause = async {
                loop {
                    match pauses.begun() {
                        Some((_, end)) => return end.send(()).unwrap(),
                        None => yield_now().await,
                    }
                }
            };
            soon("pause before a renewal", pause).await;
            for _ in 0..10 {
                ledger.effects().await;
                assert!(poll!(pin!(claim.lost())).is_pending(), "it is completed");
            }
            status
        };
        assert_eq!(a.handle(handler, its_status).await.unwrap(), status);
        assert_eq!(store.extends.load(SeqCst), 0);
        assert_eq!(*told.lock().unwrap(), ["claimed", "completed"]);
        assert_eq!(replayed(&receiver, &request).await, 202);
    }
}

/// A handler that does not know whether its commit was done tries again, and is told.
pub(crate) async fn twice_is_told<L: Ledger>(ledger: &L) {
    let receiver = receiver(ledger.store().clone());
    let before = ledger.effects().await;
    let a = admitted(&receiver, &signed("twice")).await;
    ledger.commit(ledger.begin().await, a.delivery(), 200).await.unwrap();
    let again = ledger.commit(ledger.begin().await, a.delivery(), 200).await;
    assert!(matches!(again, Err(CommitError::AlreadyCompleted)), "{again:?}");
    assert_eq!(ledger.effects().await, before + 1);
}

pub(crate) async fn what_cannot_be_committed<L: Ledger>(ledger: &L) {
    let before = ledger.effects().await;
    let request = signed("cannot");
    let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
    let unclaimed = Receiver::builder(verifier).build().unwrap();
    let a = admitted(&unclaimed, &request).await;
    let refused = ledger.commit(ledger.begin().await, a.delivery(), 200).await;
    assert!(matches!(refused, Err(CommitError::NotClaimed)), "{refused:?}");

    let receiver = receiver(ledger.store().clone());
    let a = admitted(&receiver, &request).await;
    for status in [0, 199, 300, 500] {
        let refused = ledger.commit(ledger.begin().await, a.delivery(), status).await;
        assert!(matches!(refused, Err(CommitError::NotSuccess)), "{refused:?}");
    }
    let key = a.delivery().claim().unwrap().key();
    assert!(ledger.store().forget(&key).await.unwrap());
    let refused = ledger.commit(ledger.begin().await, a.delivery(), 200).await;
    assert!(matches!(refused, Err(CommitError::Superseded)), "{refused:?}");
    assert_eq!(ledger.effects().await, before);
}

/// While a transaction has completed the claim and not yet committed, others are told to come back, and soon.
pub(crate) async fn an_open_transaction_holds_nobody_up<L: Ledger>(
    ledger: &L,
    other_keys_too: bool,
) {
    let receiver = receiver(ledger.store().clone());
    let signed = signed("open");
    let a = admitted(&receiver, &signed).await;
    let mut open = ledger.begin().await;
    ledger.complete_in(&mut open, a.delivery(), 200).await.unwrap();
    let mut claim = request(0);
    claim.key = a.delivery().claim().unwrap().key();
    let told = soon("answer to a claim", ledger.store().claim_one(&claim)).await;
    match told {
        Ok(outcome) => assert!(is_busy(outcome), "{outcome:?}"),
        Err(_) => assert!(!other_keys_too),
    }
    if other_keys_too {
        let other = ledger.store().claim_one(&request(77)).await;
        assert_eq!(other.unwrap(), won(1));
    }
    ledger.end(open).await;
    let settled = ledger.store().complete(&claim.holder(), 200, HOUR).await;
    assert_eq!(settled.unwrap(), Settled::Superseded);
    assert_eq!(replayed(&receiver, &signed).await, 200);
}
