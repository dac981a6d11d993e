//! Sends requests over HTTP and HTTPS.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::{Instant, timeout};

/// The largest response body that is read, in bytes.
const MAX_RESPONSE: usize = 1024 * 1024;

/// A client that reuses connections. It follows no redirects.
#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    /// `None` if the system has no CA certificates, which HTTP does not need.
    https: Option<legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    limit: Duration,
}

/// A response with its whole body.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The time from the start of the request to the end of the response.
    pub(crate) took: Duration,
}

impl Client {
    /// Creates a client that waits for a response for at most `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        let client = || legacy::Client::builder(TokioExecutor::new());
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        let mut tcp = http.clone();
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new().with_native_roots().ok();
        let https = https.map(|https| https.https_only().enable_http1().wrap_connector(tcp));
        Self { http: client().build(http), https: https.map(|it| client().build(it)), limit }
    }

    /// Sends a request, and reads the response. The error is a sentence without the request's
    /// contents.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response, String> {
        let started = Instant::now();
        let exchange = async {
            let sent = match (request.uri().scheme_str(), &self.https) {
                (Some("https"), Some(https)) => https.request(request),
                (Some("https"), None) => return Err("no CA certificates on this system".into()),
                _ => self.http.request(request),
            };
            let response = sent.await.map_err(|error| reason(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE).collect().await;
            let body = body.map_err(|error| reason(&*error))?.to_bytes();
            Ok(Response {
                status: head.status,
                headers: head.headers,
                body,
                took: started.elapsed(),
            })
        };
        let late = || format!("no response within {} s", self.limit.as_secs_f64());
        timeout(self.limit, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Returns the innermost cause of an error, because the outer ones say little.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Returns the URL to send a request to: that of `to`, with the request's path if `to` has none,
/// and the request's query if `to` has none.
pub(crate) fn url_of(to: &Uri, target: &str) -> Result<Uri, http::Error> {
    let (path, query) = target.split_once('?').unzip();
    let path = Some(to.path()).filter(|own| *own != "/").or(path).unwrap_or(target);
    let target = match to.query().or(query) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = to.clone().into_parts();
    parts.path_and_query = Some(target.parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// Parses a URL that a request can be sent to.
pub(crate) fn parse_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|_| "not a URL")?;
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some_and(|host| !host.is_empty()) => Ok(url),
        _ => Err("not a URL that begins with http:// or https://".into()),
    }
}

/// The headers of a recorded request that belong to its connection. The client sets its own.
pub(crate) fn is_of_connection(name: &str) -> bool {
    const NAMES: [&str; 7] =
        ["host", "connection", "content-length", "expect", "keep-alive", "te", "transfer-encoding"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::url_of;

    #[test]
    fn a_request_keeps_the_path_and_query_that_the_target_does_not_set() {
        for (to, target, expected) in [
            ("http://h", "/a?b=c", "http://h/a?b=c"),
            ("http://h/", "/a", "http://h/a"),
            ("http://h:1/own", "/a?b=c", "http://h:1/own?b=c"),
            ("http://h/own?d=e", "/a?b=c", "http://h/own?d=e"),
            ("https://h/?d=e", "/a?b=c", "https://h/a?d=e"),
            ("http://h", "/a?", "http://h/a?"),
        ] {
            assert_eq!(url_of(&to.parse().unwrap(), target).unwrap().to_string(), expected);
        }
        assert!(url_of(&"http://h".parse().unwrap(), "/a b").is_err());
    }
}
