//! What PIPEFORCE's `webhook.receive` makes of a call: the message that its consumers get, and the caller's answer.
//!
//! Its documents have two forms of both. Before version 9.0, a message has the body in `origin`, and an answer has a trace
//! id; from then on, a message has it in `payload.origin` and a correlation id beside, which is what is answered. How to put
//! an endpoint together is in `docs/pipeforce.md`.
//!
//! ```
//! use std::time::Duration;
//! use webhook_verify::{Verifier, payloads::pipeforce::{Call, Ids}, scheme};
//!
//! let token = "ba4825b6-6718-42f3-a400-ce08a16936bd";
//! let verifier = Verifier::new(scheme::PIPEFORCE_TOKEN, token)?;
//! let delivery = verifier.verify(&[("token", token)], r#"{"name":"Zoë"}"#)?;
//!
//! let call = Call::new(&delivery, "webhook.lead.created", Ids::random(token)?);
//! let message = serde_json::to_value(call.message()?)?;
//! assert_eq!(message["eventKey"], "webhook.lead.created");
//! assert_eq!(message["payload"]["origin"], "eyJuYW1lIjoiWm/DqyJ9");
//! assert_eq!(serde_json::to_value(call.older_message()?)?["origin"], "eyJuYW1lIjoiWm/DqyJ9");
//!
//! let answer = serde_json::to_value(call.answer(Duration::from_millis(1682349730659)))?;
//! assert_eq!(answer["correlationId"], message["correlationId"]);
//! assert!(call.older_answer().trace_id.starts_with("6936bd:"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ids;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, error, fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

pub use self::ids::{Ids, NoRandomness, random_uuid};
use crate::{delivery::Delivery, request::is_form_type, scheme::Place};

/// What becomes of a body on its way into a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PayloadType {
    /// It is written in base64.
    #[default]
    Base64,
    /// It is handed on as the text that it is.
    Raw,
    /// It is left out.
    Ignore,
}

impl PayloadType {
    /// The type of this name: `base64`, `raw` or `ignore`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Base64, Self::Raw, Self::Ignore];
        all.into_iter().find(|known| known.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Raw => "raw",
            Self::Ignore => "ignore",
        }
    }
}

/// A call of a webhook, that came with its token.
#[derive(Clone)]
#[must_use]
pub struct Call<'d> {
    delivery: &'d Delivery,
    event_key: Cow<'d, str>,
    ids: Ids,
    is_form: bool,
    payload_type: PayloadType,
}

impl<'d> Call<'d> {
    /// A call of the webhook that has this event key.
    pub fn new(delivery: &'d Delivery, event_key: impl Into<Cow<'d, str>>, ids: Ids) -> Self {
        Self {
            delivery,
            event_key: event_key.into(),
            ids,
            is_form: false,
            payload_type: PayloadType::default(),
        }
    }

    /// The content type of the request. The token of a form is cut out of its payload: consumers have no use for it, and
    /// whoever has it may call. The rest of the form stays as it is.
    pub fn content_type(self, content_type: Option<&[u8]>) -> Self {
        Self { is_form: content_type.is_some_and(is_form_type), ..self }
    }

    /// What becomes of the body. Default: base64.
    pub fn payload_type(self, payload_type: PayloadType) -> Self {
        Self { payload_type, ..self }
    }

    /// The message, in the form since version 9.0.
    ///
    /// # Errors
    ///
    /// [`NotText`] where the payload is to be [`Raw`](PayloadType::Raw) and is not UTF-8.
    pub fn message(&self) -> Result<Message, NotText> {
        let payload = match (self.payload_type, self.origin()?) {
            (_, None) => None,
            (PayloadType::Raw, Some(text)) => Some(Payload::Raw(text)),
            (_, Some(origin)) => Some(Payload::Origin { origin }),
        };
        Ok(Message {
            event_key: self.event_key.clone().into_owned(),
            trace_id: self.ids.trace_id.clone(),
            correlation_id: self.ids.correlation_id.clone(),
            payload,
        })
    }

