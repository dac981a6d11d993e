//! Schemes out of TOML, JSON and YAML.

mod mistakes;

use std::time::Duration;

use integration_tests::Vector;
use serde::{Deserialize, de::DeserializeOwned};
use webhook_verify::{
    Scheme,
    clock::Tolerance,
    scheme::{Algorithm, Challenge, Evidence, Identity, KeyForm, TimeUnit},
};

use super::blocks::{judge, senders};

const SENDERS: &str = include_str!("config/senders.toml");

#[derive(Deserialize)]
struct File {
    senders: Vec<Scheme>,
}

/// The same in each format, by its name.
fn read<T: DeserializeOwned>(text: &str) -> [(&'static str, Result<T, String>); 3] {
    let value: toml::Value = toml::from_str(text).unwrap();
    let json = serde_json::to_string_pretty(&value).unwrap();
    let yaml = serde_saphyr::to_string(&value).unwrap();
    [
        ("TOML", toml::from_str(text).map_err(|e| e.to_string())),
        ("JSON", serde_json::from_str(&json).map_err(|e| e.to_string())),
        ("YAML", serde_saphyr::from_str(&yaml).map_err(|e| e.to_string())),
    ]
}

#[test]
fn every_row_is_judged_as_with_the_builder() {
    for (format, file) in read::<File>(SENDERS) {
        let schemes = file.unwrap().senders;
        for scheme in &schemes {
            let built = senders::scheme(scheme.name());
            assert_eq!(format!("{scheme:?}"), format!("{built:?}"), "{format}");
        }
        let rows = Vector::of_blocks();
        assert_eq!(rows.len(), 65);
        for vector in &rows {
            let scheme = schemes.iter().find(|scheme| scheme.name() == vector.scheme);
            let got = judge(scheme.unwrap().clone(), vector);
            assert_eq!(got, vector.expect, "{format} {} {}", vector.scheme, vector.name);
        }
    }
}

/// All that the rows have no use for.
#[test]
fn everything_else_is_what_the_builder_makes() {
    let rows = [
        (
            r#"
            name = "stated"
            sender = "Stated Inc."
            documentation = "https://stated.example/webhooks"
            evidence = ["vector", "source", "documentation", "unproven"]
            algorithm = "rsa-sha256"
            key = "certificate"
            key-source = { header = "X-Cert", hosts = ["a.test", "*.b.test"] }
            signature = [
                { header = "X-A", prefix = "a=" },
                { header = "X-B", optional-prefix = "b=" },
                { query = "c", authorization-scheme = "Bearer" },
                { header = "X-D", versions = { separator = " ", version-separator = ",", names = ["v1", "v2"] } },
                { header-prefix = "X-E-" },
            ]
            signed-content = "{id}.{timestamp}.{body}"
            timestamp = { header = "X-Time", unit = "rfc3339", tolerance = { past = 600, future = 30 } }
            id = { header = "X-Id" }
            event-type = { pointer = "/type", repeated-in = "X-Type" }
            events = { list = "/events", type = ["/category", "/action"], id = "/id", time = "/at", unit = "rfc3339", data = "/data", test = "/test" }
            required-headers = { X-Version = "1" }
            required-fields = { "/version" = "2" }
            identity = "body-digest"
            challenges = ["slack", "head-probe"]
            retry-horizon = 86400
            body-limit = 1000
            time-budget = 10
            "#,
            Scheme::builder("stated")
                .sender("Stated Inc.")
                .documentation("https://stated.example/webhooks")
                .evidence([
                    Evidence::Vector,
                    Evidence::Source,
                    Evidence::Documentation,
                    Evidence::Unproven,
                ])
                .algorithm(Algorithm::RsaSha256)
                .key_form(KeyForm::Certificate)
                .key_from_header("x-cert", ["a.test", "*.b.test"])
                .signature_header("x-a")
                .prefix("a=")
                .signature_header("x-b")
                .optional_prefix("b=")
                .signature_query("c")
                .authorization_scheme("Bearer")
                .signature_header("x-d")
                .version_list(' ', ',', ["v1", "v2"])
                .signature_header_prefix("x-e-")
                .signed_content("{id}.{timestamp}.{body}")
                .timestamp_header("x-time")
                .timestamp_unit(TimeUnit::Rfc3339)
                .tolerance(Tolerance::new(Duration::from_secs(600), Duration::from_secs(30)))
                .id_header("x-id")
                .event_type_pointer("/type")
                .event_type_repeated_in("x-type")
                .event_list("/events")
                .listed_event_type(["/category", "/action"])
                .listed_event_id(["/id"])
                .event_time("/at", TimeUnit::Rfc3339)
                .event_data("/data")
                .test_field("/test")
                .require_header("x-version", "1")
                .require_field("/version", "2")
                .identity(Identity::BodyDigest)
                .challenge(Challenge::SLACK)
                .challenge(Challenge::HEAD_PROBE)
                .retry_horizon(Duration::from_secs(86_400))
                .body_limit(1000)
                .time_budget(Duration::from_secs(10)),
        ),
        (
            r#"
            name = "token"
            algorithm = "jwt-es256"
            key = "jwk"
            key-source = { token-id = true }
            signature = { header = "Authorization", authorization-scheme = "Bearer" }
            timestamp = { claim = "iat" }
            issuer = "a"
            body-digest = { claim = "sha256" }
            event-type = { first-key = true }
            events = { by-type = true, time = "/at" }
            "#,
            Scheme::builder("token")
                .algorithm(Algorithm::JwtEs256)
                .key_form(KeyForm::Jwk)
                .key_from_token_id()
                .signature_header("authorization")
                .authorization_scheme("Bearer")
                .timestamp_claim("iat")
                .issuer("a")
                .body_digest_claim("sha256")
                .event_type_first_key()
                .events_by_type()
                .event_time("/at", TimeUnit::Seconds),
        ),
        (
            r#"
            name = "url"
            algorithm = "ed25519"
            key = "whpk"
            key-source = { pointer = "/cert", hosts = ["a.test"] }
            signature = { header = "X-Sig" }
            signed-content = "{url:either-port}"
            body-digest = { query = "sha256" }
            event-type = { header = "X-Type" }
            identity = "none"
            "#,
            Scheme::builder("url")
                .algorithm(Algorithm::Ed25519)
                .key_form(KeyForm::Whpk)
                .key_from_pointer("/cert", ["a.test"])
                .signature_header("x-sig")
                .signed_content("{url:either-port}")
                .body_digest_query("sha256")
                .event_type_header("x-type")
                .identity(Identity::None),
        ),
        (
            r#"
            name = "form"
            algorithm = "token"
            signature = { form = "token" }
            events = { form = "events", type = "/type", id = ["/id", "/at"], by-type = false }
            "#,
            Scheme::builder("form")
                .algorithm(Algorithm::Token)
                .signature_form("token")
                .event_list_in_form("events")
                .listed_event_type(["/type"])
                .listed_event_id(["/id", "/at"]),
        ),
    ];
    for (text, builder) in rows {
        let built = format!("{:?}", builder.build().unwrap());
        for (format, scheme) in read::<Scheme>(text) {
            assert_eq!(format!("{:?}", scheme.unwrap()), built, "{format}");
        }
    }
}

/// As people write it.
#[test]
fn yaml_by_hand() {
    let schemes: std::collections::BTreeMap<String, Scheme> = serde_saphyr::from_str(
        "
acme:
  name: acme
  signature:
    header: acme-signature
    pairs: {separator: ',', keys: [v1]}
  timestamp: {pair: t, tolerance: 60}
  signed-content: '{timestamp}.{body}'
beta:
  name: beta
  signature:
    - header: beta-signature
      prefix: sha256=
    - header: x-beta-signature
",
    )
    .unwrap();
    let places = |name: &str| schemes[name].describe().signatures;
    assert_eq!(places("acme"), ["header acme-signature: v1=…, …"]);
    assert_eq!(places("beta"), ["header beta-signature: sha256=…", "header x-beta-signature: …"]);
}
