//! Converts responses into the frameworks' types. Only this crate can implement the frameworks'
//! traits for its errors.

#[cfg(feature = "actix")]
mod actix {
    use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError, http::StatusCode};

    use crate::{answer::Answer, delivery::ExtractError};

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    impl From<Answer> for HttpResponse {
        fn from(answer: Answer) -> Self {
            let mut response = HttpResponseBuilder::new(status(answer.status()));
            for header in answer.headers() {
                response.insert_header(header);
            }
            response.body(answer.body().clone())
        }
    }

    impl ResponseError for ExtractError {
        fn status_code(&self) -> StatusCode {
            status(self.status())
        }

        fn error_response(&self) -> HttpResponse {
            self.answer().into()
        }
    }
}

#[cfg(feature = "axum")]
mod axum {
    use axum_core::{
        body::Body,
        response::{IntoResponse, Response},
    };
    use http::{HeaderName, HeaderValue, StatusCode};

    use crate::{answer::Answer, delivery::ExtractError};

    impl IntoResponse for Answer {
        fn into_response(self) -> Response {
            let mut response = Response::new(Body::from(self.body().clone()));
            *response.status_mut() =
                StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            for (name, value) in self.headers() {
                if let (Ok(name), Ok(value)) =
                    (name.parse::<HeaderName>(), HeaderValue::from_str(value))
                {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
    }

    impl IntoResponse for ExtractError {
        fn into_response(self) -> Response {
            self.answer().into_response()
        }
    }
}
