//! Every building block of a scheme that no preset uses, on made-up senders.

pub(crate) mod senders;

use std::time::Duration;

use integration_tests::Vector;
use webhook_verify::{ConfigError, Scheme, Verifier, scheme::Algorithm};

use self::senders::scheme;

/// Returns `valid`, or the reason why the scheme refuses the row.
pub(crate) fn judge(scheme: Scheme, vector: &Vector) -> &'static str {
    let now = Duration::from_secs(vector.now);
    let verifier = Verifier::builder(scheme)
        .secret(&vector.secret)
        .public_url("https://hooks.example.test/in")
        .clock(move || now)
        .build();
    match verifier.map(|verifier| verifier.verify(vector.head(), vector.body())) {
        Err(_) => "invalid_secret",
        Ok(Ok(_)) => "valid",
        Ok(Err(error)) => error.reason(),
    }
}

#[test]
fn every_row_is_judged_as_expected() {
    let rows = Vector::of_blocks();
    assert_eq!(rows.len(), 65);
    for vector in &rows {
        let verdict = judge(scheme(&vector.scheme), vector);
        assert_eq!(verdict, vector.expect, "{} {}", vector.scheme, vector.name);
    }
}

#[test]
fn a_mistake_in_a_description_names_its_option() {
    let plain = || Scheme::builder("x").signature_header("X-Sig");
    let mistakes = [
        ("name", Scheme::builder("").signature_header("a")),
        ("signature_header", Scheme::builder("x")),
        ("signature_header", Scheme::builder("x").signature_header("a b")),
        ("signature_header", Scheme::builder("x").signature_header("")),
        ("signature_header_prefix", Scheme::builder("x").signature_header_prefix("ä")),
        ("signature_query", Scheme::builder("x").signature_query("")),
        ("signature_form", Scheme::builder("x").signature_form("")),
        ("signature_pointer", Scheme::builder("x").signature_pointer("a")),
        ("prefix", plain().prefix("")),
        ("pairs", plain().pairs(',', Vec::<String>::new())),
        ("version_list", plain().version_list(' ', ',', [""])),
        ("signed_content", plain().signed_content("")),
        ("signed_content", plain().signed_content("{body")),
        ("signed_content", plain().signed_content("body}")),
        ("signed_content", plain().signed_content("{nonsense}")),
        ("signed_content", plain().signed_content("{timestamp}{body}")),
        ("signed_content", plain().signed_content("{id}{body}")),
        ("signed_content", plain().signed_content("{header:a b}")),
        ("signed_content", plain().signed_content("{json:a}")),
        ("signed_content", plain().algorithm(Algorithm::Token).signed_content("{body}")),
        ("timestamp", plain().timestamp_header("X-Time")),
        ("timestamp_header", plain().timestamp_header("a:b")),
        ("timestamp_pair", plain().timestamp_pair("t")),
        ("timestamp_pointer", plain().timestamp_pointer("t")),
        ("require_header", plain().require_header("a,b", "1")),
        ("id", plain().id_header("a b")),
        ("event_type", plain().event_type_pointer("type")),
        ("event_type_repeated_in", plain().event_type_repeated_in("")),
        ("identity", plain().identity(webhook_verify::scheme::Identity::SignedId)),
        ("event_list", plain().event_list("events")),
        ("listed_event_id", plain().listed_event_id(["/id"])),
        ("events_by_type", plain().event_list("").events_by_type()),
        ("test_field", plain().test_field("test")),
        (
            "identity",
            plain()
                .algorithm(Algorithm::Token)
                .identity(webhook_verify::scheme::Identity::BodyDigest),
        ),
    ];
    for (option, builder) in mistakes {
        let described = format!("{builder:?}");
        match builder.build().map_err(|error| error.kind().clone()) {
            Err(ConfigError::Option { option: named, reason }) => {
                assert_eq!(named, option, "{described}");
                assert!(!reason.is_empty() && !reason.ends_with('.'));
            }
            other => panic!("{option}: {other:?}"),
        }
    }
}

