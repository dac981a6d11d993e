use smallvec::SmallVec;

use crate::{
    RequestHead, VerifyError,
    head::Picked,
    key::Tag,
    scheme::{
        Algorithm, Grammar, Place, Prefix, Scheme, SignatureSource, TimestampPlace, TimestampSource,
    },
};

/// The most signatures that one request may carry.
const MAX_CANDIDATES: usize = 16;
/// The most bytes that its signature headers may have together.
const MAX_SIGNATURE_TEXT: usize = 8 * 1024;

/// The signatures of a request, decoded, and what was wrong with the others.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) tags: SmallVec<[Tag; 2]>,
    count: usize,
    text_len: usize,
    present: bool,
    malformed: bool,
}

impl Candidates {
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
                // Only a list may be spread over several lines (RFC 9110 §5.3).
                if lines > 1 && !matches!(source.grammar, Grammar::List { .. }) {
                    return Err(VerifyError::AmbiguousHeader);
                }
                Ok(())
            }
            Place::HeaderPrefix(prefix) => {
                let mut result = Ok(());
                head.headers().visit(&mut |name, value| {
                    let starts = name
                        .get(..prefix.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(prefix));
                    if starts && result.is_ok() {
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

    /// Takes apart the text of one source.
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
            Grammar::Plain(prefix) => {
                let signature = match prefix {
                    Prefix::Refused => Some(value),
                    Prefix::Required(prefix) => value.strip_prefix(prefix.as_bytes()),
                    Prefix::Optional(prefix) => {
                        Some(value.strip_prefix(prefix.as_bytes()).unwrap_or(value))
                    }
                };
                self.add(scheme, signature)
            }
            Grammar::Pairs { separator, keys } => {
                let timestamp_key = match &scheme.timestamp {
                    Some(TimestampSource {
                        place: TimestampPlace::Pair(key),
                        ..
                    }) => key.as_bytes(),
                    _ => b"",
                };
                for (key, value) in items(value, *separator).filter_map(|item| split(item, '=')) {
                    if key == timestamp_key {
                        if timestamp.is_some() {
                            return Err(VerifyError::AmbiguousHeader);
                        }
                        *timestamp = Some(value).filter(|value| !value.is_empty());
                    } else if keys.iter().any(|known| known.as_bytes() == key) {
                        self.add(scheme, Some(value))?;
                    }
                }
                Ok(())
            }
            Grammar::List {
                separator,
                version_separator,
                versions,
            } => {
                for item in items(value, *separator) {
                    // A proxy that folds two lines into one puts a comma behind the first.
                    let item = item.strip_suffix(b",").unwrap_or(item);
                    match split(item, *version_separator) {
                        Some((version, signature))
                            if versions.iter().any(|known| known.as_bytes() == version) =>
                        {
                            self.add(scheme, Some(signature))?;
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }

    /// Takes one signature; `None` where the text is not one.
    fn add(&mut self, scheme: &Scheme, signature: Option<&[u8]>) -> Result<(), VerifyError> {
        self.count += 1;
        if self.count > MAX_CANDIDATES {
            return Err(VerifyError::MalformedSignature);
        }
        let Some(text) = signature.filter(|text| !text.is_empty()) else {
            self.malformed = true;
            return Ok(());
        };
        if scheme.algorithm == Algorithm::Token {
            let tag = Tag::of_token(text);
            match self.tags.first() {
                None => self.tags.push(tag),
                Some(first) if first.matches_any(&[tag]) => {}
                Some(_) => return Err(VerifyError::AmbiguousToken),
            }
            return Ok(());
        }
        self.tags.push(Tag::empty());
        let tag = self.tags.last_mut();
        if tag
            .and_then(|tag| tag.decode(scheme.algorithm, scheme.encoding, text))
            .is_none()
        {
            self.tags.pop();
            self.malformed = true;
        }
        Ok(())
    }

    /// Whether there is a signature to judge at all.
    pub(super) fn check(&self, scheme: &Scheme) -> Result<(), VerifyError> {
        match (
            self.tags.is_empty(),
            self.malformed,
            self.present,
            scheme.algorithm,
        ) {
            (false, ..) => Ok(()),
            (true, _, _, Algorithm::Token) => Err(VerifyError::MissingToken),
            (true, true, ..) => Err(VerifyError::MalformedSignature),
            (true, false, true, _) => Err(VerifyError::UnsupportedVersion),
            (true, false, false, _) => Err(VerifyError::MissingSignature),
        }
    }
}

fn items(value: &[u8], separator: char) -> impl Iterator<Item = &[u8]> {
    value
        .split(move |&byte| char::from(byte) == separator)
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

fn split(item: &[u8], separator: char) -> Option<(&[u8], &[u8])> {
    let at = item
        .iter()
        .position(|&byte| char::from(byte) == separator)?;
    Some((&item[..at], &item[at + 1..]))
}
