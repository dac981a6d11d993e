//! Which challenge of its scheme a request is, and what it is answered.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::{
    answer::{Answer, PLAIN_TEXT},
    error::VerifyError,
    key::{Key, Tag},
    request::{RequestHead, is_form_type, json, single_value},
    scheme::{Challenge, Condition, Expected, Place, Reply, Scheme, Value},
    verify::Settings,
};

/// The most of an unsigned body that is looked into, in bytes.
pub(super) const MAX_UNSIGNED_BODY: usize = 4096;

/// A challenge that a request is.
pub(super) struct Asked {
    index: usize,
    /// Empty where the answer needs none.
    pub(super) token: Zeroizing<String>,
    /// Where a handshake was sent.
    pub(super) target: String,
    is_head: bool,
}

/// A challenge that a request may be, as far as its head goes.
struct Open {
    asked: Asked,
    token_missing: bool,
}

/// What a request is by its head.
pub(super) enum Looked {
    /// No challenge.
    Other,
    /// A challenge, whatever its body is.
    Now(Asked),
    Open(Box<Challenges>),
}

/// The challenges that a request may be: it depends on its body, and on a signature for some.
pub(super) struct Challenges {
    open: Vec<Open>,
    is_form: bool,
}

impl Challenges {
    /// Looks for challenges of the scheme, among those that are to be answered at all.
    pub(super) fn look(
        settings: &Settings,
        head: &RequestHead<'_>,
        answered: impl Fn(&Challenge) -> bool,
    ) -> Looked {
        let mut open = Vec::new();
        for (index, challenge) in settings.scheme.challenges.iter().enumerate() {
            if !answered(challenge) {
                continue;
            }
            let Some(found) = Open::new(index, challenge, settings, head) else {
                continue;
            };
            if challenge.signed || challenge.looks_into_body() {
                open.push(found);
            } else if !found.token_missing && challenge.suits(&found.asked.token) {
                return Looked::Now(found.asked);
            }
        }
        if open.is_empty() {
            return Looked::Other;
        }
        Looked::Open(Box::new(Self {
            open,
            is_form: head
                .header("content-type")
                .is_some_and(|value| is_form_type(value.as_bytes())),
        }))
    }

    /// The one that a request without a signature is by its body.
    pub(super) fn unsigned(self, settings: &Settings, body: &[u8]) -> Option<Asked> {
        let mut asked = self.judge(settings, body, false);
        asked.find_map(Result::ok)
    }

    /// The one that a verified request is.
    ///
    /// # Errors
    ///
    /// It is one, and without a token that can be answered.
    pub(super) fn signed(
        self,
        settings: &Settings,
        body: &[u8],
    ) -> Result<Option<Asked>, VerifyError> {
        self.judge(settings, body, true).next().transpose()
    }

    /// Whether one of these could be made without a signature, by a body.
    pub(super) fn any_unsigned(&self, scheme: &Scheme) -> bool {
        self.open.iter().any(|open| !open.asked.of(scheme).signed)
    }

    /// Whether the answer to one of these could take a secret of the receiver.
    pub(super) fn any_for_mac(&self, scheme: &Scheme) -> bool {
        let mut challenges = self.open.iter().map(|open| open.asked.of(scheme));
        challenges.any(|challenge| !challenge.signed && challenge.asks_for_mac())
    }

    fn judge(
        self,
        settings: &Settings,
        body: &[u8],
        signed: bool,
    ) -> impl Iterator<Item = Result<Asked, VerifyError>> {
        let of_body = move |place: &Place| match place {
            Place::Form(name) if self.is_form => single_value(body, name).map(Cow::Owned),
            Place::Pointer(pointer) => json::scalar(body, pointer).ok().flatten(),
            _ => None,
        };
        self.open.into_iter().filter_map(move |mut open| {
            let challenge = open.asked.of(&settings.scheme);
            let mut in_body = challenge.when.iter().filter(|when| when.place.is_in_body());
            if challenge.signed != signed
                || !in_body.all(|when| holds(when, settings, of_body(&when.place)))
            {
                return None;
            }
            if let Some(place) = challenge.token.as_ref().filter(|place| place.is_in_body()) {
                let token = of_body(place);
                open.token_missing = token.is_none();
                open.asked.token = token.unwrap_or_default().into_owned().into();
            }
            Some(match open.token_missing || !challenge.suits(&open.asked.token) {
                true => Err(VerifyError::MalformedBody),
                false => Ok(open.asked),
            })
        })
    }
}