#[test]
fn a_scheme_that_signs_the_url_needs_one() {
    let build = |url: Option<&str>| {
        let mut builder = Verifier::builder(scheme("method-url")).secret("s");
        if let Some(url) = url {
            builder = builder.public_url(url);
        }
        builder.build().map(drop)
    };
    for scheme in ["https", "http", "wss", "ws"] {
        assert_eq!(build(Some(&format!("{scheme}://a.example.test/b"))), Ok(()));
    }
    for wrong in [
        None,
        Some("a.example.test"),
        Some("ftp://a.example.test/"),
        Some("https://a.example.test/?q"),
        Some("https://a/#b"),
    ] {
        assert!(
            matches!(
                build(wrong).map_err(|error| error.kind().clone()),
                Err(ConfigError::Option { option: "public_url", .. })
            ),
            "{wrong:?}"
        );
    }
}

#[test]
fn secrets_that_are_none_do_not_construct() {
    use webhook_verify::{
        Secret,
        scheme::{GENERIC_HEX, STANDARD_WEBHOOKS},
    };

    assert!(matches!(
        Verifier::new(STANDARD_WEBHOOKS, "whsec_*").map_err(|error| error.kind().clone()),
        Err(ConfigError::MalformedSecret { expected: "base64", .. })
    ));
    assert!(matches!(
        Verifier::new(GENERIC_HEX, "x".repeat(65_537)).map_err(|error| error.kind().clone()),
        Err(ConfigError::SecretTooLong { limit: 65_536 })
    ));
    assert!(Verifier::new(GENERIC_HEX, "x".repeat(65_536)).is_ok());
    assert_eq!(
        Verifier::builder(GENERIC_HEX).build().unwrap_err().kind(),
        &ConfigError::SecretCount { given: 0, limit: 8 }
    );
    let many = |count: usize| {
        let verifier = Verifier::new(GENERIC_HEX, "x").unwrap();
        let secrets = (0..count).map(|n| Secret::new(format!("secret {n}")).unwrap());
        verifier.replace_secrets(secrets).map_err(|error| error.kind().clone())
    };
    assert_eq!(many(8), Ok(()));
    assert_eq!(many(9), Err(ConfigError::SecretCount { given: 9, limit: 8 }));
    assert_eq!(many(0), Err(ConfigError::SecretCount { given: 0, limit: 8 }));
}

/// A secret that was taken away judges no body that had begun, in however many pieces it comes.
#[test]
fn a_replaced_secret_judges_no_body_under_way() {
    use webhook_verify::{Secret, VerifyError, scheme::GENERIC_HEX, testing::Signer};

    let signed = Signer::new(GENERIC_HEX, "old").unwrap().sign("abc").unwrap();
    for pieces in [vec!["abc"], vec!["a", "bc"], vec!["a", "b", "c"]] {
        for (replaced, expected) in [
            (["new", "old"].as_slice(), Ok(1)),
            (["new"].as_slice(), Err(VerifyError::SignatureMismatch)),
        ] {
            let verifier = Verifier::new(GENERIC_HEX, "old").unwrap();
            let mut incoming = verifier.begin(&signed.headers, 3).unwrap();
            for piece in &pieces {
                incoming.update((*piece).into()).unwrap();
            }
            let secrets = replaced.iter().map(|&secret| Secret::new(secret).unwrap());
            verifier.replace_secrets(secrets).unwrap();
            let judged = incoming.finish().map(|delivery| delivery.secret_index());
            assert_eq!(judged, expected, "{pieces:?} {replaced:?}");
        }
    }
}

