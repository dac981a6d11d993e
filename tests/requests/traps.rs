//! What receivers of webhooks get wrong about their senders, each by requests that show it.
//!
//! The requests are rows of `tests/vectors/senders.json`. One trap is not here: a published example of Svix circulates with
//! a wrong letter in its id, and is another sender's data.

use std::time::Duration;

use integration_tests::Vector;
use webhook_verify::Scheme;

/// Judges the rows of each provider whose names start with one of `names`; each of them has one.
fn judge(providers: &[&str], names: &[&str]) {
    let all = Vector::of_senders();
    let of = |provider: &str| {
        let rows: Vec<_> = all.iter().filter(|row| row.scheme == provider).collect();
        assert!(!rows.is_empty(), "{provider}");
        rows
    };
    for name in names {
        for provider in providers {
            let mut judged = 0;
            for row in of(provider).iter().filter(|row| row.name.starts_with(name)) {
                let verdict = row.verifier().unwrap().verify(row.head(), row.body());
                let verdict = verdict.map_or_else(|error| error.reason(), |_| "valid");
                assert_eq!(verdict, row.expect, "{provider} {}", row.name);
                judged += 1;
            }
            assert!(judged > 0, "no row of {provider} starts with {name}");
        }
    }
}

#[test]
fn a_prefix_does_not_tell_the_encoding() {
    judge(&["typeform", "x-twitter"], &["right", "trap: hex after sha256="]);
    judge(&["github"], &["right", "signature in another encoding"]);
}

#[test]
fn a_header_s_name_does_not_tell_the_digest() {
    judge(&["bitbucket", "jira"], &["right", "trap: SHA-1"]);
    judge(&["intercom"], &["right", "trap: SHA-256"]);
    judge(&["github-sha1"], &["right"]);
}

#[test]
fn whsec_is_decoded_for_some_and_used_whole_by_others() {
    judge(&["stripe"], &["right", "trap: whsec_ is not decoded"]);
    judge(
        &[
            "standard-webhooks",
            "svix",
            "clerk",
            "resend",
            "openai",
            "replicate",
            "lithic",
            "gitlab-signed",
        ],
        &["right", "trap: the secret without whsec_", "trap: the secret is not used whole"],
    );
}

#[test]
fn timestamp_body_and_url_are_signed_in_different_orders() {
    judge(&["zendesk"], &["right", "trap: body before timestamp"]);
    judge(&["klaviyo"], &["right", "trap: timestamp before body"]);
    judge(&["square"], &["right", "trap: body before URL"]);
    judge(&["trello"], &["right", "trap: URL before body"]);
}

#[test]
fn base64_has_one_form() {
    judge(&["sanity"], &["right", "trap: base64url with an unused bit set"]);
    judge(
        &["shopify", "line", "box", "square", "twilio", "adyen", "standard-webhooks"],
        &["right", "trap: base64 with an unused bit set"],
    );
}

#[test]
fn a_tag_of_another_length_is_refused() {
    judge(&["generic-hex"], &["trap: a tag of 16", "trap: a tag of 31", "trap: a tag of 33"]);
    judge(&["adyen", "adyen-platform"], &["trap: a tag of 33 bytes"]);
}

#[test]
fn twilio_sorts_drops_duplicates_and_tries_both_ports() {
    judge(
        &["twilio"],
        &[
            "trap: names are sorted",
            "trap: a field that is there twice counts once",
            "trap: signed with the default port",
            "trap: signed without its port",
            "trap: user and password stay",
            "signed with another port",
            "trap: %27 in the URL",
        ],
    );
}

#[test]
fn escaped_text_is_signed_as_sent() {
    judge(
        &["meta", "docusign"],
        &["trap: non-ASCII characters escaped", "trap: the same text not escaped"],
    );
}

#[test]
fn a_line_break_at_the_end_counts() {
    judge(&["sendgrid"], &["trap: the line break", "trap: without the line break"]);
    judge(&["gocardless"], &["right", "a line break more"]);
}

#[test]
fn a_bad_signature_beside_a_good_one_does_not_spoil_it() {
    let lists = ["standard-webhooks", "svix", "stripe", "paddle", "pagerduty", "circleci"];
    judge(
        &lists,
        &["trap: a bad signature beside a good one", "trap: none but an unknown version"],
    );
    judge(&["standard-webhooks", "svix"], &["trap: unknown versions are skipped", "bad ones only"]);
    judge(&["stripe"], &["trap: v0 is for tests", "trap: unknown keys are ignored"]);
    judge(&["box"], &["trap: the secondary signature alone", "trap: a bad secondary"]);
}

#[test]
fn tolerances_are_the_senders_own() {
    for (name, seconds) in [
        ("paddle", 5),
        ("contentful", 30),
        ("linear", 60),
        ("workos", 180),
        ("calendly", 180),
        ("stripe", 300),
        ("box", 600),
        ("twitch", 600),
        ("elevenlabs", 1800),
    ] {
        let tolerance = Scheme::preset(name).unwrap().tolerance().unwrap();
        assert_eq!(tolerance.past(), Duration::from_secs(seconds), "{name}");
        judge(&[name], &["as old as it may be", "a second too old", "a second too far ahead"]);
    }
}

#[test]
fn linear_s_timestamp_is_the_one_in_the_body() {
    judge(
        &["linear"],
        &[
            "trap: the timestamp in the header",
            "trap: a new timestamp in the header",
            "no timestamp in the body",
        ],
    );
}

#[test]
fn adyen_signs_absent_fields_as_empty_and_escapes_nothing() {
    judge(
        &["adyen"],
        &["trap: an absent original reference", "an original reference that was not signed"],
    );
}

#[test]
fn woocommerce_decodes_the_entities_of_its_secret() {
    judge(
        &["woocommerce"],
        &["trap: HTML entities in the secret", "trap: a secret without entities"],
    );
}

#[test]
fn hubspot_decodes_a_part_of_the_url_and_contentful_escapes_the_query_twice() {
    judge(&["hubspot-v3"], &["trap: some escapes", "trap: the escaped URL"]);
    judge(&["contentful"], &["trap: the query is escaped twice", "a timestamp that is not among"]);
}

#[test]
fn a_token_does_not_choose_its_algorithm() {
    judge(&["netlify", "vonage", "monday"], &["trap: no algorithm", "trap: another algorithm"]);
    judge(
        &["plaid"],
        &[
            "trap: no algorithm",
            "trap: an HMAC with the public key",
            "trap: an HMAC that is called",
        ],
    );
}

#[test]
fn every_trap_among_the_vectors_holds() {
    let traps: Vec<_> =
        Vector::of_senders().into_iter().filter(|row| row.name.starts_with("trap: ")).collect();
    assert!(traps.len() > 100, "{}", traps.len());
    for row in traps {
        judge(&[&row.scheme], &[&row.name]);
    }
}
