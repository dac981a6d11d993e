//! Recognizes secrets that were copied with surrounding characters, and keys of another kind.
//!
//! With a wrong secret, every delivery is refused, so an error at startup is better. The
//! descriptions are fixed texts and contain no byte of a secret.

use crate::{
    encoding::{base64_to_vec, hex_to_vec},
    scheme::{KeyForm, Scheme},
};

/// Quotation marks that people and shells put around a value.
const QUOTES: [(char, char); 6] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
];

/// The smallest number of hexadecimal digits that are not treated as base64: the digits of 32
/// bytes.
const MIN_HEX: usize = 64;

/// Returns whether a character is invisible, but not white space: a byte order mark, zero-width
/// character, direction mark or control character.
pub(crate) fn is_invisible(char: char) -> bool {
    let zero_width = matches!(char,
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}');
    zero_width || char.is_control() && !char.is_whitespace()
}

/// Describes characters around a secret that are probably not part of it, and the remedy.
///
/// Keys in PEM and JSON may have white space around them, since their forms ignore it. Bytes that
/// are not UTF-8 are a binary key, in which no byte means anything by itself.
pub(super) fn surroundings(bytes: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return is_utf16(bytes).then_some("is text in UTF-16: save it as UTF-8");
    };
    let text = if is_pem(text) || is_json(text) { text.trim() } else { text };
    let (first, last) = (text.chars().next()?, text.chars().next_back()?);
    let is_break = |char| matches!(char, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    Some(if is_break(first) {
        "begins with a line break: copy the secret without it"
    } else if is_break(last) {
        "ends with a line break: copy the secret without it"
    } else if first.is_whitespace() {
        "begins with white space: copy the secret without it"
    } else if last.is_whitespace() {
        "ends with white space: copy the secret without it"
    } else if is_invisible(first) {
        "begins with an invisible character, such as a byte order mark: copy the secret without it"
    } else if is_invisible(last) {
        "ends with an invisible character, such as a zero-width space: copy the secret without it"
    } else if text.chars().nth(1).is_some() && QUOTES.contains(&(first, last)) {
        "is in quotation marks: copy the secret without them"
    } else {
        return None;
    })
}

/// Removes white space and invisible characters around a secret.
pub(crate) fn without_white_space(bytes: &[u8]) -> Option<&[u8]> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.trim_matches(|char: char| char.is_whitespace() || is_invisible(char)).as_bytes())
}

/// Removes white space, invisible characters and quotation marks around a secret.
pub(crate) fn bare(bytes: &[u8]) -> Option<&[u8]> {
    let mut text = std::str::from_utf8(bytes).ok()?;
    loop {
        let inner = text.trim_matches(|char: char| char.is_whitespace() || is_invisible(char));
        let unquoted = |(open, close)| inner.strip_prefix(open)?.strip_suffix(close);
        text = QUOTES.into_iter().find_map(unquoted).unwrap_or(inner);
        if text == inner {
            return Some(text.as_bytes());
        }
    }
}

/// Recognizes a key of the wrong kind for the scheme, and returns the problem and the remedy.
///
/// A scheme that signs with the secret's text accepts any text. The form of the text alone does not
/// reveal the key of another sender.
pub(super) fn other_key(scheme: &Scheme, text: &[u8]) -> Option<&'static str> {
    let takes_text = match scheme.key_form {
        KeyForm::Utf8 | KeyForm::HtmlText | KeyForm::Sha1 => true,
        KeyForm::Hex
        | KeyForm::Base64
        | KeyForm::Whsec
        | KeyForm::Whpk
        | KeyForm::Spki
        | KeyForm::Certificate
        | KeyForm::Jwk => false,
    };
    if is_api_key(text) && !scheme.api_key {
        Some("is an API key: copy the webhook secret instead")
    } else if !takes_text {
        None
    } else if std::str::from_utf8(text).is_ok_and(is_version_prefixed) {
        Some(
            "begins with a version, like `v1,whsec_` of Supabase Auth, but the scheme signs with \
             the secret's text: check that the scheme and the secret belong to the same sender",
        )
    } else if text.strip_prefix(b"whsec_").is_some_and(is_standard) && !scheme.whsec_text {
        Some(
            "begins with `whsec_`, like a secret of Standard Webhooks, but the scheme signs with \
             the secret's text: check that the scheme and the secret belong to the same sender, or \
             set the key form `whsec` or the option `whsec_text` in the description of the scheme",
        )
    } else if text.starts_with(b"whpk_") {
        Some("begins with `whpk_`, like a public key, but the scheme signs with a shared secret")
    } else {
        None
    }
}

