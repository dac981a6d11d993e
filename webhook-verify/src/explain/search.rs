//! The order of the attempts, and what is likely if none succeeds.

use super::{
    Finding, body, case::Case, cause::Cause, form, secret, sender, signature, timestamp, url,
};
use crate::{
    error::{ConfigError, VerifyError},
    verify::Verifier,
};

/// The maximum number of other bodies that are tried.
const MAX_OTHERS: usize = 1000;

/// Finds the first difference that makes the request valid.
fn search(case: &Case<'_>) -> Option<Finding> {
    let is_form = form::is_form(&case.body);
    secret::find(case)
        .or_else(|| other_head(case))
        .or_else(|| body::empty(case))
        .or_else(|| sender::find(case))
        .or_else(|| other_body(case))
        .or_else(|| if is_form { form::find(case) } else { None })
        .or_else(|| body::find(case))
        .or_else(|| if is_form { None } else { form::find(case) })
        .or_else(|| url::find(case))
        .or_else(|| body::reordered(case))
}

/// Finds another fault of a request whose secret has something around it.
fn two_faults(case: &Case<'_>) -> Option<Finding> {
    let (settings, first) = secret::bare(case.settings)?;
    let bare = case.with_settings(&settings);
    let second = search(&bare);
    case.was_limited.set(bare.was_limited.get());
    let second = second?;
    Some(Finding::new(
        first.cause,
        format!("{}; then {}", first.fix, second.fix),
        format!("two faults: the secret has extra characters around it, and {}", second.detail),
    ))
}

/// Finds another form of the signature or the timestamp.
fn other_head(case: &Case<'_>) -> Option<Finding> {
    signature::other_form(case)
        .or_else(|| timestamp::in_other_unit(case))
        .or_else(|| timestamp::sent_in_other_unit(case))
}

/// Returns whether an error is about the form of the head, whatever the body is.
fn is_of_head(error: VerifyError) -> bool {
    matches!(
        error,
        VerifyError::MissingSignature
            | VerifyError::MissingToken
            | VerifyError::MalformedSignature
            | VerifyError::UnsupportedVersion
            | VerifyError::AmbiguousHeader
            | VerifyError::AmbiguousToken
    )
}

/// Returns the cause of a refusal, or what is most likely the cause.
pub(super) fn find(case: &Case<'_>, error: VerifyError) -> Finding {
    // No other secret, body or URL makes up for a head that is not in the scheme's form.
    let found = if !case.can_verify() {
        None
    } else if is_of_head(error) && !case.reads_proof_in_body() {
        other_head(case).or_else(|| sender::find(case))
    } else {
        search(case).or_else(|| two_faults(case))
    };
    found.unwrap_or_else(|| likely(case, error))
}

fn other_body(case: &Case<'_>) -> Option<Finding> {
    // A signature in another body is that body's own.
    if case.reads_proof_in_body() || !case.reads_body() {
        return None;
    }
    let mut others = case.others.iter().take(MAX_OTHERS);
    let other = others.any(|body| *body != case.body && case.holds_with_body(body.clone()));
    other.then(|| {
        Finding::new(
            Cause::SignatureOtherBody,
            "keep the headers and the body of each request together",
            "the signature is valid for the body of another request in the input",
        )
    })
}

/// Returns the likely cause of a refusal that no attempt explains.
fn likely(case: &Case<'_>, error: VerifyError) -> Finding {
    match error {
        VerifyError::MissingSignature
        | VerifyError::MissingToken
        | VerifyError::MissingTimestamp
        | VerifyError::MissingId => {
            sender::by_headers(case).unwrap_or_else(|| signature::missing(case, error))
        }
        VerifyError::AmbiguousHeader | VerifyError::AmbiguousToken => Finding::new(
            Cause::MalformedSignature,
            "send the signature or token once, in one place",
            error.to_string(),
        ),
        VerifyError::MalformedSignature | VerifyError::UnsupportedVersion => {
            signature::absent_header(case).unwrap_or_else(|| signature::malformed(case))
        }
        VerifyError::MalformedTimestamp => match case.scheme().timestamp.as_ref() {
            Some(source) => timestamp::unit_mismatch(None, source.unit),
            None => signature::malformed(case),
        },
        _ => secret::other_kind(case)
            .or_else(|| signature::cut_token(case))
            .or_else(|| signature::absent_header(case))
            .or_else(|| body::signs(case))
            .or_else(|| url::private_host(case))
            .unwrap_or_else(|| no_match(case, error)),
    }
}

/// Explains a secret that is not in the scheme's form.
pub(super) fn find_for_unfit_secret(case: &Case<'_>, error: Option<ConfigError>) -> Finding {
    search(case).or_else(|| two_faults(case)).unwrap_or_else(|| unfit(case, error))
}

fn unfit(case: &Case<'_>, error: Option<ConfigError>) -> Finding {
    let detail = error.map(|error| error.to_string()).unwrap_or_default();
    let kind = secret::other_kind(case);
    kind.unwrap_or_else(|| {
        Finding::new(
            Cause::SecretEncoding,
            "copy the secret exactly as the sender shows it",
            detail,
        )
    })
}

/// What to do about a signature that no attempt matches.
const SECRET: &str = "compare the secret with the one that the sender shows for this very endpoint";

/// Says what was tried without success.
pub(super) fn no_match(case: &Case<'_>, error: VerifyError) -> Finding {
    let is_mismatch = matches!(error, VerifyError::SignatureMismatch | VerifyError::TokenMismatch);
    let mut facts = Vec::new();
    if !is_mismatch {
        facts.push(error.to_string());
    }
    if case.can_verify() {
        facts.push(format!("no variant of the request is valid: tried {}", tried(case)));
    } else {
        let reason = match case.has_secrets() {
            true => "the body is too long, or was not read or kept",
            false => "there is no secret for this request",
        };
        facts.push(format!("no variant was tried, because {reason}"));
    }
    facts.extend(body::other_length(case));
    let signs_url = case.verifier.as_ref().is_some_and(Verifier::signs_url);
    let remedy = match remedy(error) {
        SECRET if signs_url => "compare the secret and the URL with those that the sender has",
        remedy => remedy,
    };
    Finding::new(Cause::NoMatch, remedy, facts.join("; "))
}

fn tried(case: &Case<'_>) -> String {
    let mut tried = vec!["the secret with other prefixes and encodings"];
    if case.scheme().signs_body() {
        tried.push("the body with other line breaks, encodings and JSON styles");
    }
    if case.verifier.as_ref().is_some_and(Verifier::signs_url) {
        tried.push("the URL with other schemes, hosts, ports and paths");
    }
    tried.push("other schemes");
    let limited = if case.was_limited.get() { " (not all of them, to limit the work)" } else { "" };
    format!("{}{limited}", tried.join(", "))
}

/// Returns what to do about an error for which no attempt was successful.
fn remedy(error: VerifyError) -> &'static str {
    match error {
        VerifyError::WrongIssuer => {
            "compare the expected issuer, audience or topic with the one that the sender shows"
        }
        VerifyError::ExpiredKey | VerifyError::UnknownKeyHost | VerifyError::UnknownKey => {
            "check that the request is the sender's, and which key it names"
        }
        VerifyError::MalformedId
        | VerifyError::MalformedBody
        | VerifyError::EventMismatch
        | VerifyError::UnsupportedCoding { .. }
        | VerifyError::MalformedCoding
        | VerifyError::DecodedTooLarge { .. } => {
            "compare the request with what the scheme requires"
        }
        _ => SECRET,
    }
}
