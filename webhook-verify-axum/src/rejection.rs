use axum_core::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode};
use webhook_verify::adapter::Answer;

/// Converts the core's response into the framework's types.
pub(crate) fn respond(answer: &Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body().clone()));
    *response.status_mut() =
        StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers() {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
