//! The parts that signed content consists of.
//!
//! A new part needs a variant with its arms in this file, and an arm in `verify/signed.rs` that
//! produces its bytes. Other code uses [`Part::facts`] and lists no parts, so none is overlooked.

use std::{fmt, mem};

use super::{CONTENT_TYPE, List, Text, check};
use crate::error::ConfigError;

/// One part of the signed content, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Text),
    Body,
    /// The timestamp's text as sent.
    Timestamp,
    Id,
    /// The configured public URL, with the request's query.
    Url(UrlForm),
    Method,
    /// Path and query.
    Path(PathForm),
    Header(Text),
    /// The headers that this header lists, separated by commas: `name:value;name:value`.
    SignedHeaders(Text),
    /// The scalar at a JSON pointer into the body. It must not contain the delimiters around it.
    Pointer(Text),
    /// The scalar at a JSON pointer into the body. It may contain the delimiters around it, so a
    /// content has at most one such part.
    FreePointer(Text),
    /// The scalars at JSON pointers with one step each, as lines: the name, and the value. Absent
    /// ones are left out. Only the first may contain a line break, which could start another field.
    Fields(List<Text>),
    /// The body's form fields: each name and value, without duplicates, sorted.
    Form,
    /// The CRC-32 of the body (IEEE 802.3), in decimal.
    Crc32,
    /// A value that the sender shows on its settings page.
    Parameter(Text),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlForm {
    AsConfigured,
    /// With or without its port, as the sender signed it.
    EitherPort,
    /// With the escapes of some delimiters decoded, as HubSpot does.
    PartlyDecoded,
    /// Without its query, as Plivo does.
    WithoutQuery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathForm {
    AsSent,
    /// With the query escaped, and the whole escaped again, as Contentful does.
    EscapedTwice,
}

/// Facts about a part for other code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartFacts<'p> {
    pub(crate) origin: Origin,
    pub(crate) varies: Varies,
    pub(crate) ends: Ends,
    /// The values of the request that the part contains.
    pub(crate) values: Values<'p>,
    /// How the part contains the whole body.
    pub(crate) whole_body: Option<WholeBody>,
    /// How the part contains the public URL.
    pub(crate) url: Option<UrlForm>,
    /// Whether the part contains the request's query.
    pub(crate) has_query: bool,
    /// The scheme's own text, which separates other parts.
    pub(crate) literal: Option<&'p str>,
    /// The name of the verifier's parameter that the part contains.
    pub(crate) parameter: Option<&'p str>,
}

/// The origin of a part's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The scheme or the verifier's settings.
    Constant,
    Head,
    Body,
    /// Wherever the scheme has its timestamp.
    Timestamp,
    /// Wherever the scheme has its delivery ID.
    Id,
}

/// The degree to which a part's bytes differ between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Varies {
    /// They are the same in every request, or nearly.
    Never,
    /// They differ between requests, but two deliveries may share them.
    WithRequest,
    /// They differ between deliveries.
    WithDelivery,
}

/// The parts that must not touch a part, because another split could have the same signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Anything may touch the part.
    Clear,
    /// The value of a header: no other value and nothing of the body may touch it.
    Value,
    /// A field of the body: no value and no other field may touch it.
    Field,
    /// All of the body, or something made of it: no value may touch it.
    Body,
    /// Lines of text: there must be a line break before them and after them.
    Lines,
}

