//! What a description must have to be a scheme.

use super::{
    Algorithm, Challenge, Field, Grammar, Part, Place, Prefix, Scheme, Text, TimestampPlace,
};
use crate::ConfigError;

pub(super) fn grammar(grammar: &Grammar) -> Result<(), ConfigError> {
    let (option, names, separators): (_, &[Text], [char; 2]) = match grammar {
        Grammar::Plain(Prefix::Refused) => return Ok(()),
        Grammar::Plain(
            Prefix::Required(prefix) | Prefix::Optional(prefix) | Prefix::Scheme(prefix),
        ) => {
            return named("prefix", std::slice::from_ref(prefix));
        }
        Grammar::Pairs { separator, keys } => ("pairs", keys, [*separator, '=']),
        Grammar::List {
            separator,
            version_separator,
            versions,
        } => ("version_list", versions, [*separator, *version_separator]),
    };
    named(option, names)?;
    let unusable = separators[0] == separators[1]
        || !separators.iter().all(char::is_ascii)
        || names.iter().any(|name| name.contains(separators));
    match unusable {
        true => Err(ConfigError::option(
            option,
            "separators must differ, be ASCII, and be in no name",
        )),
        false => Ok(()),
    }
}

fn named(option: &'static str, names: &[Text]) -> Result<(), ConfigError> {
    let bad = |name: &Text| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic());
    match names.is_empty() || names.iter().any(bad) {
        true => Err(ConfigError::option(option, "empty, or not visible ASCII")),
        false => Ok(()),
    }
}

/// Rules over several parts of a description.
pub(super) fn whole(scheme: &Scheme) -> Result<(), ConfigError> {
    let signs = |part| scheme.content.contains(&part);
    let timestamp = scheme.timestamp.as_ref().map(|timestamp| &timestamp.place);
    let rules = [
        (
            scheme.content.is_empty() && signs_content(scheme.algorithm),
            ("signed_content", "empty"),
        ),
        (
            signs(Part::Timestamp) && timestamp.is_none(),
            ("signed_content", "uses a timestamp, and none is described"),
        ),
        (
            signs(Part::Id) && scheme.id.is_none(),
            ("signed_content", "uses an id, and none is described"),
        ),
        (
            scheme.content.windows(2).any(blurs),
            (
                "signed_content",
                "an id or a header touches the body: there must be text between",
            ),
        ),
        (
            matches!(timestamp, Some(TimestampPlace::Pair(_))) && !pairs_in_header(scheme),
            (
                "timestamp_pair",
                "the signature is not among the pairs of a header",
            ),
        ),
        (
            timestamp.is_some() && !timestamp_is_signed(scheme, timestamp),
            ("timestamp", "not under the signature, so it proves nothing"),
        ),
        (
            scheme.event_header.is_some() && !matches!(scheme.event_type, Some(Field::Pointer(_))),
            (
                "event_type_repeated_in",
                "there is no event type in the body to hold it against",
            ),
        ),
        (
            scheme.challenges.iter().any(Challenge::asks_for_mac) && !scheme.algorithm.is_hmac(),
            (
                "challenge",
                "is answered with an HMAC, and the algorithm is none",
            ),
        ),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, (option, reason))) => Err(ConfigError::option(option, reason)),
        None => Ok(()),
    }
}

/// Whether two signed parts of unknown length touch, so that they could be cut apart elsewhere.
fn blurs(pair: &[Part]) -> bool {
    let named = |part: &Part| matches!(part, Part::Id | Part::Header(_));
    let free = |part: &Part| named(part) || matches!(part, Part::Body | Part::Pointer(_));
    pair.iter().all(free) && pair.iter().any(named)
}

/// Tokens sign nothing, and a JSON Web Token signs itself.
pub(super) fn signs_content(algorithm: Algorithm) -> bool {
    !algorithm.is_token() && !algorithm.is_jwt()
}

fn timestamp_is_signed(scheme: &Scheme, timestamp: Option<&TimestampPlace>) -> bool {
    scheme.content.iter().any(|part| match (part, timestamp) {
        (Part::Timestamp | Part::SignedHeaders(_), _) => true,
        (Part::Body, Some(TimestampPlace::Pointer(_))) => true,
        (Part::Fields(fields), Some(TimestampPlace::Pointer(pointer))) => fields.contains(pointer),
        (Part::Header(signed), Some(TimestampPlace::Header(name))) => signed == name,
        _ => false,
    }) || matches!(timestamp, Some(TimestampPlace::Claim(_))) && scheme.algorithm.is_jwt()
}

fn pairs_in_header(scheme: &Scheme) -> bool {
    scheme.signatures.iter().all(|source| {
        matches!(
            (&source.place, &source.grammar),
            (Place::Header(_), Grammar::Pairs { .. })
        )
    })
}

/// A header name (a token of RFC 9110 §5.6.2) in lower case.
pub(super) fn header_name(option: &'static str, name: &str) -> Result<Text, ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
        return Err(ConfigError::option(option, "not a header name"));
    }
    Ok(name.to_ascii_lowercase().into())
}

/// A JSON pointer (RFC 6901) to something inside the document.
pub(super) fn pointer(option: &'static str, pointer: &str) -> Result<Text, ConfigError> {
    if !pointer.starts_with('/') {
        return Err(ConfigError::option(
            option,
            "not a JSON pointer: it must start with `/`",
        ));
    }
    Ok(Text::Owned(pointer.into()))
}
