//! The forms in which senders sign the URL they were given.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::scheme::{PathForm, Text};

/// The escapes that HubSpot decodes before it signs.
const DECODED: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

pub(super) fn partly_decoded(url: &str) -> Cow<'_, str> {
    let mut decoded = Cow::Borrowed(url);
    for (escape, text) in DECODED {
        if decoded.contains(escape) {
            decoded = Cow::Owned(decoded.replace(escape, text));
        }
    }
    decoded
}

/// Returns the URL without its port, and with it or the scheme's default. Omits `url` itself.
pub(super) fn other_ports(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // User information may contain a colon, and so may an IPv6 address.
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let port_at = authority[host_at..]
        .rfind(':')
        .map(|at| host_at + at)
        .filter(|at| authority[at + 1..].bytes().all(|byte| byte.is_ascii_digit()));
    let default = if matches!(scheme, "https" | "wss") { "443" } else { "80" };
    let (host, port) =
        port_at.map_or((authority, default), |at| (&authority[..at], &authority[at + 1..]));
    let with = format!("{scheme}://{host}:{port}{path}");
    let without = format!("{scheme}://{host}{path}");
    [with, without].into_iter().filter(|other| other != url).collect()
}

/// Returns whether `address` is that of a file, by `https`, at one of `hosts`, on the default port,
/// and below the path after the host if there is one. Queries are refused, because the response to
/// one may contain text of an attacker's choice.
///
/// `*` in a host stands for one label that is the name of a region, such as `eu-west-1`. Others may
/// be anyone's storage, such as `sns.s3.amazonaws.com` and `sns.s3-us-west-2.amazonaws.com`.
pub(super) fn is_on(address: &str, hosts: &[Text]) -> bool {
    let Some(rest) = address.strip_prefix("https://") else {
        return false;
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.strip_suffix(":443").unwrap_or(host);
    let is_file = !path.contains("/.") && !path.contains("//");
    // Refuses what HTTP clients could interpret differently: users, escapes, backslashes, spaces.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let visible = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let fits = |pattern: &Text| {
        let (pattern, below) = pattern.split_at(pattern.find('/').unwrap_or(pattern.len()));
        if !path.starts_with(below) {
            return false;
        }
        let (mut labels, mut patterns) = (host.split('.'), pattern.split('.'));
        loop {
            match (labels.next(), patterns.next()) {
                (None, None) => return true,
                (Some(label), Some(pattern)) => {
                    let any = pattern == "*" && is_region(label);
                    if !any && !label.eq_ignore_ascii_case(pattern) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    };
    is_file && host.bytes().all(plain) && path.bytes().all(visible) && hosts.iter().any(fits)
}

fn is_region(label: &str) -> bool {
    let all =
        |word: &str, is: fn(&u8) -> bool| !word.is_empty() && word.bytes().all(|byte| is(&byte));
    let words: Vec<_> = label.split('-').collect();
    let [country, places @ .., number] = &words[..] else {
        return false;
    };
    country.len() == 2
        && all(country, u8::is_ascii_alphabetic)
        && !places.is_empty()
        && places.iter().all(|place| all(place, u8::is_ascii_alphabetic))
        && number.len() <= 2
        && all(number, u8::is_ascii_digit)
}

/// Returns the path of a URL without a query.
pub(super) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

pub(super) fn path(path_and_query: &str, form: PathForm) -> Cow<'_, str> {
    match form {
        PathForm::AsSent => path_and_query.into(),
        PathForm::EscapedTwice => escaped_twice(path_and_query).into(),
    }
}

/// The bytes that JavaScript's `encodeURIComponent` escapes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The bytes that JavaScript's `encodeURI` escapes.
const URI: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');

/// Applies `encodeURIComponent` to the query, and `encodeURI` to the path with that query.
fn escaped_twice(path_and_query: &str) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut once = path.to_owned();
    if !query.is_empty() {
        once.push('?');
        once.extend(utf8_percent_encode(query, COMPONENT));
    }
    utf8_percent_encode(&once, URI).collect()
}

#[cfg(test)]
mod tests {
    use super::{escaped_twice, is_on, other_ports, partly_decoded};

    #[test]
    fn a_port_is_put_in_or_left_out() {
        for (url, others) in [
            ("https://h/p?q=1:2", &["https://h:443/p?q=1:2"] as &[_]),
            ("http://h", &["http://h:80"]),
            ("https://h:443/p", &["https://h/p"]),
            ("https://h:8443/p", &["https://h/p"]),
            ("wss://h/p", &["wss://h:443/p"]),
            ("wss://h:443/p", &["wss://h/p"]),
            ("ws://h/p", &["ws://h:80/p"]),
            ("https://u:1@h/p", &["https://u:1@h:443/p"]),
            ("https://u:1@h:8443", &["https://u:1@h"]),
            ("http://[::1]/p", &["http://[::1]:80/p"]),
            ("mailto:x", &[]),
        ] {
            assert_eq!(other_ports(url), others, "{url}");
        }
    }

    #[test]
    fn an_address_must_be_on_a_host_of_the_list() {
        let hosts =
            ["api.example.com", "sns.*.example.com", "keys.example.com/certs/a-"].map(Into::into);
        for good in [
            "https://api.example.com/a.pem",
            "https://API.example.com:443/a/b.pem",
            "https://sns.eu-west-1.example.com",
            "https://sns.us-gov-east-12.example.com/a",
            "https://keys.example.com/certs/a-1.pem",
        ] {
            assert!(is_on(good, &hosts), "{good}");
        }
        for bad in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.test/",
            "https://evil.test/api.example.com",
            "https://evil.test#api.example.com",
            "https://api.example.com@evil.test/",
            "https://evil.test\\.api.example.com/",
            "https://sns.a.b.example.com/",
            "https://sns..example.com/",
            "https://sns.s3.example.com/",
            "https://sns.s3-eu-1.example.com/",
            "https://sns.eu.example.com/",
            "https://sns.eu-1.example.com/",
            "https://sns.a-bucket.example.com/",
            "https://sns.my-bucket-1a.example.com/",
            "https://api.example.com/a?b",
            "https://api.example.com/a#b",
            "https://api.example.com?/a",
            "https://api.example.com/a%2fb",
            "https://api.example.com/a/../b",
            "https://api.example.com//b",
            "https://keys.example.com/certs/b.pem",
            "https://keys.example.com/certs/a/../a-1.pem",
            "https://keys.example.com/",
            "https://api.example.com/ x",
            "",
        ] {
            assert!(!is_on(bad, &hosts), "{bad}");
        }
    }

    #[test]
    fn only_some_escapes_are_decoded() {
        assert_eq!(
            partly_decoded("https://h/a%3Ab%20c%27?d=%2F%26%3a"),
            "https://h/a:b%20c'?d=/%26%3a"
        );
    }

    #[test]
    fn a_query_is_escaped_twice_and_a_path_once() {
        assert_eq!(
            escaped_twice("/a b/\u{fc}?x=1&y=%20"),
            "/a%20b/%C3%BC?x%253D1%2526y%253D%252520"
        );
        assert_eq!(escaped_twice("/a?"), "/a");
        let ascii: String = (0..128_u8).filter(|byte| *byte != b'?').map(char::from).collect();
        let once = "%00%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F%10%11%12%13%14%15%16%17%18%19\
                    %1A%1B%1C%1D%1E%1F%20!%22#$%25&'()*+,-./0123456789:;%3C=%3E@\
                    ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60abcdefghijklmnopqrstuvwxyz%7B%7C%7D\
                    ~%7F";
        assert_eq!(escaped_twice(&ascii), once);
        let component = once
            .replace('#', "%23")
            .replace('$', "%24")
            .replace('&', "%26")
            .replace('+', "%2B")
            .replace(',', "%2C")
            .replace('/', "%2F")
            .replace(':', "%3A")
            .replace(';', "%3B")
            .replace('=', "%3D")
            .replace('@', "%40");
        let twice = component.replace('%', "%25");
        assert_eq!(escaped_twice(&format!("?{ascii}")), format!("?{twice}"));
    }
}
