//! Extracts the DER from a key's text.

use zeroize::Zeroizing;

use crate::encoding::base64_to_vec;

type Bytes = Zeroizing<Vec<u8>>;

/// Returns the label and content of the first PEM block (RFC 7468), whatever surrounds it.
pub(super) fn pem(text: &[u8]) -> Option<(&str, Bytes)> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, block) = text.split_once("-----BEGIN ")?;
    let (label, block) = block.split_once("-----")?;
    let (content, end) = block.split_once("-----END ")?;
    end.strip_prefix(label)?.strip_prefix("-----")?;
    Some((label, base64(content.as_bytes())?))
}

/// Returns the DER of a `SubjectPublicKeyInfo`, from a PEM block or from bare base64.
pub(super) fn public_key(text: &[u8]) -> Option<Bytes> {
    match pem(text) {
        Some(("PUBLIC KEY", der)) => Some(der),
        Some(_) => None,
        None => base64(text),
    }
}

/// Decodes base64, ignoring white space.
fn base64(text: &[u8]) -> Option<Bytes> {
    let mut text = Zeroizing::new(text.to_vec());
    text.retain(|byte| !byte.is_ascii_whitespace());
    base64_to_vec(&text)
}

#[cfg(test)]
mod tests {
    use super::{pem, public_key};

    #[test]
    fn the_first_block_counts_whatever_is_around_it() {
        for text in [
            "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\r\nAA\r\nEC\r\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----AAEC-----END PUBLIC KEY-----",
            "subject: CN = a\n-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\n\
             -----BEGIN PRIVATE KEY-----\n!",
        ] {
            let (label, der) = pem(text.as_bytes()).unwrap();
            assert_eq!((label, &der[..]), ("PUBLIC KEY", &[0, 1, 2][..]), "{text}");
            assert_eq!(&public_key(text.as_bytes()).unwrap()[..], [0, 1, 2]);
        }
    }

    #[test]
    fn other_text_is_no_block() {
        for text in [
            "",
            "AAEC",
            "-----BEGIN ",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END ",
            "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY",
            "-----BEGIN PUBLIC KEY-----\nA*EC\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nProc-Type: 4\n\nAAEC\n-----END PUBLIC KEY-----",
        ] {
            assert!(pem(text.as_bytes()).is_none(), "{text}");
        }
        assert!(pem(b"\xff-----BEGIN A-----AAEC-----END A-----").is_none());
    }

    #[test]
    fn a_public_key_needs_no_block_but_is_in_no_other() {
        assert_eq!(&public_key(b"AA\nEC\n").unwrap()[..], [0, 1, 2]);
        for label in ["CERTIFICATE", "PRIVATE KEY", "RSA PUBLIC KEY"] {
            let text = format!("-----BEGIN {label}-----\nAAEC\n-----END {label}-----\n");
            assert!(public_key(text.as_bytes()).is_none(), "{label}");
        }
    }
}
