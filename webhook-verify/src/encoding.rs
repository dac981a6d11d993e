use base64::{
    Engine as _,
    engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use zeroize::Zeroizing;

/// How a signature is written. Decoding is strict: exact length, canonical, nothing skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Decodes `text` into exactly `out.len()` bytes (at most 64). `None` if it is anything else.
    pub(crate) fn decode_exact(self, text: &[u8], out: &mut [u8]) -> Option<()> {
        match self {
            Self::Hex => decode_hex(text, out),
            Self::Base64 if text.len() == out.len().div_ceil(3) * 4 => {
                decode_base64(&STANDARD, text, out)
            }
            Self::Base64Url if text.len() == (out.len() * 4).div_ceil(3) => {
                decode_base64(&URL_SAFE_NO_PAD, text, out)
            }
            Self::Base64 | Self::Base64Url => None,
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

fn decode_base64(engine: &GeneralPurpose, text: &[u8], out: &mut [u8]) -> Option<()> {
    // Room for the decoder's estimate, which is up to two bytes over the real length.
    let mut decoded = [0; 72];
    let len = engine.decode_slice(text, &mut decoded).ok()?;
    (len == out.len()).then(|| out.copy_from_slice(&decoded[..len]))
}

fn decode_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    if text.len() != out.len() * 2 {
        return None;
    }
    // Without tables and branches, so that it runs many digits at a time.
    let mut bad = false;
    let digit = |byte: u8| {
        let (decimal, letter) = (byte.wrapping_sub(b'0'), (byte | 0x20).wrapping_sub(b'a'));
        let is_decimal = decimal < 10;
        (
            if is_decimal {
                decimal
            } else {
                letter.wrapping_add(10)
            },
            !is_decimal & (letter >= 6),
        )
    };
    for (byte, pair) in out.iter_mut().zip(text.as_chunks::<2>().0) {
        let ((high, bad_high), (low, bad_low)) = (digit(pair[0]), digit(pair[1]));
        bad |= bad_high | bad_low;
        *byte = high << 4 | (low & 0x0f);
    }
    (!bad).then_some(())
}

/// Decodes hex of any length, for keys.
pub(crate) fn hex_to_vec(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(vec![0; text.len() / 2]);
    decode_hex(text, &mut out)?;
    Some(out)
}

/// Decodes standard base64 of any length, with or without padding, for keys: senders show them in both forms.
pub(crate) fn base64_to_vec(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let unpadded = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    let mut out = Zeroizing::new(vec![0; text.len()]);
    let len = STANDARD_NO_PAD.decode_slice(unpadded, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::Encoding::{Base64, Base64Url, Hex};

    fn decode(encoding: super::Encoding, text: &str) -> Option<[u8; 4]> {
        let mut out = [0; 4];
        encoding
            .decode_exact(text.as_bytes(), &mut out)
            .map(|()| out)
    }

    #[test]
    fn hex_takes_either_case_and_nothing_else() {
        assert_eq!(decode(Hex, "00fFA90a"), Some([0, 255, 169, 10]));
        for bad in [
            "",
            "00ffa90",
            "00ffa90a0",
            "0x00ffa9",
            "00ffa90g",
            "00ffa9 a",
            "00ffa9\u{ff}",
        ] {
            assert_eq!(decode(Hex, bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_is_canonical() {
        assert_eq!(decode(Base64, "AP/+qQ=="), Some([0, 255, 254, 169]));
        // no padding, other alphabet, set trailing bits, white space, too short, too long
        for bad in [
            "AP/+qQ",
            "AP_-qQ==",
            "AP/+qR==",
            "AP/+qQ=\n",
            " AP/+qQ=",
            "AP/+",
            "AP/+qQAA",
        ] {
            assert_eq!(decode(Base64, bad), None, "{bad}");
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
