use std::{
    fmt,
    future::{Ready, ready},
};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{StatusCode, header::CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use webhook_verify::{
    Delivery, ExtractError,
    event::{self, FromEvent},
};

use crate::rejection::respond;

/// The verified delivery. `web::Bytes`, `String` and `web::Json` may stand beside it among a handler's arguments: the
/// body is there for them, too.
#[derive(Clone, Debug)]
pub struct Verified(pub Delivery);

/// The verified body, read as JSON.
///
/// A request whose content type is not JSON gets 415, a body that is not JSON 400, JSON of another shape 422. A handler
/// that takes whatever the sender calls it uses [`Verified`] and [`Delivery::json`]. One for a sender who puts several events into
/// one request takes [`Events`]: the body has them all, also those that are done.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifiedJson<T>(pub T);

/// The delivery's events that are left to do, in the sender's order. A body that cannot be taken apart gets 400, 413 or 422.
///
/// What is said to be [done](Self::done) stays so, and a retry brings the rest. Who takes events out of here and answers success
/// without having said so of all of them is answered for with 500.
///
/// ```
/// # use actix_web::{HttpResponse, web};
/// # use webhook_verify_actix::{Events, ExtractRejection};
/// # async fn forget(lead: Lead) {}
/// #[derive(serde::Deserialize)]
/// struct Lead {
///     id: u64,
/// }
///
/// async fn on_events(events: Events) -> Result<HttpResponse, ExtractRejection> {
///     for event in &events {
///         if event.matches("mautic.lead_post_delete") {
///             forget(event.data()?).await;
///         }
///         events.done(event).await;
///     }
///     Ok(HttpResponse::NoContent().finish())
/// }
/// # let _ = web::post().to(on_events);
/// ```
#[derive(Clone, Debug)]
pub struct Events(pub event::Events);

impl Events {
    /// Says that an event is done, whatever becomes of those after it: see [`webhook_verify::Event::done`].
    pub async fn done(&self, event: &webhook_verify::Event) {
        event.done(sleep).await;
    }

    /// Those that are left to do when it is their turn: see [`iter`](webhook_verify::event::Events::iter).
    #[must_use]
    pub fn iter(&self) -> event::Iter<'_> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a webhook_verify::Event;
    type IntoIter = event::Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The data of a delivery's only event: any type that serde reads, or one that is
/// [made from events](webhook_verify::event::FromEvent).
///
/// Data that is not JSON gets 400, JSON of another shape 422. Whatever comes from a sender who may put several events into one
/// request gets 500: a handler for that one takes [`Events`].
#[derive(Clone, Copy, Debug)]
pub struct Event<T>(pub T);

impl FromRequest for Verified {
    type Error = ExtractRejection;
    type Future = Ready<Result<Self, ExtractRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(delivery(request, "Verified").map(Self).map_err(ExtractRejection))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for VerifiedJson<T> {
    type Error = ExtractRejection;
    type Future = Ready<Result<Self, ExtractRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        let json = delivery(request, "VerifiedJson")
            .and_then(|delivery| delivery.json_of_type(content_type));
        ready(json.map(Self).map_err(ExtractRejection))
    }
}

impl FromRequest for Events {
    type Error = ExtractRejection;
    type Future = Ready<Result<Self, ExtractRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let events = delivery(request, "Events").and_then(|delivery| Ok(delivery.events()?));
        ready(events.map(Self).map_err(ExtractRejection))
    }
}

impl<T: FromEvent + 'static> FromRequest for Event<T> {
    type Error = ExtractRejection;
    type Future = Ready<Result<Self, ExtractRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let data = delivery(request, "Event").and_then(|delivery| delivery.event()?.data());
        ready(data.map(Self).map_err(ExtractRejection))
    }
}

fn delivery(request: &HttpRequest, extractor: &'static str) -> Result<Delivery, ExtractError> {
    let delivery = request.extensions().get().cloned();
    delivery.ok_or(ExtractError::NotVerified { extractor, missing: "WebhookMiddleware" })
}

/// An [`ExtractError`] as a response.
#[derive(Clone, Debug)]
pub struct ExtractRejection(pub ExtractError);

impl From<ExtractError> for ExtractRejection {
    fn from(error: ExtractError) -> Self {
        Self(error)
    }
}

impl fmt::Display for ExtractRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for ExtractRejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        respond(&self.0.answer())
    }
}
