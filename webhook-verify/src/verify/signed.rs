//! What is signed, put together: the part of it that is in the head, and the part that is made of the body.

use std::{borrow::Cow, collections::BTreeSet};

use smallvec::SmallVec;

use super::{Settings, read, single, url};
use crate::{
    error::VerifyError,
    request::{Picked, RequestHead, json},
    scheme::{Field, Part, Scheme, Text, TimestampPlace, TimestampSource, UrlForm},
};

/// The most form fields that are sorted to be signed.
const MAX_FORM_FIELDS: usize = 4096;
/// The most headers that a request may name as signed.
const MAX_SIGNED_HEADERS: usize = 32;

/// The signed content, cut where the body comes in.
pub(super) type Pieces<'p> = SmallVec<[&'p [u8]; 8]>;

/// What of the head is signed.
#[derive(Default)]
pub(super) struct SignedHead {
    bytes: SmallVec<[u8; 64]>,
    /// How much of it comes before the first part that needs the body, and how long each piece after that is.
    before_body: usize,
    after_body: SmallVec<[usize; 2]>,
}

/// What the signed parts of a head are made of.
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

    /// The configured URL with the request's query.
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
    parts.find_map(|part| match part {
        Part::Url(form) => Some(*form),
        _ => None,
    })
}

impl SignedHead {
    /// Keeps the signed parts that are not in the body.
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

    /// The same for the other forms that the URL may have been signed in.
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
        let Sources {
            settings,
            head,
            picked,
            ..
        } = *sources;
        let scheme = &*settings.scheme;
        let mut body_reached = false;
        for part in &*scheme.content {
            if scheme.reads_from_body(part) {
                body_reached = true;
                continue;
            }
            let from = self.bytes.len();
            let mut keep = |piece: &[u8]| self.bytes.extend_from_slice(piece);
            match part {
                Part::Literal(text) => keep(text.as_bytes()),
                Part::Timestamp => keep(sources.timestamp.unwrap_or_default()),
                Part::Id => keep(sources.id),
                Part::Method => keep(head.method_text().as_bytes()),
                Part::Path(form) => keep(url::path(head.path_and_query(), *form).as_bytes()),
                Part::Url(_) => keep(url.as_bytes()),
                Part::Parameter(name) => {
                    keep(settings.parameter(name).unwrap_or_default().as_bytes());
                }
                Part::Header(name) => {
                    let value = single(picked, name)?.unwrap_or_default();
                    let mut delimiters = scheme.delimiters_of(part);
                    if delimiters.any(|delimiter| value.contains(&delimiter)) {
                        return Err(VerifyError::MalformedSignature);
                    }
                    keep(value);
                }
                Part::SignedHeaders(name) => keep(&signed_headers(sources, name)?),
                Part::Body
                | Part::Pointer(_)
                | Part::FreePointer(_)
                | Part::Fields(_)
                | Part::Form
                | Part::Crc32 => {}
            }
            match body_reached {
                true => self.after_body.push(self.bytes.len() - from),
                false => self.before_body = self.bytes.len(),
            }
        }
        Ok(())
    }

    /// What is signed before anything in the body.
    pub(super) fn before_body(&self) -> &[u8] {
        &self.bytes[..self.before_body]
    }

    /// Cuts the signed content into pieces. The first is that of the head before anything in the body.
    pub(super) fn cut<'p>(
        &'p self,
        scheme: &Scheme,
        body: &'p [u8],
        made: &'p [Cow<'_, str>],
        pieces: &mut Pieces<'p>,
    ) {
        let (head, mut tail) = self.bytes.split_at(self.before_body);
        pieces.push(head);
        let (mut lens, mut made) = (self.after_body.iter(), made.iter());
        let in_body = |part: &&Part| scheme.reads_from_body(part);
        for part in scheme.content.iter().skip_while(|part| !in_body(part)) {
            pieces.push(match part {
                Part::Body => body,
                part if in_body(&part) => made.next().map_or("", |text| text).as_bytes(),
                _ => {
                    let (piece, rest) = tail.split_at(lens.next().copied().unwrap_or_default());
                    tail = rest;
                    piece
                }
            });
        }
    }
}

