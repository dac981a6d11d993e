//! Composes the signed content from the head and the body.

use std::{borrow::Cow, collections::BTreeSet};

use smallvec::SmallVec;

use super::{Settings, read, single, url};
use crate::{
    error::VerifyError,
    request::{Fields, Picked, RequestHead, json, pairs},
    scheme::{Field, Part, Scheme, Text, TimestampPlace, UrlForm},
};

/// The largest number of form fields.
const MAX_FORM_FIELDS: usize = 4096;
/// The largest number of headers that a request may list as signed.
const MAX_SIGNED_HEADERS: usize = 32;

/// The signed content, in pieces.
pub(super) type Pieces<'p> = SmallVec<[&'p [u8]; 8]>;

/// The signed part of the head.
#[derive(Default)]
pub(super) struct SignedHead {
    bytes: SmallVec<[u8; 64]>,
    /// The length before the first part that needs the body, and that of each piece after it.
    before_body: usize,
    after_body: SmallVec<[usize; 2]>,
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

    /// Returns the configured URL with the request's query.
    fn url(&self) -> Cow<'_, str> {
        let base = self.base_url();
        match self.head.query() {
            Some(query) => Cow::Owned(format!("{base}?{query}")),
            None => Cow::Borrowed(base),
        }
    }
}

