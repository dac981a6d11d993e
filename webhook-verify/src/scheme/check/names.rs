//! Checks and normalizes the names in a description.

use super::super::{
    DigestPlace, Envelope, Field, Grammar, KeySource, Place, Prefix, Scheme, Text, TimestampPlace,
};
use crate::error::ConfigError;

/// Checks every name, and converts those of headers and hosts to lower case.
pub(in super::super) fn names(scheme: &mut Scheme) -> Result<(), ConfigError> {
    given("name", &scheme.name)?;
    for source in scheme.signatures.to_mut() {
        let option = place_option(&source.place);
        match &mut source.place {
            Place::Header(name) | Place::HeaderPrefix(name) => lower(option, name)?,
            Place::Query(name) | Place::Form(name) => given(option, name)?,
            Place::Pointer(path) => is_pointer(option, path)?,
        }
        grammar(&source.grammar)?;
        let fits = matches!(source.grammar, Grammar::Plain(_) | Grammar::AfterTimestamp { .. });
        let several = source.several.is_none_or(|separator| fits && separator.is_ascii());
        require(several, "several", "requires an ASCII separator, and no pairs or versions")?;
    }
    match scheme.timestamp.as_mut().map(|source| &mut source.place) {
        Some(TimestampPlace::Header(name)) => lower("timestamp_header", name)?,
        Some(TimestampPlace::Pointer(path)) => is_pointer("timestamp_pointer", path)?,
        Some(TimestampPlace::Claim(name)) => given("timestamp_claim", name)?,
        Some(TimestampPlace::Form(name)) => given("timestamp_form", name)?,
        Some(TimestampPlace::Pair(key)) if key.is_empty() || key.contains(['=', ' ']) => {
            return Err(ConfigError::option("timestamp_pair", "empty, or holds a separator"));
        }
        Some(TimestampPlace::Pair(_) | TimestampPlace::Before) | None => {}
    }
    match &mut scheme.key_source {
        Some(KeySource::Url { place, hosts }) => {
            let option = match place {
                Place::Header(name) => {
                    lower("key_from_header", name)?;
                    "key_from_header"
                }
                Place::Pointer(path) => {
                    is_pointer("key_from_pointer", path)?;
                    "key_from_pointer"
                }
                Place::HeaderPrefix(_) | Place::Query(_) | Place::Form(_) => "key_from_header",
            };
            if hosts.is_empty() {
                return Err(ConfigError::option(option, "no host is given"));
            }
            for host in hosts.to_mut() {
                let (name, path) = host.split_at(host.find('/').unwrap_or(host.len()));
                is_host(option, name)?;
                *host = format!("{}{path}", name.to_ascii_lowercase()).into();
            }
        }
        Some(KeySource::KeyId) | None => {}
    }
    match scheme.body_digest.as_ref().map(|digest| &digest.place) {
        Some(DigestPlace::Query(name)) => given("body_digest_query", name)?,
        Some(DigestPlace::Claim(name)) => given("body_digest_claim", name)?,
        None => {}
    }
    if let Some(digest) = &scheme.url_digest {
        given("url_digest_claim", &digest.claim)?;
    }
    if let Some(issuer) = &scheme.issuer {
        given("issuer", issuer)?;
    }
    for (name, _) in scheme.required_headers.to_mut() {
        lower("require_header", name)?;
    }
    for (path, _) in &*scheme.required_fields {
        is_pointer("require_field", path)?;
    }
    for name in &*scheme.required_claims {
        given("require_claim", name)?;
    }
    for (path, parameter) in &*scheme.parameter_fields {
        is_pointer("parameter_field", path)?;
        given("parameter_field", parameter)?;
    }
    for path in &*scheme.refused_fields {
        is_pointer("refuse_field", path)?;
    }
    for path in &*scheme.identity_fields {
        is_pointer("identity_fields", path)?;
    }
    for (path, name) in &*scheme.form_fields {
        is_pointer("form_field", path)?;
        given("form_field", name)?;
    }
    if let Some(json) = &scheme.json_in_form {
        given("json_in_form", &json.field)?;
    }
    for (name, alias) in scheme.header_aliases.to_mut() {
        lower("header_alias", name)?;
        lower("header_alias", alias)?;
    }
    field("id", &mut scheme.id)?;
    field("event_type", &mut scheme.event_type)?;
    if let Some(name) = &mut scheme.event_header {
        lower("event_type_repeated_in", name)?;
    }
    events(scheme)
}

fn events(scheme: &Scheme) -> Result<(), ConfigError> {
    if let Envelope::List(list) = &scheme.envelope {
        if let Some(name) = &list.form {
            given("event_list_in_form", name)?;
        }
        if !list.at.is_empty() {
            is_pointer("event_list", &list.at)?;
        }
        for path in &*list.event_type {
            is_pointer("listed_event_type", path)?;
        }
        for path in &*list.id {
            is_pointer("listed_event_id", path)?;
        }
    }
    if let Some((path, _)) = &scheme.event_time {
        is_pointer("event_time", path)?;
    }
    if let Some(path) = &scheme.event_data {
        is_pointer("event_data", path)?;
    }
    if let Some(path) = &scheme.test_field {
        is_pointer("test_field", path)?;
    }
    Ok(())
}