/// Returns whether text after `whsec_` has the form of Standard Webhooks: base64 of 24 to 64 bytes.
fn is_standard(text: &[u8]) -> bool {
    !is_hex(text) && base64_to_vec(text).is_some_and(|key| (24..=64).contains(&key.len()))
}

/// Returns whether the text is an API key, which several senders issue alongside webhook secrets.
fn is_api_key(text: &[u8]) -> bool {
    ["sk_", "pk_", "rk_"].iter().any(|start| text.starts_with(start.as_bytes()))
}

/// Returns whether text for a base64 form consists of hexadecimal digits only. Decoded as base64,
/// it would be another key.
pub(super) fn is_hex(text: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| text.iter().any(is);
    text.len() >= MIN_HEX
        && text.len().is_multiple_of(2)
        && text.iter().all(u8::is_ascii_hexdigit)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase) != has(u8::is_ascii_uppercase)
}

/// Describes a text that is not in `form`.
pub(super) fn looks_like(form: KeyForm, text: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(text).ok()?;
    let takes_pem = matches!(form, KeyForm::Spki | KeyForm::Certificate);
    let bare = ["whsec_", "whpk_"].iter().find_map(|start| text.strip_prefix(start));
    let bare = bare.unwrap_or(text);
    let has = |byte: u8| bare.as_bytes().contains(&byte);
    Some(if is_version_prefixed(text) {
        "it begins with `v1,`, as Supabase shows it: remove everything before `wh`"
    } else if is_api_key(text.as_bytes()) || text.starts_with("sk-") {
        "it looks like an API key: copy the webhook secret instead"
    } else if text.contains("-----BEGIN ") {
        if takes_pem { "it looks like PEM of another kind" } else { "it looks like PEM" }
    } else if is_json(text) && form != KeyForm::Jwk {
        "it looks like JSON"
    } else if text.contains(char::is_whitespace) && !takes_pem {
        "it contains white space"
    } else if text.starts_with("whsec_") && form != KeyForm::Whsec {
        "it begins with `whsec_`"
    } else if text.starts_with("whpk_") && form != KeyForm::Whpk {
        "it begins with `whpk_`"
    } else if text.starts_with("0x") {
        "it begins with `0x`: remove this prefix"
    } else if is_hex(bare.as_bytes()) && form != KeyForm::Hex {
        "it looks like hex"
    } else if is_uuid(text) {
        "it looks like a UUID"
    } else if hex_to_vec(bare.as_bytes()).is_some() {
        return None;
    } else if (has(b'-') || has(b'_')) && is_base64url(bare) {
        "it looks like base64url: base64 has `+` and `/` in place of `-` and `_`"
    } else if form == KeyForm::Hex && base64_to_vec(bare.as_bytes()).is_some() {
        "it looks like base64"
    } else {
        return None;
    })
}

/// Returns whether a version precedes the key, as in `v1,whsec_…`.
fn is_version_prefixed(text: &str) -> bool {
    let after = text.split_once(',').filter(|(version, _)| {
        version.strip_prefix('v').is_some_and(|rest| (1..=2).contains(&rest.len()))
    });
    after.is_some_and(|(_, key)| key.starts_with("whsec_") || key.starts_with("whpk_"))
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

fn is_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}')
}

