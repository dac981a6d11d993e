//! Tests of receivers. The adapters' tests cover the challenges of all senders.

#[cfg(any(feature = "rsa", all(feature = "jwt", feature = "ecdsa")))]
mod look_up;
mod tenant_cache;
mod tokens;

use std::{
    convert::Infallible,
    future::{pending, ready},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{Admission, Handshake, Idempotency, Receiver, Rejection};
use crate::{
    claim::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, MemoryStore, Settled, Step,
        StoreError,
    },
    error::ConfigError,
    request::RequestHead,
    scheme::{Challenge, KeyForm, Place, Proof, Scheme, SignatureSource},
    verify::{Verifier, VerifierBuilder},
};

/// A body in several chunks.
struct Body(Vec<Bytes>);

impl Stream for Body {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
    }
}

fn body(text: &str) -> Body {
    let (start, end) = text.split_at(text.len() / 2);
    Body([start, end].map(|piece| Bytes::copy_from_slice(piece.as_bytes())).into())
}

/// Admits a request. Every delay ends at once, so a future that is not ready times out.
fn admit(receiver: &Receiver, head: &RequestHead<'_>, text: &str) -> Result<Admission, Rejection> {
    let receiver = receiver.clone().or_timer(|_| ready(()));
    let mut admission = pin!(receiver.admit(head, body(text)));
    match admission.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(admission) => admission,
        Poll::Pending => panic!("waits for something else"),
    }
}

#[track_caller]
fn is_unavailable(admission: &Result<Admission, Rejection>) {
    match admission {
        Err(rejection @ Rejection::Secrets(_)) => assert_eq!(rejection.status(), 503),
        other => panic!("{other:?}"),
    }
}

/// A body that must not be read.
struct Unread;

impl Stream for Unread {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        panic!("the body is read");
    }
}

/// Anyone could make the receiver wait for a body, for 10 s. Only the body of a request that may be
/// an unsigned challenge is read: not if all challenges are signed, as those of Zoom and Twitch, and
/// only a form of Slack.
#[test]
fn the_body_of_an_unsigned_request_is_not_read_unless_it_may_be_a_challenge() {
    let mut in_json = Vec::new();
    let in_json_body = |source: &SignatureSource| matches!(source.place, Place::Pointer(_));
    for scheme in Scheme::presets() {
        if !scheme.algorithm().is_symmetric() || scheme.signatures.iter().any(in_json_body) {
            continue;
        }
        let verifier =
            Verifier::builder(scheme.clone()).public_url("https://example.com/").build_keyless();
        let verifier = verifier.unwrap();
        let receiver = Receiver::new(verifier).or_timer(|_| ready(()));
        let challenges = scheme.challenges().iter();
        let unsigned = challenges.filter(|challenge| !challenge.signed);
        let is_any = unsigned.clone().any(|challenge| {
            receiver.answers(challenge)
                && challenge.looks_into_body()
                && !challenge.looks_into_form()
        });
        if is_any {
            in_json.push(scheme.name());
            continue;
        }
        let headers = [
            ("content-type", "application/json"),
            ("twitch-eventsub-message-type", "webhook_callback_verification"),
        ];
        let head = RequestHead::new(&headers).target("/hook");
        let mut admission = pin!(receiver.admit(&head, Unread));
        match admission.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(rejection)) => {
                assert_eq!(rejection.status(), 401, "{}", scheme.name());
            }
            other => panic!("{}: {other:?}", scheme.name()),
        }
    }
    assert_eq!(in_json, ["monday"]);
}

