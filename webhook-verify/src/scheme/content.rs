use std::mem;

use super::{Part, PathForm, Text, UrlForm};
use crate::error::ConfigError;

/// Parses a template such as `v0:{timestamp}:{body}`, in which a doubled brace is a brace.
pub(super) fn parse(template: &str) -> Result<Vec<Part>, ConfigError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let (brace, behind) = rest[at..].split_at(1);
        if let Some(behind) = behind.strip_prefix(brace) {
            text.push_str(brace);
            rest = behind;
            continue;
        }
        if brace == "}" {
            return Err(bad("a `}` was not opened"));
        }
        let (name, behind) = behind
            .split_once('}')
            .ok_or_else(|| bad("a `{` is not closed"))?;
        literal(&mut parts, mem::take(&mut text));
        parts.push(part(name)?);
        rest = behind;
    }
    text.push_str(rest);
    literal(&mut parts, text);
    Ok(parts)
}

fn literal(parts: &mut Vec<Part>, text: String) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.into()));
    }
}

fn part(name: &str) -> Result<Part, ConfigError> {
    Ok(match name {
        "body" => Part::Body,
        "timestamp" => Part::Timestamp,
        "id" => Part::Id,
        "url" => Part::Url(UrlForm::AsConfigured),
        "url:either-port" => Part::Url(UrlForm::EitherPort),
        "url:without-query" => Part::Url(UrlForm::WithoutQuery),
        "url:partly-decoded" => Part::Url(UrlForm::PartlyDecoded),
        "method" => Part::Method,
        "path" => Part::Path(PathForm::AsSent),
        "path:escaped-twice" => Part::Path(PathForm::EscapedTwice),
        "form" => Part::Form,
        "crc32" => Part::Crc32,
        _ => match name.split_once(':') {
            Some(("header", header)) => {
                Part::Header(super::check::header_name("signed_content", header)?)
            }
            Some(("signed-headers", header)) => {
                Part::SignedHeaders(super::check::header_name("signed_content", header)?)
            }
            Some(("json", pointer)) => {
                Part::Pointer(super::check::pointer("signed_content", pointer)?)
            }
            Some(("free-json", pointer)) => {
                Part::FreePointer(super::check::pointer("signed_content", pointer)?)
            }
            Some(("fields", names)) => {
                Part::Fields(names.split(',').map(field).collect::<Result<_, _>>()?)
            }
            Some(("parameter", name)) if !name.is_empty() => {
                Part::Parameter(Text::Owned(name.into()))
            }
            _ => return Err(bad(&format!("`{{{name}}}` is not known"))),
        },
    })
}

/// The pointer to a field of the body itself.
fn field(name: &str) -> Result<Text, ConfigError> {
    match name.is_empty() || name.contains(['/', '~']) {
        true => Err(bad("a field has no name, or is not one of the body itself")),
        false => Ok(format!("/{name}").into()),
    }
}

fn bad(reason: &str) -> ConfigError {
    ConfigError::option("signed_content", reason)
}
