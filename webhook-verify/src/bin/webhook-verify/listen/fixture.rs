//! Rows of `check` from deliveries.
//!
//! A row never contains the real secret, unless the user asks for it. An authentic request is
//! signed again with a random secret of this run, so that the row stays valid.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use webhook_verify::{
    Scheme,
    testing::{Signer, random_secret},
};

use super::{
    arrived::Arrived,
    hidden::replace,
    listener::{Class, Delivered},
    record::date,
    sender::Sender,
};
use crate::{client::is_of_connection, recorded::RecordedRequest};

/// Creates rows.
pub(super) struct Fixtures {
    with_secrets: bool,
    /// The secrets in place of the real ones, by the names of the schemes.
    secrets: HashMap<String, String>,
}

/// A request as a row has it.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
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
    pub(super) fn row(&self, number: u64, delivered: &Delivered, sender: &Sender) -> Value {
        let request = Recorded::of(&delivered.arrived);
        let is_valid = delivered.class != Class::Refused;
        let title = match (&delivered.refusal, &delivered.facts) {
            (Some((reason, _)), _) => (*reason).to_owned(),
            (None, Some(facts)) => facts.title(),
            (None, None) => "handshake".to_owned(),
        };
        let name = format!("{title} {number}, {}", date(delivered.at).date());
        let row = Row { delivered, sender, name };
        let Some(secret) = self.secrets.get(sender.scheme.name()) else {
            return row.with(&request, &sender.secret, None);
        };
        let hidden = request.with_secret(sender, secret);
        let note = "the real secret is replaced";
        if is_valid && !sender.sends_secret() {
            let signed = hidden.signed(sender, secret, delivered, delivered.at);
            let row = signed
                .map(|signed| row.with(&signed, secret, Some("signed again with a random secret")));
            if let Some(row) = row.filter(|row| row["expect"] == "valid") {
                return row;
            }
        }
        row.with(&hidden, secret, Some(note))
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
}

impl Row<'_> {
    /// Returns the row. It expects the verdict that `check` returns for it.
    fn with(&self, request: &Recorded, secret: &str, note: Option<&str>) -> Value {
        let sender = self.sender;
        let mut row = json!({
            "provider": sender.scheme.name(),
            "name": self.name,
            "method": request.method,
            "url": sender.url_of(&request.target),
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

impl Recorded {
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

    /// Replaces the sender's secret, if the request contains it.
    pub(super) fn with_secret(&self, sender: &Sender, secret: &str) -> Self {
        let own = sender.secret.as_str();
        if !sender.sends_secret() {
            return self.clone();
        }
        let escape = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let encode = |text: &str| STANDARD.encode(text);
        let mut pairs = vec![(own.to_owned(), secret.to_owned())];
        let forms: [&dyn Fn(&str) -> String; 2] = [&escape, &encode];
        pairs.extend(forms.map(|form| (form(own), form(secret))));
        let other = |text: &str| {
            pairs.iter().fold(text.to_owned(), |text, (own, other)| text.replace(own, other))
        };
        let body = pairs.iter().fold(self.body.to_vec(), |body, (own, other)| {
            replace(&body, own.as_bytes(), other.as_bytes())
        });
        Self {
            method: self.method.clone(),
            target: other(&self.target),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), other(value)))
                .collect(),
            body: body.into(),
        }
    }

    /// Signs the request again, with the same ID. Returns `None` if that is not possible.
    pub(super) fn signed(
        &self,
        sender: &Sender,
        secret: &str,
        delivered: &Delivered,
        at: Duration,
    ) -> Option<Self> {
        if sender.sends_secret() {
            return Some(self.with_secret(sender, secret));
        }
        let scheme = &sender.scheme;
        let is_encoded = self.headers.iter().any(|(name, _)| name == "content-encoding");
        if !scheme.algorithm().is_symmetric() || is_encoded {
            return None;
        }
        let description = scheme.describe();
        let mut signer = Signer::new(scheme.clone(), secret)
            .ok()?
            .method(&self.method)
            .target(&self.target)
            .public_url(sender.url.as_deref().unwrap_or_default())
            .at(at);
        for (name, value) in &sender.parameters {
            signer = signer.parameter(name, value);
        }
        let facts = delivered.facts.as_ref()?;
        if let Some(id) = &facts.id {
            signer = signer.id(id);
        }
        if let Some(event_type) = &facts.event_type {
            signer = signer.event_type(event_type);
        }
        if let Some((path, query)) = self.target.split_once('?') {
            // The signer adds its own parameters to the query: the old ones must go.
            let added = signer.clone().target(path).sign(self.body.clone()).ok()?.target;
            let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
            let added: Vec<_> = added.split(['?', '&']).skip(1).map(name).collect();
            let kept = query.split('&').filter(|pair| !added.contains(&name(pair)));
            let kept = kept.collect::<Vec<_>>().join("&");
            let mark = if kept.is_empty() { "" } else { "?" };
            signer = signer.target(format!("{path}{mark}{kept}"));
        }
        let signed = signer.sign(self.body.clone()).ok()?;
        let mut headers = self.headers.clone();
        for (name, _) in &mut headers {
            let aliases = &description.header_aliases;
            if let Some((main, _)) = aliases.iter().find(|(_, alias)| alias == name) {
                name.clone_from(main);
            }
        }
        headers.retain(|(name, _)| !is_signature(&sender.signatures, name));
        for (name, value) in signed.headers {
            let place = headers.iter().position(|(known, _)| known.eq_ignore_ascii_case(&name));
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            let place = place.unwrap_or(headers.len()).min(headers.len());
            headers.insert(place, (name, value));
        }
        Some(Self {
            method: self.method.clone(),
            target: signed.target,
            headers,
            body: signed.body,
        })
    }

    /// Returns a `curl` command that sends the request to `origin`. A secret in it is read from
    /// the environment.
    pub(super) fn curl(&self, sender: Option<&Sender>, origin: &str) -> Option<String> {
        const PLACE: &str = "WEBHOOK_SECRET_GOES_HERE";
        let request = match sender {
            Some(sender) => self.with_secret(sender, PLACE),
            None => self.clone(),
        };
        // `SignedRequest` has no other constructor.
        let mut signed = Signer::generate(webhook_verify::scheme::GITHUB).ok()?.sign("").ok()?;
        signed.method = request.method;
        signed.target = request.target;
        signed.headers = request.headers;
        signed.body = request.body;
        Some(signed.curl(origin).replace(PLACE, r#"'"$WEBHOOK_SECRET"'"#))
    }
}

/// Returns whether a header contains a signature.
fn is_signature(places: &[String], name: &str) -> bool {
    places.iter().any(|place| {
        let header = place.split(": ").next().and_then(|place| place.strip_prefix("header "));
        header.is_some_and(|header| header.eq_ignore_ascii_case(name))
    })
}
