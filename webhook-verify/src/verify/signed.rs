//! Composes the signed content from the head and the body.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use md5::Md5;
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};
use smallvec::SmallVec;

use super::{Settings, candidates::pair, read, single, url};
use crate::{
    encoding::Encoding,
    error::VerifyError,
    request::{Fields, MAX_FIELDS, Picked, RequestHead, json, only_value, pairs},
    scheme::{
        DigestForm, Field, Free, Hash, Part, Place, Scheme, Text, TimestampPlace, UrlForm,
        body_follows_url, is_token_byte,
    },
};

/// The largest number of headers that a request may list as signed.
const MAX_SIGNED_HEADERS: usize = 32;

/// The signed content, in pieces.
pub(super) type Pieces<'p> = SmallVec<[&'p [u8]; 8]>;

/// The parts of a content, and the bytes that their values must not contain.
pub(super) type Content<'s> = (&'s [Part], &'s [Box<[u8]>]);

/// The signed part of the head.
#[derive(Default)]
pub(super) struct SignedHead {
    bytes: SmallVec<[u8; 64]>,
    /// The length before the first part that needs the body, and that of each piece after it.
    before_body: usize,
    after_body: SmallVec<[usize; 4]>,
}

/// The sources of the signed parts of a head.
pub(super) struct Sources<'s, 'n, 'a> {
    pub(super) settings: &'s Settings,
    pub(super) head: &'s RequestHead<'a>,
    pub(super) picked: &'s Picked<'n, 'a>,
    pub(super) timestamp: Option<&'a [u8]>,
    pub(super) id: &'s [u8],
}

impl Sources<'_, '_, '_> {
    fn base_url(&self) -> &str {
        self.settings.public_url.as_deref().unwrap_or_default()
    }

    /// Returns the path that the sender uses, with the request's query. It is the configured URL's
    /// path, because a gateway may remove a part of the path.
    pub(super) fn path_and_query(&self) -> Cow<'_, str> {
        let Some(url) = &self.settings.public_url else {
            return self.head.path_and_query().into();
        };
        let path = url::path_of(url);
        match self.head.query() {
            Some(query) => Cow::Owned(format!("{path}?{query}")),
            None => Cow::Borrowed(path),
        }
    }

    /// Returns the configured URL with the request's query.
    pub(super) fn url(&self) -> Cow<'_, str> {
        let base = self.base_url();
        match self.head.query() {
            Some(query) => Cow::Owned(format!("{base}?{query}")),
            None => Cow::Borrowed(base),
        }
    }
}

/// The source of a part's bytes: the head first, and the complete body later.
enum Material<'m, 's, 'n, 'a> {
    Head { sources: &'m Sources<'s, 'n, 'a>, url: &'m str },
    Body { scheme: &'m Scheme, fields: Fields<'m>, is_form: bool },
}

impl<'m, 's, 'n, 'a> Material<'m, 's, 'n, 'a> {
    fn scheme(&self) -> &'m Scheme {
        match self {
            Self::Head { sources, .. } => &sources.settings.scheme,
            Self::Body { scheme, .. } => scheme,
        }
    }

    fn sources(&self) -> Result<&'m Sources<'s, 'n, 'a>, VerifyError> {
        match self {
            Self::Head { sources, .. } => Ok(sources),
            Self::Body { .. } => Err(ELSEWHERE),
        }
    }

    fn url(&self) -> Result<&'m str, VerifyError> {
        match self {
            Self::Head { url, .. } => Ok(url),
            Self::Body { .. } => Err(ELSEWHERE),
        }
    }

    fn fields(&self) -> Result<Fields<'m>, VerifyError> {
        match self {
            Self::Body { fields, .. } => Ok(*fields),
            Self::Head { .. } => Err(ELSEWHERE),
        }
    }

    fn body(&self) -> Result<&'m [u8], VerifyError> {
        Ok(self.fields()?.body())
    }

    fn is_form(&self) -> bool {
        match self {
            Self::Body { is_form, .. } => *is_form,
            Self::Head { .. } => false,
        }
    }
}

