//! Filters drop events before they are claimed, and acknowledge requests without other events.

use std::sync::Arc;

use webhook_verify::{
    ConfigError, Idempotency, Receiver, ReceiverBuilder, Scheme, Verifier,
    scheme::{self, Identity},
};

use crate::{common::*, sender::*};

fn filtering(
    scheme: Scheme,
    store: Option<&Arc<Watched>>,
    filter: impl Fn(ReceiverBuilder) -> ReceiverBuilder,
) -> Result<Receiver, ConfigError> {
    let verifier = Verifier::builder(scheme).secret(SECRET).max_events(4);
    let mut builder = Receiver::builder(verifier.build()?);
    if let Some(store) = store {
        builder = builder.idempotency(Idempotency::new(Arc::clone(store), "tests"));
    }
    filter(builder).build()
}

fn saved_and_hit(saved: &[usize], hit: &[usize]) -> String {
    let lists = [saved, hit].map(|numbers| events(numbers.iter().copied()));
    body(&[("mautic.lead_post_save", &lists[0]), ("mautic.page_on_hit", &lists[1])])
}

#[tokio::test]
async fn what_is_filtered_out_is_not_claimed() {
    each_framework(|framework| async move {
        let (store, begun, fault) = (Watched::new(), Begun::default(), Fault::at(3));
        let only = |it: ReceiverBuilder| it.only(["mautic.lead_*"]);
        let receiver = filtering(scheme::MAUTIC, Some(&store), only).unwrap();
        let site = Site::on(framework, receiver, failing(&begun, &fault)).await;
        let request = mautic(saved_and_hit(&[1, 3], &[2, 4]));
        assert_eq!(site.post(&request).await.status, 500);
        assert_eq!(begun.take(), events([1, 3]));
        assert_eq!(store.take_log(), ["claim_all 2", "complete", "release"]);
        fault.set(0);
        assert_eq!(site.post(&request).await.status, 200);
        assert_eq!(begun.take(), events([3]));
        assert_eq!(store.take_log(), ["claim_all 2", "complete"]);
        assert_replay(&site.post(&request).await, 204);
        store.take_log();

        // No event is left: 204, without a call of the store.
        let request = mautic(saved_and_hit(&[], &[2, 4]));
        for _ in 0..2 {
            let response = site.post(&request).await;
            assert_eq!((response.status, response.text()), (204, ""));
            assert!(!is_replay(&response));
        }
        assert_eq!(site.post(&mautic("{}")).await.status, 204);
        assert_eq!((store.take_log(), begun.take()), (vec![], vec![]));

        // Another receiver with the same claims wants these events. They were not claimed.
        let only = |it: ReceiverBuilder| it.only(["mautic.page_on_hit", "other"]);
        let receiver = filtering(scheme::MAUTIC, Some(&store), only).unwrap();
        let site = Site::on(framework, receiver, failing(&begun, &fault)).await;
        assert_eq!(site.post(&request).await.status, 200);
        assert_eq!(begun.take(), events([2, 4]));
    })
    .await;
}

/// One of the patterns must match, and all fields must have their values.
#[tokio::test]
async fn by_type_and_by_fields() {
    let elements = [
        r#"{"a":{"b":"x"},"c":1}"#,
        r#"{"a":{"b":"x"},"c":2}"#,
        r#"{"a":{"b":"X"},"c":1}"#,
        r#"{"a":{"b":"x"},"c":"1"}"#,
    ];
    let elements = elements.map(ToOwned::to_owned);
    let request = mautic(body(&[("t", &elements)]));
    type Filter = fn(ReceiverBuilder) -> ReceiverBuilder;
    let cases: [(Filter, &[usize]); 7] = [
        (|it| it.only_where("/a/b", "x"), &[0, 1, 3]),
        (|it| it.only_where("/a/b", "x").only_where("/c", "1"), &[0, 3]),
        (|it| it.only_where("/c", "2"), &[1]),
        (|it| it.only_where("/a", "x"), &[]),
        (|it| it.only_where("/d", ""), &[]),
        (|it| it.only(["x", "t"]).only_where("/c", "2"), &[1]),
        (|it| it.only(["x"]).only(["*"]), &[0, 1, 2, 3]),
    ];
    for (index, (filter, expected)) in cases.into_iter().enumerate() {
        let (store, begun) = (Watched::new(), Begun::default());
        let receiver = filtering(scheme::MAUTIC, Some(&store), filter).unwrap();
        let handler = failing(&begun, &Fault::default());
        let site = Site::on(Framework::Axum, receiver, handler).await;
        let status = if expected.is_empty() { 204 } else { 200 };
        assert_eq!(site.post(&request).await.status, status, "{index}");
        let expected: Vec<_> = expected.iter().map(|at| elements[*at].clone()).collect();
        assert_eq!(begun.take(), expected, "{index}");
    }
}

