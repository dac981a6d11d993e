//! The sender that the receiver expects, and forgers that do not have its secret.

use std::{
    io::{self, Write},
    ops::Range,
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize as _;
use serde_json::Value;
use webhook_verify::{
    RequestHead, Scheme, Secret, Verifier,
    clock::{Clock as _, SystemClock},
    scheme::{Algorithm, KeyForm},
    testing::{SignedRequest, Signer, random_secret},
};

use crate::Failure;

/// The word in a given body that stands for a new ID.
const ID: &str = "PROBE_ID";
/// The number of other secrets. The signatures under them show which part of a request is the
/// signature.
const OTHERS: usize = 8;

/// Signs requests, and predicts which of them the scheme accepts.
pub(super) struct Sender {
    pub(super) scheme: Scheme,
    secret: Secret,
    others: Vec<Secret>,
    parameters: Vec<(String, String)>,
    target: String,
    public_url: String,
    event_type: Option<String>,
    body: Option<String>,
    pub(super) verifier: Verifier,
    /// Whether the JSON of bodies has a space after each comma and colon.
    pub(super) is_spaced: bool,
}

/// The content of a delivery.
#[derive(Clone)]
pub(super) struct Draft {
    id: String,
    pub(super) body: Bytes,
}

/// A request, and where its signature is.
pub(super) struct Signed {
    pub(super) request: SignedRequest,
    pub(super) place: Place,
    pub(super) range: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The header with this index.
    Header(usize),
    Target,
    Body,
}

/// What the user says of the sender.
pub(super) struct Settings {
    pub(super) scheme: Scheme,
    pub(super) secret: Secret,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) target: String,
    pub(super) public_url: String,
    pub(super) event_type: Option<String>,
    pub(super) body: Option<String>,
}

impl Sender {
    pub(super) fn new(settings: Settings) -> Result<Self, Failure> {
        let Settings { scheme, secret, parameters, target, public_url, event_type, body } =
            settings;
        let others = (0..OTHERS).map(|_| Ok(Secret::new(random_secret(&scheme)?)?));
        let others = others.collect::<Result<_, Failure>>()?;
        let mut verifier =
            Verifier::builder(scheme.clone()).secret(secret.clone()).public_url(&public_url);
        for (name, value) in &parameters {
            verifier = verifier.parameter(name, value);
        }
        let verifier = verifier.build()?;
        Ok(Self {
            scheme,
            secret,
            others,
            parameters,
            target,
            public_url,
            event_type,
            body,
            verifier,
            is_spaced: false,
        })
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        parameters.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns a secret that is equivalent to an empty one, if the algorithm has such a secret.
    /// HMAC fills a short key with zeros.
    pub(super) fn empty_secret(&self) -> Option<Secret> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};

