//! Handlers that convert extraction errors with `?` into the error types that services use.

use actix_web::{HttpResponse, ResponseError, web};
use axum::{
    Router,
    response::{ErrorResponse, IntoResponse},
};
use http::StatusCode;
use integration_tests::{Framework, Response, call_actix, call_axum, to_actix, to_axum};
use serde::Deserialize;
use webhook_verify::{Delivery, ExtractError, testing::SignedRequest};
use webhook_verify_actix::webhook;
use webhook_verify_axum::RouterExt as _;

use super::{receiver, signed};

#[derive(Deserialize)]
struct Order {
    id: u32,
}

/// An error that takes any other, as with `anyhow`.
#[derive(Debug)]
struct AnyError(Box<dyn std::error::Error + Send + Sync>);

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for AnyError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for AnyError {
    fn into_response(self) -> axum::response::Response {
        match self.0.downcast::<ExtractError>() {
            Ok(error) => error.into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl std::fmt::Display for AnyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for AnyError {
    fn error_response(&self) -> HttpResponse {
        match self.0.downcast_ref::<ExtractError>() {
            Some(error) => error.error_response(),
            None => HttpResponse::InternalServerError().finish(),
        }
    }
}

/// Reads the order from the delivery and from its event.
fn read(delivery: &Delivery) -> Result<u32, ExtractError> {
    let order: Order = delivery.json()?;
    let same: Order = delivery.event()?.data()?;
    assert_eq!(order.id, same.id);
    Ok(order.id)
}

/// Fails for an order without a number, with an error of another kind.
fn check(id: u32) -> Result<(), std::num::TryFromIntError> {
    std::num::NonZeroU32::try_from(id).map(drop)
}

async fn axum_calls(request: &SignedRequest) -> [Response; 2] {
    use webhook_verify_axum::Verified;
    let frameworks = async |Verified(delivery): Verified| {
        read(&delivery)?;
        Ok::<_, ErrorResponse>(StatusCode::NO_CONTENT)
    };
    let any = async |Verified(delivery): Verified| {
        check(read(&delivery)?)?;
        Ok::<_, AnyError>(StatusCode::NO_CONTENT)
    };
    let app = Router::new().webhook("/frameworks", receiver(), frameworks);
    let app = app.webhook("/any", receiver(), any);
    let frameworks = call_axum(app.clone(), to_axum("/frameworks", request)).await;
    [frameworks, call_axum(app, to_axum("/any", request)).await]
}

async fn actix_calls(request: &SignedRequest) -> [Response; 2] {
    use webhook_verify_actix::Verified;
    let configure = |config: &mut web::ServiceConfig| {
        let frameworks = async |Verified(delivery): Verified| {
            read(&delivery)?;
            Ok::<_, actix_web::Error>(HttpResponse::NoContent())
        };
        let any = async |Verified(delivery): Verified| {
            check(read(&delivery)?)?;
            Ok::<_, AnyError>(HttpResponse::NoContent())
        };
        config.service(webhook("/frameworks", receiver(), frameworks));
        config.service(webhook("/any", receiver(), any));
    };
    let frameworks = call_actix(configure, to_actix("/frameworks", request)).await;
    [frameworks, call_actix(configure, to_actix("/any", request)).await]
}

#[actix_web::test]
async fn errors_of_extraction_keep_their_status_in_every_type_of_error() {
    for (body, statuses, text) in [
        (r#"{"id":1}"#, [204, 204], ""),
        ("{", [400, 400], "body is not JSON"),
        (r#"{"id":"s3cret"}"#, [422, 422], "JSON is not of the expected shape"),
        (r#"{"id":0}"#, [204, 500], ""),
    ] {
        let request = signed(body);
        for framework in [Framework::Axum, Framework::Actix] {
            let responses = match framework {
                Framework::Axum => axum_calls(&request).await,
                Framework::Actix => actix_calls(&request).await,
            };
            for (response, status) in responses.iter().zip(statuses) {
                let what = format!("{framework:?} {body}");
                assert_eq!((response.status, response.text()), (status, text), "{what}");
            }
        }
    }
}
