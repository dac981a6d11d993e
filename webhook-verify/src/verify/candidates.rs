#[cfg(feature = "jwt")]
use std::time::Duration;

use smallvec::SmallVec;

#[cfg(feature = "jwt")]
use super::{Settings, digests::HeadDigests, jwt::Jwt};
use crate::{
    encoding::Encoding,
    error::VerifyError,
    key::{Key, Tag},
    request::{Picked, RequestHead, begins_with},
    scheme::{
        Algorithm, Grammar, Place, Prefix, Scheme, SignatureSource, Text, TimestampPlace,
        TimestampSource,
    },
};

/// The largest number of signatures in a request.
const MAX_CANDIDATES: usize = 16;
/// The largest number of public-key signatures: some algorithms hash the content once for each, and
/// a forged request must not cost more than four hashes.
const MAX_PUBLIC: usize = 3;
/// The largest total size of the signature headers, in bytes.
const MAX_SIGNATURE_TEXT: usize = 8 * 1024;

/// The decoded signatures of a request, and the state of the others.
#[derive(Default)]
pub(super) struct Candidates {
    tags: SmallVec<[Tag; 2]>,
    rare: Option<Box<RareCandidates>>,
    count: usize,
    text_len: usize,
    present: bool,
    malformed: bool,
}

/// Facts that few schemes need.
#[derive(Default)]
struct RareCandidates {
    /// Public-key signatures, which have no fixed length.
    signatures: Vec<Vec<u8>>,
    /// The tags of signatures whose version has its own content, by its index.
    tags_of_version: Vec<(usize, Tag)>,
    #[cfg(feature = "jwt")]
    token: Option<Jwt>,
}

impl Candidates {
    fn rare(&mut self) -> &mut RareCandidates {
        self.rare.get_or_insert_default()
    }

    #[cfg(feature = "jwt")]
    fn token(&self) -> Option<&Jwt> {
        self.rare.as_ref()?.token.as_ref()
    }