    /// The message, in the form before version 9.0.
    ///
    /// # Errors
    ///
    /// As [`message`](Self::message).
    pub fn older_message(&self) -> Result<OlderMessage, NotText> {
        Ok(OlderMessage {
            event_key: self.event_key.clone().into_owned(),
            trace_id: self.ids.trace_id.clone(),
            origin: self.origin()?,
        })
    }

    /// The answer to the caller since version 9.0. `now` is the time since the Unix epoch.
    #[must_use]
    pub fn answer(&self, now: Duration) -> Answer {
        Answer::new(&self.ids, now)
    }

    /// The answer to the caller before version 9.0.
    #[must_use]
    pub fn older_answer(&self) -> OlderAnswer {
        OlderAnswer::new(&self.ids)
    }

    fn origin(&self) -> Result<Option<String>, NotText> {
        let body = match self.is_form {
            true => Cow::Owned(self.form_without_token()),
            false => Cow::Borrowed(&**self.delivery.body()),
        };
        match self.payload_type {
            PayloadType::Base64 => Ok(Some(STANDARD.encode(body))),
            PayloadType::Raw => String::from_utf8(body.into_owned()).map(Some).map_err(|_| NotText),
            PayloadType::Ignore => Ok(None),
        }
    }

    fn form_without_token(&self) -> Vec<u8> {
        let is_token = |pair: &[u8]| {
            let name = form_urlencoded::parse(pair).next().map(|(name, _)| name);
            let mut places = self.delivery.scheme().signatures.iter();
            places.any(|source| match (&source.place, &name) {
                (Place::Form(token), Some(name)) => name == token,
                _ => false,
            })
        };
        let pairs = self.delivery.body().split(|&byte| byte == b'&');
        let others: Vec<_> = pairs.filter(|pair| !is_token(pair)).collect();
        others.join(&b'&')
    }
}

/// A message since version 9.0.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Message {
    /// The event key of the webhook that was called.
    pub event_key: String,
    /// By which the call is found in logs.
    pub trace_id: String,
    /// By which the caller may ask what became of it.
    pub correlation_id: String,
    /// The body. `None` where it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// A body in a [`Message`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Payload {
    /// In base64.
    Origin {
        /// The base64.
        origin: String,
    },
    /// The text that it is.
    Raw(String),
}

/// A message before version 9.0.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OlderMessage {
    /// The event key of the webhook that was called.
    pub event_key: String,
    /// By which the call is found in logs.
    pub trace_id: String,
    /// The body, in base64 or as the text that it is. `None` where it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// An answer since version 9.0: the call has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Answer {
    /// By which to ask what became of the call.
    pub correlation_id: String,
    /// `running`.
    pub status: Cow<'static, str>,
    /// 200.
    pub status_code: u16,
    /// When the call came, in milliseconds since the Unix epoch.
    pub created: u64,
}

impl Answer {
    /// The answer to the call that has these ids. `now` is the time since the Unix epoch.
    ///
    /// Where nobody is to learn which tokens exist, a call with an unknown one gets this as well.
    #[must_use]
    pub fn new(ids: &Ids, now: Duration) -> Self {
        Self {
            correlation_id: ids.correlation_id.clone(),
            status: "running".into(),
            status_code: 200,
            created: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// An answer before version 9.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OlderAnswer {
    /// `OK`.
    pub status: Cow<'static, str>,
    /// By which the call is found in logs.
    pub trace_id: String,
}

impl OlderAnswer {
    /// The answer to the call that has these ids.
    #[must_use]
    pub fn new(ids: &Ids) -> Self {
        Self { status: "OK".into(), trace_id: ids.trace_id.clone() }
    }
}

/// A body that is to be handed on as text is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotText;

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("payload is not text")
    }
}

impl error::Error for NotText {}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("event_key", &self.event_key)
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    /// Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("event_key", &self.event_key)
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OlderMessage {
    /// Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OlderMessage")
            .field("event_key", &self.event_key)
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Payload {
    /// Without its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin { .. } => "Origin",
            Self::Raw(_) => "Raw",
        })
    }
}
