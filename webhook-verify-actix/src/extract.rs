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
use webhook_verify::{Delivery, ExtractError};

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
