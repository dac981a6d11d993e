//! One request being verified: from its head, through its body, to the proof.

mod candidates;
mod timestamp;

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{
    Delivery, RequestHead, VerifyError,
    delivery::{Label, MAX_ID_LEN},
    json,
    key::Mac,
    scheme::{Algorithm, Field, Part, Place, Scheme, TimestampPlace, TimestampSource},
    verifier::Settings,
};

use self::candidates::Candidates;

/// What [`begin`](Self::begin) found in the head, and the MACs that run over the body.
pub(crate) struct Verification {
    settings: Arc<Settings>,
    /// One for each live secret. None until [`key`](Self::key).
    macs: SmallVec<[Mac; 2]>,
    candidates: Candidates,
    /// What of the head is signed.
    signed_head: SmallVec<[u8; 64]>,
    /// How much of it comes before the first part that needs the body, and how long each piece after that is.
    before_body: usize,
    after_body: SmallVec<[usize; 2]>,
    /// Whether the body's bytes go into the MACs as they come, before any of them is looked into.
    streams: bool,
    /// The form fields of the body are looked into.
    is_form: bool,
    id: Option<Label>,
    event_type: Option<Label>,
    /// The unsigned event header, to be held against the body.
    event_header: Option<Label>,
    timestamp: Option<Duration>,
}

impl Verification {
    /// Judges everything that can be judged before a byte of the body is read.
    pub(crate) fn begin(
        settings: &Arc<Settings>,
        head: &RequestHead<'_>,
    ) -> Result<Self, VerifyError> {
        let scheme = &*settings.scheme;
        for (name, expected) in &*scheme.required_headers {
            if single(head, name)? != Some(expected.as_bytes()) {
                return Err(VerifyError::UnsupportedVersion);
            }
        }
        let is_form = is_form(head);
        let mut pair_timestamp = None;
        let mut candidates = Candidates::default();
        for source in &*scheme.signatures {
            candidates.collect(scheme, source, head, &mut pair_timestamp)?;
        }
        let more_in_body = scheme.signatures.iter().any(|source| match source.place {
            Place::Form(_) => is_form,
            Place::Pointer(_) => true,
            Place::Header(_) | Place::HeaderPrefix(_) | Place::Query(_) => false,
        });
        if !more_in_body {
            candidates.check(scheme)?;
        }

        let timestamp_text = match &scheme.timestamp {
            None
            | Some(TimestampSource {
                place: TimestampPlace::Pointer(_),
                ..
            }) => None,
            Some(TimestampSource {
                place: TimestampPlace::Header(name),
                ..
            }) => Some(single(head, name)?),
            Some(TimestampSource {
                place: TimestampPlace::Pair(_),
                ..
            }) => Some(pair_timestamp),
        };
        let timestamp = match (&scheme.timestamp, timestamp_text) {
            (Some(source), Some(text)) => {
                Some(settings.judge_timestamp(source, text.ok_or(VerifyError::MissingTimestamp)?)?)
            }
            _ => None,
        };
        let id = id(scheme, head)?;
        let unsigned = |name| single(head, name).ok().flatten().and_then(Label::new);
        let mut verification = Self {
            settings: Arc::clone(settings),
            macs: SmallVec::new(),
            candidates,
            signed_head: SmallVec::new(),
            before_body: 0,
            after_body: SmallVec::new(),
            streams: false,
            is_form,
            id,
            event_type: match &scheme.event_type {
                Some(Field::Header(name)) => unsigned(name),
                Some(Field::Pointer(_) | Field::FirstKey) | None => None,
            },
            event_header: match &scheme.event_header {
                // One that is repeated contradicts itself.
                Some(name) => single(head, name)?.and_then(Label::new),
                None => None,
            },
            timestamp,
        };
        verification.collect_head(head, timestamp_text.flatten())?;
        Ok(verification)
    }

    /// Keeps the signed parts that are not in the body.
    fn collect_head(
        &mut self,
        head: &RequestHead<'_>,
        timestamp: Option<&[u8]>,
    ) -> Result<(), VerifyError> {
        let settings = Arc::clone(&self.settings);
        let scheme = &*settings.scheme;
        let mut body_reached = false;
        for part in &*scheme.content {
            if scheme.reads_from_body(part) {
                self.streams |= !body_reached && *part == Part::Body;
                body_reached = true;
                continue;
            }
            let from = self.signed_head.len();
            let mut keep = |piece: &[u8]| self.signed_head.extend_from_slice(piece);
            match part {
                Part::Literal(text) => keep(text.as_bytes()),
                Part::Timestamp => keep(timestamp.unwrap_or_default()),
                Part::Id => keep(self.id.as_ref().map_or("", Label::as_str).as_bytes()),
                Part::Method => keep(head.method_text().as_bytes()),
                Part::Path => keep(head.path_and_query().as_bytes()),
                Part::Header(name) => keep(single(head, name)?.unwrap_or_default()),
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
                true => self.after_body.push(self.signed_head.len() - from),
                false => self.before_body = self.signed_head.len(),
            }
        }
        Ok(())
    }

    /// Gives the live secrets. A token that is in the head is judged at once.
    pub(crate) fn key(mut self, mut macs: SmallVec<[Mac; 2]>) -> Result<Self, VerifyError> {
        if self.settings.scheme.algorithm == Algorithm::Token && !self.candidates.tags.is_empty() {
            self.matching_secret(macs.iter().cloned())?;
        }
        macs.iter_mut()
            .for_each(|mac| mac.update(&self.signed_head[..self.before_body]));
        self.macs = macs;
        Ok(self)
    }

