//! Rows of `check` from deliveries.
//!
//! A row never contains the real secret, unless the user asks for it. An authentic request is
//! signed again with a random secret of this run, so that the row stays valid.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde_json::{Value, json};
use webhook_verify::{
    Scheme,
    testing::{Signer, random_secret},
};

use super::{
    arrived::Arrived,
    hidden::{Hidden, decoded},
    listener::{Class, Delivered},
    record::date,
    sender::Sender,
    spelling::replace,
};
use crate::{client::is_of_connection, outgoing::Outgoing, recorded::RecordedRequest};

/// Creates rows.
pub(super) struct Fixtures {
    with_secrets: bool,
    /// The secrets in place of the real ones, by the names of the schemes.
    secrets: HashMap<String, String>,
}

impl Fixtures {
    pub(super) fn new(with_secrets: bool, senders: &[Sender]) -> Self {
        let random = |sender: &Sender| {
            let scheme = &sender.scheme;
            // A public key is not secret.
            let is_secret = !with_secrets && scheme.algorithm().is_symmetric();
            let secret = is_secret.then(|| random_secret(scheme).ok()).flatten();
            Some((scheme.name().to_owned(), secret?.to_string()))
        };
        Self { with_secrets, secrets: senders.iter().filter_map(random).collect() }
    }

    /// Returns the row of a delivery.
    pub(super) fn row(
        &self,
        number: u64,
        delivered: &Delivered,
        senders: &[Sender],
    ) -> Option<Value> {
        let sender = senders.get(delivered.sender?)?;
        let request = Outgoing::of(&delivered.arrived);
        let title = match (&delivered.refusal, &delivered.facts) {
            (Some((reason, _)), _) => (*reason).to_owned(),
            (None, Some(facts)) => facts.title(),
            (None, None) => "handshake".to_owned(),
        };
        let name = format!("{title} {number}, {}", date(delivered.at).date());
        if self.with_secrets {
            let row = Row { delivered, sender, name, hidden: None };
            return Some(row.with(&request, &sender.secret, None));
        }
        let hidden = Hidden::of(senders, delivered.sender, &delivered.arrived);
        let row = Row { delivered, sender, name: hidden.text(&name), hidden: Some(&hidden) };
        let is_valid = delivered.class != Class::Refused;
        let secret = match sender.scheme.algorithm().is_symmetric() {
            true => self.secret_for(sender),
            false => &sender.secret,
        };
        let kept = (is_valid && sender.sends_secret()).then_some(secret);
        let safe = request.without_secrets(&hidden, |it| self.secret_for(it).to_owned(), kept);
        if kept.is_some() {
            return Some(row.with(&safe, secret, Some("a random secret replaces the real one")));
        }
        if !is_valid {
            return Some(row.with(&safe, secret, Some("secrets and signatures are removed")));
        }
        if let Some(signed) = safe.signed(sender, secret, delivered.at) {
            let row = row.with(&signed, secret, Some("signed again with a random secret"));
            if row["expect"] == "valid" {
                return Some(row);
            }
        }
        let note = "secrets and signatures are removed; it cannot be signed again";
        Some(row.with(&safe, secret, Some(note)))
    }

    /// Returns what is in place of a sender's real secret.
    fn secret_for(&self, sender: &Sender) -> &str {
        self.secrets.get(sender.scheme.name()).map_or("hidden", String::as_str)
    }

    /// Returns whether rows contain the real secrets.
    pub(super) fn with_secrets(&self) -> bool {
        self.with_secrets
    }
}

struct Row<'d> {
    delivered: &'d Delivered,
    sender: &'d Sender,
    name: String,
    /// The secrets and signatures to hide. `None` keeps them.
    hidden: Option<&'d Hidden<'d>>,
}

impl Row<'_> {
    /// Returns the row. It expects the verdict that `check` returns for it.
    fn with(&self, request: &Outgoing, secret: &str, note: Option<&str>) -> Value {
        let sender = self.sender;
        let mut row = json!({
            "provider": sender.scheme.name(),
            "name": self.name,
            "method": request.method,
            "url": sender.url_of(&request.target).map(|url| match self.hidden {
                Some(hidden) => hidden.url(&url),
                None => url,
            }),
            "target": request.target,
            "headers": request.headers,
            "body_base64": STANDARD.encode(&request.body),
            "secret": secret,
            "now": self.delivered.at.as_secs(),
        });
        let parameters: serde_json::Map<_, _> = sender
            .parameters
            .iter()
            .filter(|(name, _)| note.is_none() || !is_secret_parameter(&sender.scheme, name))
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        if !parameters.is_empty() {
            row["parameters"] = parameters.into();
        }
        if let Some(header) = &sender.header {
            row["header"] = header.as_str().into();
        }
        if let Some(note) = note {
            row["note"] = note.into();
        }
        if !self.delivered.arrived.is_complete {
            row["truncated"] = true.into();
            row["max_body"] = sender.receiver.body_limit().into();
        }
        let schemes = std::slice::from_ref(&sender.scheme);
        if let Ok(recorded) = RecordedRequest::read(&row) {
            row["expect"] = recorded.verdict(schemes).into();
        }
        row
    }
}

