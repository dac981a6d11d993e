//! Digests of the URL and of the query, which some tokens contain.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::signed::Sources;
use crate::scheme::UrlDigestForm;

/// The parts of a head whose digest a token may contain.
#[derive(Default)]
pub(crate) struct HeadDigests {
    /// The query as JSON, if the scheme signs it in place of an absent body.
    pub(crate) query_json: Option<String>,
    /// The digest of the URL in the scheme's form.
    pub(crate) url: Option<[u8; 32]>,
}

impl HeadDigests {
    pub(super) fn read(sources: &Sources<'_, '_, '_>) -> Self {
        let scheme = &*sources.settings.scheme;
        let or_query = scheme.body_digest.as_ref().is_some_and(|digest| digest.or_query);
        let query = sources.head.query().filter(|query| or_query && !query.is_empty());
        let url = scheme.url_digest.as_ref().map(|digest| match digest.form {
            UrlDigestForm::Url => sources.url(),
            UrlDigestForm::CanonicalRequest => Cow::Owned(canonical_request(
                sources.head.method_text(),
                &sources.path_and_query(),
                sources.settings.parameter("base_path").unwrap_or_default(),
            )),
        });
        Self {
            query_json: query.map(query_as_json),
            url: url.map(|url| Sha256::digest(&*url).into()),
        }
    }
}

/// Returns the query as a JSON object without white space, in the query's order.
fn query_as_json(query: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let members: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{}:{}", quoted(&name), quoted(&value)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The bytes that Atlassian escapes: all except the unreserved ones (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Returns Atlassian's canonical request: method, path below the app's base, and sorted query.
fn canonical_request(method: &str, path_and_query: &str, base_path: &str) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let base_path = base_path.trim_end_matches('/');
    let below =
        path.strip_prefix(base_path).filter(|below| matches!(below.get(..1), None | Some("/")));
    let path = below.unwrap_or(path).trim_end_matches('/').replace('&', "%26");
    let path = if path.is_empty() { "/" } else { &path };
    let escaped = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let mut parameters: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name != "jwt")
        .map(|(name, value)| (escaped(&name), escaped(&value)))
        .collect();
    parameters.sort_unstable();
    let mut canonical = format!("{}&{path}&", method.to_ascii_uppercase());
    let mut previous = None;
    for (name, value) in &parameters {
        // The values of a repeated parameter are one list.
        if previous == Some(name) {
            canonical.push(',');
        } else {
            if previous.is_some() {
                canonical.push('&');
            }
            canonical.push_str(name);
            canonical.push('=');
        }
        canonical.push_str(value);
        previous = Some(name);
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::{canonical_request, query_as_json};

    #[test]
    fn a_query_becomes_json_in_its_order() {
        assert_eq!(
            query_as_json("to=14155550101&from=%2B1&text=a+%22b%22%0A%c3%bc&empty="),
            "{\"to\":\"14155550101\",\"from\":\"+1\",\"text\":\"a \\\"b\\\"\\n\u{fc}\",\"empty\":\"\"}"
        );
    }

    /// Atlassian's rules, with the examples of its page.
    #[test]
    fn a_request_becomes_canonical() {
        for (method, target, base, canonical) in [
            ("POST", "/hooks", "", "POST&/hooks&"),
            ("get", "/path/to/service/?b=2&a=1&jwt=x.y.z", "", "GET&/path/to/service&a=1&b=2"),
            ("GET", "/", "", "GET&/&"),
            ("GET", "/?", "", "GET&/&"),
            ("GET", "/a&b", "", "GET&/a%26b&"),
            ("GET", "/app/hooks?x=1", "/app/", "GET&/hooks&x=1"),
            ("GET", "/app", "/app", "GET&/&"),
            ("GET", "/apple", "/app", "GET&/apple&"),
            (
                "GET",
                "/s?some+spaces+in+this+parameter=true",
                "",
                "GET&/s&some%20spaces%20in%20this%20parameter=true",
            ),
            ("GET", "/s?connect*=not+ignored", "", "GET&/s&connect%2A=not%20ignored"),
            (
                "GET",
                "/s?tuples=1%2C2%2C3&tuples=6%2C5%2C4&tuples=7%2C9%2C8",
                "",
                "GET&/s&tuples=1%2C2%2C3,6%2C5%2C4,7%2C9%2C8",
            ),
            ("GET", "/s?a=x&A=a&a=b&B=%3D~", "", "GET&/s&A=a&B=%3D~&a=b,x"),
        ] {
            assert_eq!(canonical_request(method, target, base), canonical);
        }
    }
}
