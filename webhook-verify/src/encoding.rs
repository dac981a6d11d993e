use base16ct::HexDisplay;
use base64::{
    Engine as _,
    engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

/// The encoding of a signature. Decoding is strict: exact length, canonical form, nothing skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Encoding {
    /// Hexadecimal, in either case.
    Hex,
    /// The standard alphabet with padding (RFC 4648 §4).
    Base64,
    /// The URL-safe alphabet without padding (RFC 4648 §5).
    Base64Url,
}

impl Encoding {
    /// Decodes `text` into exactly `out.len()` bytes, at most 64. Returns `None` if that fails.
    pub(crate) fn decode_exact(self, text: &[u8], out: &mut [u8]) -> Option<()> {
        match self {
            Self::Hex if text.len() == out.len() * 2 => {
                base16ct::mixed::decode(text, out).ok().map(|_| ())
            }
            Self::Base64 if text.len() == out.len().div_ceil(3) * 4 => {
                decode_base64(&STANDARD, text, out)
            }
            Self::Base64Url if text.len() == (out.len() * 4).div_ceil(3) => {
                decode_base64(&URL_SAFE_NO_PAD, text, out)
            }
            Self::Hex | Self::Base64 | Self::Base64Url => None,
        }
    }

    /// Decodes `text` of any length.
    pub(crate) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex_to_vec(text).map(|bytes| bytes.to_vec()),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => base64url_to_vec(text),
        }
    }

    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => format!("{:x}", HexDisplay(bytes)),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

fn decode_base64(engine: &GeneralPurpose, text: &[u8], out: &mut [u8]) -> Option<()> {
    // The decoder needs room for its estimate, which is up to two bytes over the real length.
    let mut decoded = [0; 72];
    let len = engine.decode_slice(text, &mut decoded).ok()?;
    (len == out.len()).then(|| out.copy_from_slice(&decoded[..len]))
}

/// Decodes a SHA-256 digest: hex in either case, or base64 or base64url with or without padding.
/// Accepts any encoding if `encoding` is `None`: a digest is not secret, and each of its texts
/// proves the same.
pub(crate) fn decode_digest(text: &[u8], encoding: Option<Encoding>) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let may_be = |candidate| encoding.is_none_or(|encoding| encoding == candidate);
    let unpadded = text.strip_suffix(b"=").unwrap_or(text);
    let mut is_base64 = |candidate, engine| {
        may_be(candidate) && decode_base64(engine, unpadded, &mut digest).is_some()
    };
    let decoded = unpadded.len() == 43
        && (is_base64(Encoding::Base64, &STANDARD_NO_PAD)
            || is_base64(Encoding::Base64Url, &URL_SAFE_NO_PAD))
        || may_be(Encoding::Hex) && Encoding::Hex.decode_exact(text, &mut digest).is_some();
    decoded.then_some(digest)
}

/// Decodes hex of any length, for keys.
pub(crate) fn hex_to_vec(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(vec![0; text.len() / 2]);
    base16ct::mixed::decode(text, &mut out).ok()?;
    Some(out)
}

/// Decodes base64url without padding, of any length.
pub(crate) fn base64url_to_vec(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes standard base64 of any length, for keys, with or without padding: senders show both.
/// Drops up to two `=` even if the length needs none, unlike `DecodePaddingMode::Indifferent`.
pub(crate) fn base64_to_vec(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let unpadded = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut out = Zeroizing::new(vec![0; text.len()]);
    let len = STANDARD_NO_PAD.decode_slice(unpadded, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{
        Encoding::{Base64, Base64Url, Hex},
        decode_digest,
    };

    fn decode(encoding: super::Encoding, text: &str) -> Option<[u8; 4]> {
        let mut out = [0; 4];
        encoding.decode_exact(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn hex_takes_either_case_and_nothing_else() {
        assert_eq!(decode(Hex, "00fFA90a"), Some([0, 255, 169, 10]));
        for bad in ["", "00ffa90", "00ffa90a0", "0x00ffa9", "00ffa90g", "00ffa9 a", "00ffa9\u{ff}"]
        {
            assert_eq!(decode(Hex, bad), None, "{bad}");
        }
    }

    #[test]
    fn every_byte_at_every_place_is_a_hex_digit_or_refused() {
        for len in [1, 4, 5, 20, 32] {
            let right: Vec<u8> = (0..len * 2).map(|n| b"0123456789abcdefABCDEF"[n % 22]).collect();
            for (at, byte) in (0..right.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte)))
            {
                let mut text = right.clone();
                text[at] = byte;
                let mut out = vec![0; len];
                let decoded = Hex.decode_exact(&text, &mut out);
                assert_eq!(decoded.is_some(), byte.is_ascii_hexdigit(), "{at} {byte}");
                if decoded.is_some() {
                    let expected: Vec<u8> = (0..len)
                        .map(|n| std::str::from_utf8(&text[n * 2..n * 2 + 2]).unwrap())
                        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
                        .collect();
                    assert_eq!(out, expected);
                }
            }
        }
    }

    #[test]
    fn base64_is_canonical() {
        assert_eq!(decode(Base64, "AP/+qQ=="), Some([0, 255, 254, 169]));
        // no padding, other alphabet, trailing bits set, white space, too short, too long
        for bad in ["AP/+qQ", "AP_-qQ==", "AP/+qR==", "AP/+qQ=\n", " AP/+qQ=", "AP/+", "AP/+qQAA"] {
            assert_eq!(decode(Base64, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_digest_has_any_encoding_unless_it_must_have_one() {
        let digest: [u8; 32] =
            std::array::from_fn(|n| 250_u8.wrapping_add((n as u8).wrapping_mul(37)));
        let hex = Hex.encode(&digest);
        let [base64, base64url] = [Base64, Base64Url].map(|encoding| encoding.encode(&digest));
        assert!(base64.contains(['+', '/']) && base64.ends_with('='));
        for (text, encoding) in [
            (hex.clone(), Hex),
            (hex.to_uppercase(), Hex),
            (base64.clone(), Base64),
            (base64.trim_end_matches('=').to_owned(), Base64),
            (base64url.clone(), Base64Url),
            (format!("{base64url}="), Base64Url),
        ] {
            for wanted in [None, Some(Hex), Some(Base64), Some(Base64Url)] {
                let decoded = decode_digest(text.as_bytes(), wanted);
                let expected = wanted.is_none_or(|wanted| wanted == encoding).then_some(digest);
                assert_eq!(decoded, expected, "{text} {wanted:?}");
            }
        }
        for bad in ["", &hex[1..], &format!("{hex}="), &base64[1..], &format!("{base64}=")] {
            assert_eq!(decode_digest(bad.as_bytes(), None), None, "{bad}");
        }
    }

    #[test]
    fn base64url_is_canonical() {
        assert_eq!(decode(Base64Url, "AP_-qQ"), Some([0, 255, 254, 169]));
        for bad in ["AP/+qQ", "AP_-qQ==", "AP_-qR", "AP_-q", "AP_-qQA"] {
            assert_eq!(decode(Base64Url, bad), None, "{bad}");
        }
    }
}
