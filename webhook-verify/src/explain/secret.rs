//! Secrets with extra characters around them, or in another encoding.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Finding,
    case::{Case, Settings, Text},
    cause::Cause,
};
use crate::{encoding::base64_to_vec, key, scheme::KeyForm};

/// The prefixes that senders and people put before a secret.
const PREFIXES: [&str; 9] =
    ["v1,whsec_", "v1a,whpk_", "v1,", "whsec_", "whpk_", "sha256=", "Bearer ", "Basic ", "Token "];
/// The beginnings of texts that verify no webhooks: of API keys, tokens, application IDs and URLs.
const OTHER_KEYS: [&str; 78] = [
    "sk_",
    "pk_",
    "rk_",
    "sk-",
    "pk-",
    "testsk_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "shpat_",
    "shpca_",
    "shppa_",
    "shpua_",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "SG.",
    "key-",
    "md-",
    "re_",
    "pat-",
    "pat_",
    "EAA",
    "AQE",
    "AIza",
    "AKIA",
    "ASIA",
    "ya29.",
    "xkeysib-",
    "pdl_live_",
    "pdl_sdbx_",
    "lin_api_",
    "lin_oauth_",
    "ck_",
    "cs_",
    "tfp_",
    "CFPAT-",
    "ATTA",
    "ATATT",
    "sq0atp-",
    "sq0csp-",
    "sq0idp-",
    "dG9rO",
    "eyJ",
    "dapi",
    "npm_",
    "hf_",
    "dop_v1_",
    "sbp_",
    "nfp_",
    "phc_",
    "phx_",
    "rnd_",
    "fly_",
    "FlyV1 ",
    "hvs.",
    "AGE-",
    "rzp_",
    "Bearer ey",
    "ntn_",
    "secret_",
    "sl.",
    "sntrys_",
    "HRKU-",
    "vcp_",
    "glptt-",
    "dckr_pat_",
    "pul-",
    "pscale_",
    "figd_",
    "ATCTT",
    "https://",
    "http://",
];

/// Finds a change of the secret that makes the request valid.
pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let settings = case.settings;
    let holds = |change: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        let changed = settings.secrets.iter().filter_map(|text| Some(Text::new(change(text)?)));
        let changed: Vec<_> = changed.collect();
        !changed.is_empty() && case.holds_with(&Settings { secrets: changed, ..settings.clone() })
    };
    around(&holds).or_else(|| prefix(case, &holds)).or_else(|| encoding(case))
}

type Holds<'h> = dyn Fn(&dyn Fn(&[u8]) -> Option<Vec<u8>>) -> bool + 'h;

fn around(holds: &Holds<'_>) -> Option<Finding> {
    let trimmed = |text: &[u8]| changed(text, key::without_white_space(text)?);
    if holds(&trimmed) {
        return Some(Finding::new(
            Cause::SecretWhitespace,
            "remove the white space or invisible character around the secret",
            "the request is valid without the white space or invisible characters around the secret",
        ));
    }
    let escaped = |text: &[u8]| changed(text, without_escape(text)?);
    let commented = |text: &[u8]| changed(text, without_comment(text)?);
    if holds(&escaped) || holds(&commented) {
        return Some(Finding::new(
            Cause::SecretWhitespace,
            "remove the escaped line break or the comment after the secret",
            "the request is valid without what follows the secret",
        ));
    }
    // Every other byte of UTF-16 is 0.
    let is_visible = |char: char| char == '\0' || !key::is_invisible(char);
    let is_kept: [&dyn Fn(char) -> bool; 2] =
        [&is_visible, &|char| is_visible(char) && !char.is_whitespace()];
    for is_kept in is_kept {
        let joined = |text: &[u8]| {
            let text = std::str::from_utf8(text).ok()?;
            let joined: String = text.chars().filter(|char| is_kept(*char)).collect();
            changed(text.as_bytes(), joined.as_bytes())
        };
        if holds(&joined) {
            return Some(Finding::new(
                Cause::SecretWhitespace,
                "remove the white space or invisible character within the secret",
                "the request is valid without the white space or invisible characters within the \
                 secret",
            ));
        }
    }
    let bare = |text: &[u8]| changed(text, &unquoted(text)?);
    if holds(&bare) {
        return Some(Finding::new(
            Cause::SecretQuotes,
            "remove the quotation marks around the secret",
            "the request is valid without the quotation marks",
        ));
    }
    for end in ["\n", "\r\n", " ", "\t", "\r", "\0"] {
        if holds(&|text| Some([text, end.as_bytes()].concat())) {
            return Some(Finding::new(
                Cause::SecretWhitespace,
                "remove the white space after the secret at the sender",
                "the request is valid if white space follows the secret, so the sender's secret \
                 ends with it",
            ));
        }
    }
    for quote in ["\"", "'"] {
        if holds(&|text| Some([quote.as_bytes(), text, quote.as_bytes()].concat())) {
            return Some(Finding::new(
                Cause::SecretQuotes,
                "remove the quotation marks around the secret at the sender",
                "the request is valid if the secret is in quotation marks, so the sender's is",
            ));
        }
    }
    None
}

