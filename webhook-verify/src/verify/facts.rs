//! The verification of one request: reads its head, and then verifies its body.

use std::{borrow::Cow, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

#[cfg(any(feature = "jwt", feature = "testing"))]
use super::digests::HeadDigests;
use super::{
    candidates::Candidates,
    settings::Settings,
    signed::{self, Pieces, SignedHead, Sources, json_body, made_of_body},
    url,
};
#[cfg(feature = "multipart")]
use crate::delivery::multipart;
#[cfg(not(feature = "multipart"))]
use crate::request::is_media_type;
use crate::{
    delivery::{Delivery, Label, MAX_ID_LEN},
    encoding::{Encoding, decode_digest},
    error::VerifyError,
    key::{Key, MacState},
    request::{
        Fields, Picked, RequestHead, Slot, coding::Coding, is_form_type, lone_value, only_value,
        values,
    },
    scheme::{
        BodyDigest, DigestPlace, Field, JsonInForm, KeySource, Place, Scheme, SignedBytes,
        SignedForm, Text, TimestampPlace, is_word,
    },
};

/// The contents of a request's head. Reading it needs neither a key nor the body.
///
/// It is filled in place: moving it would take more than half of the total time.
#[derive(Default)]
pub(crate) struct HeadFacts {
    candidates: Candidates,
    signed: SignedHead,
    /// The body is a form whose fields are read.
    is_form: bool,
    /// The boundary of a form that is `multipart/form-data`.
    #[cfg(feature = "multipart")]
    boundary: Option<Box<str>>,
    /// The body was in a field of a form.
    was_in_form: bool,
    /// The request has a query, and the scheme signs a body whose text could continue it.
    has_query: bool,
    /// The query, if the idempotency key may be made of it.
    query: Option<String>,
    /// The coding of the body, if the scheme defines which bytes are signed.
    coding: Option<Coding>,
    /// The facts that are read from an unverified body are complete.
    body_seen: bool,
    /// The fields of the body, once they were read.
    slots: Option<Box<[Slot]>>,
    id: Label,
    /// The event type, or an unsigned header's claim of it.
    event_type: Label,
    /// The digest of the unsigned ID and event type, if one is repeated or too long for a label.
    odd_labels: Option<Box<[u8; 32]>>,
    timestamp: Option<Duration>,
    rare: Option<Box<RareFacts>>,
}

/// Facts that few schemes need.
#[derive(Default)]
struct RareFacts {
    /// The signed head with the URL's other forms.
    signed_otherwise: Vec<SignedHead>,
    /// The signed head of the versions that have their own content.
    versions: Vec<(usize, SignedHead)>,
    /// The body's digest in the signed URL.
    body_digest: Option<String>,
    /// The key's address in the head.
    key_address: Option<String>,
    #[cfg(feature = "jwt")]
    head_digests: HeadDigests,
}

impl RareFacts {
    fn read(sources: &Sources<'_, '_, '_>, versions: &[usize]) -> Result<Self, VerifyError> {
        let scheme = &*sources.settings.scheme;
        let mut rare = Self::default();
        for version in versions {
            rare.versions.push((*version, SignedHead::of_version(sources, *version)?));
        }
        if let Some(KeySource::Url { place: Place::Header(name), .. }) = &scheme.key_source
            && let Some(address) = single(sources.picked, name)?
        {
            let address = std::str::from_utf8(address).map_err(|_| VerifyError::UnknownKeyHost)?;
            rare.key_address = Some(address.to_owned());
        }
        if let Some(BodyDigest { place: DigestPlace::Query(name), .. }) = &scheme.body_digest {
            rare.body_digest = sources.head.single_query(name);
        }
        rare.signed_otherwise = SignedHead::in_other_forms(sources)?;
        #[cfg(feature = "jwt")]
        {
            rare.head_digests = HeadDigests::read(sources);
        }
        Ok(rare)
    }
}

impl HeadFacts {
    /// Reads the head, and checks everything that needs neither a key nor the body.
    pub(crate) fn read<'a>(
        &mut self,
        settings: &Settings,
        head: &RequestHead<'a>,
        picked: &Picked<'_, 'a>,
    ) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        if scheme.signed_bytes.is_some() {
            self.coding = Coding::of(picked)?;
        }
        for (name, expected) in &*scheme.required_headers {
            if single(picked, name)? != Some(expected.as_bytes()) {
                return Err(VerifyError::UnsupportedVersion);
            }
        }
        let mut pair_timestamp = None;
        for source in &*scheme.signatures {
            self.candidates.collect(scheme, source, head, picked, &mut pair_timestamp)?;
        }
        self.is_form = settings.plan.reads_forms && is_form(picked);
        if settings.plan.reads_multipart && !self.is_form {
            let content_type = picked.single("content-type").unwrap_or_default();
            #[cfg(feature = "multipart")]
            {
                self.boundary = multipart::boundary(content_type).ok().map(String::into_boxed_str);
                self.is_form = self.boundary.is_some();
            }
            #[cfg(not(feature = "multipart"))]
            if content_type.is_some_and(|it| is_media_type(it, b"multipart/form-data")) {
                return Err(VerifyError::UnsupportedCoding { feature: Some("multipart") });
            }
        }
        let more_in_body = scheme.signatures.iter().any(|source| match source.place {
            Place::Form(_) => self.is_form,
            Place::Pointer(_) => true,
            Place::Header(_) | Place::HeaderPrefix(_) | Place::Query(_) => false,
        });
        if !more_in_body {
            self.candidates.check(scheme)?;
        }
        let timestamp = match &scheme.timestamp {
            None => None,
            Some(source) => {
                let text = match &source.place {
                    TimestampPlace::Header(name) => single(picked, name)?,
                    TimestampPlace::Pair(_) | TimestampPlace::Before => pair_timestamp,
                    TimestampPlace::Pointer(_)
                    | TimestampPlace::Form(_)
                    | TimestampPlace::Claim(_) => None,
                };
                match (text, &source.place) {
                    (Some(text), _) => {
                        self.timestamp = Some(settings.judge_timestamp(source, text)?);
                    }
                    (
                        None,
                        TimestampPlace::Pointer(_)
                        | TimestampPlace::Form(_)
                        | TimestampPlace::Claim(_),
                    ) => {}
                    (None, _) => return Err(VerifyError::MissingTimestamp),
                }
                text
            }
        };
        self.id.set(id(settings, picked)?);
        self.event_type.set(event_type(scheme, picked)?);
        if settings.plan.has_label_headers && self.may_have_odd_labels(scheme) {
            self.odd_labels = odd_labels(scheme, picked);
        }
        if settings.plan.body_alone {
            return Ok(());
        }
        self.has_query = settings.plan.signs_json_body && head.query().is_some();
        if settings.plan.identity_reads_content {
            self.query = settings
                .plan
                .signs_sorted_query
                .then(|| head.query().map(ToOwned::to_owned))
                .flatten();
        }
        let sources = Sources { settings, head, picked, timestamp, id: self.id.as_bytes() };
        self.signed.read(&sources)?;
        if settings.plan.rare {
            let versions = self.candidates.versions();
            self.rare = Some(Box::new(RareFacts::read(&sources, &versions)?));
        }
        Ok(())
    }

    /// Returns whether the header of the delivery ID or of the event type gave no label. A label
    /// that was kept is neither repeated nor too long.
    fn may_have_odd_labels(&self, scheme: &Scheme) -> bool {
        let is_header = |field: &Option<Field>| matches!(field, Some(Field::Header(_)));
        let has_event_type =
            scheme.event_header.is_none() && !self.event_type.as_bytes().is_empty();
        is_header(&scheme.id) && self.id.as_bytes().is_empty()
            || is_header(&scheme.event_type) && !has_event_type
    }

    /// Returns the coding of a body that must be decoded before it is verified.
    pub(crate) fn coding_before(&self, settings: &Settings) -> Option<Coding> {
        self.coding.filter(|_| matches!(settings.scheme.signed_bytes, Some(SignedBytes::Decoded)))
    }

    /// Returns the coding of a body that must be decoded after it is verified.
    fn coding_after(&self, settings: &Settings) -> Option<Coding> {
        self.coding.filter(|_| matches!(settings.scheme.signed_bytes, Some(SignedBytes::AsSent)))
    }

    /// Verifies a token in the head before the body is read.
    pub(crate) fn judge_head(&self, settings: &Settings, keys: &[Key]) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        let is_token = scheme.algorithm.is_token() || scheme.algorithm.is_jwt();
        if is_token && !self.candidates.is_empty() && !keys.is_empty() {
            let pieces = self.candidates.signed_text();
            let matches = |key: &Key| self.candidates.hold(key, &[pieces]);
            first(keys.iter().map(matches)).ok_or(mismatch(scheme))?;
        }
        Ok(())
    }

    /// Returns MACs that have processed the signed part of the head, for a body in pieces. There
    /// are none if the body must be complete.
    pub(crate) fn running(&self, settings: &Settings, keys: &[Key]) -> Box<[MacState]> {
        if !settings.plan.streams || self.json_in_form(settings, SignedForm::Value).is_some() {
            return Box::default();
        }
        let mut running: Box<[MacState]> = keys.iter().filter_map(Key::begin).collect();
        running.iter_mut().for_each(|mac| mac.update(self.signed.before_body()));
        running
    }

    /// Reads unsigned facts from the body: the signature itself, versions, and the key's place.
    pub(crate) fn look_into_body(
        &mut self,
        settings: &Settings,
        body: &[u8],
    ) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        if !settings.plan.looks_before_it_judges || mem::replace(&mut self.body_seen, true) {
            return Ok(());
        }
        self.collect_candidates(settings, body)?;
        self.key_name(settings, body)?;
        let fields = Fields::find(&settings.plan.pointers, &mut self.slots, body);
        for pointer in &*scheme.refused_fields {
            if fields.has(pointer).map_err(|_| VerifyError::MalformedBody)? {
                return Err(VerifyError::MalformedBody);
            }
        }
        for (pointer, expected) in &*scheme.required_fields {
            if read(fields, pointer)?.as_deref() != Some(expected) {
                return Err(VerifyError::UnsupportedVersion);
            }
        }
        Ok(())
    }

    /// Returns the form field that contains the JSON, if this part of the form is signed.
    fn json_in_form<'s>(
        &self,
        settings: &'s Settings,
        signed: SignedForm,
    ) -> Option<&'s JsonInForm> {
        let json = settings.scheme.json_in_form.as_ref()?;
        (self.is_form && !self.was_in_form && json.signed == signed).then_some(json)
    }

    /// Extracts the JSON from a form, if the field's value is signed. Does so only once.
    pub(crate) fn open_form(
        &mut self,
        settings: &Settings,
        body: &[u8],
    ) -> Result<Option<Bytes>, VerifyError> {
        let Some(json) = self.json_in_form(settings, SignedForm::Value) else { return Ok(None) };
        let form = self.multipart_as_form(settings, body);
        let form = form.as_deref().unwrap_or(body);
        let value = only_value(form, &json.field).map_err(|_| VerifyError::MalformedBody)?;
        self.was_in_form = true;
        Ok(Some(value.into()))
    }

    /// Extracts the JSON from a verified form that is signed as a whole.
    fn open_verified_form(&mut self, settings: &Settings, body: &[u8]) -> Option<Vec<u8>> {
        let json = self.json_in_form(settings, SignedForm::Whole)?;
        let value = lone_value(body, &json.field)?;
        self.was_in_form = true;
        Some(value.into_owned().into_bytes())
    }

    /// Returns the fields that are read from a `multipart/form-data` body, as a URL-encoded form.
    fn multipart_as_form(&self, settings: &Settings, body: &[u8]) -> Option<Vec<u8>> {
        #[cfg(feature = "multipart")]
        {
            let wanted = |name: &str| settings.scheme.reads_form_field(name);
            let boundary = self.boundary.as_deref()?;
            Some(multipart::fields_as_form(body, boundary, wanted))
        }
        #[cfg(not(feature = "multipart"))]
        {
            let _ = (settings, body);
            None
        }
    }

    /// Returns the text whose fields are read, if it is not the body. It is either the form as the
    /// JSON body that the sender otherwise sends, or the fields of a `multipart/form-data` body.
    pub(crate) fn readable(
        &self,
        settings: &Settings,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, VerifyError> {
        let fields = &settings.scheme.form_fields;
        if !self.is_form || self.was_in_form {
            return Ok(None);
        }
        let form = self.multipart_as_form(settings, body);
        if fields.is_empty() {
            return Ok(form);
        }
        let body = form.as_deref().unwrap_or(body);
        let mut json = serde_json::Value::Null;
        for (pointer, name) in &**fields {
            let value = only_value(body, name).map_err(|_| VerifyError::MalformedBody)?;
            if value.is_empty() {
                continue;
            }
            let mut at = &mut json;
            for token in pointer.split('/').skip(1) {
                at = &mut at[token];
            }
            *at = value.into();
        }
        Ok(Some(json.to_string().into_bytes()))
    }

    /// Returns the key that the request names: an address on a host of the scheme, or a key ID.
    pub(crate) fn key_name(
        &mut self,
        settings: &Settings,
        body: &[u8],
    ) -> Result<Option<String>, VerifyError> {
        match &settings.scheme.key_source {
            None => Ok(None),
            Some(KeySource::KeyId) => match self.candidates.key_id() {
                Some(id) if id.len() > MAX_ID_LEN => Err(VerifyError::UnknownKey),
                id => Ok(id.map(ToOwned::to_owned)),
            },
            Some(KeySource::Url { place, hosts }) => {
                let address = match place {
                    Place::Pointer(pointer) => {
                        let fields = Fields::find(&settings.plan.pointers, &mut self.slots, body);
                        read(fields, pointer)?.map(Cow::into_owned)
                    }
                    Place::Header(_)
                    | Place::HeaderPrefix(_)
                    | Place::Query(_)
                    | Place::Form(_) => {
                        self.rare.as_ref().and_then(|rare| rare.key_address.clone())
                    }
                };
                match address {
                    Some(address) if address.len() > MAX_ID_LEN || !url::is_on(&address, hosts) => {
                        Err(VerifyError::UnknownKeyHost)
                    }
                    address => Ok(address),
                }
            }
        }
    }

    /// Returns the SHA-256 digest of the token, which is the same in all places.
    pub(crate) fn token_digest(&self) -> Result<[u8; 32], VerifyError> {
        self.candidates.token_digest().ok_or(VerifyError::MissingToken)
    }

    /// Verifies the signatures. `running` has processed the body, or is empty. A body that is
    /// decoded afterwards may have up to `limit` bytes. On errors, the body stays in `sent`.
    pub(crate) fn judge(
        &mut self,
        settings: &Settings,
        keys: &[Key],
        running: Box<[MacState]>,
        sent: &mut Bytes,
        limit: usize,
    ) -> Result<Delivery, VerifyError> {
        let (scheme, body) = (&*settings.scheme, &*sent);
        let readable = self.readable(settings, body)?;
        let readable = readable.as_deref().unwrap_or(body);
        self.look_into_body(settings, readable)?;
        let mut slots = self.slots.take();
        let (secret_index, content_digest) = {
            let content = settings.content();
            let made = if settings.plan.made_of_body {
                let fields = Fields::find(&settings.plan.pointers, &mut slots, readable);
                made_of_body(scheme, content, fields, self.is_form)?
            } else {
                Vec::new()
            };
            let mut pieces = Pieces::new();
            self.signed.cut(scheme, content.0, body, &made, &mut pieces);
            let matching = if !running.is_empty() {
                // `running` has processed the first two pieces: the head's start, and the body.
                let tags = running.into_iter().map(|mac| mac.tag(&pieces[2..]));
                first(tags.map(|tag| self.candidates.match_tag(&tag)))
            } else if scheme.algorithm.is_jwt() {
                let signed = self.candidates.signed_text();
                first(keys.iter().map(|key| self.candidates.hold(key, &[signed])))
            } else {
                self.matching_key(scheme, keys, body, &made, &mut pieces)
            };
            let index = match matching {
                Some(index) => {
                    if settings.plan.signs_json_body {
                        json_body(content.0, scheme, &pieces, body, self.has_query)?;
                    }
                    index
                }
                None => self.matching_version(settings, keys, body)?,
            };
            // An unsigned challenge would have signed such a text for anyone.
            if settings.plan.signs_for_anybody && is_word(&pieces) {
                return Err(VerifyError::MalformedBody);
            }
            let digest = settings.plan.identity_reads_content.then(|| {
                let query = self.query.as_deref().unwrap_or_default();
                let pairs = signed::canonical_pairs(scheme, query, body).unwrap_or_default();
                digest_of(pieces.iter().copied().chain([pairs.as_bytes()]))
            });
            (index, digest)
        };
        // Fields of the compressed bytes are not fields of the decoded body.
        self.slots = slots.filter(|_| self.coding_after(settings).is_none());
        if let Some((from, until)) = keys.get(secret_index).and_then(Key::validity) {
            let now = settings.clock.now();
            if now < from || now > until {
                return Err(VerifyError::ExpiredKey);
            }
        }
        // From here on, the body is authentic.
        let confirmed = settings.plan.pointers.confirm(self.slots.as_deref(), readable);
        confirmed.map_err(|_| VerifyError::MalformedBody)?;
        let decoded = self.coding_after(settings).map(|coding| coding.decode(body, limit));
        let decoded = decoded.transpose()?;
        let opened = self.open_verified_form(settings, decoded.as_deref().unwrap_or(body));
        let decoded = opened.or(decoded);
        self.judge_body(settings, body, decoded.as_deref().unwrap_or(readable))?;
        let body = decoded.map_or_else(|| mem::take(sent), Bytes::from);
        Ok(Delivery {
            body,
            scheme: Arc::clone(&settings.scheme),
            id: mem::take(&mut self.id),
            event_type: mem::take(&mut self.event_type),
            timestamp: self.timestamp,
            secret_index,
            was_in_form: self.was_in_form,
            content_digest,
            odd_labels: self.odd_labels.take(),
            max_events: settings.max_events,
            events: None,
            claim: None,
            namespace: None,
        })
    }

    /// Returns the index of the first live secret that matches a candidate, over any form of the
    /// URL. Tries every secret with every candidate. Leaves the matching form's pieces in `pieces`.
    fn matching_key<'p>(
        &'p self,
        scheme: &Scheme,
        keys: &[Key],
        body: &'p [u8],
        made: &'p [Cow<'_, [u8]>],
        pieces: &mut Pieces<'p>,
    ) -> Option<usize> {
        let matching =
            |pieces: &[&[u8]]| first(keys.iter().map(|key| self.candidates.hold(key, pieces)));
        let mut found = matching(pieces);
        let others = self.rare.iter().flat_map(|rare| &rare.signed_otherwise);
        for other in others {
            if found.is_some() {
                break;
            }
            pieces.clear();
            other.cut(scheme, &scheme.content, body, made, pieces);
            found = matching(pieces);
        }
        found
    }

    /// Does the same for the versions that have their own content.
    fn matching_version(
        &self,
        settings: &Settings,
        keys: &[Key],
        body: &Bytes,
    ) -> Result<usize, VerifyError> {
        let scheme = &*settings.scheme;
        let mut slots = None;
        for (version, head) in self.rare.iter().flat_map(|rare| &rare.versions) {
            let content = settings.version(*version);
            let fields = Fields::read(&settings.plan.pointers, &mut slots, body);
            let made = made_of_body(scheme, content, fields, self.is_form)?;
            let mut pieces = Pieces::new();
            head.cut(scheme, content.0, body, &made, &mut pieces);
            let hold = |key: &Key| self.candidates.hold_version(*version, key, &pieces);
            if let Some(index) = first(keys.iter().map(hold)) {
                json_body(content.0, scheme, &pieces, body, self.has_query)?;
                return Ok(index);
            }
        }
        Err(mismatch(scheme))
    }

    /// Adds the signatures or tokens in the body.
    fn collect_candidates(&mut self, settings: &Settings, body: &[u8]) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        for source in scheme.signatures.iter() {
            match &source.place {
                Place::Form(name) if self.is_form => {
                    for value in values(body, name) {
                        self.candidates.add_value(scheme, source, value.as_bytes(), &mut None)?;
                    }
                }
                Place::Pointer(pointer) => {
                    let fields = Fields::find(&settings.plan.pointers, &mut self.slots, body);
                    if let Some(text) = read(fields, pointer)? {
                        self.candidates.add_value(scheme, source, text.as_bytes(), &mut None)?;
                    }
                }
                Place::Form(_) | Place::Header(_) | Place::HeaderPrefix(_) | Place::Query(_) => {}
            }
        }
        self.candidates.check(scheme)
    }

    /// Checks the contents of a verified body, URL or token. The digests are those of the body as
    /// sent.
    fn judge_body(
        &mut self,
        settings: &Settings,
        sent: &[u8],
        body: &[u8],
    ) -> Result<(), VerifyError> {
        let scheme = &*settings.scheme;
        if let Some(source) = &scheme.timestamp {
            let text = match &source.place {
                TimestampPlace::Pointer(pointer) => {
                    let fields = Fields::read(&settings.plan.pointers, &mut self.slots, body);
                    read(fields, pointer)?
                }
                TimestampPlace::Form(name) => {
                    let value = only_value(body, name).map_err(|_| VerifyError::MalformedBody)?;
                    Some(value.into()).filter(|value: &Cow<'_, str>| !value.is_empty())
                }
                TimestampPlace::Header(_)
                | TimestampPlace::Pair(_)
                | TimestampPlace::Before
                | TimestampPlace::Claim(_) => None,
            };
            match text.map(Cow::into_owned) {
                Some(text) => {
                    self.timestamp = Some(settings.judge_timestamp(source, text.as_bytes())?);
                }
                None if source.place.is_in_body() => return Err(VerifyError::MissingTimestamp),
                None => {}
            }
        }
        if let Some(BodyDigest { place: DigestPlace::Query(_), encoding, .. }) = &scheme.body_digest
            && !self
                .rare
                .as_ref()
                .and_then(|rare| rare.body_digest.as_deref())
                .is_some_and(|text| is_digest_of(text, *encoding, sent))
        {
            return Err(VerifyError::SignatureMismatch);
        }
        for (pointer, name) in &*scheme.parameter_fields {
            let fields = Fields::read(&settings.plan.pointers, &mut self.slots, body);
            let value = read(fields, pointer)?.unwrap_or_default();
            if !settings.parameters_of(name).any(|given| given == value) {
                return Err(VerifyError::WrongIssuer);
            }
        }
        #[cfg(feature = "jwt")]
        {
            let none = HeadDigests::default();
            let head = self.rare.as_ref().map_or(&none, |rare| &rare.head_digests);
            if let Some(time) = self.candidates.judge_claims(settings, head, sent)? {
                self.timestamp = Some(time);
            }
        }
        if let (Some(_), Some(Field::Pointer(pointer))) = (&scheme.event_header, &scheme.event_type)
            && !self.event_type.as_bytes().is_empty()
            // A body without an event type contradicts nothing.
            && let fields = Fields::read(&settings.plan.pointers, &mut self.slots, body)
            && let Ok(Some(event_type)) = fields.scalar(pointer)
            && event_type.as_bytes() != self.event_type.as_bytes()
        {
            return Err(VerifyError::EventMismatch);
        }
        Ok(())
    }
}

