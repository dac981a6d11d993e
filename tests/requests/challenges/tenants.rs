//! Challenges where each tenant has secrets of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use integration_tests::{App, Framework, Response, Transport, answer};
use webhook_verify::{Receiver, RequestHead, Secret, Tenant, Verifier, scheme::Challenge};

use super::{
    attacks::{base64, mac_with},
    support::scheme,
};

/// An application whose only tenant is `/acme`, and how often it was looked up.
fn app(challenge: Challenge) -> (App, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&asked);
    let resolve = move |head: &RequestHead<'_>| {
        counter.fetch_add(1, Ordering::SeqCst);
        let path = head.path().to_owned();
        async move {
            match &*path {
                "/acme" => Ok(Some(Tenant::new(
                    "acme",
                    [Secret::new("the new one")?, Secret::new("the old one")?],
                ))),
                "/down" => Err("no database".into()),
                _ => Ok(None),
            }
        }
    };
    let receiver = Receiver::builder(Verifier::builder(scheme(challenge))).tenants(resolve);
    (App::new(receiver.build().unwrap(), answer(204)), asked)
}

async fn get(app: &App, framework: Framework, target: &str) -> Response {
    app.send(framework, Transport::InProcess, "GET", target, &[], b"").await
}

#[tokio::test]
async fn a_mac_is_made_with_the_tenants_first_secret() {
    for framework in [Framework::Axum, Framework::Actix] {
        let (app, asked) = app(Challenge::X);
        let response = get(&app, framework, "/acme?crc_token=abc").await;
        let mac = base64(&mac_with(b"the new one", &[b"abc"]));
        let expected = format!(r#"{{"response_token":"sha256={mac}"}}"#);
        assert_eq!((response.status, response.text()), (200, &*expected));
        for (target, status) in [("/other?crc_token=abc", 401), ("/down?crc_token=abc", 503)] {
            assert_eq!(get(&app, framework, target).await.status, status, "{target}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        // A refused challenge costs no look-up.
        assert_eq!(get(&app, framework, "/acme?crc_token=%7B%7D").await.status, 401);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert_eq!(app.runs(), 0);
    }
}

#[tokio::test]
async fn an_echo_needs_nobodys_secret() {
    for framework in [Framework::Axum, Framework::Actix] {
        let (app, asked) = app(Challenge::DROPBOX);
        for path in ["/acme", "/other", "/down"] {
            let response = get(&app, framework, &format!("{path}?challenge=abc")).await;
            assert_eq!((response.status, response.text()), (200, "abc"));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}