fn prefix(case: &Case<'_>, holds: &Holds<'_>) -> Option<Finding> {
    let whole = |text: &[u8]| key::bare_secret(text).unwrap_or(text).to_vec();
    for prefix in PREFIXES {
        let without = |text: &[u8]| {
            whole(text)
                .strip_prefix(prefix.as_bytes())
                .filter(|it| !it.is_empty())
                .map(<[u8]>::to_vec)
        };
        if holds(&without) {
            return Some(Finding::new(
                Cause::SecretPrefix,
                format!("remove `{}` from the beginning of the secret", prefix.trim_end()),
                "the request is valid without the secret's prefix",
            ));
        }
    }
    // A line of a `.env` file, of a script or of YAML.
    let named = |text: &[u8]| {
        let text = whole(text);
        let at = text.iter().position(|byte| b"=:".contains(byte))?;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        let name = text[..at].trim_ascii();
        let name = name.strip_prefix(b"export ").unwrap_or(name);
        // In base64, an equals sign stands only at the end.
        let is_name = !name.is_empty() && name.iter().all(is_part);
        is_name.then(|| unquoted(&text[at + 1..])).flatten()
    };
    if holds(&named) {
        return Some(Finding::new(
            Cause::SecretPrefix,
            "remove the variable's name from the beginning of the secret",
            "the request is valid with what follows the variable's name in the secret",
        ));
    }
    // Only a part of the prefix was copied.
    let completed = |text: &[u8]| {
        let text = whole(text);
        let rest = (1.."whsec_".len()).find_map(|at| text.strip_prefix(&b"whsec_"[at..]));
        // Or it was typed.
        let typed = || {
            let (start, rest) = text.split_at_checked("whsec_".len())?;
            let is_it = |it: &[u8]| start.eq_ignore_ascii_case(it);
            (is_it(b"whsec_") || is_it(b"whsec-")).then_some(rest)
        };
        rest.or_else(typed).map(|rest| [b"whsec_", rest].concat())
    };
    if holds(&completed) {
        return Some(Finding::new(
            Cause::SecretPrefix,
            "copy the secret with the whole of `whsec_` at its beginning",
            "the request is valid if the secret begins with the whole of `whsec_`",
        ));
    }
    let known = ["whsec_", "whpk_", "Bearer ", "Basic ", "Token ", "sha256=", "v1,"];
    for prefix in known {
        let with = |text: &[u8]| Some([prefix.as_bytes(), &whole(text)].concat());
        if holds(&with) {
            return Some(Finding::new(
                Cause::SecretPrefix,
                format!("copy the secret with `{}` at its beginning", prefix.trim_end()),
                format!(
                    "the request is valid if the secret of `{}` has this prefix",
                    case.scheme().name()
                ),
            ));
        }
    }
    None
}