        let zeros = [0_u8; 32];
        let text = match (self.scheme.algorithm(), self.scheme.key_form()) {
            (
                Algorithm::HmacSha256
                | Algorithm::HmacSha1
                | Algorithm::HmacSha512
                | Algorithm::JwtHs256,
                form,
            ) => match form {
                KeyForm::Utf8 | KeyForm::HtmlText => "\0".to_owned(),
                KeyForm::Hex => "0".repeat(64),
                KeyForm::Base64 => STANDARD.encode(zeros),
                KeyForm::Whsec => format!("whsec_{}", STANDARD.encode(zeros)),
                _ => return None,
            },
            _ => return None,
        };
        Secret::exact(text).ok()
    }

    /// Returns the content of a new delivery.
    pub(super) fn draft(&self) -> Result<Draft, Failure> {
        self.draft_with("")
    }

    /// Returns the content of a new delivery, whose ID ends with `suffix`.
    pub(super) fn draft_with(&self, suffix: &str) -> Result<Draft, Failure> {
        let id = new_id(suffix)?;
        let body = match &self.body {
            Some(body) => body.replace(ID, &id),
            None => {
                let (_, body) = self.signer(&self.secret)?.unsigned_sample()?;
                let body = String::from_utf8_lossy(&body).into_owned();
                // Short and sorted, as a receiver would write it that rebuilds the body.
                let body = match serde_json::from_str::<Value>(&body) {
                    Ok(json) if self.is_spaced => spaced(&json)?,
                    Ok(json) => json.to_string(),
                    Err(_) => body,
                };
                body.replace("evt_example_", &format!("evt_example_{suffix}"))
            }
        };
        Ok(Draft { id, body: body.into() })
    }

    /// Returns the content of a new delivery with this body.
    pub(super) fn draft_of(&self, body: &str) -> Result<Draft, Failure> {
        let id = new_id("")?;
        Ok(Draft { body: body.replace(ID, &id).into(), id })
    }

    fn signer(&self, secret: &Secret) -> Result<Signer, Failure> {
        let mut signer = Signer::new(self.scheme.clone(), secret.clone())?
            .target(&self.target)
            .public_url(&self.public_url);
        for (name, value) in &self.parameters {
            signer = signer.parameter(name, value);
        }
        if let Some(event_type) = &self.event_type {
            signer = signer.event_type(event_type);
        }
        // A sample has the event type that its sender needs.
        Ok(signer.unsigned_sample()?.0)
    }

    /// Signs a delivery with the right secret, now.
    pub(super) fn sign(&self, draft: &Draft) -> Result<SignedRequest, Failure> {
        self.sign_with(&self.secret, draft, None)
    }

    pub(super) fn sign_at(&self, draft: &Draft, at: Duration) -> Result<SignedRequest, Failure> {
        self.sign_with(&self.secret, draft, Some(at))
    }

    /// Signs a delivery without the right secret.
    pub(super) fn forge(&self, draft: &Draft) -> Result<SignedRequest, Failure> {
        self.sign_with(&self.others[0], draft, None)
    }

    pub(super) fn sign_with(
        &self,
        secret: &Secret,
        draft: &Draft,
        at: Option<Duration>,
    ) -> Result<SignedRequest, Failure> {
        let mut signer = self.signer(secret)?.id(&draft.id);
        if let Some(at) = at {
            signer = signer.at(at);
        }
        let request = signer.sign(draft.body.clone())?;
        let texts = request.headers.iter().flat_map(|(name, value)| [name, value]);
        if texts.chain([&request.target]).any(|text| text.contains(char::is_control)) {
            return Err("a header of the signed request has a control character".into());
        }
        Ok(request)
    }

    /// Signs a delivery, and finds the signature in it.
    pub(super) fn locate(&self, draft: &Draft) -> Result<Signed, Failure> {
        let now = SystemClock.now();
        let request = self.sign_at(draft, now)?;
        let others = self.others.iter().map(|secret| self.sign_with(secret, draft, Some(now)));
        let others: Vec<_> = others.collect::<Result<_, _>>()?;
        let headers = (0..request.headers.len()).map(Place::Header);
        let places = headers.chain([Place::Target, Place::Body]);
        for place in places {
            let own = bytes_of(&request, place);
            let ranges = others.iter().map(|other| difference(own, bytes_of(other, place)));
            let whole =
                ranges.flatten().reduce(|all, one| all.start.min(one.start)..all.end.max(one.end));
            if let Some(range) = whole {
                return Ok(Signed { request, place, range });
            }
        }
        Err("the scheme's requests have no signature".into())
    }

    /// Returns whether the scheme accepts a request.
    pub(super) fn accepts(&self, request: &SignedRequest) -> bool {
        let head =
            RequestHead::new(&request.headers).method(&request.method).target(&request.target);
        self.verifier.verify(head, request.body.clone()).is_ok()
    }
}

/// Writes JSON as Python does by default.
fn spaced(json: &Value) -> Result<String, Failure> {
    use serde_json::ser::{Formatter, Serializer};

    struct Spaced;

    impl Formatter for Spaced {
        fn begin_array_value<W: ?Sized + Write>(
            &mut self,
            w: &mut W,
            first: bool,
        ) -> io::Result<()> {
            w.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_key<W: ?Sized + Write>(
            &mut self,
            w: &mut W,
            first: bool,
        ) -> io::Result<()> {
            w.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
            w.write_all(b": ")
        }
    }

    let mut text = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut text, Spaced))?;
    Ok(String::from_utf8(text)?)
}

