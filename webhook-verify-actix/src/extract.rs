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
use webhook_verify::{Delivery, ExtractError, event::FromEvent};

use crate::rejection::respond;

/// The verified delivery. `web::Bytes`, `String` and `web::Json` may stand beside it among a handler's arguments: the
/// body is there for them, too.
#[derive(Clone, Debug)]
pub struct Verified(pub Delivery);

/// The verified body, read as JSON.
///
/// A request whose content type is not JSON gets 415, a body that is not JSON 400, JSON of another shape 422. A handler
/// that takes whatever the sender calls it uses [`Verified`] and [`Delivery::json`].
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifiedJson<T>(pub T);

/// The delivery's events that are left to do, in the sender's order. A body that cannot be taken apart gets 400, 413 or 422.
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
/// async fn on_events(mut events: Events) -> Result<HttpResponse, ExtractRejection> {
///     while let Some(event) = events.next().await {
///         if event.matches("mautic.lead_post_delete") {
///             forget(event.data()?).await;
///         }
///     }
///     Ok(HttpResponse::NoContent().finish())
/// }
/// # let _ = web::post().to(on_events);
/// ```
#[derive(Debug)]
pub struct Events(pub webhook_verify::event::Events);

impl Events {
    /// The next event. To ask for it says that the one before it is done: see
    /// [`next_event`](webhook_verify::event::Events::next_event).
    pub async fn next(&mut self) -> Option<webhook_verify::Event> {
        self.0.next_event(sleep).await
    }
}

/// The data of a delivery's only event: any type that serde reads, or one that is
/// [made from events](webhook_verify::event::FromEvent).
///
/// Data that is not JSON gets 400, JSON of another shape 422, and a delivery of several events 500, since this handler cannot
/// take it: one for a sender that puts several into one request takes [`Events`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<T>(pub T);

impl FromRequest for Verified {
    type Error = ExtractRejection;
    type Future = Ready<Result<Self, ExtractRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            delivery(request, "Verified")
                .map(Self)
                .map_err(ExtractRejection),
        )
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for VerifiedJson<T> {
    type Error = ExtractRejection;
    type Future = Ready<Result<Self, ExtractRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .map(|value| value.as_bytes());
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
    delivery.ok_or(ExtractError::NotVerified {
        extractor,
        missing: "WebhookMiddleware",
    })
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
