//! The rules that a description must follow to be a scheme.

mod ambiguity;
mod names;

use std::{collections::HashSet, hash::Hash};

pub(super) use self::ambiguity::all_delimiters;
#[cfg(test)]
pub(crate) use self::ambiguity::misfit;
use self::names::place_option;
pub(super) use self::names::{header_name, names, pointer};
pub(crate) use self::names::{is_pointer, is_token_byte};
use super::{
    Algorithm, Challenge, DigestPlace, Envelope, Field, Grammar, Identity, KeyForm, KeySource,
    Origin, Part, Place, Scheme, SignedBytes, SignedForm, TimestampPlace, Values, Varies,
    WholeBody,
};
use crate::error::ConfigError;

/// Whether the rule is broken, the option that breaks it, and the error.
type Rule = (bool, &'static str, &'static str);

/// Checks the whole scheme: it must be able to work, prove something, and have one meaning.
pub(super) fn whole(scheme: &Scheme) -> Result<(), ConfigError> {
    rules(scheme)?;
    ambiguity::check(scheme).map_err(|reason| ConfigError::option("signed_content", reason))
}

/// Checks rules over several options.
pub(super) fn rules(scheme: &Scheme) -> Result<(), ConfigError> {
    let mut rules = content(scheme)
        .into_iter()
        .chain(times(scheme))
        .chain(keys(scheme))
        .chain(tokens(scheme))
        .chain(events(scheme))
        .chain(compressed(scheme))
        .chain(forms(scheme))
        .chain(rest(scheme));
    if let Some((_, option, reason)) = rules.find(|(broken, ..)| *broken) {
        return Err(ConfigError::option(option, reason));
    }
    Ok(())
}

fn content(scheme: &Scheme) -> [Rule; 13] {
    let option = "signed_content";
    let of_whole_body = |part: &Part| part.facts().whole_body.is_some();
    let never_varies = |part: &Part| part.facts().varies == Varies::Never;
    let holds_signature = scheme.signatures.iter().any(|source| source.place.is_in_body());
    [
        (scheme.content.is_empty() && signs_content(scheme.algorithm), option, "empty"),
        (
            scheme.signs_from(Origin::Timestamp) && scheme.timestamp.is_none(),
            option,
            "uses a timestamp, but none is described",
        ),
        (
            scheme.signs_from(Origin::Id) && scheme.id.is_none(),
            option,
            "uses an id, but none is described",
        ),
        (
            !scheme.content.is_empty() && scheme.content.iter().all(never_varies),
            option,
            "signs nothing of the request, so one signature fits all requests",
        ),
        (
            scheme.signs_whole(WholeBody::Form) && scheme.signs_whole(WholeBody::Bytes),
            option,
            "signs the body both as sent and as a form",
        ),
        (
            holds_signature
                && (scheme.body_digest.is_some() || scheme.content.iter().any(of_whole_body)),
            option,
            "signs the body that contains the signature",
        ),
        (
            scheme.content.iter().filter(|part| part.facts().url.is_some()).count() > 1,
            option,
            "has more than one form of the URL",
        ),
        (
            scheme.signs(|part| matches!(part, Part::Secret)) && !scheme.algorithm.is_keyed_hash(),
            option,
            "contains the secret, but the algorithm is not a keyed digest",
        ),
        (
            scheme.content.iter().filter(|part| matches!(part, Part::Secret)).count() > 1,
            option,
            "contains the secret twice",
        ),
        (
            scheme.signs(|part| matches!(part, Part::Pair(_) | Part::HeaderValues(_)))
                && !pairs_in_header(scheme),
            option,
            "uses a pair, but the signature is not in a header of pairs",
        ),
        (
            scheme
                .version_contents
                .iter()
                .any(|(version, _)| !scheme.signatures.iter().any(|it| it.grammar.has(version))),
            option,
            "no signature has this version",
        ),
        (
            scheme
                .version_contents
                .iter()
                .any(|(_, content)| !covers_alike(content, &scheme.content)),
            option,
            "covers the body, the ID or the timestamp in one version only",
        ),
        (
            matches!(digest_place(scheme), Some(DigestPlace::Query(_))) && !signs_query(scheme),
            "body_digest_query",
            "the query is not signed, so the digest proves nothing",
        ),
    ]
}

