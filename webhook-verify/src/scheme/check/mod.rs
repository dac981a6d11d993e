//! What a description must have to be a scheme.

mod names;

use std::{collections::HashSet, hash::Hash};

pub(crate) use self::names::is_pointer;
use self::names::place_option;
pub(super) use self::names::{header_name, names, pointer};
use super::{
    Algorithm, BodyDigest, Challenge, Envelope, Field, Grammar, Identity, KeyForm, KeySource, Part,
    Place, Scheme, TimestampPlace, UrlForm,
};
use crate::error::ConfigError;

/// Whether the description breaks a rule; the option that does; and what is wrong with it.
type Rule = (bool, &'static str, &'static str);

/// Rules over several parts of a description: it must be able to work, and prove something.
pub(super) fn whole(scheme: &Scheme) -> Result<(), ConfigError> {
    let mut rules = content(scheme)
        .into_iter()
        .chain(times(scheme))
        .chain(keys(scheme))
        .chain(tokens(scheme))
        .chain(events(scheme))
        .chain(rest(scheme));
    match rules.find(|(broken, ..)| *broken) {
        Some((_, option, reason)) => Err(ConfigError::option(option, reason)),
        None => Ok(()),
    }
}

fn content(scheme: &Scheme) -> [Rule; 9] {
    let option = "signed_content";
    let signs = |part| scheme.content.contains(&part);
    let of_whole_body = |part: &Part| matches!(part, Part::Body | Part::Form | Part::Crc32);
    let holds_signature = scheme
        .signatures
        .iter()
        .any(|source| matches!(source.place, Place::Form(_) | Place::Pointer(_)));
    [
        (
            scheme.content.is_empty() && signs_content(scheme.algorithm),
            option,
            "empty",
        ),
        (
            signs(Part::Timestamp) && scheme.timestamp.is_none(),
            option,
            "uses a timestamp, and none is described",
        ),
        (
            signs(Part::Id) && scheme.id.is_none(),
            option,
            "uses an id, and none is described",
        ),
        (
            !scheme.content.is_empty() && scheme.content.iter().all(is_fixed),
            option,
            "nothing of the request is signed, so one signature fits all",
        ),
        (
            signs(Part::Form) && signs(Part::Body),
            option,
            "a body is signed as it is or as a form",
        ),
        (
            holds_signature
                && (scheme.body_digest.is_some() || scheme.content.iter().any(of_whole_body)),
            option,
            "the signature is in the body that it signs",
        ),
        (
            scheme.content.windows(2).any(blurs),
            option,
            "an id or a header touches the body: there must be text between",
        ),
        (
            scheme.content.windows(2).any(blurs_headers),
            option,
            "the signed headers need a line break before them and behind",
        ),
        (
            matches!(scheme.body_digest, Some(BodyDigest::Query(_))) && !signs_query(scheme),
            "body_digest_query",
            "the query is not signed, so it proves nothing",
        ),
    ]
}

fn times(scheme: &Scheme) -> [Rule; 4] {
    let place = scheme.timestamp.as_ref().map(|timestamp| &timestamp.place);
    let is_signatures_key = |key: &str| {
        scheme.signatures.iter().any(|source| {
            matches!(&source.grammar, Grammar::Pairs { keys, .. } if keys.iter().any(|known| known == key))
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
            "is the key of the signature, too",
        ),
        (
            matches!(place, Some(TimestampPlace::Claim(_))) && !scheme.algorithm.is_jwt(),
            "timestamp_claim",
            NO_JWT,
        ),
        (
            place.is_some_and(|place| !timestamp_is_signed(scheme, place)),
            "timestamp",
            "not under the signature, so it proves nothing",
        ),
    ]
}

fn keys(scheme: &Scheme) -> [Rule; 4] {
    let from_address = |in_header| match &scheme.key_source {
        Some(KeySource::Url { place, .. }) => matches!(place, Place::Header(_)) == in_header,
        Some(KeySource::KeyId) | None => false,
    };
    let is_symmetric = scheme.algorithm.is_symmetric();
    let secret = "the algorithm has a secret, which no request may name";
    [
        (
            !fits(scheme.algorithm, scheme.key_form),
            "key_form",
            "not one of the algorithm's",
        ),
        (
            from_address(true) && is_symmetric,
            "key_from_header",
            secret,
        ),
        (
            from_address(false) && is_symmetric,
            "key_from_pointer",
            secret,
        ),
        (
            scheme.key_source == Some(KeySource::KeyId) && scheme.algorithm != Algorithm::JwtEs256,
            "key_from_token_id",
            "the algorithm is not that of JSON Web Tokens with public keys",
        ),
    ]
}

fn tokens(scheme: &Scheme) -> [Rule; 4] {
    let is_jwt = scheme.algorithm.is_jwt();
    let mut places = scheme.signatures.iter().map(|source| &source.place);
    let elsewhere =
        places.find(|place| !matches!(place, Place::Header(_) | Place::HeaderPrefix(_)));
    [
        (scheme.issuer.is_some() && !is_jwt, "issuer", NO_JWT),
        (
            !scheme.required_claims.is_empty() && !is_jwt,
            "require_claim",
            NO_JWT,
        ),
        (
            matches!(scheme.body_digest, Some(BodyDigest::Claim(_))) && !is_jwt,
            "body_digest_claim",
            NO_JWT,
        ),
        (
            is_jwt && elsewhere.is_some(),
            elsewhere.map_or("", place_option),
            "a JSON Web Token is taken from a header",
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
            "the body is a form, and has no such field",
        ),
    ]
}

fn rest(scheme: &Scheme) -> [Rule; 8] {
    let places = scheme.signatures.iter().map(|source| &source.place);
    let twice = repeated(places);
    let in_body = |part: &Part| scheme.reads_from_body(part);
    let of_one = |part: &Part| matches!(part, Part::Id | Part::Header(_) | Part::SignedHeaders(_));
    let tells_apart = scheme
        .content
        .iter()
        .any(|part| in_body(part) || of_one(part));
    [
        (
            twice.is_some(),
            twice.map_or("", place_option),
            "the same place twice",
        ),
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
            "there is no event type in the body to hold it against",
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
            scheme.challenges.iter().any(Challenge::asks_for_mac) && !scheme.algorithm.is_hmac(),
            "challenge",
            "is answered with an HMAC, and the algorithm is none",
        ),
    ]
}

