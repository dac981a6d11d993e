//! Content codings (RFC 9110 §8.4), each behind a feature.

#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
mod decoder;

#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
pub(crate) use self::decoder::Decoder;
use super::Picked;
use crate::error::VerifyError;

const HEADER: &str = "content-encoding";

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    #[cfg(feature = "gzip")]
    Gzip,
    #[cfg(feature = "gzip")]
    Deflate,
    #[cfg(feature = "brotli")]
    Brotli,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// Returns the coding of a body, or `None` if the body is not encoded.
    pub(crate) fn of(picked: &Picked<'_, '_>) -> Result<Option<Self>, VerifyError> {
        let mut lines = picked.all(HEADER);
        let value = lines.next().unwrap_or_default().trim_ascii();
        if lines.next().is_some() {
            return Err(VerifyError::UnsupportedCoding { feature: None });
        }
        if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
            return Ok(None);
        }
        let off = |feature| Err(VerifyError::UnsupportedCoding { feature });
        match value.to_ascii_lowercase().as_slice() {
            #[cfg(feature = "gzip")]
            b"gzip" | b"x-gzip" => Ok(Some(Self::Gzip)),
            #[cfg(feature = "gzip")]
            b"deflate" => Ok(Some(Self::Deflate)),
            #[cfg(not(feature = "gzip"))]
            b"gzip" | b"x-gzip" | b"deflate" => off(Some("gzip")),
            #[cfg(feature = "brotli")]
            b"br" => Ok(Some(Self::Brotli)),
            #[cfg(not(feature = "brotli"))]
            b"br" => off(Some("brotli")),
            #[cfg(feature = "zstd")]
            b"zstd" => Ok(Some(Self::Zstd)),
            #[cfg(not(feature = "zstd"))]
            b"zstd" => off(Some("zstd")),
            _ => off(None),
        }
    }

    /// Returns whether the body is not encoded, according to the head.
    pub(crate) fn is_absent(picked: &Picked<'_, '_>) -> bool {
        let plain = |value: &[u8]| value.is_empty() || value.eq_ignore_ascii_case(b"identity");
        picked.all(HEADER).all(plain)
    }
}

#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
impl Coding {
    /// Decodes a complete body.
    pub(crate) fn decode(self, body: &[u8], limit: usize) -> Result<Vec<u8>, VerifyError> {
        let mut decoder = Decoder::new(self, limit);
        decoder.push(body);
        decoder.finish()
    }
}

/// Returns a body decoded by each coding that it may be in.
pub(crate) fn decode_all(body: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let codings: &[Coding] = &[
        #[cfg(feature = "gzip")]
        Coding::Gzip,
        #[cfg(feature = "gzip")]
        Coding::Deflate,
        #[cfg(feature = "brotli")]
        Coding::Brotli,
        #[cfg(feature = "zstd")]
        Coding::Zstd,
    ];
    let decoded = codings.iter().filter_map(|coding| coding.decode(body, limit).ok());
    decoded.chain(inflate(body, limit)).filter(|decoded| !decoded.is_empty()).collect()
}

/// Decodes DEFLATE without zlib around it, which some programs take for the coding `deflate`.
#[cfg(feature = "gzip")]
fn inflate(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    use std::io::Read as _;

    let mut plain = Vec::new();
    let reader = flate2::read::DeflateDecoder::new(body);
    reader.take(limit as u64).read_to_end(&mut plain).ok()?;
    Some(plain)
}

#[cfg(not(feature = "gzip"))]
fn inflate(_: &[u8], _: usize) -> Option<Vec<u8>> {
    None
}

/// Without a feature, there are no codings, so there is nothing to decode.
#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
pub(crate) struct Decoder(Coding);

#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
impl Coding {
    pub(crate) fn decode(self, _: &[u8], _: usize) -> Result<Vec<u8>, VerifyError> {
        match self {}
    }
}

#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
impl Decoder {
    pub(crate) fn new(coding: Coding, _: usize) -> Self {
        Self(coding)
    }

    pub(crate) fn push(&mut self, _: &[u8]) {
        match self.0 {}
    }

    pub(crate) fn exceeded(&mut self) -> Option<usize> {
        match self.0 {}
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, VerifyError> {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Names, RequestHead},
        Coding, Picked,
    };
    use crate::error::VerifyError;

    #[test]
    fn a_coding_needs_its_feature() {
        for (value, feature, is_on) in [
            ("gzip", "gzip", cfg!(feature = "gzip")),
            ("X-GZip", "gzip", cfg!(feature = "gzip")),
            ("deflate", "gzip", cfg!(feature = "gzip")),
            ("br", "brotli", cfg!(feature = "brotli")),
            ("zstd", "zstd", cfg!(feature = "zstd")),
        ] {
            let (headers, names) = ([("Content-Encoding", value)], ["content-encoding"]);
            let names = Names::new(names.map(Into::into), []);
            let coding = Coding::of(&Picked::new(&RequestHead::from(&headers), &names));
            if is_on {
                assert!(matches!(coding, Ok(Some(_))), "{value}");
            } else {
                let error = coding.unwrap_err();
                assert_eq!(error, VerifyError::UnsupportedCoding { feature: Some(feature) });
                assert!(error.to_string().contains(feature), "{value}");
            }
        }
    }
}