fn url_form(sources: &Sources<'_, '_, '_>) -> Option<UrlForm> {
    let mut parts = sources.settings.scheme.content.iter();
    parts.find_map(|part| part.facts().url)
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

/// Produces the bytes of one part.
fn bytes<'m>(
    part: &'m Part,
    material: &Material<'m, '_, '_, '_>,
) -> Result<Cow<'m, [u8]>, VerifyError> {
    let scheme = material.scheme();
    Ok(match part {
        Part::Literal(literal) => literal.as_bytes().into(),
        Part::Parameter(name) => {
            let value = material.sources()?.settings.parameter(name);
            value.unwrap_or_default().as_bytes().into()
        }
        Part::Method => material.sources()?.head.method_text().as_bytes().into(),
        Part::Path(form) => {
            let path = material.sources()?.head.path_and_query();
            text(url::path(path, *form))
        }
        Part::Url(_) => material.url()?.as_bytes().into(),
        Part::Header(name) => {
            let value = single(material.sources()?.picked, name)?.unwrap_or_default();
            if contains_delimiter(scheme, part, value) {
                return Err(VerifyError::MalformedSignature);
            }
            value.into()
        }
        Part::SignedHeaders(name) => signed_headers(material.sources()?, name)?.into(),
        Part::Timestamp => match scheme.timestamp.as_ref().map(|source| &source.place) {
            Some(TimestampPlace::Pointer(pointer)) => {
                let value = read(material.fields()?, pointer)?;
                text(value.ok_or(VerifyError::MissingTimestamp)?)
            }
            Some(
                TimestampPlace::Header(_) | TimestampPlace::Pair(_) | TimestampPlace::Claim(_),
            )
            | None => material.sources()?.timestamp.unwrap_or_default().into(),
        },
        Part::Id => {
            let value = match &scheme.id {
                Some(Field::Pointer(pointer)) => read(material.fields()?, pointer)?,
                Some(Field::FirstKey) => json::first_key(material.body()?),
                Some(Field::Header(_)) | None => return Ok(material.sources()?.id.into()),
            };
            text(value.ok_or(VerifyError::MissingId)?)
        }
        Part::Body => material.body()?.into(),
        // Senders sign an absent field as an empty one.
        Part::Pointer(pointer) => {
            let value = signed(material.fields()?, pointer)?.unwrap_or_default();
            if contains_delimiter(scheme, part, value.as_bytes()) {
                return Err(VerifyError::MalformedBody);
            }
            text(value)
        }
        Part::FreePointer(pointer) => {
            text(signed(material.fields()?, pointer)?.unwrap_or_default())
        }
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

fn contains_delimiter(scheme: &Scheme, part: &Part, value: &[u8]) -> bool {
    let mut delimiters = scheme.delimiters_of(part);
    delimiters.any(|delimiter| value.contains(&delimiter))
}

impl SignedHead {
    /// Reads the signed parts that are not in the body.
    pub(super) fn read(&mut self, sources: &Sources<'_, '_, '_>) -> Result<(), VerifyError> {
        match url_form(sources) {
            None => self.keep(sources, ""),
            Some(UrlForm::WithoutQuery) => self.keep(sources, sources.base_url()),
            Some(UrlForm::PartlyDecoded) => {
                self.keep(sources, &url::partly_decoded(&sources.url()))
            }
            Some(UrlForm::AsConfigured | UrlForm::EitherPort) => self.keep(sources, &sources.url()),
        }
    }

    /// Does the same for the other forms in which the URL may be signed.
    pub(super) fn in_other_forms(sources: &Sources<'_, '_, '_>) -> Result<Vec<Self>, VerifyError> {
        if url_form(sources) != Some(UrlForm::EitherPort) {
            return Ok(Vec::new());
        }
        url::other_ports(&sources.url())
            .into_iter()
            .map(|url| {
                let mut other = Self::default();
                other.keep(sources, &url)?;
                Ok(other)
            })
            .collect()
    }

    fn keep(&mut self, sources: &Sources<'_, '_, '_>, url: &str) -> Result<(), VerifyError> {
        let material = Material::Head { sources, url };
        let scheme = &*sources.settings.scheme;
        let mut body_reached = false;
        for part in &*scheme.content {
            if scheme.reads_from_body(part) {
                body_reached = true;
                continue;
            }
            let piece = bytes(part, &material)?;
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
        body: &'p [u8],
        made: &'p [Cow<'_, [u8]>],
        pieces: &mut Pieces<'p>,
    ) {
        let (head, mut tail) = self.bytes.split_at(self.before_body);
        pieces.push(head);
        let (mut lens, mut made) = (self.after_body.iter(), made.iter());
        let in_body = |part: &&Part| scheme.reads_from_body(part);
        for part in scheme.content.iter().skip_while(|part| !in_body(part)) {
            pieces.push(if part.is_body() {
                body
            } else if in_body(&part) {
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
        Some(TimestampPlace::Pair(_) | TimestampPlace::Pointer(_) | TimestampPlace::Claim(_))
        | None => None,
    };
    let has = |name: &str| names.iter().any(|signed| signed == name);
    if !has(header) || !timestamp.is_none_or(has) || names.len() > MAX_SIGNED_HEADERS {
        return Err(VerifyError::MalformedSignature);
    }
    let mut text = Vec::new();
    for name in &names {
        // A handler may read a repeated header differently than the sender signed it.
        let value = sources.head.header_or_empty(name);
        let value = value.map_err(|_| VerifyError::AmbiguousHeader)?;
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
    fields: Fields<'a>,
    is_form: bool,
) -> Result<Vec<Cow<'a, [u8]>>, VerifyError> {
    let material = Material::Body { scheme, fields, is_form };
    let parts = scheme.content.iter();
    parts
        .filter(|part| scheme.reads_from_body(part) && !part.is_body())
        .map(|part| bytes(part, &material))
        .collect()
}

/// Returns a signed scalar. Refuses an object or array, which would be signed as an empty text.
fn signed<'a>(fields: Fields<'a>, pointer: &str) -> Result<Option<Cow<'a, str>>, VerifyError> {
    match read(fields, pointer)? {
        None if !fields.is_null_or_absent(pointer) => Err(VerifyError::MalformedBody),
        value => Ok(value),
    }
}

/// Returns the fields as lines. With another line break, one field could pass for two; without the
/// ID, the first field could contain it.
fn lines(fields: Fields<'_>, pointers: &[Text], id: Option<&Field>) -> Result<String, VerifyError> {
    let mut lines = String::new();
    for (index, pointer) in pointers.iter().enumerate() {
        let Some(value) = signed(fields, pointer)? else {
            match id {
                Some(Field::Pointer(id)) if id == pointer => return Err(VerifyError::MissingId),
                _ => continue,
            }
        };
        if index > 0 && value.contains('\n') {
            return Err(VerifyError::MalformedBody);
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
    for (index, pair) in pairs(body).enumerate() {
        if index == MAX_FORM_FIELDS {
            return Err(VerifyError::MalformedBody);
        }
        sorted.insert(pair.ok_or(VerifyError::MalformedBody)?);
    }
    let mut text = String::with_capacity(body.len());
    for (name, value) in &sorted {
        text.push_str(name);
        text.push_str(value);
    }
    Ok(text)
}