/// Returns whether two contents cover the body, the delivery ID and the timestamp alike, so that
/// what is signed in one version is signed in all.
fn covers_alike(one: &[Part], other: &[Part]) -> bool {
    let covered = |content: &[Part]| {
        let any = |is_it: &dyn Fn(&Part) -> bool| content.iter().any(is_it);
        (
            any(&|part| part.facts().whole_body == Some(WholeBody::Bytes)),
            any(&|part| part.facts().whole_body == Some(WholeBody::Digest)),
            any(&|part| part.facts().origin == Origin::Id),
            any(&|part| part.facts().origin == Origin::Timestamp),
        )
    };
    // A field or header that only one version covers is not believed to be signed.
    let is_plain =
        |part: &Part| matches!(part.facts().values, Values::Unnamed | Values::ListedHeaders(_));
    covered(one) == covered(other) && one.iter().chain(other).all(is_plain)
}

fn times(scheme: &Scheme) -> [Rule; 5] {
    let place = scheme.timestamp.as_ref().map(|timestamp| &timestamp.place);
    let is_signatures_key = |key: &str| {
        scheme.signatures.iter().any(|source| match &source.grammar {
            Grammar::Pairs { keys, .. } => keys.iter().any(|known| known == key),
            Grammar::Plain(_) | Grammar::List { .. } | Grammar::AfterTimestamp { .. } => false,
        })
    };
    [
        (
            matches!(place, Some(TimestampPlace::Pair(_))) && !pairs_in_header(scheme),
            "timestamp_pair",
            "the signature is not among the pairs of a header",
        ),
        (
            matches!(place, Some(TimestampPlace::Pair(key)) if is_signatures_key(key)),
            "timestamp_pair",
            "is the signature's key as well",
        ),
        (
            matches!(place, Some(TimestampPlace::Before))
                != scheme
                    .signatures
                    .iter()
                    .any(|source| matches!(source.grammar, Grammar::AfterTimestamp { .. })),
            "after_timestamp",
            "requires a timestamp before the signature, and such a timestamp requires it",
        ),
        (
            matches!(place, Some(TimestampPlace::Claim(_))) && !scheme.algorithm.is_jwt(),
            "timestamp_claim",
            NO_JWT,
        ),
        (
            place.is_some_and(|place| !timestamp_is_signed(scheme, place)),
            "timestamp",
            "is not signed, so it proves nothing",
        ),
    ]
}

fn keys(scheme: &Scheme) -> [Rule; 4] {
    let from_address = |in_header| match &scheme.key_source {
        Some(KeySource::Url { place, .. }) => matches!(place, Place::Header(_)) == in_header,
        Some(KeySource::KeyId) | None => false,
    };
    let is_symmetric = scheme.algorithm.is_symmetric();
    let secret = "requests cannot name the key of an algorithm with a shared secret";
    [
        (
            !fits(scheme.algorithm, scheme.key_form),
            "key_form",
            "is not a form of the algorithm's keys",
        ),
        (from_address(true) && is_symmetric, "key_from_header", secret),
        (from_address(false) && is_symmetric, "key_from_pointer", secret),
        (
            scheme.key_source == Some(KeySource::KeyId) && scheme.algorithm != Algorithm::JwtEs256,
            "key_from_token_id",
            "the algorithm is not for JSON Web Tokens with public keys",
        ),
    ]
}

fn tokens(scheme: &Scheme) -> [Rule; 7] {
    let digest = scheme.body_digest.as_ref();
    let in_query = matches!(digest_place(scheme), Some(DigestPlace::Query(_)));
    let is_jwt = scheme.algorithm.is_jwt();
    let mut places = scheme.signatures.iter().map(|source| &source.place);
    let elsewhere =
        places.find(|place| !matches!(place, Place::Header(_) | Place::HeaderPrefix(_)));
    [
        (scheme.issuer.is_some() && !is_jwt, "issuer", NO_JWT),
        (!scheme.required_claims.is_empty() && !is_jwt, "require_claim", NO_JWT),
        (
            matches!(digest_place(scheme), Some(DigestPlace::Claim(_))) && !is_jwt,
            "body_digest_claim",
            NO_JWT,
        ),
        (scheme.url_digest.is_some() && !is_jwt, "url_digest_claim", NO_JWT),
        (
            in_query && digest.is_some_and(|digest| digest.or_query),
            "body_digest_or_query",
            "cannot be used if the query contains the digest",
        ),
        (
            in_query && digest.is_some_and(|digest| digest.optional),
            "body_digest_optional",
            "only a claim of a JSON Web Token may be absent",
        ),
        (
            is_jwt && elsewhere.is_some(),
            elsewhere.map_or("", place_option),
            "a JSON Web Token must be in a header",
        ),
    ]
}

