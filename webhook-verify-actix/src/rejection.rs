use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode};
use webhook_verify::adapter::Answer;

/// Converts the core's response into the framework's types.
pub(crate) fn respond(answer: &Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponseBuilder::new(status);
    for header in answer.headers() {
        response.insert_header(header);
    }
    response.body(answer.body().clone())
}