/// Another reading of a secret's text.
type Reading = fn(&[u8]) -> Option<Vec<u8>>;

/// Reads the secret's text in each other form.
fn encoding(case: &Case<'_>) -> Option<Finding> {
    const FORMS: [(KeyForm, &str); 9] = [
        (KeyForm::Utf8, "signs with the secret's text, without decoding it"),
        (KeyForm::Hex, "decodes the secret from hex"),
        (KeyForm::Base64, "decodes the secret from base64"),
        (KeyForm::Whsec, "decodes the secret from base64, after `whsec_`"),
        (KeyForm::HtmlText, "signs with the secret's text after it decoded HTML entities"),
        (KeyForm::Sha1, "signs with the SHA-1 digest of the secret"),
        (KeyForm::Whpk, "gives a public key in base64"),
        (KeyForm::Spki, "gives a public key in PEM, or its DER in base64"),
        (KeyForm::Jwk, "gives a public key as a JSON Web Key"),
    ];
    let own = case.scheme().key_form();
    let readings: [Reading; 10] = [
        |text| Some(text.to_vec()),
        // Without what other forms need.
        |text| text.strip_prefix(b"whsec_").map(<[u8]>::to_vec),
        |text| text.strip_prefix(b"0x").map(<[u8]>::to_vec),
        |text| std::str::from_utf8(text).ok().map(|text| standard_base64(text).into_bytes()),
        |text| Some(text.to_ascii_lowercase()),
        |text| Some(text.to_ascii_uppercase()),
        |text| Some(percent_encoding::percent_decode(text).collect()),
        utf16,
        // The text is the base64 of the secret's text, or the reverse.
        |text| Some(STANDARD.encode(text).into_bytes()),
        // `echo` may have added a line break before `base64` read the text.
        |text| Some(base64_to_vec(text)?.trim_ascii().to_vec()),
    ];
    for (form, does) in FORMS {
        let scheme = case.scheme().clone().with_key_form(form);
        for (at, read) in readings.iter().enumerate() {
            if form == own && at == 0 {
                continue;
            }
            let bare = |text: &[u8]| read(key::bare_secret(text).unwrap_or(text));
            let texts =
                case.settings.secrets.iter().filter_map(|text| Some(Text::new(bare(text)?)));
            let settings = Settings {
                secrets: texts.collect(),
                scheme: scheme.clone(),
                ..case.settings.clone()
            };
            if !settings.secrets.is_empty() && case.holds_with(&settings) {
                let fix = match form == own {
                    true => "write the secret exactly as the sender shows it".to_owned(),
                    false => format!(
                        "use a scheme with the key form `{form:?}`, or convert the secret to the \
                         form that the scheme expects"
                    ),
                };
                return Some(Finding::new(
                    Cause::SecretEncoding,
                    fix,
                    format!("the request is valid if the sender {does}"),
                ));
            }
        }
    }
    None
}

/// Returns the settings without what is around the secrets, and the fault that this removes.
pub(super) fn bare(settings: &Settings) -> Option<(Settings, Finding)> {
    let bare = |text: &Text| unquoted(text).map(Text::new).unwrap_or_else(|| text.clone());
    let secrets: Vec<_> = settings.secrets.iter().map(bare).collect();
    let is_quoted = |text: &Text| {
        let trimmed = key::without_white_space(text).unwrap_or(text);
        unquoted(text).is_some_and(|bare| bare != trimmed)
    };
    let finding = if settings.secrets.iter().any(is_quoted) {
        Finding::new(Cause::SecretQuotes, "remove the quotation marks around the secret", "")
    } else {
        Finding::new(Cause::SecretWhitespace, "remove the white space around the secret", "")
    };
    let is_changed = secrets != settings.secrets;
    is_changed.then(|| (Settings { secrets, ..settings.clone() }, finding))
}

