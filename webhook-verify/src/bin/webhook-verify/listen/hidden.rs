//! Hides secrets and signatures in what the page shows and in what is recorded.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{arrived::Arrived, sender::Sender, spelling::replace};

/// The number of characters that are left of a hidden value.
const LEFT: usize = 6;
/// A shorter run of characters is not a signature.
const MIN_RUN: usize = 16;
/// A shorter text is not searched for, because it is part of many words.
const MIN_TEXT: usize = 4;
/// Parts of the names of headers and parameters whose values are hidden.
const NAMES: [&str; 12] = [
    "auth",
    "cookie",
    "credential",
    "digest",
    "hmac",
    "jwt",
    "key",
    "password",
    "secret",
    "sig",
    "token",
    "verify",
];

/// The texts of a request that are hidden, and the places of the signatures of all senders.
pub(super) struct Hidden<'s> {
    senders: &'s [Sender],
    /// The sender whose path the request has.
    own: Option<&'s Sender>,
    places: Places,
    /// The senders' secrets, in several forms.
    secrets: Vec<String>,
    /// The signatures of the request.
    signatures: Vec<String>,
}

/// The places of signatures.
#[derive(Default)]
struct Places {
    /// Names of headers and query parameters, in lower case. One that ends in `*` is a prefix.
    names: Vec<String>,
    /// Names of form fields.
    fields: Vec<String>,
    /// JSON pointers.
    pointers: Vec<String>,
}

impl<'s> Hidden<'s> {
    pub(super) fn of(senders: &'s [Sender], own: Option<usize>, arrived: &Arrived) -> Self {
        let own = own.and_then(|at| senders.get(at));
        let places = Places::of(senders);
        let mut secrets: Vec<_> =
            own_first(senders, own).flat_map(|it| forms(it, "")).map(|(text, _)| text).collect();
        secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let mut hidden = Self { senders, own, places, secrets, signatures: Vec::new() };
        hidden.signatures = hidden.signatures_of(arrived);
        hidden
    }