/// Returns the option that adds such a place for a signature.
pub(super) fn place_option(place: &Place) -> &'static str {
    match place {
        Place::Header(_) => "signature_header",
        Place::HeaderPrefix(_) => "signature_header_prefix",
        Place::Query(_) => "signature_query",
        Place::Form(_) => "signature_form",
        Place::Pointer(_) => "signature_pointer",
    }
}

fn field(option: &'static str, field: &mut Option<Field>) -> Result<(), ConfigError> {
    match field {
        Some(Field::Header(name)) => lower(option, name),
        Some(Field::Pointer(path)) => is_pointer(option, path),
        Some(Field::FirstKey) | None => Ok(()),
    }
}

fn grammar(grammar: &Grammar) -> Result<(), ConfigError> {
    let (option, names, separators): (_, &[Text], [char; 2]) = match grammar {
        Grammar::Plain(Prefix::Refused) => return Ok(()),
        Grammar::Plain(Prefix::Required(prefix)) => return is_prefix("prefix", prefix),
        Grammar::Plain(Prefix::Optional(prefix)) => return is_prefix("optional_prefix", prefix),
        Grammar::Plain(Prefix::Scheme(name)) => {
            let reason = "not the name of an authentication scheme";
            return require(is_token(name), "authorization_scheme", reason);
        }
        Grammar::Pairs { separator, groups, keys } => {
            let fits = groups.is_none_or(|groups| groups.is_ascii() && groups != *separator);
            require(fits, "pairs", "groups need an ASCII separator other than the pairs'")?;
            ("pairs", keys, [*separator, '='])
        }
        Grammar::List { separator, version_separator, versions } => {
            ("version_list", versions, [*separator, *version_separator])
        }
        Grammar::AfterTimestamp { separator } => {
            let fits = separator.is_ascii_punctuation();
            return require(fits, "after_timestamp", "the separator is not ASCII punctuation");
        }
    };
    if !matches!(grammar, Grammar::List { versions, .. } if versions.is_empty()) {
        visible(option, names)?;
    }
    let usable = separators[0] != separators[1]
        && separators.iter().all(char::is_ascii)
        && !names.iter().any(|name| name.contains(separators));
    let reason = "separators must differ, be ASCII, and be in no name";
    require(usable, option, reason)
}

/// Checks a prefix, which may end in a space, such as Greenhouse's `sha256 `. It must not begin
/// with a space, because HTTP removes spaces before a header's value.
fn is_prefix(option: &'static str, prefix: &str) -> Result<(), ConfigError> {
    let text = prefix.strip_suffix(' ').unwrap_or(prefix);
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    require(fits, option, "must be visible ASCII, with at most one space at the end")
}

fn visible(option: &'static str, names: &[Text]) -> Result<(), ConfigError> {
    let fits = |name: &Text| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let all_fit = !names.is_empty() && names.iter().all(fits);
    require(all_fit, option, "empty, or not visible ASCII")
}

fn given(option: &'static str, text: &str) -> Result<(), ConfigError> {
    require(!text.is_empty(), option, "empty")
}

fn require(holds: bool, option: &'static str, reason: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::option(option, reason)) }
}

/// Returns whether a name is a token (RFC 9110 §5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && name.bytes().all(is_token_byte)
}

/// Returns whether a byte may be in a method or in the name of a header (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn lower(option: &'static str, name: &mut Text) -> Result<(), ConfigError> {
    *name = header_name(option, name)?;
    Ok(())
}

/// Returns the header name in lower case.
pub(in super::super) fn header_name(option: &'static str, name: &str) -> Result<Text, ConfigError> {
    require(is_token(name), option, "not a header name")?;
    Ok(name.to_ascii_lowercase().into())
}

/// Returns the JSON pointer (RFC 6901), if it is one and not to the whole document.
pub(in super::super) fn pointer(option: &'static str, path: &str) -> Result<Text, ConfigError> {
    is_pointer(option, path)?;
    Ok(Text::Owned(path.into()))
}

pub(crate) fn is_pointer(option: &'static str, path: &str) -> Result<(), ConfigError> {
    let reason = "not a JSON pointer: it must start with `/`";
    require(path.starts_with('/'), option, reason)
}

/// Checks the name of a host (RFC 1123 §2.1), in which `*` may stand for a label. It cannot stand
/// for one of the last two, because a whole registry is never one sender's.
fn is_host(option: &'static str, host: &str) -> Result<(), ConfigError> {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels: Vec<_> = host.split('.').collect();
    let last_two = labels.len().saturating_sub(2);
    let fits = labels.len() >= 2
        && host.len() <= 253
        && labels[..last_two]
            .iter()
            .all(|label| *label == "*" || is_label(label))
        && labels[last_two..].iter().all(|label| is_label(label))
        // IP addresses are refused.
        && !host.ends_with(|last: char| last.is_ascii_digit());
    let reason = "not the name of a host, or a `*` in its last two labels";
    require(fits, option, reason)
}