impl Open {
    /// `None` where the head says that it is another request.
    fn new(
        index: usize,
        challenge: &Challenge,
        settings: &Settings,
        head: &RequestHead<'_>,
    ) -> Option<Self> {
        let method = head.method_text();
        if challenge.method.as_ref().is_some_and(|wanted| wanted != method) {
            return None;
        }
        let of_head = |place: &Place| match place {
            Place::Header(name) => head.header(name).map(Cow::Borrowed),
            Place::Query(name) => head.single_query(name).map(Cow::Owned),
            Place::HeaderPrefix(_) | Place::Form(_) | Place::Pointer(_) => None,
        };
        let mut in_head = challenge.when.iter().filter(|when| !when.place.is_in_body());
        if !in_head.all(|when| holds(when, settings, of_head(&when.place))) {
            return None;
        }
        let token = challenge.token.as_ref().and_then(of_head);
        let target = match challenge.is_handshake() {
            true => head.path_and_query().to_owned(),
            false => String::new(),
        };
        Some(Self {
            token_missing: challenge.token.is_some() && token.is_none(),
            asked: Asked {
                index,
                token: token.unwrap_or_default().into_owned().into(),
                target,
                is_head: method == "HEAD",
            },
        })
    }
}

impl Asked {
    pub(super) fn of<'s>(&self, scheme: &'s Scheme) -> &'s Challenge {
        &scheme.challenges[self.index]
    }

    /// The answer. `None` where it takes a secret to sign with, and `key` is none.
    pub(super) fn answer(&self, scheme: &Scheme, key: Option<&Key>) -> Option<Answer> {
        let (answer, token) = (Answer::to_challenge(), self.token.as_str());
        let answer = match &self.of(scheme).reply {
            Reply::Empty | Reply::Keep(None) => answer,
            Reply::Keep(Some(name)) => answer.with_header(name.clone(), token.to_owned().into()),
            Reply::Text => answer.with_body(PLAIN_TEXT, token.to_owned()),
            Reply::Json(members) => {
                let mut json = String::from("{");
                for (name, value) in &**members {
                    if json.len() > 1 {
                        json.push(',');
                    }
                    push_quoted(&mut json, name);
                    json.push(':');
                    match value {
                        Value::Token => push_quoted(&mut json, token),
                        Value::Json(text) => json.push_str(text),
                        Value::Mac { prefix, encoding } => {
                            let mac = key?.hmac(*encoding, token.as_bytes())?;
                            push_quoted(&mut json, &format!("{prefix}{mac}"));
                        }
                    }
                }
                json.push('}');
                answer.with_body("application/json", json)
            }
        };
        Some(match self.is_head {
            true => answer.without_body(),
            false => answer,
        })
    }
}

fn holds(when: &Condition, settings: &Settings, value: Option<Cow<'_, str>>) -> bool {
    match &when.expected {
        Expected::Present => value.is_some(),
        Expected::Absent => value.is_none(),
        Expected::Value(expected) => value.is_some_and(|value| value == *expected),
        // A receiver that was not given it takes nothing for it.
        Expected::Parameter(name) => match (settings.parameter(name), value) {
            (Some(expected), Some(value)) if !expected.is_empty() => {
                let expected = Tag::of_token(expected.as_bytes());
                expected.matches_any(&[Tag::of_token(value.as_bytes())])
            }
            _ => false,
        },
    }
}

fn push_quoted(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}