    /// Takes the next bytes of the body.
    pub(crate) fn update(&mut self, chunk: &[u8]) {
        if self.streams {
            self.macs.iter_mut().for_each(|mac| mac.update(chunk));
        }
    }

    /// Judges the signatures. `body` must be what [`update`](Self::update) was given.
    pub(crate) fn finish(mut self, body: Bytes) -> Result<Delivery, VerifyError> {
        self.collect_candidates(&body)?;
        let macs = self.feed_rest(&body)?;
        let secret_index = self.matching_secret(macs)?;
        // From here on the body is the sender's own.
        self.judge_body(&body)?;
        Ok(Delivery {
            body,
            scheme: Arc::clone(&self.settings.scheme),
            id: self.id,
            event_type: self.event_type,
            timestamp: self.timestamp,
            secret_index,
            claim: None,
            namespace: None,
        })
    }

    /// Adds the signatures or tokens that are in the body.
    fn collect_candidates(&mut self, body: &[u8]) -> Result<(), VerifyError> {
        let settings = Arc::clone(&self.settings);
        let scheme = &*settings.scheme;
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

    /// Feeds what is signed from the first part in the body on.
    fn feed_rest(&mut self, body: &[u8]) -> Result<SmallVec<[Mac; 2]>, VerifyError> {
        let scheme = &*self.settings.scheme;
        let mut macs = std::mem::take(&mut self.macs);
        let (mut at, mut lens) = (self.before_body, self.after_body.iter());
        let first = scheme
            .content
            .iter()
            .position(|part| scheme.reads_from_body(part));
        for (index, part) in scheme
            .content
            .iter()
            .enumerate()
            .skip_while(|(i, _)| Some(*i) != first)
        {
            let text;
            let piece: &[u8] = match part {
                Part::Body if self.streams && Some(index) == first => continue,
                Part::Body => body,
                part if scheme.reads_from_body(part) => {
                    text = text_in_body(scheme, part, body)?;
                    text.as_bytes()
                }
                _ => {
                    let len = lens.next().copied().unwrap_or_default();
                    at += len;
                    &self.signed_head[at - len..at]
                }
            };
            macs.iter_mut().for_each(|mac| mac.update(piece));
        }
        Ok(macs)
    }

    /// Judges what a verified body says of itself.
    fn judge_body(&mut self, body: &[u8]) -> Result<(), VerifyError> {
        let scheme = &*self.settings.scheme;
        if let Some(source) = &scheme.timestamp
            && let TimestampPlace::Pointer(pointer) = &source.place
        {
            let text = read(body, pointer)?.ok_or(VerifyError::MissingTimestamp)?;
            self.timestamp = Some(self.settings.judge_timestamp(source, text.as_bytes())?);
        }
        if let Some(header) = &self.event_header
            && let Some(Field::Pointer(pointer)) = &scheme.event_type
            // A body that does not say what happened contradicts nothing.
            && let Ok(Some(event_type)) = json::scalar(body, pointer)
            && event_type != header.as_str()
        {
            return Err(VerifyError::EventMismatch);
        }
        Ok(())
    }

    /// The first live secret for which a candidate holds. Every secret is tried with every candidate.
    fn matching_secret(&self, macs: impl IntoIterator<Item = Mac>) -> Result<usize, VerifyError> {
        let mut found = None;
        for (index, mac) in macs.into_iter().enumerate() {
            if mac.finish().matches_any(&self.candidates.tags) {
                found = found.or(Some(index));
            }
        }
        found.ok_or(match self.settings.scheme.algorithm {
            Algorithm::Token => VerifyError::TokenMismatch,
            _ => VerifyError::SignatureMismatch,
        })
    }
}

/// The delivery's id out of a header: what is signed must be there, and must not blur where the signed parts meet.
fn id(scheme: &Scheme, head: &RequestHead<'_>) -> Result<Option<Label>, VerifyError> {
    let Some(Field::Header(name)) = &scheme.id else {
        return Ok(None);
    };
    if !scheme.id_is_signed() {
        return Ok(single(head, name).ok().flatten().and_then(Label::new));
    }
    let id = single(head, name)?.ok_or(VerifyError::MissingId)?;
    let delimiter = scheme.content.windows(2).find_map(|pair| match pair {
        [Part::Id, Part::Literal(text)] => text.as_bytes().first(),
        _ => None,
    });
    if id.len() > MAX_ID_LEN || delimiter.is_some_and(|delimiter| id.contains(delimiter)) {
        return Err(VerifyError::MalformedId);
    }
    Label::new(id).map(Some).ok_or(VerifyError::MalformedId)
}

/// The text of a signed part that has to be read out of the body.
fn text_in_body<'a>(
    scheme: &Scheme,
    part: &Part,
    body: &'a [u8],
) -> Result<Cow<'a, str>, VerifyError> {
    match (part, &scheme.timestamp, &scheme.id) {
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
        (Part::Id, _, Some(Field::FirstKey)) => json::first_key(body).ok_or(VerifyError::MissingId),
        _ => Err(VerifyError::MalformedBody),
    }
}

fn single<'a>(head: &RequestHead<'a>, name: &str) -> Result<Option<&'a [u8]>, VerifyError> {
    head.single(name).map_err(|_| VerifyError::AmbiguousHeader)
}

fn read<'a>(body: &'a [u8], pointer: &str) -> Result<Option<Cow<'a, str>>, VerifyError> {
    json::scalar(body, pointer).map_err(|_| VerifyError::MalformedBody)
}

fn is_form(head: &RequestHead<'_>) -> bool {
    let Ok(Some(content_type)) = head.single("content-type") else {
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