/// Returns whether a parameter is for handshakes only. It may be secret, and no row needs it.
fn is_secret_parameter(scheme: &Scheme, name: &str) -> bool {
    scheme.challenges().iter().any(|challenge| challenge.parameter() == Some(name))
}

impl Outgoing {
    /// Returns the request without the headers of its connection.
    pub(super) fn of(arrived: &Arrived) -> Self {
        let headers: &HeaderMap = &arrived.headers;
        let headers = headers.iter().filter(|(name, _)| !is_of_connection(name.as_str()));
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Self {
            method: arrived.method.clone(),
            target: arrived.target.clone(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            body: arrived.body.clone(),
        }
    }

    /// Replaces the secrets of all senders, and removes each signature and token, except those of
    /// the request's own sender that contain `kept`.
    pub(super) fn without_secrets(
        &self,
        hidden: &Hidden<'_>,
        other: impl Fn(&Sender) -> String,
        kept: Option<&str>,
    ) -> Self {
        const BLANK: &str = "%E2%80%A6";
        let pairs = hidden.replacements(other);
        let escape =
            |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let swap = |bytes: &[u8], is_escaped: bool| {
            pairs.iter().fold(bytes.to_vec(), |bytes, (own, other)| match is_escaped {
                true => replace(&bytes, own, escape(other).as_bytes()),
                false => replace(&bytes, own, other.as_bytes()),
            })
        };
        let text = |text: &str, is_escaped: bool| {
            String::from_utf8_lossy(&swap(text.as_bytes(), is_escaped)).into_owned()
        };
        let stays = |name: &str, value: &str| {
            let has = |text: &str| replace(value.as_bytes(), text, b"") != value.as_bytes();
            !hidden.hides(name)
                || (hidden.is_own(name)
                    && kept.is_some_and(|kept| has(kept) || has(&STANDARD.encode(kept))))
        };
        let headers = self.headers.iter().filter_map(|(name, value)| {
            let value = text(value, false);
            stays(name, &value).then(|| match hidden.hides(name) {
                true => (name.clone(), value),
                false => (name.clone(), hidden.text(&value)),
            })
        });
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*self.target, None),
        };
        let mut target = text(path, true);
        if let Some(query) = query {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, value)) => {
                    let value = text(value, true);
                    let is_kept = stays(&decoded(name), &value);
                    format!("{}={}", text(name, true), if is_kept { &value } else { BLANK })
                }
                None => text(pair, true),
            });
            target += &format!("?{}", pairs.collect::<Vec<_>>().join("&"));
        }
        let is_form = self.headers.iter().any(|(name, value)| {
            name == "content-type" && value.to_ascii_lowercase().contains("urlencoded")
        });
        Self {
            method: self.method.clone(),
            target: hidden.url(&target),
            headers: headers.collect(),
            body: hidden.unsigned_body(swap(&self.body, is_form), kept).into(),
        }
    }

    /// Signs the request again, with the same ID. Returns `None` if that is not possible.
    pub(super) fn signed(&self, sender: &Sender, secret: &str, at: Duration) -> Option<Self> {
        let signer = Signer::new(sender.scheme.clone(), secret).ok()?.at(at);
        let signer = signer.public_url(sender.url.as_deref().unwrap_or_default());
        let parameters = sender.parameters.iter();
        let signer = parameters.fold(signer, |signer, (name, value)| signer.parameter(name, value));
        Some(signer.sign_again(self.head(), self.body.clone()).ok()?.into())
    }

    /// Returns a `curl` command that sends the request to `origin`. Its sender's secret is
    /// read from the environment. Signatures are removed.
    pub(super) fn curl(&self, hidden: &Hidden<'_>, origin: &str) -> Option<String> {
        const PLACE: &str = "WEBHOOK_SECRET_GOES_HERE";
        let kept = hidden.own().filter(|own| own.sends_secret()).map(|_| PLACE);
        let other = |sender: &Sender| match hidden.own() {
            Some(own) if std::ptr::eq(own, sender) => PLACE.to_owned(),
            _ => "hidden".to_owned(),
        };
        let request = self.without_secrets(hidden, other, kept);
        // `SignedRequest` has no other constructor.
        let mut signed = Signer::generate(webhook_verify::scheme::GITHUB).ok()?.sign("").ok()?;
        signed.method = request.method;
        signed.target = request.target;
        signed.headers = request.headers;
        signed.body = request.body;
        Some(signed.curl(origin).replace(PLACE, r#"'"$WEBHOOK_SECRET"'"#))
    }
}
