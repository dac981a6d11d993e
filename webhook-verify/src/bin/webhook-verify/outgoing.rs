//! Requests that are about to be sent.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use webhook_verify::{RequestHead, testing::SignedRequest};

use crate::client::is_of_connection;

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

    /// Returns the request to the host of `to`. An error names the part that cannot be sent.
    pub(crate) fn to(&self, to: &Uri) -> Result<Request<Full<Bytes>>, String> {
        let mut url = to.clone().into_parts();
        url.path_and_query = Some(self.target.parse().map_err(|_| "not a path and query")?);
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() =
            Method::from_bytes(self.method.as_bytes()).map_err(|_| "not a method")?;
        *request.uri_mut() = Uri::from_parts(url).map_err(|_| "not a path and query")?;
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
