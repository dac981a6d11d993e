//! The table of senders in the documentation, which is made of the presets themselves.
//!
//! ```sh
//! UPDATE_SENDERS=1 cargo test --test requests senders
//! ```

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

use webhook_verify::{
    Scheme,
    clock::Tolerance,
    scheme::{Algorithm, Encoding, Evidence, Identity},
};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../webhook-verify/docs/senders.md");

const INTRODUCTION: &str = "\
# Senders

Every preset, by the name that `Scheme::preset` takes, with a link to the page it was made from.
[Custom senders](custom-senders.md) shows how to describe any other sender.

* *Proof* is the algorithm and the signed content, as `SchemeBuilder::signed_content` takes it.
  Ed25519, ECDSA, RSA and JWT need a feature of the crate: `ed25519`, `ecdsa`, `rsa` or `jwt`.
* *Idempotency key* is the value that identifies a retry. An unsigned ID is a label for logs.
* *Brings* names the events that `Delivery::events` returns.
* *Retries for*, *waits* and *sends up to* are the sender's own statements, which may change.
* *Challenge* names the verification handshakes that the receiver answers.
* *Known from* names the evidence that the sender signs this way. **Example**: a published example
  was recomputed. **Source**: the sender's own source was read or run. **Documents**: the sender's
  documentation says so. **Others** and **hearsay**: only third parties say so.

Host UK and FluentCRM have several presets, because their documentation and their code differ. No
preset falls back to another.

";

fn algorithm(scheme: &Scheme) -> &'static str {
    match scheme.algorithm() {
        Algorithm::HmacSha256 => "HMAC-SHA256",
        Algorithm::HmacSha1 => "HMAC-SHA1",
        Algorithm::HmacSha512 => "HMAC-SHA512",
        Algorithm::KeyedSha256 => "SHA-256 with the secret before",
        Algorithm::Token => "secret sent as it is",
        Algorithm::Basic => "user name and password",
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::EcdsaP256 => "ECDSA P-256",
        Algorithm::RsaSha256 => "RSA, SHA-256",
        Algorithm::RsaSha1 => "RSA, SHA-1",
        Algorithm::JwtHs256 => "JWT, HS256",
        Algorithm::JwtEs256 => "JWT, ES256",
        other => panic!("{other:?} has no name here"),
    }
}

fn encoding(scheme: &Scheme) -> &'static str {
    match (scheme.describe().signed_content.is_empty(), scheme.encoding()) {
        (true, _) => "",
        (_, Encoding::Hex) => ", hex",
        (_, Encoding::Base64) => ", base64",
        (_, Encoding::Base64Url) => ", base64url",
        (_, other) => panic!("{other:?} has no name here"),
    }
}

fn recognised_by(scheme: &Scheme) -> String {
    if scheme.recognises_events() {
        let id: Vec<_> = scheme.event_id_pointers().map(|pointer| format!("`{pointer}`")).collect();
        return match id.is_empty() {
            true => "type and bytes of each event".into(),
            false => format!("{} of each event", id.join(", ")),
        };
    }
    match scheme.identity() {
        Identity::SignedId => "the id".into(),
        Identity::BodyDigest => "the body's digest".into(),
        Identity::SignedContent => "the digest of what is signed".into(),
        Identity::None => "nothing".into(),
        other => panic!("{other:?} has no name here"),
    }
}

/// A place in the request, and whether it can be believed.
fn place(place: Option<String>, is_signed: bool) -> String {
    place.map_or(String::new(), |place| {
        format!("`{place}`, {}", if is_signed { "signed" } else { "not signed" })
    })
}

fn known_from(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Vector => "example",
        Evidence::Source => "source",
        Evidence::Documentation => "documents",
        Evidence::Secondary => "others",
        Evidence::Hearsay => "hearsay",
        other => panic!("{other:?} has no name here"),
    }
}

fn time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 && seconds > 600 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn table() -> String {
    let mut table = String::from(INTRODUCTION);
    table += "| sender | preset | known from | idempotency key | retries for | waits | brings | event type | id | challenge | sends up to | signature in | proof | timestamp |\n";
    table += "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    let mut schemes: Vec<_> = Scheme::presets().collect();
    schemes.sort_by_key(|scheme| scheme.describe().sender.to_lowercase());
    for scheme in schemes {
        let description = scheme.describe();
        let signed = match description.signed_content.as_str() {
            "" => String::new(),
            content => format!(" of `{}`", content.replace('\n', "\\n").replace('|', "\\|")),
        };
        let places: Vec<_> =
            description.signatures.iter().map(|place| format!("`{place}`")).collect();
        let timestamp = description.timestamp.map_or(String::new(), |place| {
            let window = scheme.tolerance().map(|tolerance| tolerance.past());
            let window =
                window.map_or("not judged".into(), |window| format!("within {}", time(window)));
            format!("`{place}`, {window}")
        });
        let limit = description.hints.body_limit.map(|limit| format!("{} KiB", limit >> 10));
        let limit = limit.unwrap_or_default();
        let horizon = description.hints.retry_horizon.map(time).unwrap_or_default();
        let waits = description.hints.time_budget.map(time).unwrap_or_default();
        let challenges: Vec<_> = scheme.challenges().iter().map(|known| known.name()).collect();
        let evidence: Vec<_> = description.evidence.iter().map(known_from).collect();
        writeln!(
            table,
            "| [{}]({}) | `{}` | {} | {} | {horizon} | {waits} | {} | {} | {} | {} | {limit} | {} | {}{signed} | {timestamp} |",
            description.sender,
            description.documentation,
            scheme.name(),
            evidence.join(", "),
            recognised_by(scheme),
            description.events,
            place(description.event_type, scheme.event_type_is_signed()),
            place(description.id, scheme.id_is_signed()),
            challenges.join(", "),
            format_args!("{}{}", places.join(", "), encoding(scheme)),
            algorithm(scheme),
        )
        .unwrap();
    }
    table
}

#[test]
fn the_table_in_the_documentation_is_up_to_date() {
    let table = table();
    if std::env::var_os("UPDATE_SENDERS").is_some() {
        fs::write(TABLE, &table).unwrap();
    }
    let kept = fs::read_to_string(Path::new(TABLE)).unwrap();
    assert!(
        kept == table,
        "webhook-verify/docs/senders.md is out of date: run UPDATE_SENDERS=1 cargo test --test requests senders"
    );
}

#[test]
fn every_row_says_where_it_is_from_and_has_a_name_of_its_own() {
    let names: BTreeSet<_> = Scheme::preset_names().collect();
    assert_eq!(names.len(), Scheme::presets().count());
    assert!(names.len() >= 100, "{}", names.len());
    for scheme in Scheme::presets() {
        let name = scheme.name();
        assert!(scheme.describe().documentation.starts_with("https://"), "{name}");
        assert!(!scheme.describe().evidence.is_empty(), "{name}");
        assert!(!scheme.describe().sender.is_empty(), "{name}");
        assert!(!scheme.describe().signatures.is_empty(), "{name}");
        // A delivery is suppressed by what is signed, and by nothing else.
        match scheme.identity() {
            Identity::SignedId => assert!(scheme.id_is_signed(), "{name}"),
            Identity::BodyDigest => assert!(scheme.signs_body(), "{name}"),
            _ => {}
        }
        let one_day = Tolerance::symmetric(Duration::from_secs(86_400));
        assert!(
            scheme.tolerance().is_none_or(|tolerance| tolerance.past() <= one_day.past()),
            "{name}"
        );
    }
}
