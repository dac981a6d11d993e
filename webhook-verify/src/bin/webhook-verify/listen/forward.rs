//! Passes requests on to another server.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{CONNECTION, VIA},
};
use http_body_util::Full;
use tokio::time::{Instant, timeout};

use super::{
    arrived::{Arrived, copied},
    guard::random,
};
use crate::Failure;
use crate::client::{Client, Response, is_of_connection, url_of, without_query};
use crate::connection::{host_of, port_of};

/// A server that gets the requests.
pub(super) struct Forward {
    client: Client,
    to: Uri,
    limit: Duration,
    /// The value of `Via`. It is random, so that a request that returns is recognized.
    via: HeaderValue,
}

/// What became of a forwarded request.
pub(super) struct Forwarded {
    /// The URL without its query.
    pub(super) url: String,
    pub(super) took: Duration,
    /// The response, or the reason why there is none.
    pub(super) result: Result<Response, String>,
    is_late: bool,
}

impl Forward {
    pub(super) fn new(to: Uri, limit: Duration) -> Result<Self, Failure> {
        let via = HeaderValue::from_str(&format!("1.1 webhook-verify-{}", random()?))?;
        // The client's own limit must not end first.
        let client = Client::new(&to, limit.saturating_mul(2))?;
        Ok(Self { client, to, limit, via })
    }

    /// Returns whether requests would go to a receiver at this address.
    pub(super) fn is_to(&self, own: SocketAddr) -> bool {
        let host = host_of(&self.to);
        let is_local = match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            // Connections to an unspecified address go to this machine.
            Ok(ip) if ip.is_unspecified() => true,
            Ok(ip) if own.ip().is_unspecified() => ip.is_loopback(),
            Ok(ip) => ip == own.ip().to_canonical(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        is_local && port_of(&self.to) == own.port()
    }

    /// Returns whether a request was already passed on by this program.
    pub(super) fn has_sent(&self, headers: &HeaderMap) -> bool {
        let own = self.via.as_bytes();
        let mut passed =
            headers.get_all(VIA).into_iter().flat_map(|it| it.as_bytes().split(|&b| b == b','));
        passed.any(|via| via.trim_ascii() == own)
    }

    /// Sends the request as it arrived, without the headers of its connection.
    pub(super) async fn send(&self, arrived: &Arrived) -> Forwarded {
        let started = Instant::now();
        let url = url_of(&self.to, &arrived.target);
        // A query may contain a token.
        let shown = without_query(url.as_ref().unwrap_or(&self.to));
        let (result, is_late) = match url.and_then(|url| self.request(arrived, &url)) {
            Err(error) => (Err(error.to_string()), false),
            Ok(request) => match timeout(self.limit, self.client.send(request)).await {
                Ok(result) => (result.and_then(own), false),
                Err(_) => {
                    let late = format!("no response within {} s", self.limit.as_secs_f64());
                    (Err(late), true)
                }
            },
        };
        Forwarded { url: shown, took: started.elapsed(), result, is_late }
    }

    fn request(&self, arrived: &Arrived, url: &Uri) -> Result<Request<Bytes>, http::Error> {
        let mut request = arrived.request()?;
        *request.uri_mut() = url.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        *request.headers_mut() = passed_on(&arrived.headers);
        request.headers_mut().append(VIA, self.via.clone());
        Ok(request)
    }
}

impl Forwarded {
    /// Returns whether the response is only the start of the server's own.
    pub(super) fn is_cut(&self) -> bool {
        self.result.as_ref().is_ok_and(|response| response.is_cut)
    }

    /// Returns the status for the sender: the server's own, or that of a gateway.
    pub(super) fn status(&self) -> StatusCode {
        match &self.result {
            Ok(response) => response.status,
            Err(_) if self.is_late => StatusCode::GATEWAY_TIMEOUT,
            Err(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// Returns the response for the sender.
    pub(super) fn response(&self) -> http::Response<Full<Bytes>> {
        let (headers, body) = match &self.result {
            Ok(response) => (passed_on(&response.headers), response.body.clone()),
            Err(_) if self.is_late => {
                (HeaderMap::new(), Bytes::from_static(b"no response from the server in time"))
            }
            Err(_) => (HeaderMap::new(), Bytes::from_static(b"server not reached")),
        };
        let mut response = http::Response::new(Full::new(body));
        *response.status_mut() = self.status();
        *response.headers_mut() = headers;
        response
    }
}

/// Returns a response that does not keep the buffer of its connection.
fn own(mut response: Response) -> Result<Response, String> {
    // The connection of the sender cannot follow.
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err("the server wants to switch protocols (101)".into());
    }
    response.headers = copied(&response.headers);
    response.body = Bytes::copy_from_slice(&response.body);
    Ok(response)
}

/// Returns the headers without those of the connection.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let named: Vec<_> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut passed = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        let of_connection = is_of_connection(name.as_str())
            || matches!(name.as_str(), "proxy-connection" | "trailer" | "upgrade")
            || named.iter().any(|named| name.as_str().eq_ignore_ascii_case(named));
        if !of_connection {
            passed.append(name, value.clone());
        }
    }
    passed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::Forward;

    #[test]
    fn the_receivers_own_address_is_recognized() {
        for (to, own, is_own) in [
            ("http://127.0.0.1:81/x", "127.0.0.1:81", true),
            ("http://localhost:81", "127.0.0.1:81", true),
            ("http://0.0.0.0:81", "127.0.0.1:81", true),
            ("http://[::1]:81", "[::]:81", true),
            ("http://127.0.0.2:81", "0.0.0.0:81", true),
            ("http://[::ffff:127.0.0.1]:81", "127.0.0.1:81", true),
            ("http://localhost", "127.0.0.1:80", true),
            ("https://localhost", "127.0.0.1:80", false),
            ("http://127.0.0.1:82", "127.0.0.1:81", false),
            ("http://127.0.0.1:81", "192.0.2.1:81", false),
            ("http://192.0.2.1:81", "127.0.0.1:81", false),
            ("http://a.test:81", "127.0.0.1:81", false),
        ] {
            let forward = Forward::new(to.parse().unwrap(), Duration::ZERO).unwrap();
            assert_eq!(forward.is_to(own.parse().unwrap()), is_own, "{to} {own}");
        }
    }
}