/// The error for a part that [`bytes`] reads from the head and [`Part::facts`] from the body, or
/// the reverse. The request is refused, so that an empty text never counts as signed by mistake.
const ELSEWHERE: VerifyError = VerifyError::SignatureMismatch;

/// Produces the bytes of one part, whose value must not contain `delimiters`.
fn bytes<'m>(
    part: &'m Part,
    delimiters: &[u8],
    material: &Material<'m, '_, '_, '_>,
) -> Result<Cow<'m, [u8]>, VerifyError> {
    let scheme = material.scheme();
    Ok(match part {
        Part::Literal(literal) => literal.as_bytes().into(),
        Part::Parameter(name) => {
            let value = material.sources()?.settings.parameter(name);
            value.unwrap_or_default().as_bytes().into()
        }
        Part::Method => {
            let method = material.sources()?.head.method_text();
            if method.is_empty() || !method.bytes().all(is_token_byte) {
                return Err(VerifyError::MalformedSignature);
            }
            method.as_bytes().into()
        }
        Part::Path(form) => {
            let path = match material.sources()?.path_and_query() {
                Cow::Borrowed(path) => text(url::path(path, *form)),
                Cow::Owned(path) => text(url::path(&path, *form).into_owned().into()),
            };
            without(delimiters, path, VerifyError::MalformedSignature)?
        }
        Part::Query(name) => {
            let query = material.sources()?.head.query().unwrap_or_default();
            let value = only_value(query.as_bytes(), name);
            let value = value.map_err(|_| VerifyError::AmbiguousHeader)?.into_bytes();
            without(delimiters, value.into(), VerifyError::MalformedSignature)?
        }
        Part::SortedQuery => text(sorted_query(material.sources()?)?.into()),
        Part::Url(_) => {
            let url = material.url()?.as_bytes().into();
            without(delimiters, url, VerifyError::MalformedSignature)?
        }
        Part::Header(name) => {
            let value = single(material.sources()?.picked, name)?.unwrap_or_default();
            without(delimiters, value.into(), VerifyError::MalformedSignature)?
        }
        Part::Pair(key) => {
            let sources = material.sources()?;
            let value = pair(scheme, sources.picked, key)?.unwrap_or_default();
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b" -_".contains(byte);
            if value.is_empty() || !value.iter().all(is_name) {
                return Err(VerifyError::MalformedSignature);
            }
            value.into()
        }
        Part::HeaderValues(key) => header_values(material.sources()?, key)?.into(),
        Part::SignedHeaders(name) => signed_headers(material.sources()?, name)?.into(),
        Part::Timestamp => match scheme.timestamp.as_ref().map(|source| &source.place) {
            Some(TimestampPlace::Pointer(pointer)) => {
                let value = read(material.fields()?, pointer)?;
                text(value.ok_or(VerifyError::MissingTimestamp)?)
            }
            Some(TimestampPlace::Form(name)) => {
                let value = form_field(material, name)?;
                if value.is_empty() {
                    return Err(VerifyError::MissingTimestamp);
                }
                text(value.into())
            }
            Some(
                TimestampPlace::Header(_)
                | TimestampPlace::Pair(_)
                | TimestampPlace::Before
                | TimestampPlace::Claim(_),
            )
            | None => material.sources()?.timestamp.unwrap_or_default().into(),
        },
        Part::Id => {
            let value = match &scheme.id {
                Some(Field::Pointer(pointer)) => read(material.fields()?, pointer)?,
                Some(Field::FirstKey) => json::first_key(material.body()?),
                Some(Field::Header(_)) | None => return Ok(material.sources()?.id.into()),
            };
            let value = text(value.ok_or(VerifyError::MissingId)?);
            without(delimiters, value, VerifyError::MalformedId)?
        }
        Part::Body | Part::JsonBody => material.body()?.into(),
        // The key inserts the secret.
        Part::Secret => Cow::Borrowed(&[]),
        Part::BodyDigest(hash, form) => {
            let body = material.body()?;
            let digest = match hash {
                Hash::Md5 => Md5::digest(body).to_vec(),
                Hash::Sha1 => Sha1::digest(body).to_vec(),
                Hash::Sha256 => Sha256::digest(body).to_vec(),
                Hash::Sha512 => Sha512::digest(body).to_vec(),
            };
            match form {
                DigestForm::Hex => text(Encoding::Hex.encode(&digest).into()),
                DigestForm::Base64 => text(Encoding::Base64.encode(&digest).into()),
                DigestForm::Raw => digest.into(),
            }
        }
        // Senders sign an absent field as an empty one.
        Part::Pointer(pointer, free) => {
            let fields = material.fields()?;
            let value = text(signed(fields, pointer)?.unwrap_or_default());
            let is_free = match free {
                Free::Never => false,
                Free::Always => true,
                Free::If { pointer, value, is_equal } => {
                    (read(fields, pointer)?.as_deref() == Some(value)) == *is_equal
                }
            };
            if is_free { value } else { without(delimiters, value, VerifyError::MalformedBody)? }
        }
        Part::FormField(name) => {
            let value = text(form_field(material, name)?.into());
            without(delimiters, value, VerifyError::MalformedBody)?
        }
        Part::Group(parts) => group(parts, material)?,
        Part::Fields(pointers) => {
            let lines = lines(material.fields()?, pointers, scheme.id.as_ref())?;
            text(lines.into())
        }
        Part::Form => text(form(material.body()?, material.is_form())?.into()),
        Part::Crc32 => text(crc32fast::hash(material.body()?).to_string().into()),
    })
}