const NO_JWT: &str = "the algorithm is not that of a JSON Web Token";

/// The first that was there before.
fn repeated<'a, T: Eq + Hash>(mut items: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let mut seen = HashSet::new();
    items.find(|item| !seen.insert(*item))
}

/// The forms in which an algorithm's keys are written.
fn fits(algorithm: Algorithm, form: KeyForm) -> bool {
    match algorithm {
        Algorithm::Ed25519 => matches!(
            form,
            KeyForm::Hex | KeyForm::Base64 | KeyForm::Whpk | KeyForm::Spki
        ),
        Algorithm::EcdsaP256 | Algorithm::JwtEs256 => {
            matches!(form, KeyForm::Spki | KeyForm::Jwk)
        }
        Algorithm::RsaSha256 | Algorithm::RsaSha1 => {
            matches!(form, KeyForm::Spki | KeyForm::Certificate)
        }
        Algorithm::HmacSha256
        | Algorithm::HmacSha1
        | Algorithm::HmacSha512
        | Algorithm::KeyedSha256
        | Algorithm::Token
        | Algorithm::Basic
        | Algorithm::JwtHs256 => matches!(
            form,
            KeyForm::Utf8 | KeyForm::HtmlText | KeyForm::Hex | KeyForm::Base64 | KeyForm::Whsec
        ),
    }
}

/// The same in every request, or nearly.
fn is_fixed(part: &Part) -> bool {
    matches!(
        part,
        Part::Literal(_) | Part::Parameter(_) | Part::Method | Part::Url(UrlForm::WithoutQuery)
    )
}

/// Whether two signed parts of unknown length touch, so that they could be cut apart elsewhere.
fn blurs(pair: &[Part]) -> bool {
    let named = |part: &Part| matches!(part, Part::Id | Part::Header(_));
    let in_body = |part: &Part| {
        matches!(
            part,
            Part::Body
                | Part::Pointer(_)
                | Part::FreePointer(_)
                | Part::Fields(_)
                | Part::Form
                | Part::Crc32
        )
    };
    let free = |part: &Part| named(part) || in_body(part);
    let of_field = |part: &Part| matches!(part, Part::Pointer(_) | Part::FreePointer(_));
    pair.iter().all(free) && pair.iter().any(named) || pair.iter().all(of_field)
}

/// Whether the signed headers could run into what is signed beside them. No header holds a line break.
fn blurs_headers(pair: &[Part]) -> bool {
    match pair {
        [Part::SignedHeaders(_), Part::Literal(text)] => !text.starts_with('\n'),
        [Part::Literal(text), Part::SignedHeaders(_)] => !text.ends_with('\n'),
        _ => pair
            .iter()
            .any(|part| matches!(part, Part::SignedHeaders(_))),
    }
}

/// Tokens sign nothing, and a JSON Web Token signs itself.
pub(super) fn signs_content(algorithm: Algorithm) -> bool {
    !algorithm.is_token() && !algorithm.is_jwt()
}

fn signs_query(scheme: &Scheme) -> bool {
    scheme.content.iter().any(|part| match part {
        Part::Path(_) => true,
        Part::Url(form) => *form != UrlForm::WithoutQuery,
        _ => false,
    })
}

fn timestamp_is_signed(scheme: &Scheme, place: &TimestampPlace) -> bool {
    match place {
        TimestampPlace::Claim(_) => true,
        TimestampPlace::Pointer(_) if scheme.signs_body() => true,
        _ => scheme.content.iter().any(|part| match (part, place) {
            (Part::Timestamp, _) => true,
            // They are refused where it is not among them.
            (Part::SignedHeaders(_), TimestampPlace::Header(_)) => true,
            (Part::Header(signed), TimestampPlace::Header(name)) => signed == name,
            (Part::Pointer(signed), TimestampPlace::Pointer(pointer)) => signed == pointer,
            (Part::Fields(signed), TimestampPlace::Pointer(pointer)) => signed.contains(pointer),
            _ => false,
        }),
    }
}

fn pairs_in_header(scheme: &Scheme) -> bool {
    scheme.signatures.iter().all(|source| {
        matches!(
            (&source.place, &source.grammar),
            (Place::Header(_), Grammar::Pairs { .. })
        )
    })
}

#[cfg(test)]
mod tests;
