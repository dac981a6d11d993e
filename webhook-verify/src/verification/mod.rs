//! One request being verified: what its head says, and how its body is judged by that.

mod candidates;
mod timestamp;

use std::{borrow::Cow, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use smallvec::SmallVec;

use self::candidates::Candidates;
use crate::{
    Delivery, RequestHead, VerifyError,
    delivery::{Label, MAX_ID_LEN},
    head::Picked,
    json,
    key::{Key, Running, Tag},
    scheme::{Algorithm, Field, Part, Place, Scheme, TimestampPlace, TimestampSource},
    verifier::Settings,
};

/// What the head of a request says. Needs neither a key nor a byte of the body.
///
/// Filled in place: moving it about would cost more than half of what it does.
#[derive(Default)]
pub(crate) struct HeadFacts {
    candidates: Candidates,
    /// What of the head is signed.
    signed: SmallVec<[u8; 64]>,
    /// How much of it comes before the first part that needs the body, and how long each piece after that is.
    before_body: usize,
    after_body: SmallVec<[usize; 2]>,
    /// The form fields of the body are looked into.
    is_form: bool,
    id: Label,
    /// The event type, or what an unsigned header says that it is.
    event_type: Label,
    timestamp: Option<Duration>,
}

impl HeadFacts {
    /// Judges everything that can be judged before a byte of the body is read.
    pub(crate) fn read<'a>(
        &mut self,
        settings: &Settings,
        head: &RequestHead<'a>,
        picked: &Picked<'_, 'a>,
    ) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        for (name, expected) in &*scheme.required_headers {
            if single(picked, name)? != Some(expected.as_bytes()) {
                return Err(VerifyError::UnsupportedVersion);
            }
        }
        let mut pair_timestamp = None;
        for source in &*scheme.signatures {
            self.candidates
                .collect(scheme, source, head, picked, &mut pair_timestamp)?;
        }
        self.is_form = is_form(picked);
        let more_in_body = scheme.signatures.iter().any(|source| match source.place {
            Place::Form(_) => self.is_form,
            Place::Pointer(_) => true,
            Place::Header(_) | Place::HeaderPrefix(_) | Place::Query(_) => false,
        });
        if !more_in_body {
            self.candidates.check(scheme)?;
        }
        let (timestamp, timestamp_text) = match &scheme.timestamp {
            None => (None, None),
            Some(source) => {
                let text = match &source.place {
                    TimestampPlace::Header(name) => single(picked, name)?,
                    TimestampPlace::Pair(_) => pair_timestamp,
                    TimestampPlace::Pointer(_) => None,
                };
                let judged = match (text, &source.place) {
                    (Some(text), _) => Some(settings.judge_timestamp(source, text)?),
                    (None, TimestampPlace::Pointer(_)) => None,
                    (None, _) => return Err(VerifyError::MissingTimestamp),
                };
                (judged, text)
            }
        };
        self.timestamp = timestamp;
        self.id.set(id(scheme, picked)?);
        self.event_type.set(event_type(scheme, picked)?);
        self.keep_signed(settings, head, picked, timestamp_text)
    }

    /// Keeps the signed parts that are not in the body.
    fn keep_signed(
        &mut self,
        settings: &Settings,
        head: &RequestHead<'_>,
        picked: &Picked<'_, '_>,
        timestamp: Option<&[u8]>,
    ) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        let mut body_reached = false;
        for part in &*scheme.content {
            if scheme.reads_from_body(part) {
                body_reached = true;
                continue;
            }
            let from = self.signed.len();
            let mut keep = |piece: &[u8]| self.signed.extend_from_slice(piece);
            match part {
                Part::Literal(text) => keep(text.as_bytes()),
                Part::Timestamp => keep(timestamp.unwrap_or_default()),
                Part::Id => keep(self.id.as_bytes()),
                Part::Method => keep(head.method_text().as_bytes()),
                Part::Path => keep(head.path_and_query().as_bytes()),
                Part::Header(name) => {
                    let value = single(picked, name)?.unwrap_or_default();
                    if scheme
                        .delimiters_of(part)
                        .any(|delimiter| value.contains(&delimiter))
                    {
                        return Err(VerifyError::MalformedSignature);
                    }
                    keep(value);
                }
                Part::Url => {
                    keep(
                        settings
                            .public_url
                            .as_deref()
                            .unwrap_or_default()
                            .as_bytes(),
                    );
                    if let Some(query) = head.query() {
                        keep(b"?");
                        keep(query.as_bytes());
                    }
                }
                Part::Body | Part::Pointer(_) => {}
            }
            match body_reached {
                true => self.after_body.push(self.signed.len() - from),
                false => self.before_body = self.signed.len(),
            }
        }
        Ok(())
    }

    /// Whether the body's bytes are signed in order before any of them has to be looked into, so that a MAC can run over
    /// them as they come.
    fn streams(scheme: &Scheme) -> bool {
        let mut in_body = scheme
            .content
            .iter()
            .filter(|part| scheme.reads_from_body(part));
        in_body.next() == Some(&Part::Body)
    }

    /// A token in the head is judged before the body is read.
    pub(crate) fn judge_head(&self, settings: &Settings, keys: &[Key]) -> Result<(), VerifyError> {
        if settings.scheme.algorithm == Algorithm::Token && !self.candidates.tags.is_empty() {
            self.matching_secret(settings, keys.iter().map(|key| key.tag(&[])))?;
        }
        Ok(())
    }

    /// MACs that have taken in what is signed before the body, for a body in pieces. None where it has to be whole.
    pub(crate) fn running(&self, settings: &Settings, keys: &[Key]) -> Box<[Running]> {
        if !Self::streams(&settings.scheme) {
            return Box::default();
        }
        let mut running: Box<[Running]> = keys.iter().filter_map(Key::begin).collect();
        running
            .iter_mut()
            .for_each(|mac| mac.update(&self.signed[..self.before_body]));
        running
    }

    /// Judges the signatures. `running` has taken in the body, or is empty.
    pub(crate) fn judge(
        &mut self,
        settings: &Settings,
        keys: &[Key],
        running: Box<[Running]>,
        body: Bytes,
    ) -> Result<Delivery, VerifyError> {
        let scheme = &*settings.scheme;
        self.collect_candidates(scheme, &body)?;
        let secret_index = {
            let texts = texts_in_body(scheme, &body)?;
            let mut pieces = SmallVec::new();
            self.cut(scheme, &body, &texts, &mut pieces);
            match running.is_empty() {
                true => self.matching_secret(settings, keys.iter().map(|key| key.tag(&pieces)))?,
                // The first two pieces are what has run: the signed part of the head, and the body.
                false => {
                    let tags = running.into_iter().map(|mac| mac.tag(&pieces[2..]));
                    self.matching_secret(settings, tags)?
                }
            }
        };
        // From here on the body is the sender's own.
        self.judge_body(settings, &body)?;
        Ok(Delivery {
            body,
            scheme: Arc::clone(&settings.scheme),
            id: mem::take(&mut self.id),
            event_type: mem::take(&mut self.event_type),
            timestamp: self.timestamp,
            secret_index,
            claim: None,
            namespace: None,
        })
    }

    /// Adds the signatures or tokens that are in the body.
    fn collect_candidates(&mut self, scheme: &Scheme, body: &[u8]) -> Result<(), VerifyError> {
        for source in scheme.signatures.iter() {
            match &source.place {
                Place::Form(name) if self.is_form => {
                    for (_, value) in form_urlencoded::parse(body).filter(|(key, _)| key == name) {
                        self.candidates
                            .add_value(scheme, source, value.as_bytes(), &mut None)?;
                    }
                }
                Place::Pointer(pointer) => {
                    if let Some(text) = read(body, pointer)? {
                        self.candidates
                            .add_value(scheme, source, text.as_bytes(), &mut None)?;
                    }
                }
                Place::Form(_) | Place::Header(_) | Place::HeaderPrefix(_) | Place::Query(_) => {}
            }
        }
        self.candidates.check(scheme)
    }

    /// Cuts the signed content into pieces. The first is that of the head before anything in the body.
    fn cut<'p>(
        &'p self,
        scheme: &Scheme,
        body: &'p [u8],
        texts: &'p [Cow<'_, str>],
        pieces: &mut SmallVec<[&'p [u8]; 8]>,
    ) {
        let (head, mut tail) = self.signed.split_at(self.before_body);
        pieces.push(head);
        let (mut lens, mut texts) = (self.after_body.iter(), texts.iter());
        let in_body = |part: &&Part| scheme.reads_from_body(part);
        for part in scheme.content.iter().skip_while(|part| !in_body(part)) {
            pieces.push(match part {
                Part::Body => body,
                part if in_body(&part) => texts.next().map_or("", |text| text).as_bytes(),
                _ => {
                    let (piece, rest) = tail.split_at(lens.next().copied().unwrap_or_default());
                    tail = rest;
                    piece
                }
            });
        }
    }

    /// The first live secret for which a candidate holds. Every secret is tried with every candidate.
    fn matching_secret(
        &self,
        settings: &Settings,
        tags: impl Iterator<Item = Tag>,
    ) -> Result<usize, VerifyError> {
        let mut found = None;
        for (index, tag) in tags.enumerate() {
            if tag.matches_any(&self.candidates.tags) {
                found = found.or(Some(index));
            }
        }
        found.ok_or(match settings.scheme.algorithm {
            Algorithm::Token => VerifyError::TokenMismatch,
            _ => VerifyError::SignatureMismatch,
        })
    }

    /// Judges what a verified body says of itself.
    fn judge_body(&mut self, settings: &Settings, body: &[u8]) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        if let Some(source) = &scheme.timestamp
            && let TimestampPlace::Pointer(pointer) = &source.place
        {
            let text = read(body, pointer)?.ok_or(VerifyError::MissingTimestamp)?;
            self.timestamp = Some(settings.judge_timestamp(source, text.as_bytes())?);
        }
        if let (Some(_), Some(Field::Pointer(pointer))) = (&scheme.event_header, &scheme.event_type)
            && !self.event_type.as_bytes().is_empty()
            // A body that does not say what happened contradicts nothing.
            && let Ok(Some(event_type)) = json::scalar(body, pointer)
            && event_type.as_bytes() != self.event_type.as_bytes()
        {
            return Err(VerifyError::EventMismatch);
        }
        Ok(())
    }
}

