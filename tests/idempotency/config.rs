//! Mistakes in the set-up are found when a receiver is built, and the error names the option.

use std::time::Duration;

use integration_tests::verifier_of;
use webhook_verify::{
    ConfigError, Idempotency, MemoryStore, Receiver, Scheme, Verifier,
    adapter::Admission,
    clock::Tolerance,
    scheme::{self, Identity},
};

use crate::common::*;

fn of(scheme: &Scheme) -> Verifier {
    verifier_of(scheme).build().unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "schemes are given away at every call")]
fn build(
    scheme: Scheme,
    set: impl FnOnce(Idempotency) -> Idempotency,
) -> Result<Receiver, ConfigError> {
    Receiver::builder(of(&scheme))
        .idempotency(set(Idempotency::new(MemoryStore::new(), "tests")))
        .build()
}

/// The option that the error names; `ok` if there is no error.
fn option<T>(result: Result<T, ConfigError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(ConfigError::Option { option, reason }) => {
            assert!(!reason.is_empty(), "{option}");
            option
        }
        Err(error) => panic!("{error:?} names no option"),
    }
}

#[test]
fn endpoint() {
    let receiver = Receiver::builder(of(&scheme::GITHUB))
        .idempotency(Idempotency::new(MemoryStore::new(), ""));
    let error = receiver.build().unwrap_err();
    assert_eq!(error.to_string(), "endpoint: empty");
}

#[test]
fn lease() {
    for (lease, expected) in [
        (Duration::ZERO, "lease"),
        (Duration::from_millis(999), "lease"),
        (seconds(1), "ok"),
        (days(1), "ok"),
        (days(1) + Duration::from_millis(1), "lease"),
        (Duration::MAX, "lease"),
    ] {
        let built = build(scheme::GITHUB, |idempotency| {
            idempotency.lease(lease).max_handler_time(Duration::MAX)
        });
        assert_eq!(option(built), expected, "{lease:?}");
    }
}

#[test]
fn max_handler_time() {
    for (time, expected) in [
        (Duration::ZERO, "max_handler_time"),
        (seconds(59), "max_handler_time"),
        (seconds(60), "ok"),
    ] {
        let built = build(scheme::GITHUB, |idempotency| idempotency.max_handler_time(time));
        assert_eq!(option(built), expected, "{time:?}");
    }
}

#[test]
fn renew_every() {
    for (lease, pause, expected) in [
        (60, Duration::ZERO, "renew_every"),
        (60, seconds(1), "ok"),
        (60, seconds(30), "ok"),
        (60, seconds(31), "renew_every"),
        (10, seconds(6), "renew_every"),
    ] {
        let built = build(scheme::GITHUB, |idempotency| {
            idempotency.lease(seconds(lease)).renew_every(pause)
        });
        assert_eq!(option(built), expected, "{lease} {pause:?}");
    }
}

#[test]
fn complete_tries() {
    for (tries, expected) in [(0, "complete_tries"), (1, "ok"), (10, "ok"), (11, "complete_tries")]
    {
        let built = build(scheme::GITHUB, |idempotency| idempotency.complete_tries(tries));
        assert_eq!(option(built), expected, "{tries}");
    }
}

#[test]
fn in_flight_wait() {
    for (wait, expected) in [(0, "ok"), (30, "ok"), (31, "in_flight_wait")] {
        let built = build(scheme::GITHUB, |idempotency| idempotency.in_flight_wait(seconds(wait)));
        assert_eq!(option(built), expected, "{wait}");
    }
}

#[test]
fn completed_cache() {
    for (entries, time, expected) in [
        (0, Duration::ZERO, "ok"),
        (1, Duration::ZERO, "completed_cache"),
        (1, seconds(1), "ok"),
        (1_000_000, days(90), "ok"),
        (1, days(90) + seconds(1), "completed_cache"),
    ] {
        let built = build(scheme::GITHUB, |idempotency| idempotency.completed_cache(entries, time));
        assert_eq!(option(built), expected, "{entries} {time:?}");
    }
}

#[test]
fn in_flight_status() {
    for (status, expected) in [
        (0, "in_flight_status"),
        (200, "in_flight_status"),
        (302, "in_flight_status"),
        (399, "in_flight_status"),
        (400, "ok"),
        (409, "ok"),
        (599, "ok"),
        (600, "in_flight_status"),
        (u16::MAX, "in_flight_status"),
    ] {
        let built = build(scheme::GITHUB, |idempotency| idempotency.in_flight_status(status));
        assert_eq!(option(built), expected, "{status}");
    }
}