fn text(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Returns the value, or `error` if it contains one of `delimiters`, because then another split
/// could have the same signature.
fn without<'v>(
    delimiters: &[u8],
    value: Cow<'v, [u8]>,
    error: VerifyError,
) -> Result<Cow<'v, [u8]>, VerifyError> {
    if delimiters.iter().any(|delimiter| value.contains(delimiter)) {
        return Err(error);
    }
    Ok(value)
}

/// Returns the text of a group, or an empty text if its value is empty.
fn group<'m>(
    parts: &'m [Part],
    material: &Material<'m, '_, '_, '_>,
) -> Result<Cow<'m, [u8]>, VerifyError> {
    let [Part::Literal(before), part, Part::Literal(after)] = parts else { return Err(ELSEWHERE) };
    let delimiters = [before.as_bytes().last(), after.as_bytes().first()];
    let delimiters: SmallVec<[u8; 2]> = delimiters.into_iter().flatten().copied().collect();
    let value = bytes(part, &delimiters, material)?;
    if value.is_empty() {
        return Ok(value);
    }
    Ok([before.as_bytes(), &value, after.as_bytes()].concat().into())
}

/// Returns the value of a form field. A body that is not a form has no fields.
fn form_field(material: &Material<'_, '_, '_, '_>, name: &str) -> Result<String, VerifyError> {
    let body = material.body()?;
    if !material.is_form() {
        return Err(VerifyError::MalformedBody);
    }
    only_value(body, name).map_err(|_| VerifyError::MalformedBody)
}

/// Returns the query's parameters except the signature, sorted and joined.
fn sorted_query(sources: &Sources<'_, '_, '_>) -> Result<String, VerifyError> {
    let query = sources.head.query().unwrap_or_default();
    let is_signature = |name: &str| {
        let mut places = sources.settings.scheme.signatures.iter().map(|source| &source.place);
        places.any(|place| matches!(place, Place::Query(known) if known == name))
    };
    let mut sorted = BTreeMap::<_, Vec<_>>::new();
    let pairs = form_urlencoded::parse(query.as_bytes());
    for (count, (name, value)) in pairs.filter(|(name, _)| !is_signature(name)).enumerate() {
        if count == MAX_FIELDS {
            return Err(VerifyError::MalformedSignature);
        }
        sorted.entry(name).or_default().push(value);
    }
    Ok(sorted.iter().map(|(name, values)| format!("{name}={}", values.join(","))).collect())
}