/// Returns whether the bytes are ASCII text in UTF-16 after a byte order mark.
fn is_utf16(bytes: &[u8]) -> bool {
    let high = match bytes {
        [0xff, 0xfe, ..] => 1,
        [0xfe, 0xff, ..] => 0,
        _ => return false,
    };
    bytes.len() > 2 && bytes.chunks_exact(2).skip(1).all(|unit| unit[high] == 0)
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn is_base64url(text: &str) -> bool {
    let mut bytes = text.trim_end_matches('=').bytes();
    bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::{KeyForm, Scheme, looks_like, surroundings};
    use crate::{ConfigError, Secret, Verifier, scheme};

    #[test]
    fn what_is_around_a_secret_is_named() {
        for (text, named) in [
            ("\ns3cret", "begins with a line break"),
            ("s3cret\r\n", "ends with a line break"),
            ("s3cret\r", "ends with a line break"),
            ("s3cret\u{2028}", "ends with a line break"),
            (" s3cret", "begins with white space"),
            ("s3cret\t", "ends with white space"),
            ("s3cret\u{a0}", "ends with white space"),
            ("\u{feff}s3cret", "begins with an invisible"),
            ("s3cret\u{200b}", "ends with an invisible"),
            ("s3cret\0", "ends with an invisible"),
            ("'s3cret'", "is in quotation marks"),
            ("\"s3cret\"", "is in quotation marks"),
            ("`s3cret`", "is in quotation marks"),
            ("\u{201c}s3cret\u{201d}", "is in quotation marks"),
            ("\"\"", "is in quotation marks"),
        ] {
            let reason = surroundings(text.as_bytes()).unwrap();
            assert!(reason.starts_with(named), "{text:?}: {reason}");
            let remedy = Secret::new(text).unwrap_err().to_string();
            let at = |part| remedy.find(part).unwrap_or(usize::MAX);
            assert!(
                text == "\"\"" || at("copy the secret without") < at("Secret::exact"),
                "{remedy}"
            );
        }
        assert!(surroundings(b"\xff\xfes\x003\0c\0").unwrap().contains("UTF-16"));
    }

    #[test]
    fn other_secrets_are_as_they_are() {
        let texts: [&[u8]; 12] = [
            b"s3 cret",
            b"'s3cret",
            b"s3cret'",
            b"'s3'cret\"",
            b"s3\ncret",
            b"\"",
            b"\x80\n",
            b"\xff\xfe\x01\x02",
            b"-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\r\n",
            b"subject: a\n-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n\n",
            b" {\"kty\":\"EC\"}\n",
            "p\u{e4}ssw\u{f6}rt".as_bytes(),
        ];
        for text in texts {
            assert_eq!(surroundings(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_text_in_another_form_gets_a_hint() {
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let uuid = "a29a4f16-989d-48c8-ab54-7b6150733ba1";
        for (form, text, hint) in [
            (KeyForm::Whsec, "v1,whsec_AAECAwQ=", "`v1,`"),
            (KeyForm::Whpk, "v1a,whpk_AAECAwQ=", "`v1,`"),
            (KeyForm::Whsec, "whsec_-_---_---_---_", "base64url"),
            (KeyForm::Base64, "-_---_---_---_==", "base64url"),
            (KeyForm::Base64, "whsec_AAECAwQ=", "`whsec_`"),
            (KeyForm::Whsec, "whpk_AAECAwQ=", "`whpk_`"),
            (KeyForm::Whsec, hex, "looks like hex"),
            (KeyForm::Whpk, hex, "looks like hex"),
            (KeyForm::Hex, "0x00ff", "`0x`"),
            (KeyForm::Hex, "AAECAwQ=", "looks like base64"),
            (KeyForm::Hex, uuid, "UUID"),
            (KeyForm::Base64, uuid, "UUID"),
            (KeyForm::Base64, "AAEC AwQ=", "white space"),
            (KeyForm::Whsec, "sk-proj-abc", "API key"),
            (KeyForm::Whsec, "sk_live_abc", "API key"),
            (KeyForm::Base64, "-----BEGIN PUBLIC KEY-----", "PEM"),
            (KeyForm::Certificate, "-----BEGIN PUBLIC KEY-----", "PEM of another kind"),
            (KeyForm::Spki, "{\"kty\":\"EC\"}", "JSON"),
        ] {
            let found = looks_like(form, text.as_bytes()).unwrap();
            assert!(found.contains(hint), "{form:?} {text}: {found}");
        }
        for (form, text) in [(KeyForm::Hex, "00f"), (KeyForm::Base64, "*"), (KeyForm::Spki, "AAEC")]
        {
            assert_eq!(looks_like(form, text.as_bytes()), None, "{form:?} {text}");
        }
    }

    /// Hex is base64 as well, of another key.
    #[test]
    fn hex_is_refused_in_a_base64_form_unless_it_is_meant() {
        let lower = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        for text in [lower, &*lower.to_uppercase(), &format!("whsec_{lower}")] {
            let error = Verifier::new(scheme::STANDARD_WEBHOOKS, text).unwrap_err();
            let ConfigError::MalformedSecret { hint, .. } = error.kind() else { panic!("{error}") };
            assert!(hint.unwrap().contains("hex"));
            let exact = Secret::exact(text).unwrap();
            assert!(Verifier::new(scheme::STANDARD_WEBHOOKS, exact).is_ok());
        }
        for good in [&*"A".repeat(64), &"1".repeat(64), &"aA0b".repeat(16), &lower[..32]] {
            assert!(Verifier::new(scheme::STANDARD_WEBHOOKS, good).is_ok(), "{good}");
        }
    }

    #[test]
    fn api_keys_are_refused_except_where_they_sign() {
        for scheme in Scheme::presets().filter(|scheme| scheme.algorithm.is_symmetric()) {
            for key in ["sk_live_4eC39Hq:LyjWDarjtT1", "pk_test_TYooMQ:auvdEDq", "rk_live_1:2"] {
                let result = Verifier::builder(scheme.clone())
                    .secret(key)
                    .public_url("https://example.com/")
                    .parameter("verify_token", "t")
                    .build();
                match result.map_err(|error| error.kind().clone()) {
                    Ok(_) => assert_eq!(scheme.name, "paystack"),
                    Err(ConfigError::SuspectSecret { reason }) => {
                        assert!(reason.contains("API key"), "{}", scheme.name);
                    }
                    Err(error) => panic!("{}: {error}", scheme.name),
                }
            }
        }
        let exact = Secret::exact("sk_live_4eC39Hq").unwrap();
        assert!(Verifier::new(scheme::STRIPE, exact).is_ok());
    }

    /// Builds a verifier for a preset with a shared secret.
    fn build(scheme: &Scheme, secret: Secret) -> Result<Verifier, ConfigError> {
        let builder = Verifier::builder(scheme.clone()).secret(secret);
        let builder = builder.public_url("https://example.com/");
        scheme.parameters().fold(builder, |builder, name| builder.parameter(name, "x")).build()
    }

    #[test]
    fn keys_of_standard_webhooks_are_refused_where_the_text_signs() {
        let takes_text = |form| matches!(form, KeyForm::Utf8 | KeyForm::HtmlText | KeyForm::Sha1);
        let schemes = Scheme::presets().filter(|scheme| {
            scheme.algorithm.is_symmetric()
                && scheme.algorithm != scheme::Algorithm::Basic
                && takes_text(scheme.key_form)
                && (cfg!(feature = "jwt") || !scheme.algorithm.is_jwt())
        });
        let mut accepting = Vec::new();
        for scheme in schemes {
            let name = scheme.name();
            for text in [
                "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "v1a,whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            ] {
                match build(scheme, Secret::new(text).unwrap())
                    .map_err(|error| error.kind().clone())
                {
                    Ok(_) => {
                        assert!(text.starts_with("whsec_"), "{name} {text}");
                        accepting.push(name);
                    }
                    Err(ConfigError::SuspectSecret { reason }) => {
                        let start = text.split_inclusive('_').next().unwrap();
                        let named = reason.contains(start) || text.starts_with('v');
                        assert!(named && !reason.contains("MfKQ"), "{name} {text}: {reason}");
                    }
                    Err(error) => panic!("{name} {text}: {error}"),
                }
                build(scheme, Secret::exact(text).unwrap()).unwrap();
            }
        }
        accepting.sort_unstable();
        // The secrets of these senders begin with `whsec_`, or the user chooses the secret.
        let expected = [
            "airwallex",
            "alchemy",
            "docuseal",
            "dub",
            "generic-base64",
            "generic-hex",
            "host-uk-core-api",
            "host-uk-documented",
            "host-uk-hosthub-legacy",
            "imagekit",
            "imagekit-standard",
            "mlflow",
            "polar-legacy",
            "stripe",
        ];
        assert_eq!(accepting, expected);
    }

    #[test]
    fn a_scheme_can_declare_that_the_text_signs() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let acme = || Scheme::builder("acme").signature_header("acme-signature");
        let error = Verifier::new(acme().build().unwrap(), secret).unwrap_err();
        assert!(matches!(error.kind(), ConfigError::SuspectSecret { .. }), "{error}");
        assert!(error.to_string().contains("whsec_text"), "{error}");
        assert!(Verifier::new(acme().whsec_text().build().unwrap(), secret).is_ok());
        // These have another form than the keys of Standard Webhooks.
        let hex = format!("whsec_{}", "3f1c".repeat(16));
        for text in ["whsec_3f1c", "whsec_a text of one's own", &hex] {
            assert!(Verifier::new(acme().build().unwrap(), text).is_ok(), "{text}");
        }
    }
}