/// The delivery's id out of a header: what is signed must be there, and must not blur where the signed parts meet.
fn id<'a>(scheme: &Scheme, picked: &Picked<'_, 'a>) -> Result<Option<&'a [u8]>, VerifyError> {
    let Some(Field::Header(name)) = &scheme.id else {
        return Ok(None);
    };
    if !scheme.id_is_signed() {
        return Ok(single(picked, name).unwrap_or_default());
    }
    let id = single(picked, name)?.ok_or(VerifyError::MissingId)?;
    let blurred = scheme
        .delimiters_of(&Part::Id)
        .any(|delimiter| id.contains(&delimiter));
    if blurred || id.len() > MAX_ID_LEN || std::str::from_utf8(id).is_err() {
        return Err(VerifyError::MalformedId);
    }
    Ok(Some(id))
}

/// What a header says of the event type. One that is held against the body must not be repeated: it would contradict
/// itself.
fn event_type<'a>(
    scheme: &Scheme,
    picked: &Picked<'_, 'a>,
) -> Result<Option<&'a [u8]>, VerifyError> {
    match (&scheme.event_header, &scheme.event_type) {
        (Some(name), _) => match single(picked, name)? {
            Some(value) if value.len() > MAX_ID_LEN => Err(VerifyError::EventMismatch),
            value => Ok(value),
        },
        (None, Some(Field::Header(name))) => Ok(single(picked, name).unwrap_or_default()),
        (None, _) => Ok(None),
    }
}