/// Returns the values of the headers that a pair lists, joined with dots.
fn header_values(sources: &Sources<'_, '_, '_>, key: &str) -> Result<Vec<u8>, VerifyError> {
    let list = pair(&sources.settings.scheme, sources.picked, key)?.unwrap_or_default();
    let names: Vec<_> = list.split(|byte| *byte == b' ').collect();
    if names.len() > MAX_SIGNED_HEADERS {
        return Err(VerifyError::MalformedSignature);
    }
    let value = |name: &&[u8]| {
        let name = std::str::from_utf8(name).map_err(|_| VerifyError::MalformedSignature)?;
        sources.head.header_or_empty(name).map_err(|_| VerifyError::AmbiguousHeader)
    };
    let values = names.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    Ok(values.join(".").into_bytes())
}

impl SignedHead {
    /// Reads the signed parts that are not in the body.
    pub(super) fn read(&mut self, sources: &Sources<'_, '_, '_>) -> Result<(), VerifyError> {
        let content = sources.settings.content();
        if sources.settings.plan.signs_target && !sources.head.has_visible_target() {
            return Err(VerifyError::MalformedSignature);
        }
        match sources.settings.plan.url_form {
            None => self.keep(sources, content, ""),
            Some(UrlForm::WithoutQuery) => self.keep(sources, content, sources.base_url()),
            Some(UrlForm::PartlyDecoded) => {
                self.keep(sources, content, &url::partly_decoded(&sources.url()))
            }
            Some(UrlForm::AsConfigured | UrlForm::EitherPort) => {
                self.keep(sources, content, &sources.url())
            }
        }
    }

    /// Does the same for a version that has its own content.
    pub(super) fn of_version(
        sources: &Sources<'_, '_, '_>,
        index: usize,
    ) -> Result<Self, VerifyError> {
        let mut head = Self::default();
        head.keep(sources, sources.settings.version(index), &sources.url())?;
        Ok(head)
    }

    /// Does the same for the other forms in which the URL may be signed.
    pub(super) fn in_other_forms(sources: &Sources<'_, '_, '_>) -> Result<Vec<Self>, VerifyError> {
        if sources.settings.plan.url_form != Some(UrlForm::EitherPort) {
            return Ok(Vec::new());
        }
        url::other_ports(&sources.url())
            .into_iter()
            .map(|url| {
                let mut other = Self::default();
                other.keep(sources, sources.settings.content(), &url)?;
                Ok(other)
            })
            .collect()
    }

    fn keep(
        &mut self,
        sources: &Sources<'_, '_, '_>,
        (content, delimiters): Content<'_>,
        url: &str,
    ) -> Result<(), VerifyError> {
        let material = Material::Head { sources, url };
        let scheme = &*sources.settings.scheme;
        let mut body_reached = false;
        for (part, delimiters) in content.iter().zip(delimiters) {
            if scheme.comes_late(part) {
                body_reached = true;
                continue;
            }
            let piece = bytes(part, delimiters, &material)?;
            self.bytes.extend_from_slice(&piece);
            if body_reached {
                self.after_body.push(piece.len());
            } else {
                self.before_body = self.bytes.len();
            }
        }
        Ok(())
    }

    /// Returns the signed content before any part in the body.
    pub(super) fn before_body(&self) -> &[u8] {
        &self.bytes[..self.before_body]
    }