/// Twilio signs the address of a media stream, a WebSocket, with or without its port.
#[test]
fn the_public_url_may_be_that_of_a_web_socket() {
    use webhook_verify::{RequestHead, scheme::TWILIO, testing::Signer};

    for (given, signed_as) in [
        ("wss://h.example/stream", "wss://h.example/stream"),
        ("wss://h.example/stream", "wss://h.example:443/stream"),
        ("wss://h.example:443/stream", "wss://h.example/stream"),
        ("ws://h.example/stream", "ws://h.example:80/stream"),
    ] {
        let signer = Signer::new(TWILIO, "a secret").unwrap().method("GET").public_url(signed_as);
        let signed = signer.target("/stream").sign("").unwrap();
        let head = RequestHead::new(&signed.headers).method("GET").target("/stream");
        let judge = |url: &str| {
            let verifier = Verifier::builder(TWILIO).secret("a secret").public_url(url);
            verifier.build().unwrap().verify(head, "").map(drop)
        };
        // Without a body, Twilio sends no content type.
        assert_eq!(judge(given), Ok(()), "{given} {signed_as}");
        assert!(judge("https://h.example/stream").is_err());
    }
}

/// Greenhouse's prefix ends in a space. No header's value does.
#[test]
fn a_prefix_may_end_in_a_space() {
    let body = "{}";
    let mac = "77325902caca812dc259733aacd046b73817372c777b8d95b402647474516e13";
    let describe = || Scheme::builder("greenhouse").signature_header("signature");
    for (scheme, bare) in
        [(describe().prefix("sha256 "), false), (describe().optional_prefix("sha256 "), true)]
    {
        let verifier = Verifier::new(scheme.build().unwrap(), "secret").unwrap();
        let judge = |value: &str| verifier.verify(&[("signature", value)], body).is_ok();
        assert!(judge(&format!("sha256 {mac}")));
        assert_eq!(judge(mac), bare);
        for other in ["sha256", "sha256 ", "sha256  {}", "sha256={}", "sha256\t{}", "SHA256 {}"] {
            assert!(!judge(&other.replace("{}", mac)), "{other}");
        }
    }
    for refused in ["", " ", "  ", "sha256  ", " sha256", "sha 256", "sha256\t"] {
        let option = match describe().prefix(refused).build().map_err(|error| error.kind().clone())
        {
            Err(ConfigError::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        assert_eq!(option, "prefix", "{refused:?}");
    }
}

/// A gateway removes a part of the path: the sender signed the path of the public URL.
#[test]
fn a_signed_path_is_that_of_the_public_url() {
    use webhook_verify::{RequestHead, scheme::CONTENTFUL, testing::Signer};

    let now = Duration::from_secs(1_795_305_600);
    let own = Scheme::builder("acme").signature_header("s").signed_content("{path}\n{body}");
    for scheme in [CONTENTFUL, own.build().unwrap()] {
        let signer = Signer::new(scheme.clone(), "a secret").unwrap().at(now);
        let signed = signer.target("/public/hooks/1?a=b%20c").sign("{}").unwrap();
        let judge = |url: Option<&str>, target: &str| {
            let verifier = Verifier::builder(scheme.clone()).secret("a secret").clock(move || now);
            let verifier = url.into_iter().fold(verifier, |verifier, url| verifier.public_url(url));
            let head = RequestHead::new(&signed.headers).target(target);
            verifier.build().unwrap().verify(head, "{}").is_ok()
        };
        let url = Some("https://h.example/public/hooks/1");
        assert!(judge(url, "/hooks/1?a=b%20c"));
        assert!(judge(url, "/?a=b%20c"));
        assert!(judge(None, "/public/hooks/1?a=b%20c"));
        assert!(!judge(None, "/hooks/1?a=b%20c"));
        assert!(!judge(url, "/public/hooks/1?a=b"), "the query is the request's");
        assert!(!judge(Some("https://h.example/hooks/1"), "/public/hooks/1?a=b%20c"));
        assert!(!judge(Some("https://h.example"), "/public/hooks/1?a=b%20c"));
    }
}
