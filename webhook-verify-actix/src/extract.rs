use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, dev::Payload, http::header::CONTENT_TYPE,
};
use serde::de::DeserializeOwned;
use webhook_verify::{Delivery, ExtractError, adapter::FromDelivery, event::FromEvent};

/// Extracts the verified delivery, or its [`Events`](webhook_verify::Events), its
/// [`Batch`](webhook_verify::Batch) or its only [`Event`](webhook_verify::Event).
///
/// `web::Bytes`, `String` and `web::Json` may stand next to it among a handler's arguments: they
/// get the verified body. A body that cannot be split into events gets 400, 413 or
/// 422. `Verified<Event>` gets 500 for a sender that may put several events into one request.
///
/// ```
/// # use actix_web::{HttpResponse, web};
/// # use webhook_verify_actix::{Events, ExtractError, Verified};
/// # async fn forget(lead: Lead) {}
/// #[derive(serde::Deserialize)]
/// struct Lead {
///     id: u64,
/// }
///
/// async fn handle(Verified(events): Verified<Events>) -> Result<HttpResponse, ExtractError> {
///     for event in &events {
///         if event.matches("mautic.lead_post_delete") {
///             forget(event.data()?).await;
///         }
///         event.done().await;
///     }
///     Ok(HttpResponse::NoContent().finish())
/// }
/// # let _ = web::post().to(handle);
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

impl<T: FromDelivery + 'static> FromRequest for Verified<T> {
    type Error = ExtractError;
    type Future = Ready<Result<Self, ExtractError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let part = delivery(request, "Verified").and_then(|delivery| T::from_delivery(&delivery));
        ready(part.map(Self))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for VerifiedJson<T> {
    type Error = ExtractError;
    type Future = Ready<Result<Self, ExtractError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        let json = delivery(request, "VerifiedJson")
            .and_then(|delivery| delivery.json_of_type(content_type));
        ready(json.map(Self))
    }
}

impl<T: FromEvent + 'static> FromRequest for EventData<T> {
    type Error = ExtractError;
    type Future = Ready<Result<Self, ExtractError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let data = delivery(request, "EventData").and_then(|delivery| delivery.event()?.data());
        ready(data.map(Self))
    }
}

fn delivery(request: &HttpRequest, extractor: &'static str) -> Result<Delivery, ExtractError> {
    let delivery = request.extensions().get().cloned();
    delivery.ok_or(ExtractError::NotVerified { extractor, missing: "WebhookMiddleware" })
}
