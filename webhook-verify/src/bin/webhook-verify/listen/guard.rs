//! Protects the page from other sites in the same browser.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};

use crate::Failure;

/// The header of the token, which a page of another site cannot set.
pub(super) const TOKEN: &str = "x-page-token";

/// Accepts only requests of the page itself.
pub(super) struct Guard {
    /// Values of `Host` that are accepted. Any other is that of a site whose name resolves to this
    /// machine (DNS rebinding).
    hosts: Vec<String>,
    /// A random text that only the page knows.
    pub(super) token: String,
}

impl Guard {
    pub(super) fn new(address: SocketAddr) -> Result<Self, Failure> {
        let hosts = [address.to_string(), format!("localhost:{}", address.port())];
        // Browsers leave out the default port of HTTP.
        let short = hosts.iter().filter_map(|host| host.strip_suffix(":80")).map(str::to_owned);
        let hosts = short.collect::<Vec<_>>().into_iter().chain(hosts).collect();
        Ok(Self { hosts, token: random()? })
    }

    /// Returns the reason why a request is refused, if it is.
    pub(super) fn refuses(&self, parts: &Parts) -> Option<&'static str> {
        let headers = &parts.headers;
        let host = only(headers, header::HOST.as_str());
        if !host.is_some_and(|host| self.hosts.iter().any(|own| own == host)) {
            return Some("wrong Host");
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = only(headers, header::ORIGIN.as_str()).unwrap_or_default();
            if origin.strip_prefix("http://") != host {
                return Some("wrong Origin");
            }
        }
        // A link on another site may open the page itself, and nothing else.
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let opens = parts.uri.path() == "/"
            && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if !matches!(site, None | Some(b"same-origin" | b"none")) && !opens {
            return Some("wrong Sec-Fetch-Site");
        }
        match parts.method {
            Method::GET | Method::HEAD => None,
            _ if only(headers, TOKEN).is_some_and(|token| is_equal(token, &self.token)) => None,
            _ => Some("wrong token"),
        }
    }
}

/// Returns the value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Compares two tokens in constant time.
fn is_equal(one: &str, other: &str) -> bool {
    use ctutils::CtEq as _;
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Returns a random text of 128 bits.
pub(super) fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Adds the headers that every response of the page has.
pub(super) fn protect(headers: &mut HeaderMap, nonce: &str) {
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::Request;

    use super::Guard;

    #[test]
    fn the_default_port_may_be_absent() {
        for (address, host, refused) in [
            ("127.0.0.1:80", "127.0.0.1", None),
            ("127.0.0.1:80", "127.0.0.1:80", None),
            ("127.0.0.1:80", "localhost", None),
            ("[::1]:80", "[::1]", None),
            ("127.0.0.1:80", "evil.test", Some("wrong Host")),
            ("127.0.0.1:80", "127.0.0.1:81", Some("wrong Host")),
            // 443 is not the default port of HTTP.
            ("127.0.0.1:443", "127.0.0.1:443", None),
            ("127.0.0.1:443", "127.0.0.1", Some("wrong Host")),
            ("127.0.0.1:3001", "127.0.0.1", Some("wrong Host")),
        ] {
            let guard = Guard::new(address.parse().unwrap()).unwrap();
            let refuses = |origin: &str| {
                let request = Request::get("/").header("host", host).header("origin", origin);
                guard.refuses(&request.body(()).unwrap().into_parts().0)
            };
            assert_eq!(refuses(&format!("http://{host}")), refused, "{address} {host}");
            let other = refused.unwrap_or("wrong Origin");
            assert_eq!(refuses("http://evil.test"), Some(other), "{address} {host}");
            assert_eq!(refuses(&format!("https://{host}")), Some(other), "{address} {host}");
        }
    }
}