    /// Splits the signed content into pieces. The first is the head's before any part in the body.
    pub(super) fn cut<'p>(
        &'p self,
        scheme: &Scheme,
        content: &[Part],
        body: &'p [u8],
        made: &'p [Cow<'_, [u8]>],
        pieces: &mut Pieces<'p>,
    ) {
        let (head, mut tail) = self.bytes.split_at(self.before_body);
        pieces.push(head);
        let (mut lens, mut made) = (self.after_body.iter(), made.iter());
        let is_late = |part: &&Part| scheme.comes_late(part);
        for part in content.iter().skip_while(|part| !is_late(part)) {
            pieces.push(if part.is_body() {
                body
            } else if is_late(&part) {
                made.next().map_or(&[], |bytes| &**bytes)
            } else {
                let (piece, rest) = tail.split_at(lens.next().copied().unwrap_or_default());
                tail = rest;
                piece
            });
        }
    }
}

/// Returns the headers that another one lists, including itself, as one line.
fn signed_headers(sources: &Sources<'_, '_, '_>, header: &str) -> Result<Vec<u8>, VerifyError> {
    let list = single(sources.picked, header)?.ok_or(VerifyError::MissingSignature)?;
    let malformed = |_| VerifyError::MalformedSignature;
    let list = std::str::from_utf8(list).map_err(malformed)?;
    let names: Vec<_> = list.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    // The list must name itself and the timestamp, or an attacker could replace either.
    let timestamp = &sources.settings.scheme.timestamp;
    let timestamp = match timestamp.as_ref().map(|source| &source.place) {
        Some(TimestampPlace::Header(name)) => Some(&**name),
        Some(
            TimestampPlace::Pair(_)
            | TimestampPlace::Before
            | TimestampPlace::Pointer(_)
            | TimestampPlace::Form(_)
            | TimestampPlace::Claim(_),
        )
        | None => None,
    };
    let has = |name: &str| names.iter().any(|signed| signed == name);
    if !has(header) || !timestamp.is_none_or(has) || names.len() > MAX_SIGNED_HEADERS {
        return Err(VerifyError::MalformedSignature);
    }
    if !names.iter().all(|name| !name.is_empty() && name.bytes().all(is_token_byte)) {
        return Err(VerifyError::MalformedSignature);
    }
    // In a value, the start of a listed header could pass for that header.
    let starts: Vec<_> = names.iter().map(|name| format!(";{name}:")).collect();
    let mut text = Vec::new();
    for name in &names {
        // A handler may read a repeated header differently than the sender signed it.
        let value = sources.head.header_or_empty(name);
        let value = value.map_err(|_| VerifyError::AmbiguousHeader)?;
        if value.contains('\n') || starts.iter().any(|start| value.contains(start)) {
            return Err(VerifyError::MalformedSignature);
        }
        if !text.is_empty() {
            text.push(b';');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend_from_slice(value.trim().as_bytes());
    }
    Ok(text)
}

/// Returns the signed parts that are derived from the body, in order.
pub(super) fn made_of_body<'a>(
    scheme: &'a Scheme,
    (content, delimiters): Content<'a>,
    fields: Fields<'a>,
    is_form: bool,
) -> Result<Vec<Cow<'a, [u8]>>, VerifyError> {
    let material = Material::Body { scheme, fields, is_form };
    let parts = content.iter().zip(delimiters);
    parts
        .filter(|(part, _)| scheme.comes_late(part) && !part.is_body())
        .map(|(part, delimiters)| bytes(part, delimiters, &material))
        .collect()
}

/// Returns the text of each part, for tests.
#[cfg(test)]
pub(super) fn texts<'m>(
    (content, delimiters): Content<'m>,
    (sources, url): (&'m Sources<'_, '_, '_>, &'m str),
    fields: Fields<'m>,
    is_form: bool,
) -> Result<Vec<Cow<'m, [u8]>>, VerifyError> {
    let scheme = &*sources.settings.scheme;
    let parts = content.iter().zip(delimiters);
    parts
        .map(|(part, delimiters)| match scheme.comes_late(part) {
            true => bytes(part, delimiters, &Material::Body { scheme, fields, is_form }),
            false => bytes(part, delimiters, &Material::Head { sources, url }),
        })
        .collect()
}

