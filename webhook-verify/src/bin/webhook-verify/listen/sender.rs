//! The receiver of one sender.

use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme, Verifier, idempotency::ClaimEventKind,
    scheme::Algorithm, testing::Signer,
};
use zeroize::Zeroizing;

use super::{explanation, options::SenderSettings};
use crate::{Failure, errors, options::preset, recorded::target_of, scheme_file};

/// A sender whose requests are received.
pub(super) struct Sender {
    pub(super) scheme: Scheme,
    /// The path that it sends to, or `None` for every path.
    pub(super) path: Option<String>,
    pub(super) receiver: Receiver,
    pub(super) secret: Zeroizing<String>,
    pub(super) parameters: Vec<(String, String)>,
    /// The URL that the sender was given, without its query.
    pub(super) url: Option<String>,
    /// The header of the shared-header scheme.
    pub(super) header: Option<String>,
    /// The places of the signature, as the scheme's description names them.
    pub(super) signatures: Vec<String>,
    /// The names of the headers that the scheme defines, such as that of a version, in lower case.
    pub(super) headers: Vec<String>,
}

/// Creates the receivers. A single sender gets every path, unless the settings have a path.
pub(super) fn senders(
    settings: &[SenderSettings],
    schemes: &[Scheme],
) -> Result<Vec<Sender>, Failure> {
    let is_single = settings.len() == 1;
    let mut senders: Vec<Sender> = Vec::new();
    for one in settings {
        let scheme = scheme_of(one, schemes)?;
        let name = scheme.name().to_owned();
        let sender = Sender::new(one, scheme, is_single).map_err(|error| match &one.path {
            // The file has the names of options, without hyphens.
            Some(path) => format!("{path}: {}", errors::text(&*error).trim_start_matches("--")),
            None => format!("--scheme {name}: {}", errors::text(&*error)),
        })?;
        if let Some(other) = senders.iter().find(|other| other.path == sender.path) {
            let path = other.path.as_deref().unwrap_or("/");
            return Err(format!("two senders at {path}: give each a path with --config").into());
        }
        senders.push(sender);
    }
    Ok(senders)
}

fn scheme_of(settings: &SenderSettings, schemes: &[Scheme]) -> Result<Scheme, Failure> {
    let own = schemes.iter().find(|own| Some(own.name()) == settings.scheme.as_deref());
    match (&settings.scheme, own) {
        (_, Some(own)) => Ok(own.clone()),
        (Some(name), None) => preset(name, settings.header.as_deref()),
        (None, None) if schemes.is_empty() => Err("no sender: set --scheme or --config".into()),
        (None, None) => scheme_file::pick(schemes.to_vec(), None),
    }
}

impl Sender {
    fn new(settings: &SenderSettings, scheme: Scheme, is_single: bool) -> Result<Self, Failure> {
        let (secret, text) = settings.secret()?;
        let url = settings.url.as_deref().map(|url| url.split(['?', '#']).next().unwrap_or(url));
        if url.is_some_and(|url| !url.contains("://")) {
            return Err("the URL does not begin with https:// or http://".into());
        }
        let description = scheme.describe();
        if description.needs_public_url && url.is_none() {
            return Err("the sender signs the URL: set the one that it was given (--url, or url \
                        in the file)"
                .into());
        }
        let of_handshakes =
            scheme.challenges().iter().filter_map(|challenge| challenge.parameter());
        for needed in description.parameters.iter().map(String::as_str).chain(of_handshakes) {
            if !settings.parameters.iter().any(|(name, _)| name == needed) {
                return Err(
                    format!("set the parameter {needed} (--parameter {needed}=VALUE)").into()
                );
            }
        }
        let path = settings.path.clone().or_else(|| match url {
            _ if is_single => None,
            Some(url) => Some(target_of(url).to_owned()),
            None => Some(format!("/{}", scheme.name())),
        });
        let mut verifier = Verifier::builder(scheme.clone()).secret(secret);
        for (name, value) in &settings.parameters {
            verifier = verifier.parameter(name, value);
        }
        if let Some(url) = url {
            verifier = verifier.public_url(url);
        }
        let headers = headers_of(&scheme, settings, url);
        let store = MemoryStore::new();
        // A batch of events is one delivery here.
        let idempotency = Idempotency::new(store, scheme.name()).identity(scheme.identity());
        let idempotency = idempotency.on_event(|event| {
            if let ClaimEventKind::Duplicate { .. } = event.kind {
                explanation::note_duplicate(event.key);
            }
        });
        let receiver = Receiver::builder(verifier)
            .idempotency(idempotency)
            .timer(tokio::time::sleep)
            // The senders are few, and on this machine.
            .explain_refusals_in_release()
            .build()
            .map_err(|error| errors::text(error.kind()))?;
        Ok(Self {
            path,
            receiver,
            secret: text,
            parameters: settings.parameters.clone(),
            url: url.map(Into::into),
            header: settings.header.clone(),
            signatures: description.signatures,
            headers,
            scheme,
        })
    }

    /// Returns whether the request contains the secret itself.
    pub(super) fn sends_secret(&self) -> bool {
        matches!(self.scheme.algorithm(), Algorithm::Token | Algorithm::Basic)
    }

    /// Returns whether a new signature would differ, and this program can make one.
    pub(super) fn can_sign(&self) -> bool {
        self.scheme.algorithm().is_symmetric() && !self.sends_secret()
    }

    /// Returns the URL that the sender used for this path and query, if it is known.
    pub(super) fn url_of(&self, target: &str) -> Option<String> {
        let url = self.url.as_deref()?;
        Some(match target.split_once('?') {
            Some((_, query)) => format!("{url}?{query}"),
            None => url.to_owned(),
        })
    }
}

/// Returns the names of the headers that the sender adds to a request, in lower case.
fn headers_of(scheme: &Scheme, settings: &SenderSettings, url: Option<&str>) -> Vec<String> {
    let Ok(signer) = Signer::generate(scheme.clone()) else { return Vec::new() };
    let signer = signer.public_url(url.unwrap_or_default());
    let parameters = settings.parameters.iter();
    let signer = parameters.fold(signer, |signer, (name, value)| signer.parameter(name, value));
    let headers = signer.sign("{}").map(|signed| signed.headers).unwrap_or_default();
    headers.into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
}