#[test]
fn a_receiver_requires_a_proof() {
    let build = |scheme: &Scheme, proof| {
        let verifier = Verifier::builder(scheme.clone())
            .secret("user:c2VjcmV0")
            .public_url("https://example.com/")
            .parameter("verify_token", "a token")
            .parameter("public_key", "a key")
            .build()
            .unwrap();
        Receiver::builder(verifier).require(proof).build().map(|_| ())
    };
    let all = [Proof::Body, Proof::BodyDigest, Proof::Fields, Proof::Url, Proof::TokenOnly];
    let takes_this_secret = |scheme: &&Scheme| {
        scheme.algorithm().is_symmetric()
            && matches!(scheme.key_form(), KeyForm::Utf8)
            && (cfg!(feature = "jwt") || !scheme.algorithm().is_jwt())
    };
    for scheme in Scheme::presets().filter(takes_this_secret) {
        for proof in all {
            let built = build(scheme, proof);
            assert_eq!(built.is_ok(), scheme.proof().satisfies(proof), "{}", scheme.name());
        }
    }
    let error = build(&crate::scheme::TWILIO, Proof::Body).unwrap_err();
    let expected = "scheme `twilio`: require: the signature of `twilio` covers only some values of \
         the body: use `require(Proof::Fields)` and query the sender's API for the rest, or use \
         the preset `twilio-json` or `twilio-json-sha256` if the sender supports it";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_handshake_needs_its_parameter() {
    for challenge in Scheme::presets().flat_map(|scheme| scheme.challenges()) {
        let scheme = Scheme { challenges: vec![challenge.clone()].into(), ..crate::scheme::GITHUB };
        let verifier = || Verifier::builder(scheme.clone()).secret("a secret");
        let build = |verifier: VerifierBuilder| Receiver::builder(verifier.build().unwrap());
        let Some(name) = challenge.parameter() else {
            assert!(build(verifier()).build().is_ok());
            continue;
        };
        let expected = match challenge.name() {
            "braintree" => "public_key",
            _ => "verify_token",
        };
        assert_eq!(name, expected, "{}", challenge.name());
        for verifier in [verifier(), verifier().parameter(name, "")] {
            let error = build(verifier).build().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(build(verifier().parameter(name, "a token")).build().is_ok());
        assert!(build(verifier()).without_challenges().build().is_ok());
    }
}

#[test]
fn a_scheme_whose_requests_name_no_key_has_nothing_to_look_up() {
    let builder = |scheme| Verifier::builder(scheme).parameter("topic_arn", "arn");
    let looked_up = |verifier: VerifierBuilder| {
        Receiver::builder(verifier).key_lookup(|_| ready(Ok(None))).build().map(|_| ())
    };
    let error = looked_up(builder(crate::scheme::GITHUB)).unwrap_err();
    assert_eq!(error.kind().to_string(), "key_lookup: the scheme's requests name no key");
    let error = looked_up(builder(crate::scheme::SNS).secret("a secret")).unwrap_err();
    assert_eq!(error.kind().to_string(), "secret: 1 given, at most 0 may be live");
    assert!(looked_up(builder(crate::scheme::SNS)).is_ok());
}

#[test]
fn a_handshake_that_nobody_takes_in_time_is_not_answered() {
    let scheme = Scheme { challenges: vec![Challenge::ASANA].into(), ..crate::scheme::GITHUB };
    let receiver = Receiver::builder(Verifier::new(scheme, "a secret").unwrap())
        .on_handshake(|_: Handshake| pending())
        .build()
        .unwrap();
    let headers = [("x-hook-secret", "abc")];
    is_unavailable(&admit(&receiver, &RequestHead::new(&headers), ""));
}

#[test]
fn what_is_received_as_a_challenge_is_no_delivery() {
    let scheme = Scheme { challenges: vec![Challenge::DROPBOX].into(), ..crate::scheme::GITHUB };
    let receiver = Receiver::new(Verifier::new(scheme, "a secret").unwrap());
    let receiver = receiver.or_timer(|_| ready(()));
    let headers: [(&str, &str); 0] = [];
    let head = RequestHead::new(&headers).method("GET").target("/?challenge=abc");
    let mut receiving = pin!(receiver.receive(&head, body("")));
    let received = receiving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(received)) = received else {
        panic!("refused");
    };
    assert!(received.delivery().is_none());
    assert!(!received.must_finish());
    assert!(!format!("{received:?}").contains("abc"), "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spawned_task_may_hold_the_head_while_it_waits() {
    let verifier = Verifier::new(crate::scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467");
    let receiver = Receiver::new(verifier.unwrap()).or_timer(|_| pending());
    let task = tokio::spawn(async move {
        let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
        let head = RequestHead::from(&headers);
        let genuine = body(r#"{"mautic.lead_post_delete":[{"id":52}]}"#);
        let admission = receiver.admit(&head, genuine).await;
        assert!(matches!(admission, Ok(Admission::Admitted(_))), "{admission:?}");
        let forged = receiver.admit(&head, body("{}")).await;
        assert_eq!(forged.unwrap_err().status(), 401);
    });
    task.await.unwrap();
}

#[test]
#[should_panic(expected = "set one with `ReceiverBuilder::timer`")]
fn without_a_timer_the_first_request_says_so() {
    let receiver = Receiver::new(Verifier::new(crate::scheme::GITHUB, "a secret").unwrap());
    let headers: [(&str, &str); 0] = [];
    drop(receiver.receive(&RequestHead::new(&headers), body("")));
}

#[test]
fn a_second_lookup_is_refused() {
    let builder = Receiver::builder(Verifier::builder(crate::scheme::PIPEFORCE_TOKEN));
    let builder = builder.tenants(|_| ready(Ok(None))).token_lookup(|_| ready(Ok(None)));
    assert_eq!(builder.build().unwrap_err().kind().to_string(), "token_lookup: a second lookup");
}

#[test]
fn a_built_verifier_with_secrets_takes_no_lookup() {
    let verifier = Verifier::new(crate::scheme::GITHUB, "a secret").unwrap();
    let error = Receiver::builder(verifier).tenants(|_| ready(Ok(None))).build().unwrap_err();
    assert_eq!(error.kind().to_string(), "secret: 1 given, at most 0 may be live");
}

#[test]
fn a_builder_without_secrets_is_enough_for_handshakes() {
    let verifier = Verifier::builder(crate::scheme::ASANA);
    let builder = Receiver::builder(verifier).on_handshake(|_| ready(Ok(())));
    assert!(builder.build().is_ok());
    let error = Receiver::builder(Verifier::builder(crate::scheme::ASANA)).build().unwrap_err();
    assert!(matches!(error.kind(), ConfigError::SecretCount { given: 0, .. }), "{error}");
}

/// A store that never settles.
struct Silent(MemoryStore);

impl ClaimStore for Silent {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        self.0.claim(requests).await
    }

    async fn settle(&self, _: &[Holder], _: Step) -> Result<Vec<Settled>, StoreError> {
        pending().await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.0.forget(key).await
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.0.purge(max).await
    }
}

/// A handler that responds before a background task has begun: the task still gets the event while
/// the store is slow to complete it.
#[tokio::test]
async fn an_event_that_is_completed_by_the_status_is_left_for_a_task() {
    let verifier = Verifier::new(crate::scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467");
    let idempotency = Idempotency::new(Silent(MemoryStore::new()), "tests");
    let receiver = Receiver::builder(verifier.unwrap()).idempotency(idempotency);
    let receiver = receiver.timer(|_| pending()).build().unwrap();
    let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
    let request = body(r#"{"mautic.lead_post_delete":[{"id":52}]}"#);
    let admission = receiver.admit(&RequestHead::from(&headers), request).await.unwrap();
    let Admission::Admitted(admitted) = admission else { panic!("{admission:?}") };
    let events = admitted.delivery().events().unwrap();
    let mut handling = pin!(admitted.handle(ready(202), |status| Some(*status)));
    let polled = handling.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "the store is silent");
    assert_eq!(events.iter().count(), 1);
}
