//! Finds the likely cause of a refusal, for the log.
//!
//! A diagnosis runs only for a refusal that is logged: for each reason, up to five at once and one
//! per second after that. It verifies the request again with other secrets, bodies, URLs and
//! schemes, up to [`MAX_TRIALS`] times. It skips this for bodies over [`MAX_BODY`]. A verification
//! with a public key costs far more, so these have a lower limit, [`MAX_PUBLIC_TRIALS`].
//!
//! The hints contain no byte of a secret, a signature or a body, and the client never sees them.

use std::{borrow::Cow, cell::Cell, cmp::Reverse};

use bytes::Bytes;

use super::{Rejection, json_style::Style, refusal::cut};
use crate::{
    encoding::Encoding,
    error::VerifyError,
    key::Keys,
    request::RequestHead,
    scheme::{Algorithm, Grammar, Place, Prefix, Scheme, SignatureSource, is_token_byte},
    verify::{Verifier, without_user},
};

/// The maximum length of a body that is verified in other ways, in bytes, with one live secret.
const MAX_BODY: usize = 64 * 1024;
/// The maximum number of verifications for one diagnosis, each with one key.
const MAX_TRIALS: usize = 128;
/// The same for schemes with public keys. A request may have three signatures, so a diagnosis
/// checks up to 48 signatures.
const MAX_PUBLIC_TRIALS: usize = 16;
/// The maximum number of presets to try.
const MAX_PRESETS: usize = 16;
/// The maximum number of headers to compare with the presets' headers.
const MAX_NAMES: usize = 100;
/// The maximum number of headers in a log line.
const MAX_HEADERS: usize = 8;

/// The usual prefixes of signatures. Any other prefix may be part of a token, and is not logged.
const PREFIXES: [&str; 8] =
    ["sha256=", "sha1=", "sha512=", "v0=", "v1=", "Bearer ", "Basic ", "Token "];

type Hint = Option<Cow<'static, str>>;

/// A request that was refused during verification.
pub(super) struct Refused<'r, 'h> {
    pub(super) verifier: &'r Verifier,
    pub(super) head: &'r RequestHead<'h>,
    /// The complete body as sent, if it was kept.
    pub(super) body: Option<&'r Bytes>,
    /// The number of bytes of the body that arrived, if it was read.
    pub(super) received: Option<usize>,
    pub(super) keys: &'r Keys,
    /// The number of verifications so far, each with one key.
    pub(super) trials: Cell<usize>,
}

/// Returns the likely cause of a refusal, as specific as the request allows.
pub(super) fn hint(rejection: &Rejection, refused: &Refused<'_, '_>) -> Hint {
    let error = match rejection {
        Rejection::NotAuthentic(error) => error,
        Rejection::ContentEncoding { feature: None } => {
            return Some(
                "the scheme does not say which bytes of a compressed body are signed: send it \
                 uncompressed"
                    .into(),
            );
        }
        _ => return None,
    };
    match *error {
        VerifyError::MissingSignature | VerifyError::MissingToken => refused.missing(),
        VerifyError::MalformedSignature
        | VerifyError::UnsupportedVersion
        | VerifyError::MissingTimestamp
        | VerifyError::MissingId => refused.other_form(),
        VerifyError::SignatureMismatch | VerifyError::TokenMismatch => refused.mismatch(),
        VerifyError::TimestampTooOld { seconds } => Some(clock(seconds, true)),
        VerifyError::TimestampInFuture { seconds } => Some(clock(seconds, false)),
        _ => None,
    }
}

impl Refused<'_, '_> {
    /// Returns the names of the headers that may be related to signatures, and their lengths.
    pub(super) fn present(&self) -> String {
        let named = self.headers_like(&["auth", "digest", "hmac", "hook", "sig", "time", "token"]);
        let lens = named.iter().map(|(name, len)| format!("{}({len})", cut(name)));
        lens.take(MAX_HEADERS).collect::<Vec<_>>().join(" ")
    }

