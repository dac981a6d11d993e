use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{header::CONTENT_TYPE, request::Parts};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use webhook_verify::{
    Delivery, ExtractError,
    event::{self, FromEvent},
};

use crate::rejection::respond;

/// The verified delivery. Its order among a handler's arguments does not matter, and `Bytes`, `String` and `Json` may
/// stand beside it: the body is there for them, too.
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
/// # use axum::{Router, http::StatusCode, routing::post};
/// # use webhook_verify_axum::{Events, ExtractRejection};
/// # async fn forget(lead: Lead) {}
/// #[derive(serde::Deserialize)]
/// struct Lead {
///     id: u64,
/// }
///
/// async fn on_events(events: Events) -> Result<StatusCode, ExtractRejection> {
///     for event in &events {
///         if event.matches("mautic.lead_post_delete") {
///             forget(event.data()?).await;
///         }
///         events.done(event).await;
///     }
///     Ok(StatusCode::NO_CONTENT)
/// }
/// # let _: Router = Router::new().route("/", post(on_events));
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

impl<S: Sync> FromRequestParts<S> for Verified {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(delivery(parts, "Verified")?.clone()))
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for VerifiedJson<T> {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let content_type = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        Ok(Self(delivery(parts, "VerifiedJson")?.json_of_type(content_type)?))
    }
}

impl<S: Sync> FromRequestParts<S> for Events {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let events = delivery(parts, "Events")?.events();
        Ok(Self(events.map_err(ExtractError::from)?))
    }
}

impl<T: FromEvent, S: Sync> FromRequestParts<S> for Event<T> {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(delivery(parts, "Event")?.event()?.data()?))
    }
}

fn delivery<'a>(parts: &'a Parts, extractor: &'static str) -> Result<&'a Delivery, ExtractError> {
    parts.extensions.get().ok_or(ExtractError::NotVerified { extractor, missing: "WebhookLayer" })
}

/// An [`ExtractError`] as a response.
#[derive(Clone, Debug)]
pub struct ExtractRejection(pub ExtractError);

impl From<ExtractError> for ExtractRejection {
    fn from(error: ExtractError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ExtractRejection {
    fn into_response(self) -> Response {
        respond(&self.0.answer())
    }
}
