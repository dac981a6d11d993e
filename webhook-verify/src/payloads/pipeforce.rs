//! The message that PIPEFORCE's `webhook.receive` sends to consumers, and the response to its
//! caller.
//!
//! PIPEFORCE documents two forms of both:
//!
//! * Before version 9.0, a message has the body in `origin`, and the response has a trace ID.
//! * Since version 9.0, a message has the body in `payload.origin`, and a correlation ID, which the
//!   response has as well.
//!
//! `docs/pipeforce.md` shows a whole endpoint.
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

/// How a message contains the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PayloadType {
    /// Encoded in base64.
    #[default]
    Base64,
    /// As text.
    Raw,
    /// Not at all.
    Ignore,
}

impl PayloadType {
    /// Returns the type with this name: `base64`, `raw` or `ignore`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Base64, Self::Raw, Self::Ignore];
        all.into_iter().find(|known| known.name() == name)
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Raw => "raw",
            Self::Ignore => "ignore",
        }
    }
}

/// A verified call of a webhook.
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
    /// Returns a call of the webhook with this event key.
    pub fn new(delivery: &'d Delivery, event_key: impl Into<Cow<'d, str>>, ids: Ids) -> Self {
        Self {
            delivery,
            event_key: event_key.into(),
            ids,
            is_form: false,
            payload_type: PayloadType::default(),
        }
    }

    /// Sets the content type of the request. If it is that of a form, the token is removed from the
    /// payload, because anyone who has the token may call the webhook. The other fields of the form
    /// stay as they are.
    pub fn content_type(self, content_type: Option<&[u8]>) -> Self {
        Self { is_form: content_type.is_some_and(is_form_type), ..self }
    }

    /// Sets how the message contains the body. The default is base64.
    pub fn payload_type(self, payload_type: PayloadType) -> Self {
        Self { payload_type, ..self }
    }

    /// Returns the message in the form since version 9.0.
    ///
    /// # Errors
    ///
    /// [`NotText`] if the payload type is [`Raw`](PayloadType::Raw) and the body is not UTF-8.
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

    /// Returns the message in the form before version 9.0.
    ///
    /// # Errors
    ///
    /// The same as [`message`](Self::message).
    pub fn older_message(&self) -> Result<OlderMessage, NotText> {
        Ok(OlderMessage {
            event_key: self.event_key.clone().into_owned(),
            trace_id: self.ids.trace_id.clone(),
            origin: self.origin()?,
        })
    }

    /// Returns the response to the caller since version 9.0. `now` is the time since the Unix
    /// epoch.
    #[must_use]
    pub fn answer(&self, now: Duration) -> Answer {
        Answer::new(&self.ids, now)
    }

    /// Returns the response to the caller before version 9.0.
    #[must_use]
    pub fn older_answer(&self) -> OlderAnswer {
        OlderAnswer::new(&self.ids)
    }

    fn origin(&self) -> Result<Option<String>, NotText> {
        let body = if self.is_form {
            Cow::Owned(self.form_without_token())
        } else {
            Cow::Borrowed(&**self.delivery.body())
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

/// A message in the form since version 9.0.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Message {
    /// The event key of the called webhook.
    pub event_key: String,
    /// The ID of the call in logs.
    pub trace_id: String,
    /// The ID with which the caller can query the call's result.
    pub correlation_id: String,
    /// The body; `None` if it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// The body in a [`Message`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Payload {
    /// Base64.
    Origin {
        /// The body in base64.
        origin: String,
    },
    /// Text.
    Raw(String),
}

/// A message in the form before version 9.0.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OlderMessage {
    /// The event key of the called webhook.
    pub event_key: String,
    /// The ID of the call in logs.
    pub trace_id: String,
    /// The body, in base64 or as text; `None` if it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A response in the form since version 9.0: the call has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Answer {
    /// The ID with which the caller can query the call's result.
    pub correlation_id: String,
    /// The status: `running`.
    pub status: Cow<'static, str>,
    /// The status code: 200.
    pub status_code: u16,
    /// The time of the call, in ms since the Unix epoch.
    pub created: u64,
}

impl Answer {
    /// Returns the response to the call with these IDs. `now` is the time since the Unix epoch.
    ///
    /// To hide which tokens exist, respond with it to calls with an unknown token as well.
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

/// A response in the form before version 9.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OlderAnswer {
    /// The status: `OK`.
    pub status: Cow<'static, str>,
    /// The ID of the call in logs.
    pub trace_id: String,
}

impl OlderAnswer {
    /// Returns the response to the call with these IDs.
    #[must_use]
    pub fn new(ids: &Ids) -> Self {
        Self { status: "OK".into(), trace_id: ids.trace_id.clone() }
    }
}

/// A body with the payload type [`Raw`](PayloadType::Raw) is not UTF-8 text.
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
    /// Omits the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("event_key", &self.event_key)
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OlderMessage {
    /// Omits the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OlderMessage")
            .field("event_key", &self.event_key)
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Payload {
    /// Omits the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin { .. } => "Origin",
            Self::Raw(_) => "Raw",
        })
    }
}
