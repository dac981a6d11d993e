//! Common mistakes of receivers about their senders. Each has requests that show it, as rows of
//! `tests/vectors/senders.json`.
//!
//! One is missing: a published example of Svix circulates with a wrong letter in its ID. It belongs
//! to Svix, so it is not copied here.

use std::time::Duration;

use integration_tests::Vector;
use webhook_verify::Scheme;

/// Each trap, its senders, and how the names of their rows start.
const TRAPS: &str = r#"
a prefix does not tell the encoding
    typeform x-twitter => right; trap: hex after sha256=
    github => right; signature in another encoding
a header's name does not tell the digest
    bitbucket jira => right; trap: SHA-1
    intercom => right; trap: SHA-256
    github-sha1 => right
whsec_ is decoded for some and used whole by others
    stripe => right; trap: whsec_ is not decoded
    standard-webhooks svix clerk resend openai replicate lithic gitlab-signed => right
    standard-webhooks svix clerk resend => trap: the secret without whsec_
    openai replicate lithic gitlab-signed => trap: the secret without whsec_
    standard-webhooks svix clerk resend => trap: the secret is not used whole
    openai replicate lithic gitlab-signed => trap: the secret is not used whole
timestamp body and URL are signed in different orders
    zendesk => right; trap: body before timestamp
    klaviyo => right; trap: timestamp before body
    square => right; trap: body before URL
    trello => right; trap: URL before body
base64 has one form
    sanity => right; trap: base64url with an unused bit set
    shopify line box square twilio adyen standard-webhooks => right
    shopify line box square twilio adyen standard-webhooks => trap: base64 with an unused bit set
a tag of another length is refused
    generic-hex => trap: a tag of 16; trap: a tag of 31; trap: a tag of 33
    adyen adyen-platform => trap: a tag of 33 bytes
Twilio sorts drops duplicates and tries both ports
    twilio => trap: names are sorted; trap: a field that is there twice counts once
    twilio => trap: signed with the default port; trap: signed without its port
    twilio => trap: user and password stay; signed with another port; trap: %27 in the URL
escaped text is signed as sent
    meta docusign => trap: non-ASCII characters escaped; trap: the same text not escaped
a line break at the end counts
    sendgrid => trap: the line break; trap: without the line break
    gocardless => right; a line break more
a bad signature beside a good one does not spoil it
    standard-webhooks svix stripe => trap: a bad signature beside a good one
    paddle pagerduty circleci => trap: a bad signature beside a good one
    standard-webhooks svix stripe paddle pagerduty circleci => trap: none but an unknown version
    standard-webhooks svix => trap: unknown versions are skipped; bad ones only
    stripe => trap: v0 is for tests; trap: unknown keys are ignored
    box => trap: the secondary signature alone; trap: a bad secondary
Linear's timestamp is the one in the body
    linear => trap: the timestamp in the header; trap: a new timestamp in the header
    linear => no timestamp in the body; trap: the last retry
both families of headers count and must agree
    shopify => headers without x-; both forms of the headers; trap: both forms
    shopify => another secret in a header without x-; trap: two IDs
    bitbucket => Data Center's ID; trap: a gateway's ID
an optional prefix and a line for each secret
    mollie => without its prefix; another prefix; trap: a line for each secret
    mollie => trap: the lines joined; lines of which none fits; more lines than
a second header with a secret of its own
    x-twitter => the header of OAuth 2.0 alone; trap: one header for each secret
    x-twitter => the header of OAuth 2.0 without; trap: hex in the header of OAuth 2.0
the whole of a list is signed
    segment => the header that covers lists; a list of events; a list without
    segment => trap: of a list, the older header
    intuit => a list of CloudEvents; an object, as before
forges sign the JSON inside a form
    gitea forgejo gogs => trap: of a form
unsigned headers are not looked at
    sentry => trap: a timestamp that is not signed; trap: an ID of the attempt
    lemonsqueezy => trap: the event's name in the header
Adyen signs absent fields as empty and escapes nothing
    adyen => trap: an absent original reference; an original reference that was not signed
WooCommerce decodes the entities of its secret
    woocommerce => trap: HTML entities in the secret; trap: a secret without entities
HubSpot decodes a part of the URL and Contentful escapes the query twice
    hubspot-v3 => trap: some escapes; trap: the escaped URL
    contentful => trap: the query is escaped twice; a timestamp that is not among
a token does not choose its algorithm
    netlify vonage monday => trap: no algorithm; trap: another algorithm
    plaid => trap: no algorithm; trap: an HMAC with the public key; trap: an HMAC that is called
"#;

/// Judges the rows of each sender whose names start with one of `names`. Each name needs a row.
fn judge(trap: &str, senders: &[&str], names: &[&str]) {
    let all = Vector::of_senders();
    for sender in senders {
        for name in names {
            let rows = all.iter().filter(|row| row.scheme == *sender && row.name.starts_with(name));
            let mut judged = 0;
            for row in rows {
                let verdict = row.verifier().unwrap().verify(row.head(), row.body());
                let verdict = verdict.map_or_else(|error| error.reason(), |_| "valid");
                assert_eq!(verdict, row.expect, "{trap}: {sender} {}", row.name);
                judged += 1;
            }
            assert!(judged > 0, "{trap}: no row of {sender} starts with {name}");
        }
    }
}

#[test]
fn rows_of_every_trap_are_judged_as_expected() {
    let (mut trap, mut judged) = ("", 0);
    for line in TRAPS.trim().lines() {
        match line.split_once(" => ") {
            None => trap = line,
            Some((senders, names)) => {
                let senders: Vec<_> = senders.split_whitespace().collect();
                judge(trap, &senders, &names.split("; ").collect::<Vec<_>>());
                judged += 1;
            }
        }
    }
    assert_eq!(judged, 53);
}

#[test]
fn tolerances_are_the_senders_own() {
    for (name, seconds) in [
        ("paddle", 5),
        ("contentful", 30),
        ("linear", 8 * 3600),
        ("workos", 180),
        ("calendly", 180),
        ("stripe", 300),
        ("box", 600),
        ("twitch", 600),
        ("elevenlabs", 1800),
    ] {
        let tolerance = Scheme::preset(name).unwrap().tolerance().unwrap();
        assert_eq!(tolerance.past(), Duration::from_secs(seconds), "{name}");
        judge(
            "tolerances",
            &[name],
            &["as old as it may be", "a second too old", "a second too far ahead"],
        );
    }
}

#[test]
fn every_trap_among_the_vectors_holds() {
    let traps: Vec<_> =
        Vector::of_senders().into_iter().filter(|row| row.name.starts_with("trap: ")).collect();
    assert!(traps.len() > 100, "{}", traps.len());
    for row in traps {
        judge("any", &[&row.scheme], &[&row.name]);
    }
}