    pub(super) fn collect<'a>(
        &mut self,
        scheme: &Scheme,
        source: &SignatureSource,
        head: &RequestHead<'a>,
        picked: &Picked<'_, 'a>,
        timestamp: &mut Option<&'a [u8]>,
    ) -> Result<(), VerifyError> {
        match &source.place {
            Place::Header(name) => {
                let mut lines = 0_usize;
                for value in picked.all(name) {
                    lines += 1;
                    self.add_value(scheme, source, value, timestamp)?;
                }
                // Only a list may span several lines (RFC 9110 §5.3).
                let is_list = match source.grammar {
                    Grammar::List { .. } => true,
                    // Each line has its own timestamp.
                    Grammar::AfterTimestamp { .. } => false,
                    Grammar::Plain(_) | Grammar::Pairs { .. } => source.several.is_some(),
                };
                if lines > 1 && !is_list {
                    return Err(VerifyError::AmbiguousHeader);
                }
                Ok(())
            }
            Place::HeaderPrefix(prefix) => {
                let mut result = Ok(());
                head.visit(&mut |name, value| {
                    if begins_with(name, prefix) && result.is_ok() {
                        result = self.add_value(scheme, source, value, timestamp);
                    }
                });
                result
            }
            Place::Query(name) => {
                for (key, value) in
                    form_urlencoded::parse(head.query().unwrap_or_default().as_bytes())
                {
                    if key == *name {
                        self.add_value(scheme, source, value.as_bytes(), &mut None)?;
                    }
                }
                Ok(())
            }
            Place::Form(_) | Place::Pointer(_) => Ok(()),
        }
    }

    /// Parses the text of one source.
    pub(super) fn add_value<'a>(
        &mut self,
        scheme: &Scheme,
        source: &SignatureSource,
        value: &'a [u8],
        timestamp: &mut Option<&'a [u8]>,
    ) -> Result<(), VerifyError> {
        if value.is_empty() {
            return Ok(());
        }
        self.present = true;
        self.text_len += value.len();
        if self.text_len > MAX_SIGNATURE_TEXT {
            return Err(VerifyError::MalformedSignature);
        }
        match &source.grammar {
            Grammar::Plain(prefix) if source.several.is_some() => {
                for item in items(value, source.several.unwrap_or(',')) {
                    self.add(scheme, without_prefix(item, prefix), None)?;
                }
                Ok(())
            }
            Grammar::Plain(prefix) => self.add(scheme, without_prefix(value, prefix), None),
            Grammar::AfterTimestamp { separator } => {
                let (time, signatures) = split(value, *separator).unzip();
                *timestamp = time.filter(|time| !time.is_empty());
                match (signatures, source.several) {
                    (Some(signatures), Some(separator)) => signatures
                        .split(|&byte| byte == separator as u8)
                        .try_for_each(|item| self.add(scheme, Some(item.trim_ascii()), None)),
                    (signature, _) => self.add(scheme, signature, None),
                }
            }
            Grammar::Pairs { separator, groups: None, keys } => {
                self.add_pairs(scheme, keys, items(value, *separator), timestamp, false)
            }
            Grammar::Pairs { separator, groups: Some(groups), keys } => {
                let pairs = items(value, *groups).flat_map(|group| items(group, *separator));
                self.add_pairs(scheme, keys, pairs, timestamp, true)
            }
            Grammar::List { separator, version_separator, versions } => {
                for item in items(value, *separator) {
                    match split(item, *version_separator) {
                        Some((version, signature))
                            if versions.is_empty()
                                || versions.iter().any(|known| known.as_bytes() == version) =>
                        {
                            // A proxy that joins two lines puts a comma after the first.
                            let signature = signature.strip_suffix(b",").unwrap_or(signature);
                            self.add(scheme, Some(signature), std::str::from_utf8(version).ok())?;
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }

    /// Adds the signatures among pairs. The timestamp may be repeated only in groups.
    fn add_pairs<'a>(
        &mut self,
        scheme: &Scheme,
        keys: &[Text],
        pairs: impl Iterator<Item = &'a [u8]>,
        timestamp: &mut Option<&'a [u8]>,
        are_grouped: bool,
    ) -> Result<(), VerifyError> {
        let timestamp_key = match &scheme.timestamp {
            Some(TimestampSource { place: TimestampPlace::Pair(key), .. }) => key.as_bytes(),
            _ => b"",
        };
        for (key, value) in pairs.filter_map(|item| split(item, '=')) {
            if key == timestamp_key {
                if timestamp.is_some_and(|first| !are_grouped || first != value) {
                    return Err(VerifyError::AmbiguousHeader);
                }
                *timestamp = Some(value).filter(|value| !value.is_empty());
            } else if let Some(version) = keys.iter().find(|known| known.as_bytes() == key) {
                self.add(scheme, Some(value), Some(version))?;
            }
        }
        Ok(())
    }

    /// Adds one signature, which is malformed if it is `None`.
    fn add(
        &mut self,
        scheme: &Scheme,
        signature: Option<&[u8]>,
        version: Option<&str>,
    ) -> Result<(), VerifyError> {
        let algorithm = scheme.algorithm;
        self.count += 1;
        let most = match algorithm.tag_len() {
            0 => MAX_PUBLIC,
            _ => MAX_CANDIDATES,
        };
        if self.count > most {
            return Err(VerifyError::MalformedSignature);
        }
        let Some(text) = signature.filter(|text| !text.is_empty()) else {
            self.malformed = true;
            return Ok(());
        };
        match algorithm {
            Algorithm::HmacSha256
            | Algorithm::HmacSha1
            | Algorithm::HmacSha512
            | Algorithm::KeyedSha1
            | Algorithm::KeyedSha256
            | Algorithm::KeyedSha512 => {
                self.tags.push(Tag::empty());
                let tag = self.tags.last_mut();
                if tag.and_then(|tag| tag.decode(algorithm, scheme.encoding, text)).is_none() {
                    self.tags.pop();
                    self.malformed = true;
                } else if let Some(version) = version
                    && let Some(index) = scheme.content_of_version(version)
                    && let Some(tag) = self.tags.pop()
                {
                    self.rare().tags_of_version.push((index, tag));
                }
                Ok(())
            }
            Algorithm::Token => self.add_token(Tag::of_token(text)),
            Algorithm::Basic => match Encoding::Base64.decode(text) {
                Some(decoded) => self.add_token(Tag::of_token(&decoded)),
                None => {
                    self.malformed = true;
                    Ok(())
                }
            },
            Algorithm::Ed25519
            | Algorithm::EcdsaP256
            | Algorithm::RsaSha256
            | Algorithm::RsaSha1 => {
                let signature = scheme.encoding.decode(text);
                match signature.filter(|signature| algorithm.takes(signature.len())) {
                    Some(signature) => self.rare().signatures.push(signature),
                    None => self.malformed = true,
                }
                Ok(())
            }
            #[cfg(feature = "jwt")]
            Algorithm::JwtHs256 => self.add_jwt(scheme, text, "HS256"),
            #[cfg(feature = "jwt")]
            Algorithm::JwtEs256 => self.add_jwt(scheme, text, "ES256"),
            #[cfg(not(feature = "jwt"))]
            Algorithm::JwtHs256 | Algorithm::JwtEs256 => Ok(()),
        }
    }

    /// Adds a token or credentials, which must be the same in all places.
    fn add_token(&mut self, tag: Tag) -> Result<(), VerifyError> {
        match self.tags.first() {
            None => self.tags.push(tag),
            Some(first) if first.matches_any(&[tag]) => {}
            Some(_) => return Err(VerifyError::AmbiguousToken),
        }
        Ok(())
    }

    #[cfg(feature = "jwt")]
    fn add_jwt(
        &mut self,
        scheme: &Scheme,
        text: &[u8],
        algorithm: &str,
    ) -> Result<(), VerifyError> {
        if self.token().is_some() {
            return Err(VerifyError::AmbiguousHeader);
        }
        let token = Jwt::parse(text, algorithm)?;
        match scheme.algorithm.tag_len() {
            0 => self.rare().signatures.push(token.signature.clone()),
            len if len == token.signature.len() => self.tags.push(Tag::new(&token.signature)),
            _ => return Err(VerifyError::MalformedSignature),
        }
        self.rare().token = Some(token);
        Ok(())
    }

    /// Returns whether any candidate matches `key` over `pieces`. Tries all of them.
    pub(super) fn hold(&self, key: &Key, pieces: &[&[u8]]) -> bool {
        match key.as_public() {
            None => self.match_tag(&key.tag(pieces)),
            Some(key) => {
                let signatures = self.rare.iter().flat_map(|rare| &rare.signatures);
                signatures.fold(false, |holds, signature| holds | key.verify(pieces, signature))
            }
        }
    }

    pub(super) fn match_tag(&self, tag: &Tag) -> bool {
        tag.matches_any(&self.tags)
    }

    /// Returns whether any signature of the version with this content matches `key` over `pieces`.
    pub(super) fn hold_version(&self, index: usize, key: &Key, pieces: &[&[u8]]) -> bool {
        let tags = self.rare.iter().flat_map(|rare| &rare.tags_of_version);
        let of_version = tags.filter(|(version, _)| *version == index);
        let tag = key.tag(pieces);
        of_version
            .fold(false, |holds, (_, found)| holds | tag.matches_any(std::slice::from_ref(found)))
    }

    /// Returns the versions in the request that have their own content.
    pub(super) fn versions(&self) -> Vec<usize> {
        let tags = self.rare.iter().flat_map(|rare| &rare.tags_of_version);
        let mut versions: Vec<_> = tags.map(|(version, _)| *version).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
            && self
                .rare
                .as_ref()
                .is_none_or(|rare| rare.signatures.is_empty() && rare.tags_of_version.is_empty())
    }

    /// Returns the digest of the token, if there is one.
    pub(super) fn token_digest(&self) -> Option<[u8; 32]> {
        self.tags.first().map(Tag::token_digest)
    }

    /// Returns the signed content of a JSON Web Token. It is empty for other signatures.
    pub(super) fn signed_text(&self) -> &[u8] {
        #[cfg(feature = "jwt")]
        if let Some(token) = self.token() {
            return &token.signed;
        }
        &[]
    }

    /// Returns the ID of the key that a JSON Web Token names.
    pub(super) fn key_id(&self) -> Option<&str> {
        #[cfg(feature = "jwt")]
        if let Some(token) = self.token() {
            return token.key_id.as_deref();
        }
        None
    }

    /// Checks the claims of a verified JSON Web Token. Returns its time, if the scheme has one.
    #[cfg(feature = "jwt")]
    pub(super) fn judge_claims(
        &self,
        settings: &Settings,
        head: &HeadDigests,
        body: &[u8],
    ) -> Result<Option<Duration>, VerifyError> {
        match self.token() {
            Some(token) => token.judge_claims(settings, head, body),
            None => Ok(None),
        }
    }

    /// Checks that there is a well-formed signature.
    pub(super) fn check(&self, scheme: &Scheme) -> Result<(), VerifyError> {
        match (self.is_empty(), self.malformed, self.present, scheme.algorithm.is_token()) {
            (false, ..) => Ok(()),
            (true, _, false, true) | (true, false, true, true) => Err(VerifyError::MissingToken),
            (true, true, ..) => Err(VerifyError::MalformedSignature),
            (true, false, true, _) => Err(VerifyError::UnsupportedVersion),
            (true, false, false, _) => Err(VerifyError::MissingSignature),
        }
    }
}

/// Returns the signature after its prefix.
fn without_prefix<'a>(value: &'a [u8], prefix: &Prefix) -> Option<&'a [u8]> {
    match prefix {
        Prefix::Refused => Some(value),
        Prefix::Required(prefix) => value.strip_prefix(prefix.as_bytes()),
        // The name of an authentication scheme, in any case (RFC 9110 §11.1).
        Prefix::Scheme(name) => value
            .split_at_checked(name.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(name.as_bytes()))
            .and_then(|(_, rest)| rest.strip_prefix(b" "))
            .map(<[u8]>::trim_ascii_start),
        Prefix::Optional(prefix) => Some(value.strip_prefix(prefix.as_bytes()).unwrap_or(value)),
    }
}

/// Returns the value of a key among the pairs of the signature headers.
pub(super) fn pair<'a>(
    scheme: &Scheme,
    picked: &Picked<'_, 'a>,
    key: &str,
) -> Result<Option<&'a [u8]>, VerifyError> {
    let mut found = None;
    for source in &*scheme.signatures {
        let (Place::Header(name), Grammar::Pairs { separator, .. }) =
            (&source.place, &source.grammar)
        else {
            continue;
        };
        let pairs = picked.all(name).flat_map(|value| items(value, *separator));
        for (known, value) in pairs.filter_map(|item| split(item, '=')) {
            if known == key.as_bytes() && found.replace(value).is_some() {
                return Err(VerifyError::AmbiguousHeader);
            }
        }
    }
    Ok(found)
}

/// Separators are ASCII: schemes with others do not build.
fn items(value: &[u8], separator: char) -> impl Iterator<Item = &[u8]> {
    let separator = separator as u8;
    value
        .split(move |&byte| byte == separator)
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

fn split(item: &[u8], separator: char) -> Option<(&[u8], &[u8])> {
    let separator = separator as u8;
    let at = item.iter().position(|&byte| byte == separator)?;
    Some((&item[..at], &item[at + 1..]))
}
