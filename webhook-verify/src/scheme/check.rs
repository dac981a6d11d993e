//! What a description must have to be a scheme.

use super::{Algorithm, Grammar, Part, Prefix, Scheme, Text, TimestampPlace};
use crate::ConfigError;

pub(super) fn grammar(grammar: &Grammar) -> Result<(), ConfigError> {
    let (option, names): (_, &[Text]) = match grammar {
        Grammar::Plain(Prefix::Refused) => return Ok(()),
        Grammar::Plain(Prefix::Required(prefix) | Prefix::Optional(prefix)) => {
            ("prefix", std::slice::from_ref(prefix))
        }
        Grammar::Pairs { keys, .. } => ("pairs", keys),
        Grammar::List { versions, .. } => ("version_list", versions),
    };
    if names.is_empty()
        || names
            .iter()
            .any(|name| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(ConfigError::option(option, "empty, or not visible ASCII"));
    }
    Ok(())
}

pub(super) fn whole(scheme: &Scheme) -> Result<(), ConfigError> {
    let missing = |part, what| {
        let absent = scheme.content.contains(&part);
        absent.then(|| {
            ConfigError::option(
                "signed_content",
                format!("uses {what}, and none is described"),
            )
        })
    };
    let error = match (&scheme.timestamp, &scheme.id) {
        (None, _) if scheme.content.contains(&Part::Timestamp) => {
            missing(Part::Timestamp, "a timestamp")
        }
        (_, None) if scheme.content.contains(&Part::Id) => missing(Part::Id, "an id"),
        (Some(timestamp), _) => {
            let signed = match timestamp.place {
                TimestampPlace::Pointer(_) => {
                    scheme.signs_body() || scheme.content.contains(&Part::Timestamp)
                }
                TimestampPlace::Header(_) | TimestampPlace::Pair(_) => {
                    scheme.content.contains(&Part::Timestamp)
                }
            };
            (!signed).then(|| {
                ConfigError::option("timestamp", "not under the signature, so it proves nothing")
            })
        }
        _ => None,
    };
    match error {
        Some(error) => Err(error),
        None if scheme.content.is_empty() && scheme.algorithm != Algorithm::Token => {
            Err(ConfigError::option("signed_content", "empty"))
        }
        None => Ok(()),
    }
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