/// Returns whether fields of the body are read before it is verified.
fn needs_fields(scheme: &Scheme) -> bool {
    let is_field = |part: &Part| {
        let whole = part.facts().whole_body;
        scheme.reads_from_body(part)
            && !matches!(whole, Some(WholeBody::Bytes | WholeBody::Checksum))
    };
    let key_in_body = matches!(
        &scheme.key_source,
        Some(KeySource::Url { place, .. }) if place.is_in_body()
    );
    key_in_body
        || !scheme.required_fields.is_empty()
        || !scheme.refused_fields.is_empty()
        || scheme.signatures.iter().any(|source| source.place.is_in_body())
        || scheme.content.iter().any(is_field)
}

fn forms(scheme: &Scheme) -> [Rule; 2] {
    let option = "json_in_form";
    let signed = scheme.json_in_form.as_ref().map(|json| json.signed);
    let alone = Scheme { json_in_form: None, ..scheme.clone() };
    [
        (
            signed.is_some() && alone.reads_forms(),
            option,
            "cannot be combined with other form fields",
        ),
        (
            signed == Some(SignedForm::Whole) && (!scheme.signs_body() || needs_fields(scheme)),
            option,
            "fields of a form that is signed as a whole cannot be read before it is verified",
        ),
    ]
}

fn compressed(scheme: &Scheme) -> [Rule; 3] {
    let option = "signed_bytes";
    let as_sent = scheme.signed_bytes == Some(SignedBytes::AsSent);
    [
        (
            scheme.signed_bytes.is_some()
                && scheme.body_digest.is_none()
                && !scheme.content.iter().any(|part| scheme.reads_from_body(part)),
            option,
            "the scheme does not sign the body",
        ),
        (
            as_sent && needs_fields(scheme),
            option,
            "fields of a compressed body cannot be read before it is verified",
        ),
        (
            as_sent && scheme.identity == Identity::SignedContent,
            option,
            "a retry may be compressed differently, so the signed bytes cannot be the idempotency key",
        ),
    ]
}

fn events(scheme: &Scheme) -> [Rule; 2] {
    let list = match &scheme.envelope {
        Envelope::List(list) => Some(list),
        Envelope::One | Envelope::ByType => None,
    };
    [
        (
            list.is_some_and(|list| repeated(list.id.iter()).is_some()),
            "listed_event_id",
            "the same pointer twice",
        ),
        (
            scheme.test_field.is_some() && list.is_some_and(|list| list.form.is_some()),
            "test_field",
            "the body is a form, not JSON",
        ),
    ]
}

fn rest(scheme: &Scheme) -> [Rule; 12] {
    let places = scheme.signatures.iter().map(|source| &source.place);
    let twice = repeated(places);
    let tells_apart = scheme
        .content
        .iter()
        .any(|part| scheme.reads_from_body(part) || part.facts().varies == Varies::WithDelivery);
    [
        (twice.is_some(), twice.map_or("", place_option), "the same place twice"),
        (
            repeated(scheme.required_headers.iter().map(|(name, _)| name)).is_some(),
            "require_header",
            "the same header twice",
        ),
        (
            repeated(scheme.required_fields.iter().map(|(path, _)| path)).is_some(),
            "require_field",
            "the same field twice",
        ),
        (
            scheme.event_header.is_some() && !matches!(scheme.event_type, Some(Field::Pointer(_))),
            "event_type_repeated_in",
            "needs an event type in the body to compare with",
        ),
        (
            scheme.identity == Identity::SignedId && !scheme.id_is_signed(),
            "identity",
            "the id is not signed",
        ),
        (
            scheme.identity == Identity::BodyDigest && !scheme.signs_body(),
            "identity",
            "the body is not signed",
        ),
        (
            scheme.identity == Identity::SignedContent && (scheme.signs_body() || !tells_apart),
            "identity",
            "the signed content is the whole body, or the same for different deliveries",
        ),
        (
            !scheme.form_fields.is_empty()
                && scheme.parts().any(|part| part.facts().whole_body.is_some()),
            "form_field",
            "cannot be used if the whole body is signed",
        ),
        (
            scheme.identity == Identity::Digest && !scheme.signs_body() && !tells_apart,
            "identity",
            "the signed content is the same for different deliveries",
        ),
        (
            (scheme.identity == Identity::Fields) == scheme.identity_fields.is_empty(),
            "identity_fields",
            "must be set if they are the idempotency key, and only then",
        ),
        (
            scheme
                .identity_fields
                .iter()
                .any(|pointer| !scheme.covers(&Field::Pointer(pointer.clone()))),
            "identity_fields",
            "a field is not signed",
        ),
        (
            scheme.challenges.iter().any(Challenge::asks_for_mac) && !scheme.algorithm.is_hmac(),
            "challenge",
            "needs an HMAC for its response, but the algorithm is none",
        ),
    ]
}

