//! A41: no secret, no signature and no byte of a body gets into a log line, an error, a panic or
//! `Debug` output, at any level. The reason of a refusal does. This test is a process of its own,
//! because each process has one log.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::{App, Framework, Logs, answer, exchange, finish, soon};
use serde::Deserialize;
use webhook_verify::{
    ConfigError, ExtractError, Idempotency, MemoryStore, Receiver, RequestHead, Scheme, Secret,
    Verifier, VerifyError,
    adapter::Admission,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, Owner, Settled,
        Step, StoreError,
    },
    scheme::{self, Identity},
    testing::Signer,
};

use integration_tests::attacks::{NOW, Request, SECRET, base64, hex, mac, verifier, whsec};

/// There is one log, so those that refuse requests take turns.
static LOG: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Stands in every body here.
const BODY: &str = r#"{"type":"paid","card":"body-marker-4929-1234","name":17}"#;

/// Everything that must appear nowhere, in the forms in which bytes get into texts.
fn secrets() -> Vec<String> {
    let stamp = NOW.to_string();
    let macs = [
        mac(&[BODY.as_bytes()]),
        mac(&[stamp.as_bytes(), b".", BODY.as_bytes()]),
        mac(&[b"msg_1.", stamp.as_bytes(), b".", BODY.as_bytes()]),
        mac(&[b"msg_1.", stamp.as_bytes(), b".[]"]),
        mac(&[b"[]"]),
        WRONG,
    ];
    let mut secrets = vec![
        SECRET.to_owned(),
        "body-marker".to_owned(),
        "4929-1234".to_owned(),
        "wrong-token".to_owned(),
    ];
    for bytes in macs.iter().map(|mac| &mac[..]).chain([SECRET.as_bytes(), b"body-marker-4929"]) {
        let list = format!("{:?}", &bytes[..6]);
        secrets.extend([
            hex(&bytes[..12]),
            base64(&bytes[..12]),
            URL_SAFE_NO_PAD.encode(&bytes[..12]),
            list[1..list.len() - 1].to_owned(),
        ]);
    }
    secrets
}

const WRONG: [u8; 32] = *b"a wrong signature of 32 bytes :)";

fn assert_clean(what: &str, text: &str) {
    let lower = text.to_ascii_lowercase();
    for secret in secrets() {
        if let Some(at) = lower.find(&secret.to_ascii_lowercase()) {
            let around = lower.get(at.saturating_sub(200)..(at + 60).min(lower.len()));
            panic!("{what} has {secret:?}: {}", around.unwrap_or_default());
        }
    }
}

/// A store whose every call fails.
struct Broken;

impl ClaimStore for Broken {
    async fn claim(&self, _: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        Err(StoreError::new("the connection was refused"))
    }

    async fn settle(&self, _: &[Holder], _: Step) -> Result<Vec<Settled>, StoreError> {
        Err(StoreError::new("the connection was refused"))
    }

    async fn purge(&self, _: usize) -> Result<usize, StoreError> {
        Err(StoreError::new("the connection was refused"))
    }

    async fn forget(&self, _: &ClaimKey) -> Result<bool, StoreError> {
        Err(StoreError::new("the connection was refused"))
    }
}

fn standard() -> Request {
    Request::standard("msg_1", &NOW.to_string(), BODY)
}