/// Returns the index of the first match. Tries all, so that the time does not reveal which it is.
fn first(matches: impl Iterator<Item = bool>) -> Option<usize> {
    let mut found = None;
    for (index, matches) in matches.enumerate() {
        if matches {
            found = found.or(Some(index));
        }
    }
    found
}

fn mismatch(scheme: &Scheme) -> VerifyError {
    if scheme.algorithm.is_token() {
        VerifyError::TokenMismatch
    } else {
        VerifyError::SignatureMismatch
    }
}

/// Returns the digest of the signed content. Each piece has its length before it, so contents with
/// the same bytes but different pieces have different digests.
fn digest_of<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Box<[u8; 32]> {
    let mut digest = Sha256::new();
    for piece in pieces {
        digest.update((piece.len() as u64).to_be_bytes());
        digest.update(piece);
    }
    Box::new(digest.finalize().into())
}

/// Returns a digest of all values of the headers with the delivery ID and the event type, if one
/// does not fit into a label. Otherwise, deliveries that differ only in these values would have the
/// same key.
fn odd_labels(scheme: &Scheme, picked: &Picked<'_, '_>) -> Option<Box<[u8; 32]>> {
    let names = [&scheme.id, &scheme.event_type].into_iter().filter_map(|field| match field {
        Some(Field::Header(name)) => Some(name),
        Some(Field::Pointer(_) | Field::FirstKey) | None => None,
    });
    let is_odd = |name: &Text| match picked.single(name) {
        Ok(value) => value.is_some_and(|value| value.len() > MAX_ID_LEN),
        Err(_) => true,
    };
    if !names.clone().any(is_odd) {
        return None;
    }
    let mut digest = Sha256::new();
    for name in names {
        digest.update(picked.all(name).count().to_be_bytes());
        for value in picked.all(name) {
            digest.update((value.len() as u64).to_be_bytes());
            digest.update(value);
        }
    }
    Some(Box::new(digest.finalize().into()))
}

