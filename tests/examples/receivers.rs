//! The receiver of the tests on each framework: every recorded request, and the sample of every
//! preset.

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::{Response, Vector, exchange, output, raw_request};
use serde_json::value::RawValue;
use webhook_verify::{Scheme, scheme::Identity};

use crate::running::{RECEIVERS, Running, receiver};

fn start(framework: &str, args: &[String]) -> Running {
    let mut command = receiver(framework, "memory:");
    command.args(args);
    Running::spawn(command).unwrap()
}

fn flags(vector: &Vector) -> Vec<String> {
    let mut flags =
        vec!["--scheme".into(), vector.scheme.clone(), "--now".into(), vector.now.to_string()];
    for secret in std::iter::once(&vector.secret).chain(&vector.extra_secrets) {
        flags.extend(["--secret".into(), secret.clone()]);
    }
    if let Some(header) = &vector.header {
        flags.extend(["--header".into(), header.clone()]);
    }
    if let Some(limit) = vector.max_body {
        flags.extend(["--max-body".into(), limit.to_string()]);
    }
    flags
}

/// Sends a recorded request to a receiver.
async fn send(vector: &Vector, to: &Running) -> Response {
    let raw = raw_request(&vector.method, &vector.target, &vector.headers, &vector.body());
    exchange(to.addr, &raw).await
}

#[tokio::test]
async fn every_recorded_request_of_the_four_systems() {
    let vectors = Vector::of_the_four_systems();
    assert_eq!(vectors.len(), 82);
    for name in RECEIVERS {
        for vector in &vectors {
            let row = format!("{name} {} {}", vector.scheme, vector.name);
            if vector.expect == "invalid_secret" {
                let mut command = receiver(name, "memory:");
                command.args(flags(vector));
                let output = output(command);
                assert_eq!(output.status.code(), Some(2), "{row}");
                continue;
            }
            let running = start(name, &flags(vector));
            let response = send(vector, &running).await;
            let handled = running.end();
            let expected = match vector.expect.as_str() {
                "valid" => 204,
                "body_too_large" => 413,
                _ => 401,
            };
            assert_eq!(response.status, expected, "{row}");
            let expected = match vector.expect.as_str() {
                "valid" => lengths_of_events(vector),
                _ => Vec::new(),
            };
            assert!(handled.iter().all(|line| line["scheme"] == *vector.scheme), "{row}");
            let lengths: Vec<_> = handled.iter().map(|line| line["length"].clone()).collect();
            assert_eq!(lengths, expected, "{row}");
        }
    }
}

/// How long each event of a body is: of Mautic's, what is in the lists at the top; of others, the
/// body.
fn lengths_of_events(vector: &Vector) -> Vec<usize> {
    let body = vector.body();
    if vector.scheme != "mautic" {
        return vec![body.len()];
    }
    let types: BTreeMap<String, &RawValue> = serde_json::from_slice(&body).unwrap();
    let types = types.into_iter().filter(|(name, _)| name != "timestamp");
    let mut events: Vec<_> = types
        .flat_map(|(_, value)| match value.get().starts_with('[') {
            true => serde_json::from_str::<Vec<&RawValue>>(value.get()).unwrap(),
            false => vec![value],
        })
        .collect();
    events.sort_by_key(|event| event.get().as_ptr());
    events.iter().map(|event| event.get().len()).collect()
}

/// Returns the status of a valid request. Some requests of senders of several events have a body
/// without any.
fn status_of(vector: &Vector) -> u16 {
    const WITHOUT: [&str; 19] = [
        "ably",
        "asana",
        "attio",
        "fastspring",
        "gocardless",
        "grafana",
        "grafana-timestamped",
        "hubspot-v1",
        "hubspot-v3",
        "intuit",
        "klaviyo",
        "kontent-ai",
        "line",
        "mandrill",
        "mautic",
        "meta",
        "segment",
        "tailscale",
        "xero",
    ];
    let verifier = vector.verifier().unwrap();
    let delivery = verifier.verify(vector.head(), vector.body()).unwrap();
    match delivery.events() {
        Ok(_) => 204,
        Err(error) => {
            let (scheme, name) = (&*vector.scheme, &vector.name);
            assert!(WITHOUT.contains(&scheme), "{scheme} {name}: {error}");
            error.status()
        }
    }
}

/// Every preset, by its vectors: rows with the same settings share a receiver.
#[tokio::test]
async fn every_preset_is_served_on_axum() {
    every_preset_is_served("axum").await;
}

#[tokio::test]
async fn every_preset_is_served_on_actix() {
    every_preset_is_served("actix").await;
}