const NO_JWT: &str = "the algorithm is not for JSON Web Tokens";

/// Returns the first item that equals an earlier one.
fn repeated<'a, T: Eq + Hash>(mut items: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let mut seen = HashSet::new();
    items.find(|item| !seen.insert(*item))
}

/// Returns whether the algorithm's keys have this form.
fn fits(algorithm: Algorithm, form: KeyForm) -> bool {
    match algorithm {
        Algorithm::Ed25519 => {
            matches!(form, KeyForm::Hex | KeyForm::Base64 | KeyForm::Whpk | KeyForm::Spki)
        }
        Algorithm::EcdsaP256 | Algorithm::JwtEs256 => {
            matches!(form, KeyForm::Spki | KeyForm::Jwk)
        }
        Algorithm::RsaSha256 | Algorithm::RsaSha1 => {
            matches!(form, KeyForm::Spki | KeyForm::Certificate)
        }
        Algorithm::HmacSha256
        | Algorithm::HmacSha1
        | Algorithm::HmacSha512
        | Algorithm::KeyedSha1
        | Algorithm::KeyedSha256
        | Algorithm::KeyedSha512
        | Algorithm::Token
        | Algorithm::Basic
        | Algorithm::JwtHs256 => matches!(
            form,
            KeyForm::Utf8
                | KeyForm::HtmlText
                | KeyForm::Sha1
                | KeyForm::Hex
                | KeyForm::Base64
                | KeyForm::Whsec
        ),
    }
}

/// Returns whether the scheme signs content: tokens sign nothing, and JSON Web Tokens themselves.
pub(super) fn signs_content(algorithm: Algorithm) -> bool {
    !algorithm.is_token() && !algorithm.is_jwt()
}

fn digest_place(scheme: &Scheme) -> Option<&DigestPlace> {
    scheme.body_digest.as_ref().map(|digest| &digest.place)
}

fn signs_query(scheme: &Scheme) -> bool {
    scheme.signs(|part| part.facts().has_query)
}

fn timestamp_is_signed(scheme: &Scheme, place: &TimestampPlace) -> bool {
    let is_it = |part: &Part| match (part.facts().values, place) {
        // A request without the timestamp's header in its list is refused.
        (Values::ListedHeaders(_), TimestampPlace::Header(_)) => true,
        (Values::Header(signed), TimestampPlace::Header(name)) => signed == name,
        (Values::Field(signed), TimestampPlace::Pointer(pointer)) => signed == pointer,
        (Values::FormField(signed), TimestampPlace::Form(name)) => signed == name,
        (Values::Fields(signed), TimestampPlace::Pointer(pointer)) => signed.contains(pointer),
        _ => false,
    };
    let in_body_or_token = match place {
        TimestampPlace::Claim(_) => true,
        TimestampPlace::Pointer(_) => scheme.signs_body(),
        TimestampPlace::Header(_)
        | TimestampPlace::Pair(_)
        | TimestampPlace::Before
        | TimestampPlace::Form(_) => false,
    };
    in_body_or_token || scheme.signs_from(Origin::Timestamp) || scheme.signs(is_it)
}

fn pairs_in_header(scheme: &Scheme) -> bool {
    scheme.signatures.iter().all(|source| {
        matches!((&source.place, &source.grammar), (Place::Header(_), Grammar::Pairs { .. }))
    })
}

#[cfg(test)]
mod tests;
