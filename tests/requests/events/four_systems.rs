//! Every recorded request of the four systems and every example of their documents, through both
//! adapters, to a handler that takes events one by one.

mod reading;
mod rig;

use integration_tests::{Framework, Vector};
use serde::Deserialize;
use serde_json::value::RawValue;
use webhook_verify::{Scheme, Verifier, scheme, testing::Signer};

use self::{
    reading::read,
    rig::{Request, Rig, Seen},
};
use super::NOW;

const SECRET: &str = "fixture-secret-of-the-documents";

#[actix_web::test]
async fn recorded_requests_bring_what_their_json_says_or_nothing() {
    for framework in [Framework::Axum, Framework::Actix] {
        let (mut accepted, mut tests, mut too_long, mut refused) = (0, 0, 0, 0);
        for vector in Vector::of_the_four_systems() {
            let Ok(verifier) = vector.verifier() else {
                assert_eq!(vector.expect, "invalid_secret", "{}", vector.name);
                continue;
            };
            let rig = Rig::new(verifier, vector.max_body);
            let request = Request {
                method: vector.method.clone(),
                target: vector.target.clone(),
                headers: vector.headers.clone(),
                body: vector.body(),
            };
            if vector.expect == "valid" {
                let expected = read(&vector.scheme, &vector.headers, &vector.body());
                rig.assert_brings(framework, &request, &expected, &vector.name).await;
                let is_test = vector.name.starts_with("test_button");
                assert_eq!(expected.is_test, is_test, "{}", vector.name);
                accepted += 1;
                tests += usize::from(is_test);
                continue;
            }
            let (status, text, count) = match vector.expect.as_str() {
                "body_too_large" => (413, "body too large", &mut too_long),
                _ => (401, "invalid webhook signature", &mut refused),
            };
            let answer = rig.send(framework, &request).await;
            assert_eq!(answer, (status, false, text.to_owned()), "{}", vector.name);
            assert_eq!(rig.seen(), [], "{}", vector.name);
            *count += 1;
        }
        assert_eq!((accepted, tests, too_long, refused), (34, 2, 1, 46));
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    events: Vec<Example<'a>>,
}

#[derive(Deserialize)]
struct Example<'a> {
    source: &'a str,
    r#type: &'a str,
    #[serde(borrow, alias = "body")]
    data: &'a RawValue,
}

/// Sends a body as the scheme's sender would, right and with another byte.
async fn assert_document_brings(scheme: &Scheme, body: &str, source: &str) -> Seen {
    let signer = Signer::new(scheme.clone(), SECRET).unwrap().at(NOW);
    let signed = signer.target("/hook").sign(body.to_owned()).unwrap();
    let request = Request {
        method: signed.method,
        target: signed.target,
        headers: signed.headers,
        body: signed.body.to_vec(),
    };
    let expected = read(scheme.name(), &request.headers, &request.body);
    for framework in [Framework::Axum, Framework::Actix] {
        let verifier = Verifier::builder(scheme.clone()).secret(SECRET).clock(|| NOW);
        let rig = Rig::new(verifier.build().unwrap(), None);
        let mut forged = request.body.clone();
        forged.push(b' ');
        let forged = Request {
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            body: forged,
        };
        let (status, ..) = rig.send(framework, &forged).await;
        assert_eq!((status, rig.seen()), (401, Vec::new()), "{source}");
        rig.assert_brings(framework, &request, &expected, source).await;
    }
    expected
}

#[actix_web::test]
async fn mautics_examples_come_alone_together_and_from_the_button() {
    let text = include_str!("../../vectors/documents/mautic.json");
    let examples = serde_json::from_str::<Document<'_>>(text).unwrap().events;
    assert_eq!(examples.len(), 16);
    let mut lists: Vec<(&str, Vec<&str>)> = Vec::new();
    for Example { source, r#type, data } in &examples {
        let data = data.get();
        let body = format!(r#"{{"{type}":[{data}]}}"#);
        let alone = assert_document_brings(&scheme::MAUTIC, &body, source).await;
        assert_eq!((alone.is_test, alone.events.len()), (false, 1), "{source}");
        assert_eq!(alone.events[0].event_type.as_deref(), Some(*r#type));

        let body = format!(r#"{{"{type}":{data},"timestamp":"2026-11-22T00:00:00+00:00"}}"#);
        let test = assert_document_brings(&scheme::MAUTIC, &body, source).await;
        assert!(test.is_test, "{source}");
        assert_eq!(test.events, alone.events, "{source}");

        match lists.last_mut() {
            Some((last, list)) if last == r#type => list.push(data),
            _ => lists.push((r#type, vec![data])),
        }
    }
    let lists = lists.iter().map(|(event_type, list)| {
        let list = list.join(",");
        format!(r#""{event_type}":[{list}]"#)
    });
    let body = format!("{{{}}}", lists.collect::<Vec<_>>().join(","));
    let together = assert_document_brings(&scheme::MAUTIC, &body, "all of them").await;
    assert_eq!(together.events.len(), 16);
}

#[actix_web::test]
async fn host_uks_examples_come_by_each_of_its_presets() {
    let text = include_str!("../../vectors/documents/host_uk.json");
    let examples = serde_json::from_str::<Document<'_>>(text).unwrap().events;
    assert_eq!(examples.len(), 8);
    for scheme in
        [scheme::HOST_UK_CORE_API, scheme::HOST_UK_DOCUMENTED, scheme::HOST_UK_HOSTHUB_LEGACY]
    {
        for example in &examples {
            let brings = assert_document_brings(&scheme, example.data.get(), example.source).await;
            let event = &brings.events[0];
            assert_eq!(event.event_type.as_deref(), Some(example.r#type));
            assert_eq!(event.id.as_deref(), Some("evt_abc123def456"));
            assert_eq!(event.seconds, Some(1_705_314_600));
        }
        let test = r#"{"id":"evt_1","type":"post.created","data":{"test":true,"message":"This is a test webhook"}}"#;
        let test = assert_document_brings(&scheme, test, "the page's test").await;
        let knows = scheme.name() == "host-uk-documented";
        assert_eq!(test.is_test, knows, "{}", scheme.name());
    }
}

#[actix_web::test]
async fn fluentcrms_examples_come_by_its_documented_preset() {
    let text = include_str!("../../vectors/documents/fluentcrm.json");
    let examples = serde_json::from_str::<Document<'_>>(text).unwrap().events;
    assert_eq!(examples.len(), 3);
    for example in &examples {
        let scheme = scheme::FLUENTCRM_DOCUMENTED;
        let brings = assert_document_brings(&scheme, example.data.get(), example.source).await;
        let event = &brings.events[0];
        assert_eq!(event.event_type.as_deref(), Some(example.r#type));
        assert_eq!(event.id.as_deref(), Some("evt_1"));
        assert_eq!(event.seconds, Some(1_705_314_600));
    }
}