#[test]
fn identity() {
    let shared = || Scheme::shared_header("x-secret").unwrap();
    for (scheme, identity, expected) in [
        (scheme::GITHUB, Identity::SignedId, "identity"),
        (scheme::MAUTIC, Identity::SignedId, "identity"),
        (scheme::FLUENTCRM_DOCUMENTED, Identity::SignedId, "identity"),
        (scheme::PIPEFORCE_TOKEN, Identity::SignedId, "identity"),
        (scheme::PIPEFORCE_TOKEN, Identity::BodyDigest, "identity"),
        (shared(), Identity::SignedId, "identity"),
        (shared(), Identity::BodyDigest, "identity"),
        (shared(), Identity::None, "ok"),
        (scheme::STRIPE, Identity::SignedId, "ok"),
        (scheme::STRIPE, Identity::BodyDigest, "ok"),
        (scheme::GITHUB, Identity::BodyDigest, "ok"),
        (scheme::GITHUB, Identity::None, "ok"),
    ] {
        let name = format!("{} {identity:?}", scheme.name());
        let built = build(scheme, |idempotency| idempotency.identity(identity));
        assert_eq!(option(built), expected, "{name}");
    }
    // The user's own word for it is taken.
    let built = build(scheme::PIPEFORCE_TOKEN, |idempotency| {
        idempotency.identity_from(|delivery| Some(delivery.body().to_vec()))
    });
    assert_eq!(option(built), "ok");
}

/// A record must outlive every moment at which its request would still be accepted.
#[test]
fn ttl_against_the_tolerance() {
    let scheme = Scheme::builder("acme")
        .signature_header("x-signature")
        .timestamp_header("x-timestamp")
        .signed_content("{timestamp}.{body}")
        .tolerance(Tolerance::new(seconds(600), seconds(30)))
        .build()
        .unwrap();
    for (ttl, short, expected) in [
        (seconds(689), false, "ttl"),
        (seconds(690), false, "ok"),
        (seconds(689), true, "ok"),
        (seconds(60), true, "ok"),
        (seconds(59), true, "ttl"),
        (Duration::ZERO, true, "ttl"),
    ] {
        let built = build(scheme.clone(), |idempotency| match short {
            true => idempotency.ttl(ttl).allow_short_ttl(),
            false => idempotency.ttl(ttl),
        });
        assert_eq!(option(built), expected, "{ttl:?}");
    }
    // The verifier's own tolerance counts, and not the scheme's.
    let verifier = Verifier::builder(scheme)
        .secret(SECRET)
        .tolerance(Tolerance::symmetric(days(4)))
        .build()
        .unwrap();
    for (ttl, expected) in [(days(8), "ttl"), (days(8) + seconds(60), "ok")] {
        let idempotency = Idempotency::new(MemoryStore::new(), "tests").ttl(ttl);
        let built = Receiver::builder(verifier.clone()).idempotency(idempotency).build();
        assert_eq!(option(built), expected, "{ttl:?}");
    }
    // So it does against the default, which is seven days.
    let built = Receiver::builder(verifier)
        .idempotency(Idempotency::new(MemoryStore::new(), "tests").identity_from(|_| None))
        .build();
    assert_eq!(option(built), "ttl");
}

#[test]
fn ttl_against_the_senders_retries() {
    let hours = |hours: u64| seconds(hours * 3600);
    for (scheme, horizon) in [
        (scheme::GITHUB, hours(72)),
        (scheme::STRIPE, hours(72)),
        (scheme::STANDARD_WEBHOOKS, hours(76)),
        (scheme::SLACK, hours(2)),
        (scheme::HOST_UK_CORE_API, hours(27)),
        (scheme::FLUENTCRM_DOCUMENTED, hours(27)),
    ] {
        let name = scheme.name().to_owned();
        let short = horizon - seconds(1);
        let built = build(scheme.clone(), |idempotency| idempotency.ttl(short));
        assert_eq!(option(built), "ttl", "{name}");
        let built = build(scheme.clone(), |idempotency| idempotency.ttl(horizon));
        assert_eq!(option(built), "ok", "{name}");
        let built = build(scheme, |idempotency| idempotency.ttl(short).allow_short_ttl());
        assert_eq!(option(built), "ok", "{name}");
    }
}

/// "For ever" is either refused at once, or works: it must not be found out at the first delivery.
#[tokio::test]
async fn ttl_without_end() {
    let ten_years = build(scheme::MAUTIC, |idempotency| idempotency.ttl(days(3650)));
    assert_eq!(option(ten_years), "ok");
    for ttl in [days(36_525), Duration::from_secs(u64::MAX), Duration::MAX] {
        match build(scheme::MAUTIC, |idempotency| idempotency.ttl(ttl)) {
            Err(error) => assert_eq!(option::<()>(Err(error)), "ttl"),
            Ok(receiver) => {
                let request = signed(scheme::MAUTIC, "{}");
                let admission = admit(&receiver, &request, never).await.unwrap();
                let Admission::Admitted(admitted) = admission else {
                    panic!("the first of its kind");
                };
                finish(admitted, 200).await.unwrap();
                let replay = admit(&receiver, &request, never).await.unwrap();
                assert!(matches!(replay, Admission::Answer(_)), "{ttl:?}");
            }
        }
    }
}

