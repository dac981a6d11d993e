//! Sends requests over HTTP and HTTPS.

use std::{
    borrow::Cow,
    error::Error,
    ffi::OsStr,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{HOST, InvalidHeaderValue},
    uri::Authority,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::connection::{self, Counted, Received, Tls, default_port, host_of, port_of};

/// The largest response body that is read, in bytes.
const MAX_RESPONSE: usize = 1024 * 1024;
/// How soon a connection fails that the server had closed before it got the request.
const RACE: Duration = Duration::from_secs(1);

/// A client of one server, which reuses connections. It follows no redirects.
///
/// Servers close idle connections, also while a request is on its way. So a request is sent once
/// more, on a new connection, if a reused one closes within [`RACE`] and before the first byte of a
/// response. The server may then get it twice, like a retry of the sender. A server that closes the
/// connection later has read the request, and failed.
#[derive(Clone)]
pub(crate) struct Client {
    /// The server. Its path and query are not used.
    to: Uri,
    host: HeaderValue,
    tls: Tls,
    idle: Arc<Mutex<Vec<Connection>>>,
    limit: Duration,
}

/// A connection, which may be in use.
struct Connection {
    requests: http1::SendRequest<Full<Bytes>>,
    received: Received,
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
    /// Creates a client of the server in `to` that waits for a response for at most `limit`.
    pub(crate) fn new(to: &Uri, limit: Duration) -> Result<Self, String> {
        let host = host_header(to).map_err(|_| "the URL: no header can contain its host")?;
        let tls = Tls::to(to).map_err(|error| format!("the URL: {error}"))?;
        Ok(Self { host, to: to.clone(), tls, idle: Arc::default(), limit })
    }

    /// Sends a request, and reads the response. The error is a sentence without the request's
    /// contents.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response, String> {
        let late = || format!("no response within {} s", self.limit.as_secs_f64());
        timeout(self.limit, self.exchange(request)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Response, String> {
        let started = Instant::now();
        request.headers_mut().insert(HOST, self.host.clone());
        let request = request.map(Full::new);
        let (connection, response) = match self.on_idle_connection(&request).await? {
            Some(sent) => sent,
            None => {
                let stream = self.connect().await.map_err(|error| error.to_string())?;
                let mut connection = handshake(stream).await?;
                let sent = connection.requests.send_request(request).await;
                (connection, sent.map_err(|error| reason(&error))?)
            }
        };
        let (head, body) = response.into_parts();
        let (body, is_cut) = start_of(body).await.map_err(|error| reason(&error))?;
        if !is_cut {
            self.keep(connection);
        }
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
            is_cut,
            took: started.elapsed(),
        })
    }

    /// Sends a request on an idle connection. Returns `None` if there is none, or if the server had
    /// probably closed it already.
    async fn on_idle_connection(
        &self,
        request: &Request<Full<Bytes>>,
    ) -> Result<Option<(Connection, http::Response<Incoming>)>, String> {
        let Some(mut connection) = self.idle_connection() else { return Ok(None) };
        let (before, started) = (connection.received.get(), Instant::now());
        match connection.requests.send_request(request.clone()).await {
            Ok(response) => Ok(Some((connection, response))),
            Err(_) if connection.received.get() == before && started.elapsed() < RACE => Ok(None),
            Err(error) => Err(reason(&error)),
        }
    }

    /// Returns an open connection without a request.
    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|connection| !connection.requests.is_closed());
        idle.pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> io::Result<Box<dyn connection::Connection>> {
        let stream = TcpStream::connect((host_of(&self.to), port_of(&self.to))).await?;
        stream.set_nodelay(true)?;
        self.tls.connect(stream).await
    }

    /// Keeps a connection for another request.
    fn keep(&self, mut connection: Connection) {
        if connection.requests.is_ready() {
            return self.idle().push(connection);
        }
        let client = self.clone();
        tokio::spawn(async move {
            // The request may not be sent completely, although the response is there.
            if connection.requests.ready().await.is_ok() {
                client.idle().push(connection);
            }
        });
    }
}