    /// Returns the signatures of the request, also those of other senders.
    fn signatures_of(&self, arrived: &Arrived) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in &arrived.headers {
            if self.hides(name.as_str()) {
                let value = String::from_utf8_lossy(value.as_bytes());
                let runs = value.split(|c| !is_in_run(c)).map(|run| prefix_and_value(run).1);
                found.extend(runs.filter(|run| run.len() >= MIN_RUN).map(str::to_owned));
            }
        }
        let query = arrived.target.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if self.hides(&name) && value.len() >= MIN_RUN {
                found.push(value.into_owned());
            }
        }
        for (name, value) in form_urlencoded::parse(&arrived.body) {
            if self.places.fields.iter().any(|known| *known == name) && value.len() >= MIN_RUN {
                found.push(value.into_owned());
            }
        }
        if !self.places.pointers.is_empty()
            && let Ok(body) = serde_json::from_slice::<Value>(&arrived.body)
        {
            for pointer in &self.places.pointers {
                let segments: Vec<_> = pointer.split('/').skip(1).collect();
                add_texts(&body, &segments, &mut found);
            }
        }
        found.retain(|text| text.len() >= MIN_TEXT && !self.secrets.contains(text));
        found.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        found.dedup();
        found
    }

    /// Returns whether the value of this header or query parameter is hidden.
    pub(super) fn hides(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let is_known = name.ends_with("idempotency-key")
            || self.own.is_some_and(|own| own.headers.contains(&name));
        self.places.has_name(&name) || (!is_known && NAMES.iter().any(|it| name.contains(it)))
    }

    /// Returns whether the request's own sender has a signature or token here.
    pub(super) fn is_own(&self, name: &str) -> bool {
        let own = self.own.map(|own| Places::of(std::slice::from_ref(own)));
        own.is_some_and(|own| own.has_name(&name.to_ascii_lowercase()))
    }

    fn value(&self, name: &str, value: &str) -> String {
        if !self.hides(name) {
            return self.text(value);
        }
        let is_signature = self.own.is_some_and(|own| !own.sends_secret()) && self.is_own(name);
        match is_signature {
            true => shorten(&self.without(&self.secrets, value)),
            false => format!("… ({} characters)", value.chars().count()),
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
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let mut shown = self.text(path);
        if let Some(query) = query {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, value)) => {
                    format!("{}={}", self.text(name), self.value(&decoded(name), value))
                }
                None => self.text(pair),
            });
            shown += &format!("?{}", pairs.collect::<Vec<_>>().join("&"));
        }
        shown
    }

    pub(super) fn text(&self, text: &str) -> String {
        self.without(&self.signatures, &self.without(&self.secrets, text))
    }

    /// Returns a URL or target without secrets and signatures.
    pub(super) fn url(&self, url: &str) -> String {
        let texts = self.secrets.iter().chain(&self.signatures);
        let bytes = texts
            .fold(url.as_bytes().to_vec(), |bytes, hidden| replace(&bytes, hidden, b"%E2%80%A6"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the sender whose path the request has.
    pub(super) fn own(&self) -> Option<&Sender> {
        self.own
    }

    fn without(&self, texts: &[String], text: &str) -> String {
        let bytes = texts.iter().fold(text.as_bytes().to_vec(), |bytes, hidden| {
            replace(&bytes, hidden, "…".as_bytes())
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the body of a request or response without secrets and signatures.
    pub(super) fn body(&self, body: &[u8]) -> Vec<u8> {
        let body = self
            .secrets
            .iter()
            .fold(body.to_vec(), |body, hidden| replace(&body, hidden, "…".as_bytes()));
        self.unsigned_body(body, None)
    }

    /// Returns a body without signatures. Those that contain `kept` stay.
    pub(super) fn unsigned_body(&self, body: Vec<u8>, kept: Option<&str>) -> Vec<u8> {
        let mut body = self
            .signatures
            .iter()
            .fold(body, |body, hidden| replace(&body, hidden, "…".as_bytes()));
        let stays = |value: &[u8]| {
            kept.is_some_and(|kept| replace(value, kept, b"") != value) || value.is_empty()
        };
        for field in &self.places.fields {
            let is_it = |pair: &[u8]| {
                form_urlencoded::parse(pair).next().is_some_and(|(name, _)| name == *field)
            };
            if body.split(|byte| *byte == b'&').any(is_it) {
                let pairs = body.split(|byte| *byte == b'&').map(|pair| {
                    let at = memchr::memchr(b'=', pair).map_or(pair.len(), |at| at + 1);
                    match is_it(pair) && !stays(&pair[at..]) {
                        true => [&pair[..at], b"%E2%80%A6"].concat(),
                        false => pair.to_vec(),
                    }
                });
                body = pairs.collect::<Vec<_>>().join(&b'&');
            }
            // A part of a multipart form ends at its boundary.
            let name = format!("name=\"{field}\"");
            body = blank(&body, name.as_bytes(), b"\r\n\r\n", b"\r\n", &stays);
        }
        if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
            // The end of the body may be missing.
            for pointer in &self.places.pointers {
                let name = pointer.rsplit('/').next().unwrap_or_default();
                let name = format!("\"{name}\"");
                body = blank(&body, name.as_bytes(), b"\"", b"\"", &stays);
            }
        }
        body
    }

    /// Returns the secrets in several forms, each with the same form of what is in its place.
    pub(super) fn replacements(&self, other: impl Fn(&Sender) -> String) -> Vec<(String, String)> {
        let mut all: Vec<_> = own_first(self.senders, self.own)
            .flat_map(|sender| forms(sender, &other(sender)))
            .collect();
        // A stable order: the own sender's secret comes first.
        all.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        all
    }
}

impl Places {
    fn of(senders: &[Sender]) -> Self {
        let mut places = Self::default();
        for sender in senders {
            for place in &sender.signatures {
                let place = place.split(": ").next().unwrap_or_default();
                match place.split_once(' ') {
                    Some(("header" | "query", name)) => {
                        places.names.push(name.to_ascii_lowercase());
                        let aliases = sender.scheme.describe().header_aliases;
                        let aliases = aliases.into_iter().filter(|(main, _)| main == name);
                        places.names.extend(aliases.map(|(_, alias)| alias.to_ascii_lowercase()));
                    }
                    Some(("body", pointer)) => places.pointers.push(pointer.to_owned()),
                    Some(("form", name)) => places.fields.push(name.to_owned()),
                    _ => {}
                }
            }
        }
        places
    }

    fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| match known.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == known,
        })
    }
}

/// Returns the senders. The own one is the first.
fn own_first<'s>(
    senders: &'s [Sender],
    own: Option<&'s Sender>,
) -> impl Iterator<Item = &'s Sender> {
    let others = senders.iter().filter(move |it| own.is_none_or(|own| !std::ptr::eq(*it, own)));
    own.into_iter().chain(others)
}