/// Recognizes a key of another kind by its text.
pub(super) fn other_kind(case: &Case<'_>) -> Option<Finding> {
    let is_other = |text: &Text| {
        let bare = key::bare_secret(text).unwrap_or(text);
        OTHER_KEYS.iter().any(|start| bare.starts_with(start.as_bytes())) || is_account(bare)
    };
    // Some senders sign with a secret API key, but none with a public one.
    let is_public = |text: &Text| key::bare_secret(text).unwrap_or(text).starts_with(b"pk_");
    let mut secrets = case.settings.secrets.iter();
    let found = match case.scheme().api_key {
        true => secrets.any(is_public),
        false => secrets.any(is_other),
    };
    found.then(|| {
        Finding::new(
            Cause::SecretKind,
            "copy the webhook's signing secret in place of the API key",
            "the secret begins like an API key",
        )
    })
}

/// Recognizes the account or key ID of Twilio, a token of Telegram, and one of Airtable.
fn is_account(text: &[u8]) -> bool {
    let is_hex = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
    let is_twilio = (text.starts_with(b"AC") || text.starts_with(b"SK"))
        && text.len() == 34
        && is_hex(&text[2..]);
    let is_telegram = || {
        let at = text.iter().position(|&byte| byte == b':')?;
        let (id, token) = (&text[..at], &text[at + 1..]);
        Some((8..=10).contains(&id.len()) && id.iter().all(u8::is_ascii_digit) && token.len() == 35)
    };
    let is_airtable = text.starts_with(b"pat") && text.get(17) == Some(&b'.');
    // The bot token of Discord has three parts, and its public key is hex.
    let parts: Vec<_> = text.split(|&byte| byte == b'.').map(<[u8]>::len).collect();
    let is_discord = matches!(*parts, [18..=30, 6, 27..=40]);
    is_twilio || is_airtable || is_discord || is_telegram().unwrap_or(false)
}

/// Removes quotation marks, also escaped ones and one that stands alone, and other marks of files.
fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    const MARKS: &str = ",;\"'`\\\u{201c}\u{201d}\u{2018}\u{2019}\u{ab}\u{bb}";
    let text = std::str::from_utf8(key::without_white_space(text)?).ok()?;
    let text =
        without_escape(text.as_bytes()).and_then(|it| std::str::from_utf8(it).ok()).unwrap_or(text);
    // An item of a list in YAML.
    let text = text.strip_prefix("- ").unwrap_or(text);
    let between = |(start, end)| text.strip_prefix(start)?.strip_suffix(end);
    let text = [("<", ">"), ("&quot;", "&quot;")].into_iter().find_map(between).unwrap_or(text);
    let bare = text.trim_matches(|char| MARKS.contains(char)).trim();
    (!bare.is_empty()).then(|| bare.as_bytes().to_vec())
}

/// Removes a line break in an escaped form from the end.
fn without_escape(text: &[u8]) -> Option<&[u8]> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let ends = ["\\r\\n", "\\n", "%0D%0A", "%0d%0a", "%0A", "%0a", "\\"];
    Some(ends.iter().find_map(|end| text.strip_suffix(end)).unwrap_or(text).as_bytes())
}

/// Removes a comment after a value in a `.env` file.
fn without_comment(text: &[u8]) -> Option<&[u8]> {
    let (value, _) = std::str::from_utf8(text).ok()?.split_once(" #")?;
    Some(value.trim().as_bytes())
}

/// Decodes ASCII text in UTF-16.
fn utf16(text: &[u8]) -> Option<Vec<u8>> {
    let has_zeros = |first: usize| text.iter().skip(first).step_by(2).all(|&byte| byte == 0);
    let is_utf16 =
        text.len() > 3 && (has_zeros(0) || has_zeros(1) || text.starts_with(b"\xff\xfe"));
    let is_part = |byte: &u8| *byte != 0 && *byte < 0x80;
    is_utf16.then(|| text.iter().copied().filter(is_part).collect())
}

fn changed(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    (old != new).then(|| new.to_vec())
}

/// Converts base64url to padded base64.
fn standard_base64(text: &str) -> String {
    let mut text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