/// Returns whether `text` is the SHA-256 digest of `content`. Neither is secret to the sender.
pub(super) fn is_digest_of(text: &str, encoding: Option<Encoding>, content: &[u8]) -> bool {
    let digest = decode_digest(text.as_bytes(), encoding);
    digest.is_some_and(|digest| digest == *Sha256::digest(content))
}

/// Returns the digests of the head that a token must contain, for tests.
#[cfg(feature = "testing")]
pub(crate) fn head_digests(settings: &Settings, head: &RequestHead<'_>) -> HeadDigests {
    let picked = Picked::new(head, &settings.names);
    let sources = Sources { settings, head, picked: &picked, timestamp: None, id: &[] };
    HeadDigests::read(&sources)
}

/// Calls `sign` with the pieces of the request's signed content, for tests.
#[cfg(feature = "testing")]
pub(crate) fn sign<T>(
    settings: &Settings,
    head: &RequestHead<'_>,
    pair_timestamp: Option<&str>,
    body: &[u8],
    sign: impl FnOnce(&[&[u8]]) -> T,
) -> Result<T, VerifyError> {
    let scheme = &*settings.scheme;
    let picked = Picked::new(head, &settings.names);
    let timestamp = match scheme.timestamp.as_ref().map(|source| &source.place) {
        Some(TimestampPlace::Header(name)) => single(&picked, name)?,
        _ => pair_timestamp.map(str::as_bytes),
    };
    let mut signed = SignedHead::default();
    signed.read(&Sources {
        settings,
        head,
        picked: &picked,
        timestamp,
        id: id(settings, &picked)?.unwrap_or_default(),
    })?;
    let mut slots = None;
    let fields = Fields::read(&settings.plan.pointers, &mut slots, body);
    let made = made_of_body(scheme, settings.content(), fields, is_form(&picked))?;
    let mut pieces = Pieces::new();
    signed.cut(scheme, &scheme.content, body, &made, &mut pieces);
    Ok(sign(&pieces))
}