/// Returns the forms of a sender's secret, each with the same form of `other`.
fn forms(sender: &Sender, other: &str) -> Vec<(String, String)> {
    let mut forms = Vec::new();
    let secret = sender.secret.as_str();
    // A public key is not secret.
    if sender.scheme.algorithm().is_symmetric()
        && !secret.is_empty()
        && (sender.sends_secret() || secret.len() >= MIN_TEXT)
    {
        forms.push((secret.to_owned(), other.to_owned()));
        forms.push((STANDARD.encode(secret), STANDARD.encode(other)));
        if let Some(key) = secret.strip_prefix("whsec_").filter(|key| key.len() >= MIN_RUN) {
            forms.push((key.to_owned(), other.trim_start_matches("whsec_").to_owned()));
        }
    }
    let challenges = sender.scheme.challenges();
    for (name, value) in &sender.parameters {
        let is_secret = challenges.iter().any(|it| it.parameter() == Some(name.as_str()));
        if is_secret && value.len() >= MIN_TEXT {
            forms.push((value.clone(), "hidden".into()));
        }
    }
    forms
}

/// Adds the texts at a JSON pointer. An index stands for each item of a list.
fn add_texts(value: &Value, segments: &[&str], texts: &mut Vec<String>) {
    match (value, segments) {
        (Value::String(text), []) => texts.push(text.clone()),
        (Value::Object(members), [name, rest @ ..]) => {
            if let Some(value) = members.get(&name.replace("~1", "/").replace("~0", "~")) {
                add_texts(value, rest, texts);
            }
        }
        (Value::Array(items), [_, rest @ ..]) => {
            items.iter().for_each(|item| add_texts(item, rest, texts));
        }
        _ => {}
    }
}

/// Blanks each value between `begin` and `end` after a name.
fn blank(
    body: &[u8],
    name: &[u8],
    begin: &[u8],
    end: &[u8],
    stays: &dyn Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let mut blanked = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memmem::find(rest, name) {
        let after = at + name.len();
        let Some(start) = memchr::memmem::find(&rest[after..], begin) else { break };
        let start = after + start + begin.len();
        let len = memchr::memmem::find(&rest[start..], end).unwrap_or(rest.len() - start);
        blanked.extend_from_slice(&rest[..start]);
        let value = &rest[start..start + len];
        blanked.extend_from_slice(if stays(value) { value } else { "…".as_bytes() });
        rest = &rest[start + len..];
    }
    blanked.extend_from_slice(rest);
    blanked
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn is_in_run(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-.".contains(c)
}

/// Separates `v1=` and `sha256=` from a signature.
fn prefix_and_value(run: &str) -> (&str, &str) {
    run.split_at(run.trim_end_matches('=').find('=').map_or(0, |at| at + 1))
}

/// Shortens each run of characters that may be a signature.
fn shorten(value: &str) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_in_run(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let (prefix, run) = prefix_and_value(run);
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