    /// Returns the declared length of the body.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.head.header("content-length")?.trim().parse().ok()
    }

    fn headers_like(&self, words: &[&str]) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        self.head.visit(&mut |name, value| {
            let lower = name.to_ascii_lowercase();
            let is_like = words.iter().any(|word| lower.contains(word));
            if is_like && lower.bytes().all(is_token_byte) && found.len() <= MAX_HEADERS {
                found.push((lower, value.len()));
            }
        });
        found
    }

    fn scheme(&self) -> &Scheme {
        self.verifier.scheme()
    }

    fn public_url(&self) -> Option<String> {
        self.verifier.settings().public_url.clone()
    }

    fn with(&self, scheme: Scheme) -> Option<Verifier> {
        self.verifier.varied(scheme, self.public_url())
    }

    /// Returns whether the limit allows a verification with each of these keys. If so, counts them.
    fn may_verify(&self, scheme: &Scheme, keys: &Keys) -> bool {
        let is_public = scheme.algorithm().tag_len() == 0;
        let limit = if is_public { MAX_PUBLIC_TRIALS } else { MAX_TRIALS };
        let trials = self.trials.get() + keys.len();
        let may = trials <= limit;
        if may {
            self.trials.set(trials);
        }
        may
    }

    /// Verifies the request with another body and other keys.
    fn accepts(&self, body: Option<&Bytes>, keys: &Keys) -> bool {
        self.may_verify(self.scheme(), keys) && self.verifier.accepts(self.head, body, keys)
    }

    /// Explains a missing signature.
    fn missing(&self) -> Hint {
        let mut names = Vec::new();
        self.head.visit(&mut |name, _| names.push(name));
        names.truncate(MAX_NAMES);
        if let Some((header, sender)) = self.scheme().other_sender(&names) {
            let hint = format!("the request has `{header}` instead, as `{sender}` sends it");
            return Some(hint.into());
        }
        let other = self.headers_like(&["authorization", "digest", "hmac", "sig", "token"]);
        Some(match other.first() {
            Some((name, _)) => format!(
                "the request has `{}` instead, so it may be another sender's: check the scheme",
                cut(name)
            )
            .into(),
            None => "no header looks like a signature: set a secret at the sender, and check that \
                     no proxy removes the header"
                .into(),
        })
    }

    /// Explains a signature that does not have the scheme's format.
    fn other_form(&self) -> Hint {
        let form = self.other_encoding().or_else(|| self.other_length());
        let form = form.or_else(|| self.scheme().signatures.iter().find_map(|it| self.prefix(it)));
        let mut presets: Vec<_> = self.presets().filter(|it| it.reads(self.head)).collect();
        // The preset that reads the most headers of the request comes first.
        let read = |preset: &Verifier| {
            let names = preset.scheme().header_names();
            names.filter(|name| self.head.header(name).is_some()).count()
        };
        presets.sort_by_cached_key(|preset| Reverse(read(preset)));
        let names: Vec<_> = presets.iter().map(|preset| preset.scheme().name()).take(3).collect();
        let preset = format!("the request has the form of `{}`", names.join("`, `"));
        let found = form.into_iter().chain((!names.is_empty()).then_some(preset));
        let found = found.collect::<Vec<_>>().join("; ");
        (!found.is_empty()).then(|| format!("{found}: check the scheme").into())
    }

    /// Returns whether the head is well-formed under another scheme.
    fn reads(&self, scheme: Scheme) -> bool {
        self.with(scheme).is_some_and(|verifier| verifier.reads(self.head))
    }

    fn other_encoding(&self) -> Option<String> {
        let (scheme, own) = (self.scheme(), self.scheme().encoding());
        let mut others = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url].into_iter();
        let other = others.find(|&encoding| {
            encoding != own && self.reads(Scheme { encoding, ..scheme.clone() })
        })?;
        let [other, own] = [other, own].map(|it| format!("{it:?}").to_ascii_lowercase());
        Some(format!("the signature is {other}, but the scheme expects {own}"))
    }

    fn other_length(&self) -> Option<String> {
        let scheme = self.scheme();
        let mut others = [Algorithm::HmacSha1, Algorithm::HmacSha256, Algorithm::HmacSha512]
            .into_iter()
            .filter(|_| scheme.algorithm().is_hmac());
        let other = others.find(|&algorithm| self.reads(Scheme { algorithm, ..scheme.clone() }))?;
        Some(format!("the signature has the length of {other:?}"))
    }

    /// Explains a missing or different prefix of a signature.
    fn prefix(&self, source: &SignatureSource) -> Option<String> {
        let (Place::Header(name), Grammar::Plain(prefix)) = (&source.place, &source.grammar) else {
            return None;
        };
        let value = self.head.header(name)?;
        let given = PREFIXES.into_iter().find(|known| value.starts_with(known));
        let reads = |prefix| {
            let grammar = Grammar::Plain(prefix);
            let signatures = vec![SignatureSource { grammar, ..source.clone() }].into();
            self.reads(Scheme { signatures, ..self.scheme().clone() })
        };
        Some(match prefix {
            Prefix::Required(prefix) | Prefix::Scheme(prefix) if reads(Prefix::Refused) => {
                format!("the signature lacks the prefix `{prefix}`")
            }
            _ => {
                let given = given.filter(|given| reads(Prefix::Required((*given).into())))?;
                format!("the signature has the prefix `{given}`")
            }
        })
    }

    /// Returns verifiers for the other presets that have a signature in one of the scheme's
    /// headers.
    fn presets(&self) -> impl Iterator<Item = Verifier> {
        let headers = |scheme: &'static Scheme| scheme.signatures.iter().map(|it| &it.place);
        let is_own = |place: &Place| self.scheme().signatures.iter().any(|it| it.place == *place);
        let others = Scheme::presets()
            .filter(move |scheme| scheme.name != self.scheme().name && headers(scheme).any(is_own));
        others.take(MAX_PRESETS).filter_map(|scheme| self.with(scheme.clone()))
    }

    /// Explains a signature mismatch, by verifying the request in other ways.
    fn mismatch(&self) -> Hint {
        let is_token = self.scheme().algorithm().is_token();
        let is_short = self.body.is_none_or(|body| body.len() * self.keys.len() <= MAX_BODY);
        let is_complete = self.body.is_some() || is_token || self.received == Some(0);
        let found = (is_short && is_complete).then(|| {
            self.other_secret()
                .or_else(|| self.other_body())
                .or_else(|| self.other_url())
                .or_else(|| self.other_preset())
        });
        found.flatten().or_else(|| (!is_token).then(|| self.changed_body())).or_else(|| {
            Some("the token is another endpoint's or environment's, or was replaced".into())
        })
    }

    fn other_secret(&self) -> Hint {
        let mut readings = self.keys.misread(self.scheme()).into_iter();
        let (_, mistake) = readings.find(|(keys, _)| self.accepts(self.body(), keys))?;
        Some(format!("the signature matches, but {mistake}").into())
    }

    fn other_body(&self) -> Hint {
        let body = self.body?;
        let accepts = |body: Vec<u8>| self.accepts(Some(&Bytes::from(body)), self.keys);
        if let Some(bare) = body.strip_suffix(b"\r\n").or_else(|| body.strip_suffix(b"\n"))
            && accepts(bare.to_vec())
        {
            return Some(
                "the signature matches the body without its final line break: a layer or \
                         proxy added it"
                    .into(),
            );
        }
        for end in [&b"\n"[..], b"\r\n"] {
            if accepts([body, end].concat()) {
                return Some(
                    "the signature matches the body with a final line break: a layer or \
                             proxy removed it"
                        .into(),
                );
            }
        }
        for (style, name) in Style::ALL {
            if let Some(json) = style.write(body)
                && accepts(json)
            {
                let hint = format!(
                    "the signature matches the body as {name}: a layer or proxy parsed the JSON \
                     and wrote it again"
                );
                return Some(hint.into());
            }
        }
        None
    }

    /// Returns the body for another attempt. A token in the head needs none.
    fn body(&self) -> Option<&Bytes> {
        static EMPTY: Bytes = Bytes::new();
        let algorithm = self.scheme().algorithm();
        let is_in_head = algorithm.is_token() || algorithm.is_jwt();
        let is_read = !is_in_head || self.received != Some(0);
        self.body.or(is_read.then_some(&EMPTY))
    }

    fn other_url(&self) -> Hint {
        if !self.verifier.signs_url() {
            return None;
        }
        let accepts = |url: &String| {
            let other = || self.verifier.varied(self.scheme().clone(), Some(url.clone()));
            self.may_verify(self.scheme(), self.keys)
                && other().is_some_and(|it| it.accepts(self.head, self.body(), self.keys))
        };
        let url = self.other_urls().into_iter().find(accepts)?;
        let url = without_user(&url);
        Some(
            format!("the signature matches the URL `{}`: set it as `public_url`", cut(&url)).into(),
        )
    }

    /// Returns the URLs that the sender may use if a proxy changed the URL.
    fn other_urls(&self) -> Vec<String> {
        let first = |name: &str| {
            let value = self.head.header(name)?;
            Some(value.split(',').next().unwrap_or_default().trim().to_owned())
        };
        let configured = self.public_url().unwrap_or_default();
        let (scheme, rest) = configured.split_once("://").unwrap_or(("https", ""));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { self.head.path() } else { path };
        let schemes = if scheme.starts_with("ws") { ["wss", "ws"] } else { ["https", "http"] };
        let hosts = [Some(host.to_owned()), first("host"), first("x-forwarded-host")];
        let own = self.head.path();
        let toggled = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        let outside = first("x-forwarded-prefix").map(|prefix| prefix + own);
        let original = first("x-forwarded-uri").or_else(|| first("x-original-uri"));
        let original = original.map(|uri| uri.split('?').next().unwrap_or_default().to_owned());
        let paths = [Some(path.to_owned()), Some(own.to_owned()), Some(toggled), outside, original];
        let mut urls = vec![configured.clone()];
        for host in hosts.iter().flatten().filter(|host| !host.is_empty()) {
            for path in paths.iter().flatten() {
                for scheme in schemes {
                    let url = format!("{scheme}://{host}{path}");
                    if !urls.contains(&url) {
                        urls.push(url);
                    }
                }
            }
        }
        urls.remove(0);
        urls
    }

    fn other_preset(&self) -> Hint {
        let accepts = |it: &Verifier| {
            let keys = it.fit(self.keys);
            self.may_verify(it.scheme(), &keys) && it.accepts(self.head, self.body(), &keys)
        };
        let preset = self.presets().find(accepts)?;
        let name = preset.scheme().name();
        Some(format!("the request is valid under the scheme `{name}`: use it").into())
    }

    /// Explains a signature that no attempt matched.
    fn changed_body(&self) -> Cow<'static, str> {
        let received = self.received.unwrap_or_default();
        if let Some(declared) = self.content_length().filter(|it| *it != received as u64) {
            return format!(
                "content-length declares {declared} bytes, but {received} arrived: a layer \
                 outside changed the body"
            )
            .into();
        }
        if self.content_length().is_none() && self.verifier.signs_body() && received > 0 {
            return "the request has no content-length: a layer outside may have decompressed or \
                    rewritten the body; otherwise the secret is another endpoint's or \
                    environment's"
                .into();
        }
        if self.verifier.signs_url() {
            return "no secret, body or URL close to these matches: compare `url` with the one \
                    that the sender has; otherwise the secret is another endpoint's or \
                    environment's"
                .into();
        }
        "no secret or body close to these matches: the secret is another endpoint's or \
         environment's, or a layer or proxy rewrote the body"
            .into()
    }
}