/// Requests that are refused, and the reason that the log is to have.
fn refused() -> Vec<(Scheme, Request, &'static str)> {
    let good = standard();
    let plain = Request::hex(BODY);
    let wrong_hex = format!("sha256={}", hex(&WRONG));
    let typed = |body: &str| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        Request::new(&headers, body)
    };
    let token = format!("?token={SECRET}&uuid=wrong-token");
    let list = |scheme, cases: Vec<(Request, &'static str)>| {
        let scheme: Scheme = scheme;
        cases.into_iter().map(move |(request, reason)| (scheme.clone(), request, reason))
    };
    let mut all = Vec::new();
    all.extend(list(
        scheme::STANDARD_WEBHOOKS,
        vec![
            (good.body("[]"), "signature_mismatch"),
            (
                good.with("webhook-signature", format!("v1,{}", base64(&WRONG))),
                "signature_mismatch",
            ),
            (good.with("webhook-signature", "v2,body-marker"), "unsupported_version"),
            (good.with("webhook-signature", format!("v1,{}", hex(&WRONG))), "malformed_signature"),
            (good.without("webhook-signature"), "missing_signature"),
            (good.without("webhook-id"), "missing_id"),
            (good.with("webhook-id", "body-marker.1"), "malformed_id"),
            (good.and("webhook-id", "body-marker"), "ambiguous_header"),
            (good.without("webhook-timestamp"), "missing_timestamp"),
            (good.with("webhook-timestamp", "body-marker"), "malformed_timestamp"),
            (good.with("webhook-timestamp", "1"), "timestamp_too_old"),
            (good.with("webhook-timestamp", "9999999999"), "timestamp_in_future"),
        ],
    ));
    all.extend(list(
        scheme::GENERIC_HEX,
        vec![
            (plain.with("X-Webhook-Signature", wrong_hex), "signature_mismatch"),
            (plain.and("Content-Encoding", "gzip"), "content encoding"),
            (plain.body(format!("{BODY}{}", " ".repeat(1 << 20))), "body is longer"),
        ],
    ));
    all.extend(list(
        scheme::PIPEFORCE_TOKEN,
        vec![
            (Request::new(&[("token", "wrong-token")], BODY), "token_mismatch"),
            (Request::new(&[], BODY).target("/hook?token=wrong-token"), "token_mismatch"),
            (Request::new(&[], BODY).target(&format!("/hook{token}")), "ambiguous_token"),
            (typed("token=wrong-token&x=body-marker"), "token_mismatch"),
            (typed("x=body-marker"), "missing_token"),
        ],
    ));
    let contradicted = Request::hex(BODY).with("X-Webhook-Event", "body-marker");
    all.extend(list(scheme::HOST_UK_DOCUMENTED, vec![(contradicted, "event_mismatch")]));
    let in_body = Scheme::builder("in-body")
        .signature_pointer("/signature")
        .signed_content("{json:/name}")
        .build()
        .unwrap();
    all.extend(list(in_body, vec![(Request::new(&[], "body-marker"), "malformed_body")]));
    all
}

/// Sends a request to a receiver on each framework. A single one would log only once a second.
async fn send(
    receiver: impl Fn() -> Receiver,
    handler: integration_tests::Handler,
    request: &Request,
) -> u16 {
    let mut status = 0;
    for framework in [Framework::Axum, Framework::Actix] {
        let server = App::new(receiver(), handler.clone()).serve(framework).await;
        let response = exchange(server.addr, &request.raw()).await;
        assert_clean("an answer", &format!("{response:?}"));
        status = response.status;
    }
    status
}