/// Checks that the boundaries of a body next to other signed text are certain. No proper prefix or
/// suffix of a JSON object or array is itself an object or array, so the text has no other split.
pub(super) fn json_body(
    content: &[Part],
    scheme: &Scheme,
    pieces: &[&[u8]],
    body: &[u8],
    has_query: bool,
) -> Result<(), VerifyError> {
    let mut late = content.iter().skip_while(|part| !scheme.comes_late(part));
    let Some(at) = late.position(|part| matches!(part, Part::JsonBody)) else { return Ok(()) };
    // The first piece is that of the head. White space may follow a JSON text.
    let mut before = pieces.iter().take(at + 1).rev().flat_map(|piece| piece.iter().rev());
    let before = before.find(|byte| !b" \t\r\n".contains(byte));
    let is_apart = match body.first() {
        None => !matches!(before, Some(b'}' | b']')),
        // After the public URL, only a query or a port could contain the start of a body.
        Some(first) if !has_query && body_follows_url(content) => !b"?:".contains(first),
        Some(b'{' | b'[') => json::is_json(body),
        Some(_) => false,
    };
    if is_apart { Ok(()) } else { Err(VerifyError::MalformedBody) }
}

/// Returns the sorted pairs of a form or query as one unambiguous text, unlike the signed text.
pub(super) fn canonical_pairs(scheme: &Scheme, query: &str, body: &[u8]) -> Option<String> {
    let signs = |part: &Part| scheme.content.contains(part);
    let mut pairs: Vec<_> = match (signs(&Part::Form), signs(&Part::SortedQuery)) {
        (true, _) => form_urlencoded::parse(body).collect(),
        (_, true) => form_urlencoded::parse(query.as_bytes()).collect(),
        (false, false) => return None,
    };
    pairs.sort_unstable();
    pairs.dedup();
    Some(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

/// Returns a signed scalar. Refuses an object or array, which would be signed as an empty text.
fn signed<'a>(fields: Fields<'a>, pointer: &str) -> Result<Option<Cow<'a, str>>, VerifyError> {
    match read(fields, pointer)? {
        None if !fields.is_null_or_absent(pointer) => Err(VerifyError::MalformedBody),
        value => Ok(value),
    }
}

/// Returns the fields as lines. With another line break, one field could pass for two; without the
/// ID, the first field could contain it. So could it contain the others, unless the second field is
/// there: no field is after the second one and is the second one again.
fn lines(fields: Fields<'_>, pointers: &[Text], id: Option<&Field>) -> Result<String, VerifyError> {
    let (mut lines, mut first_has_lines) = (String::new(), false);
    for (index, pointer) in pointers.iter().enumerate() {
        let Some(value) = signed(fields, pointer)? else {
            match id {
                Some(Field::Pointer(id)) if id == pointer => return Err(VerifyError::MissingId),
                _ if index == 1 && first_has_lines => return Err(VerifyError::MalformedBody),
                _ => continue,
            }
        };
        match (index, value.contains('\n')) {
            (0, has_lines) => first_has_lines = has_lines,
            (_, true) => return Err(VerifyError::MalformedBody),
            (_, false) => {}
        }
        for text in [pointer.trim_start_matches('/'), &value] {
            lines.push_str(text);
            lines.push('\n');
        }
    }
    Ok(lines)
}

/// Returns the sorted fields of a form. Any other body would not be signed, so it must be empty.
fn form(body: &[u8], is_form: bool) -> Result<String, VerifyError> {
    if !is_form {
        return if body.is_empty() { Ok(String::new()) } else { Err(VerifyError::MalformedBody) };
    }
    let mut sorted = BTreeSet::new();
    for pair in pairs(body).ok_or(VerifyError::MalformedBody)? {
        let pair = pair.ok_or(VerifyError::MalformedBody)?;
        // No sender sends form fields without a name.
        if pair.0.is_empty() {
            return Err(VerifyError::MalformedBody);
        }
        sorted.insert(pair);
    }
    let mut text = String::with_capacity(body.len());
    for (name, value) in &sorted {
        text.push_str(name);
        text.push_str(value);
    }
    Ok(text)
}