/// Explains a timestamp outside of the time window.
fn clock(seconds: u64, is_old: bool) -> Cow<'static, str> {
    const HOUR: u64 = 3600;
    const YEAR: u64 = 365 * 24 * HOUR;
    // Time zones differ by half hours, and clocks in one time zone by seconds.
    let half_hours = (seconds + HOUR / 4) / (HOUR / 2);
    let is_zone = (1..=28).contains(&half_hours) && seconds.abs_diff(half_hours * (HOUR / 2)) <= 60;
    match is_old {
        _ if seconds > 10 * YEAR => "the timestamp is in another unit: check the scheme".into(),
        _ if is_zone => {
            "the difference looks like a time zone: check the sender's timestamps, and \
                         this host's clock"
                .into()
        }
        true => "this host's clock is ahead, or the request waited, is a late retry or a replay: \
                 check the clock, then the tolerance"
            .into(),
        false => "this host's clock is behind, or the sender's is ahead: check the clock".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn a_time_zone_differs_from_a_wrong_clock() {
        let says = |seconds, is_old, word: &str| {
            let hint = clock(seconds, is_old);
            assert!(hint.contains(word), "{seconds}: {hint}");
        };
        for zone in [1800, 3600, 3605, 7195, 5 * 3600 + 1800, 14 * 3600] {
            says(zone, true, "time zone");
            says(zone, false, "time zone");
        }
        says(600, true, "is ahead");
        says(1000, false, "is behind");
        says(86_400, true, "is ahead");
        says(1_795_000_000, true, "unit");
        says(1_795_000_000_000, false, "unit");
    }
}