/// Returns the delivery ID in a header. A signed one must be present and contain no delimiters.
fn id<'a>(settings: &Settings, picked: &Picked<'_, 'a>) -> Result<Option<&'a [u8]>, VerifyError> {
    let Some(Field::Header(name)) = &settings.scheme.id else {
        return Ok(None);
    };
    if !settings.plan.id_is_signed {
        return Ok(single(picked, name).unwrap_or_default());
    }
    let id = single(picked, name)?.ok_or(VerifyError::MissingId)?;
    let mut delimiters = settings.plan.id_delimiters.iter();
    let blurred = delimiters.any(|delimiter| id.contains(delimiter));
    let is_text = id.is_ascii() || std::str::from_utf8(id).is_ok();
    if blurred || id.len() > MAX_ID_LEN || !is_text {
        return Err(VerifyError::MalformedId);
    }
    Ok(Some(id))
}

/// Returns the event type in a header. If it is compared with the body, it must not be repeated.
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

pub(super) fn single<'a>(
    picked: &Picked<'_, 'a>,
    name: &str,
) -> Result<Option<&'a [u8]>, VerifyError> {
    picked.single(name).map_err(|_| VerifyError::AmbiguousHeader)
}

pub(super) fn read<'a>(
    fields: Fields<'a>,
    pointer: &str,
) -> Result<Option<Cow<'a, str>>, VerifyError> {
    fields.scalar(pointer).map_err(|_| VerifyError::MalformedBody)
}

/// Returns whether the body is a form. The content type is collected only if the scheme needs it.
fn is_form(picked: &Picked<'_, '_>) -> bool {
    matches!(picked.single("content-type"), Ok(Some(content_type)) if is_form_type(content_type))
}

#[cfg(all(test, not(feature = "multipart")))]
mod tests {
    use crate::{Verifier, VerifyError, scheme};

    #[test]
    fn a_form_in_parts_needs_its_feature() {
        let verifier = Verifier::new(scheme::GITEA, "a secret").unwrap();
        let type_header = ("content-type", "Multipart/Form-Data; boundary=x");
        let verdict = verifier.verify(&[("x-gitea-signature", "00"), type_header], "--x--");
        let error = verdict.unwrap_err();
        assert_eq!(error, VerifyError::UnsupportedCoding { feature: Some("multipart") });
        assert_eq!(error.to_string(), "body needs the feature `multipart` of webhook-verify");
    }
}
