//! Breaks one part of a request.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;
use webhook_verify::{Scheme, scheme::Algorithm, testing::Signer};

use super::base::Base;
use crate::outgoing::Outgoing;

const DAY: Duration = Duration::from_secs(86_400);
/// The most bytes that the search for a signed byte of the body verifies.
const MAX_VERIFIED: usize = 64 << 20;

/// The part of a request to break.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mutation {
    /// Change a signed byte of the body
    Body,
    /// Sign with another secret or private key
    Signature,
    /// Sign a time that is a day older than the receiver accepts
    Timestamp,
    /// Remove the header with the signature
    Header,
}

impl Mutation {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Header => "header",
        }
    }

    /// Returns what was done, for people.
    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::Body => "body changed",
            Self::Signature => "signed with another key",
            Self::Timestamp => "timestamp too old",
            Self::Header => "without the signature's header",
        }
    }
}

impl Base<'_> {
    /// Returns the request with one part broken. The error says why that is not possible.
    pub(super) fn mutated(&self, mutation: Mutation) -> Result<Outgoing, String> {
        let whole = self.outgoing();
        let verdict = self.verdict(whole)?;
        if let Some(verdict) = verdict.filter(|verdict| *verdict != "valid") {
            return Err(format!("the request is refused without the mutation, too: {verdict}"));
        }
        let mutated = match mutation {
            Mutation::Body => self.with_other_body(verdict.is_some())?,
            Mutation::Signature => self.signed(&self.wrong_signer()?)?,
            Mutation::Timestamp => self.too_old()?,
            Mutation::Header => self.without_signature_header()?,
        };
        if self.verdict(&mutated)? == Some("valid") {
            return Err("the request is valid in spite of the mutation".into());
        }
        Ok(mutated)
    }

    fn signed(&self, signer: &Signer) -> Result<Outgoing, String> {
        let request = self.outgoing();
        let signed = signer.sign_again(request.head(), request.body.clone());
        signed.map(Into::into).map_err(|error| error.to_string())
    }

    fn too_old(&self) -> Result<Outgoing, String> {
        let scheme = self.scheme()?;
        let is_jwt = matches!(scheme.algorithm(), Algorithm::JwtHs256 | Algorithm::JwtEs256);
        let past = match scheme.tolerance() {
            Some(tolerance) => tolerance.past(),
            None if is_jwt => Duration::ZERO,
            None => {
                return Err(format!("`{}` has no timestamp that is checked", scheme.name()));
            }
        };
        self.signed(&self.signer()?.at(self.time().saturating_sub(past + DAY)))
    }

    fn without_signature_header(&self) -> Result<Outgoing, String> {
        let scheme = self.scheme()?;
        let (names, prefixes) = signature_headers(scheme);
        let mut request = self.outgoing().clone();
        let before = request.headers.len();
        request.headers.retain(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !names.contains(&name) && !prefixes.iter().any(|prefix| name.starts_with(&**prefix))
        });
        if request.headers.len() == before {
            return Err("the signature is not in a header".into());
        }
        Ok(request)
    }

    /// Changes one byte of the body. If the request can be verified, it is a signed one.
    fn with_other_body(&self, can_verify: bool) -> Result<Outgoing, String> {
        let whole = self.outgoing();
        let body = &whole.body;
        if body.is_empty() {
            return Err("the request has no body".into());
        }
        let scheme = self.scheme()?;
        let signatures = scheme.describe().signatures;
        let in_body = in_body(&signatures, body);
        let places = (0..body.len()).rev();
        let letters = places.clone().filter(|at| body[*at].is_ascii_alphanumeric());
        let others = places.filter(|at| !body[*at].is_ascii_alphanumeric());
        let most = MAX_VERIFIED / body.len() + 1;
        for at in letters.chain(others).take(most) {
            let mut changed = body.to_vec();
            changed[at] = match changed[at] {
                b'9' => b'8',
                byte if byte.is_ascii_digit() => byte + 1,
                // The other case could be read as the same text.
                b'z' | b'Z' => changed[at] - 1,
                byte if byte.is_ascii_alphabetic() => byte + 1,
                byte => byte ^ 1,
            };
            if self::in_body(&signatures, &changed) != in_body {
                continue;
            }
            let request = Outgoing { body: changed.into(), ..whole.clone() };
            if !can_verify || self.verdict(&request)? == Some("signature_mismatch") {
                return Ok(request);
            }
        }
        Err(format!("`{}` does not sign the body", scheme.name()))
    }
}

/// Returns the names of the headers with signatures, and the beginnings of such names.
fn signature_headers(scheme: &Scheme) -> (Vec<String>, Vec<String>) {
    let description = scheme.describe();
    let places = description.signatures.iter();
    let headers = places.filter_map(|place| place.strip_prefix("header ")?.split_once(": "));
    let (mut names, mut prefixes) = (Vec::new(), Vec::new());
    for (name, _) in headers {
        match name.strip_suffix('*') {
            Some(prefix) => prefixes.push(prefix.to_owned()),
            None => names.push(name.to_owned()),
        }
    }
    let aliases = description.header_aliases.into_iter();
    let aliases = aliases.filter(|(name, _)| names.contains(name)).map(|(_, alias)| alias);
    names.extend(aliases.collect::<Vec<_>>());
    (names, prefixes)
}

/// Returns the signatures that the body contains. Each place is described as in the scheme.
fn in_body(places: &[String], body: &[u8]) -> Vec<Option<String>> {
    let value = |place: &String| {
        let (place, _) = place.split_once(": ")?;
        if let Some(pointer) = place.strip_prefix("body ") {
            let body: Value = serde_json::from_slice(body).ok()?;
            return Some(body.pointer(pointer)?.to_string());
        }
        let name = place.strip_prefix("form ")?;
        let mut fields = form_urlencoded::parse(body);
        Some(fields.find(|(known, _)| known == name)?.1.into_owned())
    };
    places.iter().map(value).collect()
}
