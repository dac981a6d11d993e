use axum_core::extract::FromRequestParts;
use http::{header::CONTENT_TYPE, request::Parts};
use serde::de::DeserializeOwned;
use webhook_verify::{Delivery, ExtractError, adapter::FromDelivery, event::FromEvent};

/// Extracts the verified delivery, or its [`Events`](webhook_verify::Events), its
/// [`Batch`](webhook_verify::Batch) or its only [`Event`](webhook_verify::Event).
///
/// It may be any of a handler's arguments. `Bytes`, `String` and `Json` may stand next to it: they
/// get the verified body. A body that cannot be split into events gets 400, 413 or
/// 422. `Verified<Event>` gets 500 for a sender that may put several events into one request.
///
/// ```
/// # use axum::{Router, http::StatusCode, routing::post};
/// # use webhook_verify_axum::{Events, ExtractError, Verified};
/// # async fn forget(lead: Lead) {}
/// #[derive(serde::Deserialize)]
/// struct Lead {
///     id: u64,
/// }
///
/// async fn on_events(Verified(events): Verified<Events>) -> Result<StatusCode, ExtractError> {
///     for event in &events {
///         if event.matches("mautic.lead_post_delete") {
///             forget(event.data()?).await;
///         }
///         event.done().await;
///     }
///     Ok(StatusCode::NO_CONTENT)
/// }
/// # let _: Router = Router::new().route("/", post(on_events));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Verified<T = Delivery>(pub T);

/// Extracts the verified body as JSON.
///
/// A request whose content type is not JSON gets 415, a body that is not JSON 400, JSON of another
/// shape 422. A handler that accepts any content type uses [`Verified`] and [`Delivery::json`]. If
/// the sender may put several events into one request, take
/// [`Verified<Events>`](webhook_verify::Events): the body also contains the completed ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifiedJson<T>(pub T);

/// Extracts the data of a delivery's only event, as any type that serde deserializes or that
/// implements [`FromEvent`].
///
/// If the sender wraps the data in an envelope, this extracts only the data. For
/// [Stripe](webhook_verify::scheme::STRIPE), that is the value at `/data/object`. `type` is outside
/// of it, so use [`VerifiedJson`] for an enum whose tag is `type`. The documentation of each preset
/// in [`scheme`](webhook_verify::scheme) states what `EventData` reads.
///
/// If the data is not JSON, the sender gets 400. If the JSON has another shape, it gets 422. If the
/// sender may put several events into one request, it gets 500: use
/// [`Verified<Events>`](webhook_verify::Events) instead.
#[derive(Clone, Copy, Debug)]
pub struct EventData<T>(pub T);

impl<T: FromDelivery, S: Sync> FromRequestParts<S> for Verified<T> {
    type Rejection = ExtractError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(T::from_delivery(delivery(parts, "Verified")?)?))
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for VerifiedJson<T> {
    type Rejection = ExtractError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let content_type = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        Ok(Self(delivery(parts, "VerifiedJson")?.json_of_type(content_type)?))
    }
}

impl<T: FromEvent, S: Sync> FromRequestParts<S> for EventData<T> {
    type Rejection = ExtractError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(delivery(parts, "EventData")?.event()?.data()?))
    }
}

fn delivery<'a>(parts: &'a Parts, extractor: &'static str) -> Result<&'a Delivery, ExtractError> {
    let missing = "WebhookLayer";
    parts.extensions.get().ok_or(ExtractError::NotVerified { extractor, missing })
}
