//! Hides secrets and signatures in what the page shows.

use http::HeaderMap;
use serde_json::Value;

use super::{arrived::Arrived, sender::Sender};

/// The number of characters that are left of a hidden value.
const LEFT: usize = 6;
/// A shorter run of characters is not a signature.
const MIN_RUN: usize = 16;
/// Parts of the names of headers and parameters whose values are hidden.
const NAMES: [&str; 13] = [
    "apikey",
    "api-key",
    "auth",
    "cookie",
    "credential",
    "digest",
    "hmac",
    "jwt",
    "password",
    "secret",
    "sig",
    "token",
    "verify",
];

/// The texts of a request that are hidden.
pub(super) struct Hidden {
    /// Whether the sender puts the secret itself into its requests.
    is_token: bool,
    /// Names of headers and query parameters, in lower case.
    names: Vec<String>,
    texts: Vec<String>,
}

impl Hidden {
    pub(super) fn of(sender: Option<&Sender>, arrived: &Arrived) -> Self {
        let mut hidden = Self { is_token: false, names: Vec::new(), texts: Vec::new() };
        let Some(sender) = sender else { return hidden };
        if sender.sends_secret() {
            hidden.is_token = true;
            hidden.texts.push(sender.secret.to_string());
            hidden.texts.push(percent_encoded(&sender.secret));
        }
        for place in &sender.signatures {
            let place = place.split(": ").next().unwrap_or_default();
            match place.split_once(' ') {
                Some(("header" | "query", name)) => hidden.names.push(name.to_ascii_lowercase()),
                Some(("body", pointer)) => {
                    let body: Option<Value> = serde_json::from_slice(&arrived.body).ok();
                    let value = body.as_ref().and_then(|body| body.pointer(pointer)?.as_str());
                    hidden.texts.extend(value.map(str::to_owned));
                }
                Some(("form", name)) => {
                    let mut fields = form_urlencoded::parse(&arrived.body);
                    if let Some((_, value)) = fields.find(|(known, _)| known == name) {
                        hidden.texts.push(percent_encoded(&value));
                        hidden.texts.push(value.into_owned());
                    }
                }
                _ => {}
            }
        }
        hidden.texts.retain(|text| !text.is_empty());
        hidden
    }

    fn hides(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.iter().any(|known| match known.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *known,
        }) || NAMES.iter().any(|part| name.contains(part))
    }

    fn value(&self, name: &str, value: &str) -> String {
        match self.hides(name) {
            true if self.is_token => format!("… ({} characters)", value.chars().count()),
            true => shorten(value),
            false => self.text(value),
        }
    }

    /// Returns the headers, with shortened signatures.
    pub(super) fn headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let shown = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), self.value(name.as_str(), &value))
        });
        shown.collect()
    }

    /// Returns the path and query, with shortened signatures.
    pub(super) fn target(&self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else { return self.text(target) };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) => format!("{name}={}", self.value(name, value)),
            None => self.text(pair),
        });
        format!("{}?{}", self.text(path), pairs.collect::<Vec<_>>().join("&"))
    }

    pub(super) fn text(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, hidden| text.replace(&**hidden, "…"))
    }

    /// Returns a body without the texts.
    pub(super) fn body(&self, body: &[u8]) -> Vec<u8> {
        let mut shown = body.to_vec();
        for text in &self.texts {
            shown = replace(&shown, text.as_bytes(), "…".as_bytes());
        }
        shown
    }
}

/// Shortens each run of characters that may be a signature.
fn shorten(value: &str) -> String {
    let is_in_run = |c: char| c.is_ascii_alphanumeric() || "+/=_-.".contains(c);
    let mut shown = String::new();
    let mut rest = value;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_in_run(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        // `v1=` and `sha256=` are not part of the signature.
        let prefix = run.trim_end_matches('=').find('=').map_or(0, |at| at + 1);
        let (prefix, run) = run.split_at(prefix);
        shown += prefix;
        match run.len() {
            MIN_RUN.. => shown += &format!("{}… ({} characters)", &run[..LEFT], run.len()),
            _ => shown += run,
        }
        let other = after.find(is_in_run).unwrap_or(after.len());
        shown += &after[..other];
        rest = &after[other..];
    }
    shown
}

fn percent_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Replaces each occurrence of a text.
pub(super) fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut end = 0;
    for at in memchr::memmem::find_iter(bytes, from) {
        replaced.extend_from_slice(&bytes[end..at]);
        replaced.extend_from_slice(to);
        end = at + from.len();
    }
    replaced.extend_from_slice(&bytes[end..]);
    replaced
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn signatures_are_shortened_and_their_form_stays() {
        for (value, shown) in [
            ("sha256=0123456789abcdef0123", "sha256=012345… (20 characters)"),
            ("t=1700000000,v1=0123456789abcdef", "t=1700000000,v1=012345… (16 characters)"),
            ("v1,abcdefghijklmnopqrst+/== v1,x", "v1,abcdef… (24 characters) v1,x"),
            ("Bearer aaaaaaaaaa.bbbbbbbbbb.cc", "Bearer aaaaaa… (24 characters)"),
            ("short", "short"),
            ("", ""),
        ] {
            assert_eq!(shorten(value), shown);
        }
    }
}
