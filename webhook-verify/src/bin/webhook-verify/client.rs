//! Sends requests over HTTP and HTTPS.

use std::{error::Error, ffi::OsStr, time::Duration};

use bytes::Bytes;
use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};
use http::{HeaderMap, Request, StatusCode, Uri, uri::Authority};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
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

/// A response with its body, or the first [`MAX_RESPONSE`] bytes of it.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether only the start of the body was read.
    pub(crate) is_cut: bool,
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
            let (body, is_cut) = start_of(body).await.map_err(|error| reason(&error))?;
            Ok(Response {
                status: head.status,
                headers: head.headers,
                body,
                is_cut,
                took: started.elapsed(),
            })
        };
        let late = || format!("no response within {} s", self.limit.as_secs_f64());
        timeout(self.limit, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Reads up to [`MAX_RESPONSE`] bytes of a body. Returns whether there are more.
async fn start_of(mut body: Incoming) -> Result<(Bytes, bool), hyper::Error> {
    let mut start = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let added = data.len().min(MAX_RESPONSE - start.len());
        start.extend_from_slice(&data[..added]);
        if added < data.len() {
            return Ok((start.into(), true));
        }
    }
    Ok((start.into(), false))
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
    match (url.scheme_str(), url.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => {
            check_port(authority)?;
            Ok(url)
        }
        _ => Err("not a URL that begins with http:// or https://".into()),
    }
}

/// Parses the URL of an option. Unlike clap's own, its error does not repeat the URL, which may
/// contain a password.
#[derive(Clone)]
pub(crate) struct UrlParser;

impl TypedValueParser for UrlParser {
    type Value = Uri;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Uri, clap::Error> {
        value.to_str().ok_or_else(|| "not a URL".to_owned()).and_then(parse_public_url).map_err(
            |error| {
                let option = option.map(ToString::to_string).unwrap_or_default();
                let mut command = command.clone();
                command.error(ErrorKind::ValueValidation, format!("{option}: {error}"))
            },
        )
    }
}

/// Parses a URL without a user name and password.
fn parse_public_url(text: &str) -> Result<Uri, String> {
    // The password may be what is wrong.
    let authority = text.split("://").nth(1).unwrap_or_default();
    if authority.split(['/', '?', '#']).next().is_some_and(|it| it.contains('@')) {
        return Err("not a URL without a user name and password".into());
    }
    parse_url(text)
}

/// Checks that a port, if there is one, is a number that ports have.
fn check_port(authority: &Authority) -> Result<(), &'static str> {
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    let port = place.strip_prefix(authority.host()).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("not a URL with a port from 1 to 65535");
    }
    Ok(())
}

/// Returns the text of a URL without its query, which may contain a token.
pub(crate) fn without_query(url: &Uri) -> String {
    let mut text = url.to_string();
    text.truncate(text.find('?').unwrap_or(text.len()));
    text
}

/// The headers of a recorded request that belong to its connection. The client sets its own.
pub(crate) fn is_of_connection(name: &str) -> bool {
    const NAMES: [&str; 7] =
        ["host", "connection", "content-length", "expect", "keep-alive", "te", "transfer-encoding"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::{parse_public_url, url_of, without_query};

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

    #[test]
    fn a_url_has_no_password_and_a_port_that_exists() {
        for good in ["http://h", "https://h:65535/a?b", "http://[::1]:1", "http://[::1]/"] {
            assert_eq!(
                parse_public_url(good).unwrap().to_string().trim_end_matches('/'),
                good.trim_end_matches('/')
            );
        }
        for (bad, said) in [
            ("http://usr:pwd@h/?k=1", "without a user name"),
            ("http://usr@h", "without a user name"),
            ("http://h:99999", "a port from 1"),
            ("http://[::1]:99999/", "a port from 1"),
            ("http://h:0", "a port from 1"),
            ("http://h:", "a port from 1"),
            ("ftp://h", "begins with"),
            ("h:1", "begins with"),
        ] {
            let error = parse_public_url(bad).unwrap_err();
            assert!(error.contains(said) && !error.contains("pwd"), "{bad}: {error}");
        }
        assert_eq!(without_query(&"http://h:1/a?b=c".parse().unwrap()), "http://h:1/a");
    }
}
