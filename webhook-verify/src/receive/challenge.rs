//! Recognizes challenges, and makes the responses to them.

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

/// The maximum length of an unsigned body that is searched for a challenge, in bytes.
pub(super) const MAX_UNSIGNED_BODY: usize = 4096;

/// A request that is a challenge.
pub(super) struct ChallengeRequest {
    index: usize,
    /// Empty if the response needs none.
    pub(super) token: Zeroizing<String>,
    /// The path and query of a handshake, otherwise empty.
    pub(super) target: String,
    is_head: bool,
}

/// A challenge whose conditions on the head are met.
struct Candidate {
    request: ChallengeRequest,
    token_missing: bool,
}

/// The result of comparing a request's head with the scheme's challenges.
pub(super) enum HeadMatch {
    /// No challenge.
    None,
    /// A challenge, with any body.
    Challenge(ChallengeRequest),
    Candidates(Box<Challenges>),
}

/// The challenges that a request may be, depending on its body and, for some, on its signature.
pub(super) struct Challenges {
    candidates: Vec<Candidate>,
    is_form: bool,
}

impl Challenges {
    /// Compares the head with those of the scheme's challenges to which the receiver `responds`.
    pub(super) fn find(
        settings: &Settings,
        head: &RequestHead<'_>,
        responds: impl Fn(&Challenge) -> bool,
    ) -> HeadMatch {
        let content_type = head.header("content-type");
        let is_form = content_type.is_some_and(|value| is_form_type(value.as_bytes()));
        let mut candidates = Vec::new();
        for (index, challenge) in settings.scheme.challenges.iter().enumerate() {
            // Bodies of other types are not parsed as forms.
            if !responds(challenge) || challenge.looks_into_form() && !is_form {
                continue;
            }
            let Some(found) = Candidate::new(index, challenge, settings, head) else {
                continue;
            };
            if challenge.signed || challenge.looks_into_body() {
                candidates.push(found);
            } else if !found.token_missing && challenge.suits(&found.request.token) {
                return HeadMatch::Challenge(found.request);
            }
        }
        if candidates.is_empty() {
            return HeadMatch::None;
        }
        HeadMatch::Candidates(Box::new(Self { candidates, is_form }))
    }

    /// Returns the challenge that a request without a signature is, by its body.
    pub(super) fn unsigned(self, settings: &Settings, body: &[u8]) -> Option<ChallengeRequest> {
        self.matches(settings, body, false).find_map(Result::ok)
    }

    /// Returns the challenge that a verified request is, or an error if a challenge has no valid
    /// token.
    pub(super) fn signed(
        self,
        settings: &Settings,
        body: &[u8],
    ) -> Result<Option<ChallengeRequest>, VerifyError> {
        self.matches(settings, body, true).next().transpose()
    }

    /// Returns whether one of these needs no signature.
    pub(super) fn any_unsigned(&self, scheme: &Scheme) -> bool {
        self.candidates.iter().any(|candidate| !candidate.request.of(scheme).signed)
    }

    /// Returns whether the response to an unsigned one of these may need a secret of the receiver.
    pub(super) fn any_for_mac(&self, scheme: &Scheme) -> bool {
        let mut challenges = self.candidates.iter().map(|candidate| candidate.request.of(scheme));
        challenges.any(|challenge| !challenge.signed && challenge.asks_for_mac())
    }

    fn matches(
        self,
        settings: &Settings,
        body: &[u8],
        signed: bool,
    ) -> impl Iterator<Item = Result<ChallengeRequest, VerifyError>> {
        let of_body = move |place: &Place| match place {
            Place::Form(name) if self.is_form => single_value(body, name).map(Cow::Owned),
            Place::Pointer(pointer) => json::scalar(body, pointer).ok().flatten(),
            _ => None,
        };
        self.candidates.into_iter().filter_map(move |mut candidate| {
            let challenge = candidate.request.of(&settings.scheme);
            let mut in_body = challenge.when.iter().filter(|when| when.place.is_in_body());
            if challenge.signed != signed
                || !in_body.all(|when| holds(when, settings, of_body(&when.place)))
            {
                return None;
            }
            if let Some(place) = challenge.token.as_ref().filter(|place| place.is_in_body()) {
                let token = of_body(place);
                candidate.token_missing = token.is_none();
                candidate.request.token = token.unwrap_or_default().into_owned().into();
            }
            Some(if candidate.token_missing || !challenge.suits(&candidate.request.token) {
                Err(VerifyError::MalformedBody)
            } else {
                Ok(candidate.request)
            })
        })
    }
}

impl Candidate {
    /// Returns `None` if the head does not meet the challenge's conditions.
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
        let is_handshake = challenge.is_handshake();
        let target = if is_handshake { head.path_and_query().to_owned() } else { String::new() };
        Some(Self {
            token_missing: challenge.token.is_some() && token.is_none(),
            request: ChallengeRequest {
                index,
                token: token.unwrap_or_default().into_owned().into(),
                target,
                is_head: method == "HEAD",
            },
        })
    }
}

impl ChallengeRequest {
    pub(super) fn of<'s>(&self, scheme: &'s Scheme) -> &'s Challenge {
        &scheme.challenges[self.index]
    }

    /// Returns the response, or `None` if it needs a MAC and `key` cannot make one.
    pub(super) fn answer(&self, settings: &Settings, key: Option<&Key>) -> Option<Answer> {
        let (answer, token) = (Answer::to_challenge(), self.token.as_str());
        let text = |value: &Value| match value {
            Value::Token => Some(token.to_owned()),
            Value::Fixed(text) => Some(text.to_string()),
            Value::Parameter(name) => settings.parameter(name).map(ToOwned::to_owned),
            Value::Mac { prefix, encoding } => {
                Some(format!("{prefix}{}", key?.hmac(*encoding, token.as_bytes())?))
            }
        };
        let answer = match &self.of(&settings.scheme).reply {
            Reply::Empty | Reply::Keep(None) => answer,
            Reply::Keep(Some(name)) => answer.with_header(name.clone(), token.to_owned().into()),
            Reply::Text(values) => {
                let texts = values.iter().map(text).collect::<Option<String>>()?;
                answer.with_body(PLAIN_TEXT, texts)
            }
            Reply::Json(members) => {
                let mut json = String::from("{");
                for (name, value) in &**members {
                    if json.len() > 1 {
                        json.push(',');
                    }
                    push_quoted(&mut json, name);
                    json.push(':');
                    match value {
                        Value::Fixed(text) => json.push_str(text),
                        Value::Token | Value::Parameter(_) | Value::Mac { .. } => {
                            push_quoted(&mut json, &text(value)?);
                        }
                    }
                }
                json.push('}');
                answer.with_body("application/json", json)
            }
        };
        Some(if self.is_head { answer.without_body() } else { answer })
    }
}

fn holds(when: &Condition, settings: &Settings, value: Option<Cow<'_, str>>) -> bool {
    match &when.expected {
        Expected::Present => value.is_some(),
        Expected::Absent => value.is_none(),
        Expected::Value(expected) => value.is_some_and(|value| value == *expected),
        // Without the parameter, no value matches.
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
