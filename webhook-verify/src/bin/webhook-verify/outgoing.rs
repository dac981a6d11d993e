//! Requests that are about to be sent or recorded.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, uri::PathAndQuery};
use webhook_verify::{RequestHead, testing::SignedRequest};

use crate::client::is_of_connection;

/// The maximum number of headers of a request. No server accepts more, and [`http::HeaderMap`] panics
/// beyond a multiple of it.
pub(crate) const MAX_HEADERS: usize = 10_000;

/// A request with its exact body.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Outgoing {
    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead::new(&self.headers).method(&self.method).target(&self.target)
    }

    /// Returns the request without the headers of its connection. An error names the part that
    /// cannot be sent.
    pub(crate) fn request(&self) -> Result<Request<Bytes>, String> {
        if self.headers.len() > MAX_HEADERS {
            return Err(format!("too many headers: more than {MAX_HEADERS}"));
        }
        let mut request = Request::new(self.body.clone());
        *request.method_mut() =
            Method::from_bytes(self.method.as_bytes()).map_err(|_| "not a method")?;
        let target: PathAndQuery = self.target.parse().map_err(|_| "not a path and query")?;
        *request.uri_mut() = target.into();
        for (name, value) in &self.headers {
            if is_of_connection(name) {
                continue;
            }
            let known = HeaderName::from_bytes(name.as_bytes());
            let name = known.map_err(|_| format!("not a header name: {name}"))?;
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| format!("the value of {name} has control characters"))?;
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }
}

impl From<SignedRequest> for Outgoing {
    fn from(signed: SignedRequest) -> Self {
        Self {
            method: signed.method,
            target: signed.target,
            headers: signed.headers,
            body: signed.body,
        }
    }
}
