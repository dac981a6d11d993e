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
    /// The body, which must be empty, or a JSON object or array without white space before it. So
    /// its start is certain next to other text, and its end if no white space follows.
    JsonBody,
    BodyDigest(Hash, DigestForm),
    /// The timestamp's text as sent.
    Timestamp,
    Id,
    /// The configured public URL, with the request's query.
    Url(UrlForm),
    Method,
    /// Path and query.
    Path(PathForm),
    /// The decoded value of a query parameter.
    Query(Text),
    /// The query's parameters except the signature, sorted, each as `name=value`.
    SortedQuery,
    Header(Text),
    /// The headers that this header lists, separated by commas: `name:value;name:value`.
    SignedHeaders(Text),
    /// The value of a key among the pairs of the signature's header.
    Pair(Text),
    /// The values of the headers whose names a pair lists, separated by spaces. They are joined with
    /// dots.
    HeaderValues(Text),
    /// The scalar at a JSON pointer into the body.
    Pointer(Text, Free),
    /// The decoded value of a field of a form.
    FormField(Text),
    /// The scalars at JSON pointers with one step each, as lines: the name, and the value. Absent
    /// ones are left out. Only the first may contain a line break, which could start another field.
    Fields(List<Text>),
    /// The body's form fields: each name and value, without duplicates, sorted.
    Form,
    /// The CRC-32 of the body (IEEE 802.3), in decimal.
    Crc32,
    /// A value that the sender shows on its settings page.
    Parameter(Text),
    /// The secret, for digests that do not begin with the secret.
    Secret,
    /// Text, a value, and text. All of it is omitted if the value is empty.
    Group(List<Self>),
}

/// Whether the value of a field may contain the delimiters around it. Only one part of a content
/// may do so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Free {
    Never,
    Always,
    /// The part is free if another field of the content has, or does not have, a value.
    If {
        pointer: Text,
        value: Text,
        is_equal: bool,
    },
}

/// A digest of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Broken: an attacker can make two bodies with the same digest, so it does not prove the body.
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

/// The text of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestForm {
    Hex,
    Base64,
    /// The bytes of the digest themselves.
    Raw,
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
    /// The field of a form.
    FormField(&'p Text),
    /// The scalars at JSON pointers, on lines of their own.
    Fields(&'p [Text]),
}

/// How a part contains the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WholeBody {
    /// As sent.
    Bytes,
    /// As a digest that differs for every body.
    Digest,
    /// As the fields of a form.
    Form,
    /// As a checksum.
    Checksum,
}

impl<'p> PartFacts<'p> {
    const fn new(origin: Origin, varies: Varies) -> Self {
        Self {
            origin,
            varies,
            values: Values::Unnamed,
            whole_body: None,
            url: None,
            has_query: false,
            literal: None,
            parameter: None,
        }
    }

    fn constant() -> Self {
        Self::new(Origin::Constant, Varies::Never)
    }

    fn url(form: UrlForm) -> Self {
        let (varies, has_query) = match form {
            UrlForm::WithoutQuery => (Varies::Never, false),
            UrlForm::AsConfigured | UrlForm::EitherPort | UrlForm::PartlyDecoded => {
                (Varies::WithRequest, true)
            }
        };
        Self { url: Some(form), has_query, ..Self::new(Origin::Head, varies) }
    }

    fn head(values: Values<'p>) -> Self {
        Self { values, ..Self::new(Origin::Head, Varies::WithDelivery) }
    }

    fn fields(values: Values<'p>) -> Self {
        Self { values, ..Self::new(Origin::Body, Varies::WithDelivery) }
    }

    fn whole_body(form: WholeBody) -> Self {
        Self { whole_body: Some(form), ..Self::new(Origin::Body, Varies::WithDelivery) }
    }