/// The values of a request that a part contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values<'p> {
    /// None that has a name.
    Unnamed,
    Header(&'p Text),
    /// All headers that this header lists, the scheme's timestamp among them.
    ListedHeaders(&'p Text),
    /// The scalar at a JSON pointer.
    Field(&'p Text),
    /// The scalar at a JSON pointer, which may contain the delimiters around it.
    FreeField(&'p Text),
    /// The scalars at JSON pointers, on lines of their own.
    Fields(&'p [Text]),
}

/// How a part contains the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WholeBody {
    /// As sent.
    Bytes,
    /// As the fields of a form.
    Form,
    /// As a checksum.
    Checksum,
}

impl<'p> PartFacts<'p> {
    const fn new(origin: Origin, varies: Varies, ends: Ends) -> Self {
        Self {
            origin,
            varies,
            ends,
            values: Values::Unnamed,
            whole_body: None,
            url: None,
            has_query: false,
            literal: None,
            parameter: None,
        }
    }

    fn constant() -> Self {
        Self::new(Origin::Constant, Varies::Never, Ends::Clear)
    }

    fn url(form: UrlForm) -> Self {
        let (varies, has_query) = match form {
            UrlForm::WithoutQuery => (Varies::Never, false),
            UrlForm::AsConfigured | UrlForm::EitherPort | UrlForm::PartlyDecoded => {
                (Varies::WithRequest, true)
            }
        };
        Self { url: Some(form), has_query, ..Self::new(Origin::Head, varies, Ends::Clear) }
    }

    fn header(ends: Ends, values: Values<'p>) -> Self {
        Self { values, ..Self::new(Origin::Head, Varies::WithDelivery, ends) }
    }

    fn fields(ends: Ends, values: Values<'p>) -> Self {
        Self { values, ..Self::new(Origin::Body, Varies::WithDelivery, ends) }
    }

    fn whole_body(form: WholeBody) -> Self {
        Self { whole_body: Some(form), ..Self::new(Origin::Body, Varies::WithDelivery, Ends::Body) }
    }

    /// Returns the headers that must be read to produce the part.
    pub(crate) fn headers(self) -> impl Iterator<Item = &'p Text> {
        let by_name = match self.values {
            Values::Header(name) | Values::ListedHeaders(name) => Some(name),
            Values::Unnamed | Values::Field(_) | Values::FreeField(_) | Values::Fields(_) => None,
        };
        let content_type = match self.whole_body {
            Some(WholeBody::Form) => Some(&CONTENT_TYPE),
            Some(WholeBody::Bytes | WholeBody::Checksum) | None => None,
        };
        by_name.into_iter().chain(content_type)
    }
}

impl Part {
    /// Returns facts about the part.
    #[inline]
    pub(crate) fn facts(&self) -> PartFacts<'_> {
        match self {
            Self::Literal(text) => PartFacts { literal: Some(text), ..PartFacts::constant() },
            Self::Parameter(name) => PartFacts { parameter: Some(name), ..PartFacts::constant() },
            Self::Timestamp => PartFacts::new(Origin::Timestamp, Varies::WithRequest, Ends::Clear),
            Self::Id => PartFacts::new(Origin::Id, Varies::WithDelivery, Ends::Value),
            Self::Method => PartFacts::new(Origin::Head, Varies::Never, Ends::Clear),
            Self::Url(form) => PartFacts::url(*form),
            Self::Path(PathForm::AsSent | PathForm::EscapedTwice) => PartFacts {
                has_query: true,
                ..PartFacts::new(Origin::Head, Varies::WithRequest, Ends::Clear)
            },
            Self::Header(name) => PartFacts::header(Ends::Value, Values::Header(name)),
            Self::SignedHeaders(name) => {
                PartFacts::header(Ends::Lines, Values::ListedHeaders(name))
            }
            Self::Pointer(pointer) => PartFacts::fields(Ends::Field, Values::Field(pointer)),
            Self::FreePointer(pointer) => {
                PartFacts::fields(Ends::Field, Values::FreeField(pointer))
            }
            Self::Fields(pointers) => PartFacts::fields(Ends::Body, Values::Fields(pointers)),
            Self::Body => PartFacts::whole_body(WholeBody::Bytes),
            Self::Form => PartFacts::whole_body(WholeBody::Form),
            Self::Crc32 => PartFacts::whole_body(WholeBody::Checksum),
        }
    }

    /// Returns whether the part is the body as sent.
    #[inline]
    pub(crate) fn is_body(&self) -> bool {
        self.facts().whole_body == Some(WholeBody::Bytes)
    }

    /// Parses the name that stands between braces, such as `timestamp` or `header:x-id`.
    fn parse(name: &str) -> Result<Self, ConfigError> {
        Ok(match name {
            "body" => Self::Body,
            "timestamp" => Self::Timestamp,
            "id" => Self::Id,
            "url" => Self::Url(UrlForm::AsConfigured),
            "url:either-port" => Self::Url(UrlForm::EitherPort),
            "url:without-query" => Self::Url(UrlForm::WithoutQuery),
            "url:partly-decoded" => Self::Url(UrlForm::PartlyDecoded),
            "method" => Self::Method,
            "path" => Self::Path(PathForm::AsSent),
            "path:escaped-twice" => Self::Path(PathForm::EscapedTwice),
            "form" => Self::Form,
            "crc32" => Self::Crc32,
            _ => match name.split_once(':') {
                Some(("header", header)) => Self::Header(check::header_name(OPTION, header)?),
                Some(("signed-headers", header)) => {
                    Self::SignedHeaders(check::header_name(OPTION, header)?)
                }
                Some(("json", pointer)) => Self::Pointer(check::pointer(OPTION, pointer)?),
                Some(("free-json", pointer)) => Self::FreePointer(check::pointer(OPTION, pointer)?),
                Some(("fields", names)) => {
                    Self::Fields(names.split(',').map(field).collect::<Result<_, _>>()?)
                }
                Some(("parameter", name)) if !name.is_empty() => {
                    Self::Parameter(Text::Owned(name.into()))
                }
                _ => return Err(bad(&format!("`{{{name}}}` is not known"))),
            },
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Self::Body => f.write_str("{body}"),
            Self::Timestamp => f.write_str("{timestamp}"),
            Self::Id => f.write_str("{id}"),
            Self::Url(UrlForm::AsConfigured) => f.write_str("{url}"),
            Self::Url(UrlForm::EitherPort) => f.write_str("{url:either-port}"),
            Self::Url(UrlForm::PartlyDecoded) => f.write_str("{url:partly-decoded}"),
            Self::Url(UrlForm::WithoutQuery) => f.write_str("{url:without-query}"),
            Self::Method => f.write_str("{method}"),
            Self::Path(PathForm::AsSent) => f.write_str("{path}"),
            Self::Path(PathForm::EscapedTwice) => f.write_str("{path:escaped-twice}"),
            Self::Header(name) => write!(f, "{{header:{name}}}"),
            Self::SignedHeaders(name) => write!(f, "{{signed-headers:{name}}}"),
            Self::Pointer(pointer) => write!(f, "{{json:{pointer}}}"),
            Self::FreePointer(pointer) => write!(f, "{{free-json:{pointer}}}"),
            Self::Fields(pointers) => {
                let names: Vec<_> = pointers.iter().map(|name| &name[1..]).collect();
                write!(f, "{{fields:{}}}", names.join(","))
            }
            Self::Form => f.write_str("{form}"),
            Self::Crc32 => f.write_str("{crc32}"),
            Self::Parameter(name) => write!(f, "{{parameter:{name}}}"),
        }
    }
}

/// The option that all errors here are about.
const OPTION: &str = "signed_content";

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
        let (name, behind) = behind.split_once('}').ok_or_else(|| bad("a `{` is not closed"))?;
        literal(&mut parts, mem::take(&mut text));
        parts.push(Part::parse(name)?);
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

/// Returns the pointer to a field at the top of the body.
fn field(name: &str) -> Result<Text, ConfigError> {
    if name.is_empty() || name.contains(['/', '~']) {
        return Err(bad("a field has no name, or is not one of the body itself"));
    }
    Ok(format!("/{name}").into())
}

fn bad(reason: &str) -> ConfigError {
    ConfigError::option(OPTION, reason)
}

#[cfg(test)]
mod tests {
    use super::{super::Scheme, *};

    #[test]
    fn signed_content_is_written_as_the_builder_takes_it() {
        for scheme in Scheme::presets() {
            let parsed = parse(&scheme.signed_content()).unwrap();
            assert_eq!(parsed, *scheme.content, "{}", scheme.name);
        }
        for template in [
            "{{{body}}}",
            "{timestamp}{id}{method}",
            "{url}{url:either-port}{url:without-query}{url:partly-decoded}",
            "{path}{path:escaped-twice}",
            "{header:a}{signed-headers:b}{parameter:c}",
            "{json:/a}{free-json:/b}{fields:c,d}{form}{crc32}",
        ] {
            let parts = parse(template).unwrap();
            assert_eq!(parts.iter().map(ToString::to_string).collect::<String>(), template);
        }
    }
}