async fn every_preset_is_served(name: &str) {
    let mut settings: BTreeMap<Vec<String>, Vec<Vector>> = BTreeMap::new();
    for vector in Vector::of_senders() {
        let (now, url) = (vector.now.to_string(), vector.public_url().to_owned());
        let mut args = vec!["--scheme".into(), vector.scheme.clone(), "--now".into(), now];
        args.extend(["--public-url".into(), url]);
        for secret in std::iter::once(&vector.secret).chain(&vector.extra_secrets) {
            args.extend(["--secret".into(), secret.clone()]);
        }
        for (name, value) in &vector.parameters {
            args.extend(["--parameter".into(), format!("{name}={value}")]);
        }
        settings.entry(args).or_default().push(vector);
    }
    let names: BTreeSet<_> = settings.values().flatten().map(|row| &row.scheme).collect();
    assert_eq!(names.len(), Scheme::presets().count());
    for (args, vectors) in &settings {
        let running = start(name, args);
        for vector in vectors {
            let row = format!("{name} {} {}", vector.scheme, vector.name);
            let response = send(vector, &running).await;
            let expected = match vector.expect.as_str() {
                "valid" => status_of(vector),
                _ => 401,
            };
            assert_eq!(response.status, expected, "{row}");
        }
        running.end();
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_named() {
    for name in RECEIVERS {
        for (store, named) in [
            ("webhooks.db", "--store: not the URL of a store"),
            ("mysql://localhost/hooks", "--store: none of memory:"),
            ("sqlite:///no/such/folder/webhooks.db", "--store: "),
            ("postgres://127.0.0.1:1/hooks", "--store: "),
            ("redis://127.0.0.1:1", "--store: "),
        ] {
            let output = output(receiver(name, store));
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{store}");
            assert!(error.contains(named), "{store}: {error}");
        }
    }
}

/// The presets that do not sign the bytes of the body, but the field that the test changes, or a
/// weak digest.
const SIGN_THE_FIELD: [&str; 5] = ["adyen", "mandrill", "sinch-voice", "twilio", "twilio-sha256"];

#[tokio::test]
async fn the_curl_line_is_handled_then_a_duplicate_then_refused() {
    let shared = Scheme::shared_header("X-Hook-Token").unwrap();
    let symmetric = Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric());
    let schemes: Vec<_> = symmetric.cloned().chain([shared]).collect();
    assert!(schemes.len() > 90, "{}", schemes.len());
    for name in RECEIVERS {
        for scheme in &schemes {
            let scheme_name = scheme.name();
            let mut args = vec!["--scheme", scheme_name];
            args.extend(["--public-url", "https://hooks.example.test/hook"]);
            if scheme_name == "shared-header" {
                args.extend(["--header", "X-Hook-Token"]);
            }
            let args: Vec<_> = args.into_iter().map(ToOwned::to_owned).collect();
            let running = start(name, &args);
            assert!(running.lines[0].starts_with("secret "), "{:?}", running.lines);
            let recognised = scheme.identity() != Identity::None;
            let first = running.paste(str::to_owned).await;
            assert_eq!(
                (first.status, first.header("idempotent-replayed")),
                (204, None),
                "{args:?}"
            );
            let again = running.paste(str::to_owned).await;
            let replayed = recognised.then_some("true");
            assert_eq!(
                (again.status, again.header("idempotent-replayed")),
                (204, replayed),
                "{args:?}"
            );
            // A sender that signs a part of the body leaves the rest to be changed by anybody.
            let signed = scheme.signs_body() || SIGN_THE_FIELD.contains(&scheme_name);
            let changed = running
                .paste(|body| {
                    let changes = [
                        ("example", "Example"),
                        ("lead_post_delete", "Lead_post_delete"),
                        ("app_mention", "app_Mention"),
                        ("contact.created", "contact.Created"),
                    ];
                    let change = changes.iter().find(|(old, _)| body.contains(old));
                    let (old, new) = change.unwrap();
                    body.replacen(old, new, 1)
                })
                .await;
            assert_eq!(changed.status, if signed { 401 } else { 204 }, "{args:?}");
            // A body that is not signed is a part of the key, so the changed one is another delivery.
            let in_key = scheme.describe().idempotency_key.contains("digest of the body");
            let runs = match recognised {
                true => 1 + usize::from(!signed && in_key),
                false => 2 + usize::from(!signed),
            };
            assert_eq!(running.end().len(), runs, "{args:?}");
        }
    }
}

#[test]
fn a_mistake_in_the_flags_is_named() {
    for name in RECEIVERS {
        for (args, named) in [
            (vec!["--secret", ""], "secret: empty"),
            (vec!["--scheme", "nobody"], "unknown scheme \"nobody\""),
            (vec!["--scheme", "mautik"], "did you mean mautic?"),
            (vec!["--scheme", "shared-header"], "needs --header"),
            (vec!["--scheme", "shared-header", "--header", "a b"], "not a header name"),
            (vec!["--header", "X-Token"], "--header: only the shared-header"),
            (vec!["--public-url", "hooks"], "public_url: not a URL"),
            (vec!["--status", "99"], "99 is not in 200..600"),
            (vec!["--lease", "0"], "lease: not between"),
        ] {
            let mut command = receiver(name, "memory:");
            command.args(&args);
            let output = output(command);
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            assert!(error.contains(named), "{args:?}: {error}");
        }
    }
}