fn new_id(suffix: &str) -> Result<String, Failure> {
    let number = getrandom::u64().map_err(|error| format!("no random bytes: {error}"))?;
    Ok(format!("probe_{number:016x}{suffix}"))
}

fn bytes_of(request: &SignedRequest, place: Place) -> &[u8] {
    match place {
        Place::Header(index) => {
            request.headers.get(index).map_or(&[][..], |(_, value)| value.as_bytes())
        }
        Place::Target => request.target.as_bytes(),
        Place::Body => &request.body,
    }
}

/// Returns the part of `text` that is not in `other`.
fn difference(text: &[u8], other: &[u8]) -> Option<Range<usize>> {
    let same = |(one, two): &(&u8, &u8)| one == two;
    let start = text.iter().zip(other).take_while(same).count();
    if start == text.len() && start == other.len() {
        return None;
    }
    let (rest, other) = (&text[start..], &other[start..]);
    let end = rest.iter().rev().zip(other.iter().rev()).take_while(same).count();
    Some(start..text.len() - end)
}

impl Signed {
    /// Returns the text of the signature.
    pub(super) fn signature(&self) -> String {
        let bytes = &bytes_of(&self.request, self.place)[self.range.clone()];
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Returns the text around the signature.
    pub(super) fn surroundings(&self) -> (String, String) {
        let bytes = bytes_of(&self.request, self.place);
        let text = |range: &[u8]| String::from_utf8_lossy(range).into_owned();
        (text(&bytes[..self.range.start]), text(&bytes[self.range.end..]))
    }

    /// Returns the request with another signature.
    pub(super) fn with_signature(&self, signature: &str) -> SignedRequest {
        let (before, after) = self.surroundings();
        self.with_value(format!("{before}{signature}{after}"))
    }

    /// Returns the request with another value of the header, target or body with the signature.
    pub(super) fn with_value(&self, value: String) -> SignedRequest {
        let mut request = self.request.clone();
        match self.place {
            Place::Header(index) => request.headers[index].1 = value,
            Place::Target => request.target = value,
            Place::Body => request.body = value.into(),
        }
        request
    }

    /// Returns the request without a signature, unless it is in the body.
    pub(super) fn unsigned(&self) -> Option<SignedRequest> {
        let mut request = self.request.clone();
        match self.place {
            Place::Header(index) => {
                request.headers.remove(index);
            }
            Place::Target => {
                let target = &self.request.target;
                let start = target[..self.range.start].rfind(['?', '&'])?;
                let end = target[self.range.end..].find('&').map(|at| self.range.end + at);
                let rest = end.map_or("", |end| &target[end + 1..]);
                request.target = format!("{}{rest}", &target[..=start]);
            }
            Place::Body => return None,
        }
        Some(request)
    }

    /// Returns the signature with another character at this index.
    pub(super) fn altered(&self, index: usize) -> String {
        // Digits are in every encoding.
        let alter = |(at, char)| match char {
            _ if at != index => char,
            '0' => '1',
            _ => '0',
        };
        self.signature().chars().enumerate().map(alter).collect()
    }
}

/// Adds `length` bytes to a body without changing what kind it is.
pub(super) fn padded(body: &[u8], length: usize) -> Bytes {
    let mut padded = Vec::with_capacity(body.len() + length + 16);
    let padding = || std::iter::repeat_n(b'x', length);
    match body.strip_suffix(b"}").filter(|start| start.len() > 1) {
        Some(start) => {
            padded.extend_from_slice(start);
            padded.extend_from_slice(br#","padding":""#);
            padded.extend(padding());
            padded.extend_from_slice(br#""}"#);
        }
        None if body.starts_with(b"[") || body.starts_with(b"{") => {
            padded.extend_from_slice(body);
            padded.extend(std::iter::repeat_n(b' ', length));
        }
        None => {
            padded.extend_from_slice(body);
            padded.extend_from_slice(b"&padding=");
            padded.extend(padding());
        }
    }
    padded.into()
}