    /// Returns the headers that must be read to produce the part.
    pub(crate) fn headers(self) -> impl Iterator<Item = &'p Text> {
        let by_name = match self.values {
            Values::Header(name) | Values::ListedHeaders(name) => Some(name),
            Values::Unnamed | Values::Field(_) | Values::FormField(_) | Values::Fields(_) => None,
        };
        let reads_form =
            self.whole_body == Some(WholeBody::Form) || matches!(self.values, Values::FormField(_));
        let content_type = reads_form.then_some(&CONTENT_TYPE);
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
            Self::Secret => PartFacts::constant(),
            Self::Timestamp => PartFacts::new(Origin::Timestamp, Varies::WithRequest),
            Self::Id => PartFacts::new(Origin::Id, Varies::WithDelivery),
            Self::Method => PartFacts::new(Origin::Head, Varies::Never),
            Self::Url(form) => PartFacts::url(*form),
            Self::Path(PathForm::AsSent | PathForm::EscapedTwice) | Self::SortedQuery => {
                let facts = PartFacts::new(Origin::Head, Varies::WithRequest);
                PartFacts { has_query: true, ..facts }
            }
            Self::Query(_) => PartFacts::new(Origin::Head, Varies::WithDelivery),
            Self::Header(name) => PartFacts::head(Values::Header(name)),
            Self::SignedHeaders(name) => PartFacts::head(Values::ListedHeaders(name)),
            Self::Pair(_) | Self::HeaderValues(_) => PartFacts::head(Values::Unnamed),
            Self::Pointer(pointer, _) => PartFacts::fields(Values::Field(pointer)),
            Self::FormField(name) => PartFacts::fields(Values::FormField(name)),
            Self::Fields(pointers) => PartFacts::fields(Values::Fields(pointers)),
            Self::Body | Self::JsonBody => PartFacts::whole_body(WholeBody::Bytes),
            // Two bodies with the same digest can be made.
            Self::BodyDigest(Hash::Md5 | Hash::Sha1, _) => {
                PartFacts::whole_body(WholeBody::Checksum)
            }
            Self::BodyDigest(Hash::Sha256 | Hash::Sha512, _) => {
                PartFacts::whole_body(WholeBody::Digest)
            }
            Self::Form => PartFacts::whole_body(WholeBody::Form),
            Self::Crc32 => PartFacts::whole_body(WholeBody::Checksum),
            Self::Group(parts) => {
                let mut values = parts.iter().filter(|part| !part.is_constant());
                values.next().map_or(PartFacts::constant(), Self::facts)
            }
        }
    }

    /// Returns whether the part is the body as sent.
    #[inline]
    pub(crate) fn is_body(&self) -> bool {
        matches!(self, Self::Body | Self::JsonBody)
    }

    /// Returns whether the part is the same in all requests to a verifier.
    pub(crate) fn is_constant(&self) -> bool {
        matches!(self, Self::Literal(_) | Self::Parameter(_) | Self::Secret)
    }

    /// Parses the name that stands between braces, such as `timestamp` or `header:x-id`.
    fn parse(name: &str) -> Result<Self, ConfigError> {
        Ok(match name {
            "body" => Self::Body,
            "body:json" => Self::JsonBody,
            "timestamp" => Self::Timestamp,
            "id" => Self::Id,
            "url" => Self::Url(UrlForm::AsConfigured),
            "url:either-port" => Self::Url(UrlForm::EitherPort),
            "url:without-query" => Self::Url(UrlForm::WithoutQuery),
            "url:partly-decoded" => Self::Url(UrlForm::PartlyDecoded),
            "method" => Self::Method,
            "path" => Self::Path(PathForm::AsSent),
            "path:escaped-twice" => Self::Path(PathForm::EscapedTwice),
            "sorted-query" => Self::SortedQuery,
            "form" => Self::Form,
            "crc32" => Self::Crc32,
            "secret" => Self::Secret,
            _ => match name.split_once(':') {
                Some(("body", digest)) => body_digest(digest)?,
                Some(("header", header)) => Self::Header(check::header_name(OPTION, header)?),
                Some(("signed-headers", header)) => {
                    Self::SignedHeaders(check::header_name(OPTION, header)?)
                }
                Some(("json", pointer)) => {
                    Self::Pointer(check::pointer(OPTION, pointer)?, Free::Never)
                }
                Some(("free-json", pointer)) => free_pointer(pointer)?,
                Some(("query", name)) if !name.is_empty() => Self::Query(Text::Owned(name.into())),
                Some(("form", name)) if !name.is_empty() => {
                    Self::FormField(Text::Owned(name.into()))
                }
                Some(("pair", key)) if !key.is_empty() => Self::Pair(Text::Owned(key.into())),
                Some(("header-values", key)) if !key.is_empty() => {
                    Self::HeaderValues(Text::Owned(key.into()))
                }
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
            Self::JsonBody => f.write_str("{body:json}"),
            Self::BodyDigest(hash, form) => write!(f, "{{body:{}{}}}", hash.name(), form.suffix()),
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
            Self::Query(name) => write!(f, "{{query:{name}}}"),
            Self::SortedQuery => f.write_str("{sorted-query}"),
            Self::Pair(key) => write!(f, "{{pair:{key}}}"),
            Self::HeaderValues(key) => write!(f, "{{header-values:{key}}}"),
            Self::Pointer(pointer, Free::Never) => write!(f, "{{json:{pointer}}}"),
            Self::Pointer(pointer, Free::Always) => write!(f, "{{free-json:{pointer}}}"),
            Self::Pointer(pointer, Free::If { pointer: other, value, is_equal }) => {
                let relation = if *is_equal { "=" } else { "!=" };
                write!(f, "{{free-json:{pointer} if {other}{relation}{value}}}")
            }
            Self::FormField(name) => write!(f, "{{form:{name}}}"),
            Self::Secret => f.write_str("{secret}"),
            Self::Group(parts) => {
                f.write_str("[[")?;
                parts.iter().try_for_each(|part| part.fmt(f))?;
                f.write_str("]]")
            }
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

/// Parses a template such as `v0:{timestamp}:{body}`. A doubled brace is a brace. Text between `[[`
/// and `]]` is omitted if its value is empty.
pub(super) fn parse(template: &str) -> Result<Vec<Part>, ConfigError> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("[[") {
        let (group, after) = after.split_once("]]").ok_or_else(|| bad("a `[[` has no `]]`"))?;
        parts.extend(parse_parts(before)?);
        let group = parse_parts(group)?;
        let is_group =
            matches!(&*group, [Part::Literal(_), value, Part::Literal(_)] if !value.is_constant());
        if !is_group {
            return Err(bad("a `[[…]]` needs text, one value, and text"));
        }
        parts.push(Part::Group(group.into()));
        rest = after;
    }
    if rest.contains("]]") {
        return Err(bad("a `]]` has no `[[`"));
    }
    parts.extend(parse_parts(rest)?);
    Ok(parts)
}

fn parse_parts(template: &str) -> Result<Vec<Part>, ConfigError> {
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

impl Hash {
    const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the length of a digest, in bytes.
    #[cfg(test)]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl DigestForm {
    const ALL: [Self; 3] = [Self::Hex, Self::Base64, Self::Raw];

    fn suffix(self) -> &'static str {
        match self {
            Self::Hex => "",
            Self::Base64 => "-base64",
            Self::Raw => "-raw",
        }
    }
}

/// Returns whether the body follows the public URL and its query, so that its end is known from the
/// text after it.
pub(crate) fn body_follows_url(content: &[Part]) -> bool {
    content.windows(2).any(|pair| match pair {
        [Part::Url(UrlForm::WithoutQuery), _] => false,
        [Part::Url(_), Part::JsonBody] => true,
        _ => false,
    })
}

/// Parses `sha256`, `sha256-base64`, `sha256-raw` and the like.
fn body_digest(name: &str) -> Result<Part, ConfigError> {
    let forms = |hash: Hash| DigestForm::ALL.map(|form| (hash, form));
    let mut all = Hash::ALL.into_iter().flat_map(forms);
    let found = all.find(|(hash, form)| {
        name.strip_prefix(hash.name()).is_some_and(|suffix| suffix == form.suffix())
    });
    let (hash, form) = found.ok_or_else(|| bad(&format!("`{{body:{name}}}` is not known")))?;
    Ok(Part::BodyDigest(hash, form))
}

/// Parses `/POINTER`, `/POINTER if /OTHER=VALUE` or `/POINTER if /OTHER!=VALUE`.
fn free_pointer(text: &str) -> Result<Part, ConfigError> {
    let Some((pointer, condition)) = text.split_once(" if ") else {
        return Ok(Part::Pointer(check::pointer(OPTION, text)?, Free::Always));
    };
    let (other, value) =
        condition.split_once('=').ok_or_else(|| bad("an ` if ` has no `=` or `!=`"))?;
    let (other, is_equal) = match other.strip_suffix('!') {
        Some(other) => (other, false),
        None => (other, true),
    };
    let free = Free::If {
        pointer: check::pointer(OPTION, other)?,
        value: Text::Owned(value.into()),
        is_equal,
    };
    Ok(Part::Pointer(check::pointer(OPTION, pointer)?, free))
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
            "{free-json:/a if /b=c}{free-json:/a if /b!=c}{form:a}{query:b}{sorted-query}",
            "{body:json}{body:sha1}{body:sha256}{body:sha512}{pair:h}{header-values:h}{secret}",
            "{body:md5}{body:md5-base64}{body:sha1-base64}{body:sha256-raw}{body:sha512-base64}",
            "[[id:{query:data.id};]][[request-id:{header:x-request-id};]]ts:{timestamp};",
        ] {
            let parts = parse(template).unwrap();
            assert_eq!(parts.iter().map(ToString::to_string).collect::<String>(), template);
        }
    }
}
