use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{header::CONTENT_TYPE, request::Parts};
use serde::de::DeserializeOwned;
use webhook_verify::{Delivery, ExtractError};

use crate::rejection::respond;

/// The verified delivery. Its order among a handler's arguments does not matter, and `Bytes`, `String` and `Json` may
/// stand beside it: the body is there for them, too.
#[derive(Clone, Debug)]
pub struct Verified(pub Delivery);

/// The verified body, read as JSON.
///
/// A request whose content type is not JSON gets 415, a body that is not JSON 400, JSON of another shape 422. A handler
/// that takes whatever the sender calls it uses [`Verified`] and [`Delivery::json`].
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifiedJson<T>(pub T);

impl<S: Sync> FromRequestParts<S> for Verified {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(delivery(parts, "Verified")?.clone()))
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for VerifiedJson<T> {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let content_type = parts
            .headers
            .get(CONTENT_TYPE)
            .map(http::HeaderValue::as_bytes);
        Ok(Self(
            delivery(parts, "VerifiedJson")?.json_of_type(content_type)?,
        ))
    }
}

fn delivery<'a>(parts: &'a Parts, extractor: &'static str) -> Result<&'a Delivery, ExtractError> {
    parts.extensions.get().ok_or(ExtractError::NotVerified {
        extractor,
        missing: "WebhookLayer",
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

impl IntoResponse for ExtractRejection {
    fn into_response(self) -> Response {
        respond(&self.0.answer())
    }
}