async fn handshake(stream: Box<dyn connection::Connection>) -> Result<Connection, String> {
    let stream = Counted::new(stream);
    let received = stream.received();
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (requests, driver) = shaken.map_err(|error| reason(&error))?;
    tokio::spawn(driver);
    Ok(Connection { requests, received })
}

/// Returns the value of `Host`, without the default port.
fn host_header(to: &Uri) -> Result<HeaderValue, InvalidHeaderValue> {
    let host = to.host().unwrap_or_default();
    let port = to.port_u16().filter(|port| *port != default_port(to));
    HeaderValue::try_from(port.map_or(host.to_owned(), |port| format!("{host}:{port}")))
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

/// Returns the URL to send a request to: that of `to`, with what it leaves open of the request's
/// path and query.
///
/// * The path of the request, unless `to` has one other than `/`.
/// * The query of `to`, and then each parameter of the request that `to` does not set. A query may
///   be signed, or contain a token, so nothing of it is lost.
pub(crate) fn url_of(to: &Uri, target: &str) -> Result<Uri, http::Error> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = Some(to.path()).filter(|own| *own != "/").unwrap_or(path);
    let target = match (to.query().filter(|own| !own.is_empty()), query) {
        (None, None) => path.to_owned(),
        (None, Some(query)) => format!("{path}?{query}"),
        (Some(own), query) => {
            let set: Vec<_> = own.split('&').map(parameter_name).collect();
            let open = query.into_iter().flat_map(|query| query.split('&'));
            let open = open.filter(|it| !it.is_empty() && !set.contains(&parameter_name(it)));
            let query: Vec<_> = std::iter::once(own).chain(open).collect();
            format!("{path}?{}", query.join("&"))
        }
    };
    let mut parts = to.clone().into_parts();
    parts.path_and_query = Some(target.parse()?);
    Ok(Uri::from_parts(parts)?)
}

fn parameter_name(parameter: &str) -> Cow<'_, str> {
    let mut decoded = form_urlencoded::parse(parameter.as_bytes());
    decoded.next().map(|(name, _)| name).unwrap_or_default()
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
    use super::{host_header, parse_public_url, url_of, without_query};

    #[test]
    fn a_request_keeps_what_the_url_leaves_open_of_its_path_and_query() {
        for (to, target, expected) in [
            ("http://h", "/a?b=c", "http://h/a?b=c"),
            ("http://h/", "/a", "http://h/a"),
            ("http://h:1/own", "/a?b=c", "http://h:1/own?b=c"),
            ("http://h/own", "/a?b=%20&c", "http://h/own?b=%20&c"),
            ("http://h/own?d=e", "/a", "http://h/own?d=e"),
            ("http://h/own?d=e", "/a?b=c", "http://h/own?d=e&b=c"),
            ("https://h/?d=e", "/a?b=c", "https://h/a?d=e&b=c"),
            ("http://h/?b=own", "/a?b=c&b&%62=d&f=g&&bb", "http://h/a?b=own&f=g&bb"),
            ("http://h/?d", "/a?", "http://h/a?d"),
            ("http://h/?", "/a?b=c", "http://h/a?b=c"),
            ("http://h", "/a?", "http://h/a?"),
            ("http://h", "/a?b=c%2F&b=&&%zz", "http://h/a?b=c%2F&b=&&%zz"),
        ] {
            assert_eq!(url_of(&to.parse().unwrap(), target).unwrap().to_string(), expected);
        }
        assert!(url_of(&"http://h".parse().unwrap(), "/a b").is_err());
    }

    #[test]
    fn the_host_has_no_default_port() {
        for (to, host) in [
            ("http://h/a", "h"),
            ("http://h:80", "h"),
            ("https://h:80", "h:80"),
            ("https://h:443", "h"),
            ("http://[::1]:443", "[::1]:443"),
        ] {
            assert_eq!(host_header(&to.parse().unwrap()).unwrap(), host);
        }
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
