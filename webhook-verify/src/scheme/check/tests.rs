use std::time::Duration;

use super::{names, whole};
use crate::{
    clock::Tolerance,
    encoding::Encoding,
    error::ConfigError,
    scheme::{Algorithm, Challenge, Identity, KeyForm, Scheme, SchemeBuilder, TimeUnit},
};

fn bare() -> SchemeBuilder {
    Scheme::builder("x")
}

fn plain() -> SchemeBuilder {
    bare().signature_header("x-sig")
}

fn listed() -> SchemeBuilder {
    plain().event_list("/events")
}

fn signed(content: &str) -> SchemeBuilder {
    plain().signed_content(content)
}

fn of(algorithm: Algorithm) -> SchemeBuilder {
    plain().algorithm(algorithm)
}

fn jwt() -> SchemeBuilder {
    of(Algorithm::JwtHs256)
}

fn rsa() -> SchemeBuilder {
    of(Algorithm::RsaSha256).key_form(KeyForm::Certificate)
}

/// Returns the option for which a description is refused, or nothing.
fn refused(builder: SchemeBuilder) -> &'static str {
    match builder.build().map_err(|error| error.kind().clone()) {
        Ok(_) => "",
        Err(ConfigError::Option { option, .. }) => option,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_preset_keeps_the_rules() {
    for preset in Scheme::presets() {
        let mut scheme = preset.clone();
        assert_eq!(names(&mut scheme), Ok(()), "{}", preset.name);
        assert_eq!(format!("{scheme:?}"), format!("{preset:?}"));
        assert_eq!(whole(&scheme), Ok(()), "{}", preset.name);
    }
}

#[test]
fn what_cannot_work_or_proves_nothing_does_not_build() {
    let rows = [
        // Events.
        ("event_list", plain().event_list("events")),
        ("event_list_in_form", plain().event_list_in_form("")),
        ("listed_event_type", plain().listed_event_type(["/type"])),
        ("listed_event_type", plain().events_by_type().listed_event_type(["/type"])),
        ("listed_event_type", listed().listed_event_type(["type"])),
        ("listed_event_type", listed().listed_event_type([""; 0])),
        ("listed_event_id", plain().listed_event_id(["/id"])),
        ("listed_event_id", listed().listed_event_id([""])),
        ("listed_event_id", listed().listed_event_id([""; 0])),
        ("listed_event_id", listed().listed_event_id(["/id", "/at", "/id"])),
        ("events_by_type", listed().events_by_type()),
        ("event_time", plain().event_time("", TimeUnit::Seconds)),
        ("event_data", plain().event_data("data")),
        ("test_field", plain().test_field("")),
        ("test_field", listed().event_list_in_form("a").test_field("/test")),
        // Forms of the signature.
        ("prefix", bare().prefix("v1=").signature_header("x-sig")),
        ("optional_prefix", plain().prefix("a").optional_prefix("b")),
        ("optional_prefix", plain().optional_prefix("")),
        ("authorization_scheme", plain().authorization_scheme("")),
        ("authorization_scheme", plain().authorization_scheme("Bearer ")),
        ("pairs", plain().pairs('=', ["v1"])),
        ("pairs", plain().pairs('☕', ["v1"])),
        ("version_list", plain().version_list(' ', ',', ["v,1"])),
        // Signed content.
        ("signed_content", signed("text")),
        ("signed_content", signed("{parameter:a}{url:without-query}{method}")),
        ("signed_content", signed("{parameter:}")),
        ("signed_content", signed("{form}{body}")),
        ("signed_content", bare().signature_form("sig")),
        ("signed_content", bare().signature_form("sig").signed_content("{url}{form}")),
        ("signed_content", bare().signature_pointer("/sig")),
        ("signed_content", bare().signature_pointer("/sig").signed_content("{url}{crc32}")),
        (
            "signed_content",
            bare().signature_pointer("/sig").signed_content("{url}").body_digest_query("d"),
        ),
        ("signed_content", signed("{header:a}{form}")),
        ("signed_content", signed("{header:a}{fields:b}")),
        ("signed_content", signed("{crc32}{header:a}")),
        ("signed_content", signed("{id}{body}").id_header("a")),
        ("signed_content", signed("{id}{timestamp}{body}").id_header("a").timestamp_header("b")),
        ("signed_content", signed("{url}{body}")),
        ("signed_content", signed("{body}{url}")),
        ("signed_content", signed("{free-json:/a if /c=x}:{free-json:/b if /c=x}:{json:/c}")),
        ("signed_content", signed("{free-json:/a if /c=x}:{json:/c}:{free-json:/b if /c!=x}")),
        ("signed_content", signed("{free-json:/a if /c=x}:{json:/b}")),
        ("signed_content", signed("{secret}{body}")),
        ("signed_content", signed("{pair:h}.{body}")),
        ("signed_content", signed("[[a{query:b}]]{body}")),
        ("signed_content", signed("[[{query:b}]].{body}")),
        ("signed_content", signed("[[a{query:b}")),
        ("signed_content", signed("{json:/a}{free-json:/b}")),
        ("signed_content", signed("{free-json:/a}:{free-json:/b}")),
        ("signed_content", signed("{url:without-query}|{url}")),
        ("signed_content", signed("{signed-headers:a}{body}")),
        ("signed_content", signed("{signed-headers:a}.{body}")),
        ("signed_content", signed("{method}{signed-headers:a}\n{body}")),
        ("signed_content", signed("{fields:}")),
        ("signed_content", signed("{fields:a/b}")),
        ("signed_content", signed("{url:nonsense}")),
        ("signed_content", signed("{body}}")),
        ("body_digest_query", plain().body_digest_query("d")),
        ("body_digest_query", signed("{url:without-query}{header:a}").body_digest_query("d")),
        ("body_digest_query", signed("{url}").body_digest_query("")),
        ("body_digest_claim", plain().body_digest_claim("d")),
        ("body_digest_claim", jwt().body_digest_claim("")),
        ("encoding", of(Algorithm::Token).encoding(Encoding::Hex)),
        ("encoding", jwt().encoding(Encoding::Base64)),
        // Times.
        ("tolerance", plain().tolerance(Tolerance::symmetric(Duration::ZERO))),
        ("timestamp_unit", plain().timestamp_unit(TimeUnit::Seconds)),
        ("timestamp_claim", plain().timestamp_claim("iat")),
        ("timestamp_claim", jwt().timestamp_claim("")),
        (
            "timestamp_pair",
            plain().pairs(',', ["t"]).timestamp_pair("t").signed_content("{timestamp}.{body}"),
        ),
        ("timestamp", jwt().timestamp_header("x-time")),
        ("timestamp", jwt().timestamp_pointer("/time")),
        ("timestamp", of(Algorithm::Token).timestamp_header("x-time")),
        ("timestamp", signed("{method}\n{signed-headers:a}\n{json:/b}").timestamp_pointer("/time")),
        // Keys.
        ("key_form", of(Algorithm::Ed25519)),
        ("key_form", plain().key_form(KeyForm::Spki)),
        ("key_from_header", plain().key_from_header("x-cert", ["a.test"])),
        ("key_from_pointer", jwt().key_from_pointer("/cert", ["a.test"])),
        ("key_from_token_id", rsa().key_from_token_id()),
        ("key_from_token_id", jwt().key_from_token_id()),
        ("key_from_header", rsa().key_from_header("a b", ["a.test"])),
        ("key_from_pointer", rsa().key_from_pointer("cert", ["a.test"])),
        // JSON Web Tokens.
        ("issuer", plain().issuer("a")),
        ("issuer", of(Algorithm::Token).issuer("a")),
        ("issuer", jwt().issuer("")),
        ("signature_query", bare().signature_query("a").algorithm(Algorithm::JwtHs256)),
        ("signature_form", bare().signature_form("a").algorithm(Algorithm::JwtHs256)),
        ("signature_pointer", bare().signature_pointer("/a").algorithm(Algorithm::JwtHs256)),
        // The rest.
        ("signature_header", plain().signature_header("X-Sig")),
        ("require_header", plain().require_header("a", "1").require_header("A", "2")),
        ("require_field", plain().require_field("/a", "1").require_field("/a", "2")),
        ("require_field", plain().require_field("version", "1")),
        ("refuse_field", plain().refuse_field("events")),
        ("parameter_field", plain().parameter_field("topic", "topic")),
        ("parameter_field", plain().parameter_field("/topic", "")),
        ("require_claim", plain().require_claim("exp")),
        ("signed_content", plain().signed_content("{json:/a}{json:/b}")),
        ("event_type_repeated_in", plain().event_type_first_key().event_type_repeated_in("a")),
        ("identity", plain().identity(Identity::SignedContent)),
        ("identity", jwt().identity(Identity::SignedContent)),
        ("identity", signed("{url}").identity(Identity::SignedContent)),
        ("identity", signed("{url}{form}").identity(Identity::BodyDigest)),
        ("identity", signed("{url}{form}").id_header("a").identity(Identity::SignedId)),
        ("challenge", of(Algorithm::Token).challenge(Challenge::ZOOM)),
        ("challenge", rsa().challenge(Challenge::X)),
        ("challenge", jwt().challenge(Challenge::X)),
    ];
    for (option, builder) in rows {
        let described = format!("{builder:?}");
        assert_eq!(refused(builder), option, "{described}");
    }
}

#[test]
fn what_senders_do_builds() {
    let time = |content: &str| signed(content).timestamp_header("x-time");
    let rows = [
        listed(),
        plain().event_list("").event_list_in_form("events"),
        plain().event_list_in_form("events").event_data("/msg"),
        listed()
            .listed_event_type(["/category", "/action"])
            .listed_event_id(["/id"])
            .test_field("/test"),
        plain().events_by_type().event_type_first_key(),
        plain().events_by_type().event_type_header("x-type"),
        time("{id}{timestamp}{body}").id_header("x-id").timestamp_unit(TimeUnit::Rfc3339),
        time("{method}{url:partly-decoded}{body:json}{timestamp}"),
        time("{timestamp}{header:x-nonce}{secret}{body:json}").algorithm(Algorithm::KeyedSha256),
        time("{body}{timestamp}{secret}").algorithm(Algorithm::KeyedSha1),
        time("{body}.{header:x-nonce}.{timestamp}"),
        time("[[id:{query:id};]][[request-id:{header:x-id};]]ts:{timestamp};"),
        signed("{free-json:/a if /c=x}:{free-json:/b if /c!=x}:{json:/c}"),
        signed("{sorted-query}"),
        signed("{header:x-id} {body}"),
        time("{method}\n{path:escaped-twice}\n{signed-headers:x-signed}\n{body}"),
        signed("{url:without-query}{header:x-nonce}"),
        signed("{url:either-port}{form}").identity(Identity::SignedContent),
        signed("{path}").body_digest_query("digest"),
        signed("{crc32}|{parameter:webhook_id}"),
        signed("{{{body}}}"),
        signed("{json:/time}").timestamp_pointer("/time"),
        signed("{fields:time,id}").timestamp_pointer("/time"),
        jwt().body_digest_claim("digest").timestamp_pointer("/time"),
        jwt().authorization_scheme("Bearer").issuer("a").timestamp_claim("iat"),
        of(Algorithm::Basic),
        of(Algorithm::Token).authorization_scheme("Bearer"),
        of(Algorithm::JwtEs256).key_form(KeyForm::Jwk).key_from_token_id(),
        plain().require_field("/version", "2").challenge(Challenge::SLACK),
    ];
    for builder in rows {
        let described = format!("{builder:?}");
        assert_eq!(refused(builder), "", "{described}");
    }
}

#[test]
fn a_form_is_that_of_the_places_before_it() {
    let scheme = bare()
        .signature_header("a")
        .signature_header("b")
        .prefix("v1=")
        .signature_query("c")
        .authorization_scheme("Bearer")
        .signature_query("d")
        .build()
        .unwrap();
    assert_eq!(
        scheme.describe().signatures,
        ["header a: v1=…", "header b: v1=…", "query c: Bearer …", "query d: …"]
    );
}

/// Each version has one meaning, but their common part ends at different bytes: `1:2.3` is `1` and
/// `2.3`, or `1:2` and `3`.
#[test]
fn versions_that_begin_alike_must_end_their_common_parts_alike() {
    let versions = |one: &str, other: &str| {
        let scheme = plain().pairs(',', ["v1", "v2"]).id_pointer("/id").timestamp_header("t");
        let scheme = scheme.signed_content_of("v1", one).signed_content_of("v2", other);
        refused(scheme.identity(Identity::None))
    };
    for part in ["{query:q}", "{id}", "{query:q}{timestamp}{query:r}", "{method}", "{pair:n}"] {
        let [one, other] = [":", ";"].map(|end| format!("{{timestamp}}\n{part}{end}{{body}}"));
        let is_apart = ["{method}", "{pair:n}"].contains(&part);
        let expected = if is_apart { "" } else { "signed_content" };
        assert_eq!(versions(&one, &other), expected, "{part}");
    }
    for (one, other) in [
        ("{timestamp}.{body:json}", "{timestamp}.{pair:n}.{body:json}"),
        ("{timestamp}:{body}", "{timestamp};{body}"),
        ("{timestamp}{query:q}.{body:json}", "{timestamp}{query:q}.{pair:n}.{body:json}"),
    ] {
        assert_eq!(versions(one, other), "", "{one} {other}");
    }
}

#[test]
fn hosts_are_names_or_patterns_that_are_one_senders() {
    let build = |hosts: &[&str]| refused(rsa().key_from_header("x-cert", hosts.iter().copied()));
    for host in [
        "api.example.com",
        "API.Example.Com",
        "sns.*.example.com.cn",
        "*.example.com",
        "xn--a.test",
        "a.com/b",
        "sns.*.example.com/Certificates/a-",
    ] {
        assert_eq!(build(&[host]), "", "{host}");
    }
    for host in [
        "",
        "*",
        "com",
        "*.com",
        "a.*",
        "a.*.com*",
        "a*.b.com",
        "*.*",
        "a..com",
        ".a.com",
        "a.com.",
        "a.com:443",
        "https://a.com",
        "/b",
        "*/b",
        "u@a.com",
        "-a.com",
        "a-.com",
        "192.0.2.1",
        "ä.com",
        "a b.com",
    ] {
        assert_eq!(build(&["a.test", host]), "key_from_header", "{host}");
    }
    assert_eq!(build(&[]), "key_from_header");
    let long = format!("{}.com", "a".repeat(64));
    assert_eq!(build(&[&long]), "key_from_header");
}

/// The rule is the same as for reading keys.
#[cfg(all(feature = "ed25519", feature = "ecdsa", feature = "rsa", feature = "jwt"))]
#[test]
fn an_algorithm_has_forms_of_keys() {
    use crate::key::{Key, Secret};

    const ALGORITHMS: [Algorithm; 14] = [
        Algorithm::HmacSha256,
        Algorithm::HmacSha1,
        Algorithm::HmacSha512,
        Algorithm::KeyedSha1,
        Algorithm::KeyedSha256,
        Algorithm::KeyedSha512,
        Algorithm::Token,
        Algorithm::Basic,
        Algorithm::Ed25519,
        Algorithm::EcdsaP256,
        Algorithm::RsaSha256,
        Algorithm::RsaSha1,
        Algorithm::JwtHs256,
        Algorithm::JwtEs256,
    ];
    const FORMS: [KeyForm; 10] = [
        KeyForm::Utf8,
        KeyForm::Sha1,
        KeyForm::Hex,
        KeyForm::Base64,
        KeyForm::Whsec,
        KeyForm::HtmlText,
        KeyForm::Whpk,
        KeyForm::Spki,
        KeyForm::Certificate,
        KeyForm::Jwk,
    ];

    for (algorithm, form) in ALGORITHMS.iter().flat_map(|a| FORMS.map(|form| (*a, form))) {
        let secret = Secret::new("no key").unwrap();
        let unfit = matches!(
            Key::new(&Scheme { algorithm, key_form: form, ..Scheme::BASE }, &secret),
            Err(ConfigError::Option { option: "key_form", .. })
        );
        let refused = refused(of(algorithm).key_form(form)) == "key_form";
        assert_eq!(refused, unfit, "{algorithm:?} {form:?}");
    }
}