#[tokio::test]
async fn a41_nothing_secret_is_logged_and_the_reason_is() {
    let _turn = LOG.lock().await;
    let logs = Logs::collect_all();
    let panics = Arc::new(Mutex::new(String::new()));
    let collected = Arc::clone(&panics);
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.to_string();
        // The panics of handlers and of these crates, not those of other tests.
        match text.contains("the handler's own words") || text.contains("webhook-verify") {
            true => collected.lock().unwrap().push_str(&text),
            false => default_hook(info),
        }
    }));

    for (scheme, request, reason) in refused() {
        let before = logs.text().len();
        let status = send(|| Receiver::new(verifier(scheme.clone())), answer(204), &request).await;
        assert!([401, 413, 415].contains(&status), "{reason}: {status}");
        let logged = logs.text()[before..].to_owned();
        let lines = logged.lines().filter(|line| line.contains("webhook_verify: refused"));
        let lines: Vec<_> = lines.filter(|line| line.contains(reason)).collect();
        assert_eq!(lines.len(), 2, "{reason}, on each framework:\n{logged}");
        if status == 401 {
            let field = format!("reason=\"{reason}\"");
            assert!(lines.iter().all(|line| line.contains(&field)), "{field}: {lines:?}");
        }
    }

    // verified requests, and what may go wrong with those
    let deduplicating = |verifier: &Verifier| {
        let idempotency = Idempotency::new(MemoryStore::new(), "leaks");
        let idempotency = idempotency.identity(Identity::BodyDigest);
        Receiver::builder(verifier.clone()).idempotency(idempotency).build().unwrap()
    };
    for scheme in [scheme::GENERIC_HEX, scheme::STANDARD_WEBHOOKS] {
        let request = match scheme.name() {
            "generic-hex" => Request::hex(BODY),
            _ => standard(),
        };
        let verifier = verifier(scheme);
        let receiver = deduplicating(&verifier);
        assert_eq!(send(|| receiver.clone(), answer(200), &request).await, 200);
        assert_eq!(send(|| deduplicating(&verifier), answer(500), &request).await, 500);
        let panicking: integration_tests::Handler =
            Arc::new(|_| Box::pin(async { panic!("the handler's own words") }));
        assert_eq!(send(|| deduplicating(&verifier), panicking, &request).await, 500);
        let broken = Idempotency::new(Broken, "leaks").identity(Identity::BodyDigest);
        let receiver = Receiver::builder(verifier).idempotency(broken).build().unwrap();
        assert_eq!(send(|| receiver.clone(), answer(200), &request).await, 503);
    }
    let no_id = Request::stripe(&NOW.to_string(), BODY);
    let stripe = deduplicating(&verifier(scheme::STRIPE));
    assert_eq!(send(|| stripe.clone(), answer(200), &no_id).await, 200);

    // a body that breaks off
    for (before, framework) in [Framework::Axum, Framework::Actix].into_iter().enumerate() {
        let app = App::new(Receiver::new(verifier(scheme::GENERIC_HEX)), answer(204));
        let server = app.serve(framework).await;
        let raw = Request::hex(BODY).raw();
        let mut connection = integration_tests::Connection::open(server.addr).await;
        connection.send(&raw[..raw.len() - 5]).await;
        drop(connection);
        soon("log line of the body that broke off", async {
            while logs.text().matches("body could not be read").count() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    let logged = logs.text();
    assert!(logged.contains("duplicate") && logged.contains("the connection was refused"));
    let panics = panics.lock().unwrap().clone();
    assert_eq!(panics.matches("the handler's own words").count(), 4, "{panics}");
    assert_clean("the log", &logged);
    assert_clean("a panic", &panics);
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "never made")]
struct Shape {
    name: String,
}

/// Errors in a verified body are logged by their place.
#[test]
fn a41_what_stands_in_json_is_not_in_an_error() {
    let logs = Logs::collect_all();
    let verifier = verifier(scheme::GENERIC_HEX);
    let delivery = |body: &str| Request::hex(body).judge(&verifier).unwrap();
    let errors: [ExtractError; 5] = [
        delivery(BODY).json::<Shape>().unwrap_err(),
        delivery(r#"{"name":"body-marker"#).json::<Shape>().unwrap_err(),
        delivery(r#""body-marker""#).json::<Shape>().unwrap_err(),
        delivery(r#""body-marker""#).json::<u8>().unwrap_err(),
        delivery(BODY).json_of_type::<Shape>(Some(b"text/body-marker")).unwrap_err(),
    ];
    for error in errors {
        let answer = error.answer();
        let text = format!("{error} {error:?} {answer:?}");
        assert_clean("an extractor's error", &text);
    }
    assert!(logs.text().contains("JSON is not of the expected shape at name"));
    assert_clean("the log", &logs.text());
}

/// The keys of a map are the sender's words, too.
#[test]
fn a41_keys_that_the_sender_chose_are_not_in_an_error() {
    let verifier = verifier(scheme::GENERIC_HEX);
    let delivery = Request::hex(r#"{"body-marker":"x"}"#).judge(&verifier).unwrap();
    let error = delivery.json::<HashMap<String, u8>>().unwrap_err();
    assert_clean("an extractor's error", &format!("{error} {error:?}"));
}

fn shown(value: &dyn Debug) {
    assert_clean("a Debug", &format!("{value:?}"));
    assert_clean("a Debug", &format!("{value:#?}"));
}

/// Every public type that has held a secret, a signature or a body.
#[tokio::test]
async fn a41_nothing_secret_is_in_debug() {
    let _turn = LOG.lock().await;
    let secret = Secret::new(SECRET).unwrap();
    assert_eq!(format!("{secret:?}"), "Secret([redacted])");
    shown(&Secret::try_from(whsec()).unwrap());
    let request = standard();
    for scheme in [scheme::STANDARD_WEBHOOKS, Scheme::shared_header("x-token").unwrap()] {
        let secret = match scheme.name() {
            "standard-webhooks" => whsec(),
            _ => SECRET.to_owned(),
        };
        let builder = Verifier::builder(scheme.clone())
            .secret(&secret)
            .public_url("https://receiver.example.test/hook")
            .clock(|| Duration::from_secs(NOW));
        shown(&builder);
        let verifier = builder.build().unwrap();
        shown(&verifier);
        shown(&scheme);
        shown(&Signer::new(scheme, &secret).unwrap());
        let mut idempotency = Idempotency::new(MemoryStore::new(), "leaks");
        if verifier.scheme().identity() == Identity::None {
            idempotency = idempotency.identity(Identity::None);
        }
        shown(&idempotency);
        let builder = Receiver::builder(verifier.clone()).idempotency(idempotency);
        shown(&builder);
        let receiver = builder.build().unwrap();
        shown(&receiver);
        let layer = webhook_verify_axum::WebhookLayer::new(receiver.clone());
        shown(&layer);
        shown(&layer.drain());
        shown(&tower::Layer::layer(&layer, "an inner service"));
        shown(&webhook_verify_actix::WebhookMiddleware::new(receiver.clone()));

        let request = request.and("x-token", SECRET);
        let head = RequestHead::from(&request.headers).target("/hook?token=wrong-token");
        shown(&head);
        let mut incoming = verifier.begin(head, 1 << 20).unwrap();
        incoming.update(BODY.into()).unwrap();
        shown(&incoming);
        let delivery = incoming.finish().unwrap();
        shown(&delivery);
        shown(&webhook_verify_axum::Verified(delivery.clone()));
        shown(&webhook_verify_actix::Verified(delivery));

        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(BODY))]);
        let receiver = receiver.or_timer(|_| std::future::pending());
        let admission = receiver.admit(&head, body).await.unwrap();
        shown(&admission);
        if let Admission::Admitted(admitted) = admission {
            shown(&admitted.delivery().claim());
            finish(admitted, 200).await.unwrap();
        }
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from("[]"))]);
        if let Err(rejection) = receiver.admit(&head, body).await {
            shown(&rejection);
            shown(&rejection.answer());
            assert_clean("a rejection", &rejection.to_string());
        }
    }
    let fingerprint = Fingerprint(mac(&[BODY.as_bytes()]));
    let owner = Owner::random().unwrap();
    let (lease, key) = (Duration::from_secs(60), [7; 32].into());
    let claim = ClaimRequest::new(key, owner, fingerprint, lease, lease);
    shown(&claim);
    shown(&claim.holder());
    shown(&fingerprint);
}

#[test]
fn a41_configuration_errors_do_not_quote_secrets() {
    let shown = |error: ConfigError| assert_clean("an error", &format!("{error} {error:?}"));
    for scheme in [scheme::STANDARD_WEBHOOKS, scheme::STRIPE] {
        let broken = Verifier::new(scheme.clone(), format!("{SECRET}!\u{e9}"));
        if scheme.name() == "standard-webhooks" {
            shown(broken.unwrap_err());
        }
        shown(Verifier::new(scheme, SECRET.repeat(10_000)).unwrap_err());
    }
    let many = [SECRET; 9];
    let builder = Verifier::builder(scheme::STRIPE);
    let builder = many.iter().fold(builder, |builder, secret| builder.secret(*secret));
    shown(builder.build().unwrap_err());
    for reason in refused().iter().map(|(.., reason)| reason) {
        assert_clean("a reason", reason);
    }
    assert_clean("a reason", &VerifyError::SignatureMismatch.to_string());
}