/// Every preset works with the defaults, but for those of which no delivery has an identity: that has to be said.
#[test]
fn defaults() {
    for name in Scheme::preset_names() {
        let scheme = Scheme::preset(name).unwrap();
        let expected = match scheme.identity() {
            Identity::None => "identity",
            _ => "ok",
        };
        let built = build(scheme.clone(), |idempotency| idempotency);
        assert_eq!(option(built), expected, "{name}");
        let stated = build(scheme, |idempotency| idempotency.identity(Identity::None));
        assert_eq!(option(stated), "ok", "{name}");
    }
}

#[test]
fn receiver() {
    let built = Receiver::builder(of(&scheme::GITHUB)).body_timeout(Duration::ZERO).build();
    assert_eq!(option(built), "body_timeout");
}

#[test]
fn verifier() {
    let none = Verifier::builder(scheme::GITHUB).build().unwrap_err();
    assert_eq!(none, ConfigError::SecretCount { given: 0, limit: 8 });
    let nine = (0..9).fold(Verifier::builder(scheme::GITHUB), |builder, number| {
        builder.secret(format!("secret {number}"))
    });
    assert_eq!(nine.build().unwrap_err(), ConfigError::SecretCount { given: 9, limit: 8 });
    for (secret, expected) in [
        (String::new(), ConfigError::EmptySecret),
        (" \t\r\n".to_owned(), ConfigError::EmptySecret),
        ("x".repeat(65_537), ConfigError::SecretTooLong { limit: 65_536 }),
    ] {
        let refused = Verifier::builder(scheme::GITHUB).secret("good").secret(secret).build();
        assert_eq!(refused.unwrap_err(), expected);
    }
    let malformed = Verifier::new(scheme::STANDARD_WEBHOOKS, "whsec_not base64!").unwrap_err();
    assert_eq!(malformed, ConfigError::MalformedSecret { expected: "base64" });
    assert!(!malformed.to_string().contains("not base64!"));

    let signs_url = || {
        Scheme::builder("acme")
            .signature_header("x-signature")
            .signed_content("{url}{body}")
            .build()
            .unwrap()
    };
    assert_eq!(option(Verifier::new(signs_url(), SECRET)), "public_url");
    for (url, expected) in [
        ("https://example.test/hook", "ok"),
        ("http://example.test/hook", "ok"),
        ("example.test/hook", "public_url"),
        ("ftp://example.test/hook", "public_url"),
        ("https://example.test/hook?a=1", "public_url"),
        ("https://example.test/hook#top", "public_url"),
        ("https://example.test/a hook", "public_url"),
        ("", "public_url"),
    ] {
        let built = Verifier::builder(signs_url()).secret(SECRET).public_url(url).build();
        assert_eq!(option(built), expected, "{url}");
    }
}

#[test]
fn scheme_builder() {
    let base = || Scheme::builder("acme").signature_header("x-signature");
    for (builder, expected) in [
        (base(), "ok"),
        (Scheme::builder("").signature_header("x-signature"), "name"),
        (Scheme::builder("acme"), "signature_header"),
        (base().signature_header("x signature"), "signature_header"),
        (base().signature_header(""), "signature_header"),
        (base().signature_header_prefix("x:"), "signature_header_prefix"),
        (base().signature_query(""), "signature_query"),
        (base().signature_form(""), "signature_form"),
        (base().signature_pointer("sig"), "signature_pointer"),
        (base().prefix(""), "prefix"),
        (base().optional_prefix("a b"), "optional_prefix"),
        (base().pairs(',', [""]), "pairs"),
        (base().pairs(',', [] as [&str; 0]), "pairs"),
        (base().version_list(' ', ',', ["v 1"]), "version_list"),
        (base().signed_content(""), "signed_content"),
        (base().signed_content("{nobody}"), "signed_content"),
        (base().signed_content("{body"), "signed_content"),
        (base().signed_content("{timestamp}.{body}"), "signed_content"),
        (base().signed_content("{id}.{body}"), "signed_content"),
        (base().timestamp_header("x-timestamp"), "timestamp"),
        (base().timestamp_pair("t"), "timestamp_pair"),
        (base().timestamp_pointer("t"), "timestamp_pointer"),
        (base().timestamp_pointer("/t"), "ok"),
        (base().require_header("", "1"), "require_header"),
        (base().id_header("an id"), "id"),
        (base().id_pointer("id"), "id"),
        (base().event_type_header("é"), "event_type"),
        (base().event_type_pointer("type"), "event_type"),
        (base().event_type_repeated_in("a,b"), "event_type_repeated_in"),
        (base().id_header("x-id").identity(Identity::SignedId), "identity"),
        (base().identity(Identity::SignedId), "identity"),
        (base().signed_content("{path}").identity(Identity::BodyDigest), "identity"),
        (base().algorithm(scheme::Algorithm::Token).signed_content("{body}"), "signed_content"),
    ] {
        let debug = format!("{builder:?}");
        assert_eq!(option(builder.build()), expected, "{debug}");
    }
    assert_eq!(option(Scheme::shared_header("not a name")), "signature_header");
}