/// A body that cannot be split cannot be filtered. The sender gets an error, and nothing is
/// claimed.
#[tokio::test]
async fn bodies_that_cannot_be_split() {
    each_framework(|framework| async move {
        for store in [None, Some(Watched::new())] {
            let begun = Begun::default();
            let all = |it: ReceiverBuilder| it.only(["*"]);
            let receiver = filtering(scheme::MAUTIC, store.as_ref(), all).unwrap();
            let handler = failing(&begun, &Fault::default());
            let site = Site::on(framework, receiver, handler).await;
            for (body, status, text) in [
                ("", 400, "body is not JSON"),
                ("{", 400, "body is not JSON"),
                (r#"{"t":[1]} 2"#, 400, "body is not JSON"),
                (r#"{"t":[1,2],"u":[3,4,5]}"#, 413, "too many events"),
                ("[]", 422, "JSON is not of the expected shape"),
                (r#"{"t":[1],"t":[2]}"#, 422, "JSON is not of the expected shape"),
            ] {
                let response = site.post(&mautic(body)).await;
                assert_eq!((response.status, response.text()), (status, text), "{body}");
            }
            let most = mautic(r#"{"t":[1,2],"u":[3,4]}"#);
            assert_eq!(site.post(&most).await.status, 200);
            assert_eq!(begun.take(), ["1", "2", "3", "4"]);
            if let Some(store) = store {
                assert_eq!(store.take_log()[0], "claim_all 4");
            }
        }
    })
    .await;
}

/// Filters work without deduplication, and if the delivery is claimed as a whole.
#[tokio::test]
async fn without_claims_of_their_own() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let only = |it: ReceiverBuilder| it.only(["mautic.page_*"]);
        let whole = |it: ReceiverBuilder| {
            let idempotency = Idempotency::new(webhook_verify::MemoryStore::new(), "tests");
            only(it).idempotency(idempotency.identity(Identity::BodyDigest))
        };
        let request = mautic(saved_and_hit(&[1], &[2, 3]));
        let other = mautic(saved_and_hit(&[1], &[]));
        for (receiver, again) in [
            (filtering(scheme::MAUTIC, None, only), events([2, 3])),
            (filtering(scheme::MAUTIC, None, whole), vec![]),
        ] {
            let handler = failing(&begun, &Fault::default());
            let site = Site::on(framework, receiver.unwrap(), handler).await;
            assert_eq!(site.post(&request).await.status, 200);
            assert_eq!(begun.take(), events([2, 3]));
            assert_eq!(site.post(&request).await.status, 200);
            assert_eq!(begun.take(), again);
            assert_eq!(site.post(&other).await.status, 204);
            assert_eq!(begun.take(), [""; 0]);
        }
    })
    .await;
}

/// Single events are filtered, too.
#[tokio::test]
async fn single_events() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let only = |it: ReceiverBuilder| it.only(["contact.*"]).only_where("/data/a", "true");
        let scheme = scheme::HOST_UK_DOCUMENTED;
        let receiver = filtering(scheme.clone(), Some(&store), only).unwrap();
        let handler = failing(&begun, &Fault::default());
        let site = Site::on(framework, receiver, handler).await;
        for (event, status, runs) in [
            (r#"{"id":"1","type":"contact.created","data":{"a":true}}"#, 200, 1),
            (r#"{"id":"2","type":"contact.created","data":{"a":false}}"#, 204, 0),
            (r#"{"id":"3","type":"contacts","data":{"a":true}}"#, 204, 0),
            (r#"{"id":"4","data":{"a":true}}"#, 204, 0),
        ] {
            let response = site.post(&signed(scheme.clone(), event)).await;
            assert_eq!((response.status, begun.take().len()), (status, runs), "{event}");
        }
        assert_eq!(store.take_log(), ["claim", "complete"]);
    })
    .await;
}

#[test]
fn mistakes_are_named() {
    type Filter = fn(ReceiverBuilder) -> ReceiverBuilder;
    let mistakes: [(Filter, &str); 6] = [
        (|it| it.only([""; 0]), "only"),
        (|it| it.only([""]), "only"),
        (|it| it.only(["a", "*.b"]), "only"),
        (|it| it.only(["a**"]), "only"),
        (|it| it.only_where("a", "b"), "only_where"),
        (|it| it.only_where("", "b"), "only_where"),
    ];
    for (filter, named) in mistakes {
        let error = filtering(scheme::MAUTIC, None, filter).unwrap_err();
        assert!(
            matches!(error.kind(), ConfigError::Option { option, .. } if *option == named),
            "{error}"
        );
    }
}

/// An unreadable body might pass the filter. If it were acknowledged, it would be lost.
#[tokio::test]
async fn unreadable_bodies_are_not_acknowledged() {
    each_framework(|framework| async move {
        let by_type = |it: ReceiverBuilder| it.only(["b"]);
        let by_field = |it: ReceiverBuilder| it.only_where("/data/status", "published");
        for (scheme, body, expected) in [
            (scheme::STRIPE, "not json", 400),
            (scheme::STRIPE, r#"{"type":"b""#, 400),
            (scheme::STRIPE, r#"{"type":"a","type":"b","data":1,"data":2}"#, 422),
            (scheme::STRIPE, r#"{"type":"a","data":{}}"#, 204),
            (scheme::LINE, r#"{"events":[{"type":"a","type":"b","data":1,"data":2}]}"#, 422),
            (scheme::LINE, r#"{"events":[{"type":"a"},{"data":null}]}"#, 204),
            (scheme::LINE, r#"{"events":{}}"#, 422),
        ] {
            let begun = Begun::default();
            let handler = failing(&begun, &Fault::default());
            for receiver in [
                filtering(scheme.clone(), None, by_type).unwrap(),
                filtering(scheme.clone(), Some(&Watched::new()), by_type).unwrap(),
                filtering(scheme.clone(), None, by_field).unwrap(),
            ] {
                let site = Site::on(framework, receiver, Arc::clone(&handler)).await;
                let response = site.post(&signed(scheme.clone(), body)).await;
                assert_eq!(response.status, expected, "{body}");
            }
            assert!(begun.take().is_empty(), "{body}");
        }
    })
    .await;
}

/// A filter on types is an error for a scheme without types: it would drop every event.
#[test]
fn a_filter_on_types_needs_types() {
    let token = Scheme::shared_header("x-token").unwrap();
    let only = |pattern: &'static str| move |it: ReceiverBuilder| it.only([pattern]);
    let refused = filtering(token.clone(), None, only("a.*")).unwrap_err();
    assert!(refused.kind().to_string().starts_with("only: "), "{refused}");
    assert!(filtering(token, None, only("*")).is_ok());
}