/// The signed parts that have to be read out of the body, in order.
fn texts_in_body<'a>(scheme: &Scheme, body: &'a [u8]) -> Result<Vec<Cow<'a, str>>, VerifyError> {
    let in_body = scheme
        .content
        .iter()
        .filter(|part| scheme.reads_from_body(part));
    in_body
        .filter(|part| **part != Part::Body)
        .map(|part| match (part, &scheme.timestamp, &scheme.id) {
            // An absent field is signed as an empty one.
            (Part::Pointer(pointer), ..) => Ok(read(body, pointer)?.unwrap_or_default()),
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

fn single<'a>(picked: &Picked<'_, 'a>, name: &str) -> Result<Option<&'a [u8]>, VerifyError> {
    picked
        .single(name)
        .map_err(|_| VerifyError::AmbiguousHeader)
}

fn read<'a>(body: &'a [u8], pointer: &str) -> Result<Option<Cow<'a, str>>, VerifyError> {
    json::scalar(body, pointer).map_err(|_| VerifyError::MalformedBody)
}

/// The content type is picked only for a scheme that has use for it.
fn is_form(picked: &Picked<'_, '_>) -> bool {
    let Ok(Some(content_type)) = picked.single("content-type") else {
        return false;
    };
    let media_type = content_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default();
    media_type
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}
