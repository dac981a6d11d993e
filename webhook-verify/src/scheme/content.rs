use super::{Part, PathForm, Text, UrlForm};
use crate::ConfigError;

/// Parses a template such as `v0:{timestamp}:{body}`.
pub(super) fn parse(template: &str) -> Result<Vec<Part>, ConfigError> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        literal(&mut parts, &rest[..open])?;
        let close = rest[open..]
            .find('}')
            .ok_or_else(|| bad("a `{` is not closed"))?;
        parts.push(part(&rest[open + 1..open + close])?);
        rest = &rest[open + close + 1..];
    }
    literal(&mut parts, rest)?;
    Ok(parts)
}

fn literal(parts: &mut Vec<Part>, text: &str) -> Result<(), ConfigError> {
    if text.contains('}') {
        return Err(bad("a `}` was not opened"));
    }
    if !text.is_empty() {
        parts.push(Part::Literal(Text::Owned(text.into())));
    }
    Ok(())
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
            Some(("fields", names)) => Part::Fields(
                names
                    .split(',')
                    .map(|name| super::check::pointer("signed_content", &format!("/{name}")))
                    .collect::<Result<_, _>>()?,
            ),
            Some(("parameter", name)) if !name.is_empty() => {
                Part::Parameter(Text::Owned(name.into()))
            }
            _ => return Err(bad(&format!("`{{{name}}}` is not known"))),
        },
    })
}

fn bad(reason: &str) -> ConfigError {
    ConfigError::option("signed_content", reason)
}