/// The headers that another one names, itself among them, as lines of one.
fn signed_headers(sources: &Sources<'_, '_, '_>, header: &str) -> Result<Vec<u8>, VerifyError> {
    let list = single(sources.picked, header)?.ok_or(VerifyError::MissingSignature)?;
    let malformed = |_| VerifyError::MalformedSignature;
    let list = std::str::from_utf8(list).map_err(malformed)?;
    let names: Vec<_> = list
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    // Without its own name, the list could be another one; without the timestamp's, an old request a new one.
    let timestamp = match &sources.settings.scheme.timestamp {
        Some(TimestampSource {
            place: TimestampPlace::Header(name),
            ..
        }) => Some(&**name),
        _ => None,
    };
    let has = |name: &str| names.iter().any(|signed| signed == name);
    if !has(header) || !timestamp.is_none_or(has) || names.len() > MAX_SIGNED_HEADERS {
        return Err(VerifyError::MalformedSignature);
    }
    let mut text = Vec::new();
    for name in &names {
        // Repeated ones would be signed as one or as none, and a handler takes another.
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

/// The signed parts that have to be made of the body, in order.
pub(super) fn made_of_body<'a>(
    scheme: &Scheme,
    body: &'a [u8],
    is_form: bool,
) -> Result<Vec<Cow<'a, str>>, VerifyError> {
    let in_body = scheme
        .content
        .iter()
        .filter(|part| scheme.reads_from_body(part));
    in_body
        .filter(|part| **part != Part::Body)
        .map(|part| match (part, &scheme.timestamp, &scheme.id) {
            // An absent field is signed as an empty one.
            (Part::Pointer(pointer), ..) => {
                let value = signed(body, pointer)?.unwrap_or_default();
                let mut delimiters = scheme.delimiters_of(part);
                match delimiters.any(|delimiter| value.as_bytes().contains(&delimiter)) {
                    true => Err(VerifyError::MalformedBody),
                    false => Ok(value),
                }
            }
            (Part::FreePointer(pointer), ..) => Ok(signed(body, pointer)?.unwrap_or_default()),
            (Part::Fields(pointers), _, id) => fields(body, pointers, id.as_ref()).map(Cow::Owned),
            (Part::Form, ..) => form(body, is_form).map(Cow::Owned),
            (Part::Crc32, ..) => Ok(Cow::Owned(crc32fast::hash(body).to_string())),
            (
                Part::Timestamp,
                Some(TimestampSource {
                    place: TimestampPlace::Pointer(pointer),
                    ..
                }),
                _,
            ) => read(body, pointer)?.ok_or(VerifyError::MissingTimestamp),
            (Part::Id, _, Some(Field::Pointer(pointer))) => {
                read(body, pointer)?.ok_or(VerifyError::MissingId)
            }
            _ => json::first_key(body).ok_or(VerifyError::MissingId),
        })
        .collect()
}

/// A scalar that is signed. An object or an array there would be signed as nothing, and read as something.
fn signed<'a>(body: &'a [u8], pointer: &str) -> Result<Option<Cow<'a, str>>, VerifyError> {
    match read(body, pointer)? {
        None if !json::is_null_or_absent(body, pointer) => Err(VerifyError::MalformedBody),
        value => Ok(value),
    }
}

/// One line break too many, and a field could pass for two; without the id, the first field could have swallowed it.
fn fields(body: &[u8], pointers: &[Text], id: Option<&Field>) -> Result<String, VerifyError> {
    let mut lines = String::new();
    for (index, pointer) in pointers.iter().enumerate() {
        let Some(value) = signed(body, pointer)? else {
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

/// A body that is not a form has no fields, and would not be signed at all: it must be empty.
fn form(body: &[u8], is_form: bool) -> Result<String, VerifyError> {
    if !is_form {
        return match body.is_empty() {
            true => Ok(String::new()),
            false => Err(VerifyError::MalformedBody),
        };
    }
    let mut sorted = BTreeSet::new();
    for pair in form_urlencoded::parse(body) {
        sorted.insert(pair);
        if sorted.len() > MAX_FORM_FIELDS {
            return Err(VerifyError::MalformedBody);
        }
    }
    let texts = sorted.iter().flat_map(|(name, value)| [&**name, &**value]);
    Ok(texts.collect())
}
