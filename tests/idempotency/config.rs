//! Wrong settings are errors when a receiver is built, and the error names the option.

use std::time::Duration;

use integration_tests::verifier_of;
use webhook_verify::{
    ConfigError, Idempotency, MemoryStore, Receiver, Scheme, Verifier,
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

/// Returns the option that the error names, or `ok` if there is no error.
fn option<T>(result: Result<T, ConfigError>) -> &'static str {
    match result.map_err(|error| error.kind().clone()) {
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
    assert_eq!(error.kind().to_string(), "endpoint: empty");
}

/// Returns settings, each with the option that its error names and with its text.
macro_rules! settings {
    ($($option:literal: $($setting:ident($($value:expr),*)).+;)*) => {
        [$((
            $option,
            stringify!($($setting($($value),*)).+),
            (|it| it$(.$setting($($value),*))+) as fn(Idempotency) -> Idempotency,
        )),*]
    };
}

#[test]
fn limits_of_settings() {
    for (expected, text, set) in settings! {
        "lease": lease(Duration::ZERO).max_handler_time(Duration::MAX);
        "lease": lease(Duration::from_millis(999)).max_handler_time(Duration::MAX);
        "ok": lease(seconds(1)).max_handler_time(Duration::MAX);
        "ok": lease(days(1)).max_handler_time(Duration::MAX);
        "lease": lease(days(1) + Duration::from_millis(1)).max_handler_time(Duration::MAX);
        "lease": lease(Duration::MAX).max_handler_time(Duration::MAX);
        "max_handler_time": max_handler_time(Duration::ZERO);
        "max_handler_time": max_handler_time(seconds(59));
        "ok": max_handler_time(seconds(60));
        "renew_every": lease(seconds(60)).renew_every(Duration::ZERO);
        "ok": lease(seconds(60)).renew_every(seconds(1));
        "ok": lease(seconds(60)).renew_every(seconds(30));
        "renew_every": lease(seconds(60)).renew_every(seconds(31));
        "renew_every": lease(seconds(10)).renew_every(seconds(6));
        "complete_tries": complete_tries(0);
        "ok": complete_tries(1);
        "ok": complete_tries(10);
        "complete_tries": complete_tries(11);
        "ok": in_flight_wait(Duration::ZERO);
        "ok": in_flight_wait(seconds(30));
        "in_flight_wait": in_flight_wait(seconds(31));
        "ok": completed_cache(0, Duration::ZERO);
        "completed_cache": completed_cache(1, Duration::ZERO);
        "ok": completed_cache(1, seconds(1));
        "ok": completed_cache(1_000_000, days(90));
        "completed_cache": completed_cache(1, days(90) + seconds(1));
        "in_flight_status": in_flight_status(0);
        "in_flight_status": in_flight_status(200);
        "in_flight_status": in_flight_status(302);
        "in_flight_status": in_flight_status(399);
        "ok": in_flight_status(400);
        "ok": in_flight_status(409);
        "ok": in_flight_status(599);
        "in_flight_status": in_flight_status(600);
        "in_flight_status": in_flight_status(u16::MAX);
    } {
        assert_eq!(option(build(scheme::GITHUB, set)), expected, "{text}");
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
    // A custom identity is accepted.
    let built = build(scheme::PIPEFORCE_TOKEN, |idempotency| {
        idempotency.identity_from(|delivery| Some(delivery.body().to_vec()))
    });
    assert_eq!(option(built), "ok");
}

/// A record must live for as long as its request could still be accepted.
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
    // The tolerance of the verifier counts, not that of the scheme.
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
    // It also counts against the default, which is seven days.
    let built = Receiver::builder(verifier)
        .idempotency(Idempotency::new(MemoryStore::new(), "tests").identity_from(|_| None))
        .build();
    assert_eq!(option(built), "ttl");
}

#[test]
fn ttl_against_the_senders_retries() {
    let hours = |hours: u64| seconds(hours * 3600);
    for (scheme, horizon) in [
        (scheme::RAZORPAY, hours(24)),
        (scheme::STRIPE, hours(72)),
        (scheme::STANDARD_WEBHOOKS, hours(76)),
        (scheme::PADDLE, hours(72)),
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

/// A `ttl` without end is either an error when the receiver is built, or works.
#[tokio::test]
async fn ttl_without_end() {
    let ten_years = build(scheme::MAUTIC, |idempotency| idempotency.ttl(days(3650)));
    assert_eq!(option(ten_years), "ok");
    for ttl in [days(36_525), Duration::from_secs(u64::MAX), Duration::MAX] {
        match build(scheme::MAUTIC, |idempotency| idempotency.ttl(ttl)) {
            Err(error) => assert_eq!(option::<()>(Err(error)), "ttl"),
            Ok(receiver) => {
                let request = signed(scheme::MAUTIC, "{}");
                let admitted = admitted(&receiver, &request, never).await;
                finish(admitted, 200).await.unwrap();
                assert_eq!(replayed(&receiver, &request, never).await, 200, "{ttl:?}");
            }
        }
    }
}

/// A sender that retries forever needs records that last forever.
#[test]
fn retries_without_end() {
    let forever = Scheme::builder("acme").signature_header("acme-signature");
    let forever = forever.retry_horizon(Duration::MAX).build().unwrap();
    assert_eq!(option(build(forever.clone(), |idempotency| idempotency)), "ttl");
    let short = build(forever, |it| it.ttl(days(365)).allow_short_ttl());
    assert_eq!(option(short), "ok");
}

/// Every preset works with the defaults. One whose deliveries have no identity claims nothing, and
/// says so once.
#[test]
fn defaults() {
    for name in Scheme::preset_names() {
        let scheme = Scheme::preset(name).unwrap();
        let logs = Logs::collect();
        let endpoint = format!("defaults of {name}");
        let built = Receiver::builder(of(&scheme))
            .idempotency(Idempotency::new(MemoryStore::new(), &endpoint))
            .build();
        assert_eq!(option(built), "ok", "{name}");
        let said = logs.text().matches(&*endpoint).count();
        let has_key = scheme.identity() != Identity::None
            || scheme.recognises_events() && scheme.event_id_pointers().next().is_some();
        assert_eq!(said, usize::from(!has_key), "{name}");
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
    assert_eq!(none.kind(), &ConfigError::SecretCount { given: 0, limit: 8 });
    let nine = (0..9).fold(Verifier::builder(scheme::GITHUB), |builder, number| {
        builder.secret(format!("secret {number}"))
    });
    assert_eq!(nine.build().unwrap_err().kind(), &ConfigError::SecretCount { given: 9, limit: 8 });
    for (secret, expected) in [
        (String::new(), ConfigError::EmptySecret),
        (" \t\r\n".to_owned(), ConfigError::EmptySecret),
        ("x".repeat(65_537), ConfigError::SecretTooLong { limit: 65_536 }),
    ] {
        let refused = Verifier::builder(scheme::GITHUB).secret("good").secret(secret).build();
        assert_eq!(refused.unwrap_err().kind(), &expected);
    }
    let malformed = Verifier::new(scheme::STANDARD_WEBHOOKS, "whsec_not base64!").unwrap_err();
    let hint = Some("it contains white space");
    assert_eq!(malformed.kind(), &ConfigError::MalformedSecret { expected: "base64", hint });
    assert!(!malformed.to_string().contains("not base64!"));

    let signs_url = || {
        Scheme::builder("acme")
            .signature_header("x-signature")
            .signed_content("{url}{body:json}")
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
