//! Signatures that are absent, cut, or in another form.

use super::{Finding, case::Case, cause::Cause, sender};
use crate::{
    encoding::{Encoding, base64_to_vec},
    error::VerifyError,
    key,
    request::{begins_with, single_value},
    scheme::{
        Algorithm, Field, Grammar, Place, Prefix, Scheme, SignatureSource, TimestampPlace, Values,
        is_token_byte,
    },
};

/// The usual prefixes of signatures.
const PREFIXES: [&str; 8] =
    ["sha256=", "sha1=", "sha512=", "v0=", "v1=", "Bearer ", "Basic ", "Token "];

/// The maximum length of a header's name in an explanation.
const MAX_NAME: usize = 64;

/// Finds another encoding, algorithm or prefix under which the request is valid.
pub(super) fn other_form(case: &Case<'_>) -> Option<Finding> {
    let holds = |form: &(Scheme, Finding)| case.holds_with(&case.with_scheme(form.0.clone()));
    let mut forms = encodings(case).into_iter().chain(algorithms(case)).chain(prefixes(case));
    forms.find(holds).map(|(_, finding)| finding)
}

/// Returns the scheme with other encodings of the signature.
fn encodings(case: &Case<'_>) -> Vec<(Scheme, Finding)> {
    let (scheme, own) = (case.scheme(), case.scheme().encoding());
    let others = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url].into_iter();
    let other =
        |encoding| (Scheme { encoding, ..scheme.clone() }, encoding_mismatch(encoding, own));
    others.filter(|encoding| *encoding != own).map(other).collect()
}

/// Returns the scheme with other hash functions.
fn algorithms(case: &Case<'_>) -> Vec<(Scheme, Finding)> {
    let scheme = case.scheme();
    let own = scheme.algorithm();
    let others = [Algorithm::HmacSha1, Algorithm::HmacSha256, Algorithm::HmacSha512].into_iter();
    let other = |algorithm: Algorithm| {
        let finding = Finding::new(
            Cause::MalformedSignature,
            format!(
                "let the sender sign with {}, or use a scheme with {}",
                own.name(),
                algorithm.name()
            ),
            format!("the signature is of {}", algorithm.name()),
        );
        (Scheme { algorithm, ..scheme.clone() }, finding)
    };
    others.filter(|algorithm| own.is_hmac() && *algorithm != own).map(other).collect()
}

fn encoding_mismatch(given: Encoding, expected: Encoding) -> Finding {
    let [given, expected] =
        [given, expected].map(|encoding| format!("{encoding:?}").to_ascii_lowercase());
    Finding::new(
        Cause::EncodingMismatch,
        format!("encode the signature in {expected}"),
        format!("the signature is in {given}, but the scheme expects {expected}"),
    )
}

/// Returns the scheme without a prefix of the signature, and with the usual ones.
fn prefixes(case: &Case<'_>) -> Vec<(Scheme, Finding)> {
    let scheme = case.scheme();
    let mut forms = Vec::new();
    for (at, source) in scheme.signatures.iter().enumerate() {
        let Grammar::Plain(own) = &source.grammar else { continue };
        let others = PREFIXES.map(|text| Prefix::Required(text.into()));
        for prefix in [Prefix::Refused].into_iter().chain(others) {
            let (fix, detail) = match (&prefix, own) {
                (Prefix::Refused, Prefix::Required(own) | Prefix::Scheme(own)) => (
                    format!("put `{own}` before the signature"),
                    format!("the signature lacks the prefix `{own}`"),
                ),
                (Prefix::Required(given), Prefix::Required(own) | Prefix::Scheme(own))
                    if given != own =>
                {
                    (
                        format!("replace `{given}` before the signature with `{own}`"),
                        format!("the signature has the prefix `{given}`"),
                    )
                }
                (Prefix::Required(given), Prefix::Refused) => (
                    format!("remove `{given}` before the signature"),
                    format!("the signature has the prefix `{given}`"),
                ),
                _ => continue,
            };
            let mut signatures = scheme.signatures.to_vec();
            signatures[at].grammar = Grammar::Plain(prefix);
            let other = Scheme { signatures: signatures.into(), ..scheme.clone() };
            forms.push((other, Finding::new(Cause::MalformedSignature, fix, detail)));
        }
    }
    forms
}

/// Explains the absence of what the scheme needs in the head.
pub(super) fn missing(case: &Case<'_>, error: VerifyError) -> Finding {
    let scheme = case.scheme();
    let place = |place: &Place| match place {
        Place::Header(name) => format!("header `{name}`"),
        Place::HeaderPrefix(prefix) => format!("header that begins with `{prefix}`"),
        Place::Query(name) => format!("query parameter `{name}`"),
        Place::Form(name) => format!("form field `{name}`"),
        Place::Pointer(pointer) => format!("field `{pointer}` of the body"),
    };
    let what = match error {
        VerifyError::MissingTimestamp => match scheme.timestamp.as_ref().map(|it| &it.place) {
            Some(TimestampPlace::Header(name)) => format!("header `{name}` with the timestamp"),
            Some(TimestampPlace::Pointer(pointer)) => format!("field `{pointer}` of the body"),
            _ => "timestamp next to the signature".to_owned(),
        },
        VerifyError::MissingId => match &scheme.id {
            Some(Field::Header(name)) => format!("header `{name}` with the ID"),
            _ => "ID that the scheme signs".to_owned(),
        },
        _ => {
            let places: Vec<_> = scheme.signatures.iter().map(|it| place(&it.place)).collect();
            places.join(" or ")
        }
    };
    missing_what(case, &what)
}

fn missing_what(case: &Case<'_>, what: &str) -> Finding {
    let detail = match renamed(case).or_else(|| similar(case)) {
        Some(name) => format!("the request has no {what}, but it has `{name}`"),
        None => format!("the request has no {what}"),
    };
    Finding::new(
        Cause::MissingHeader,
        format!("set a secret at the sender, and let each proxy forward the {what}"),
        detail,
    )
}

/// Returns a header of the scheme under a name that servers give to scripts.
fn renamed(case: &Case<'_>) -> Option<String> {
    let plain = |name: &str| {
        let name = name.to_ascii_lowercase().replace('_', "-");
        name.strip_prefix("http-").map(str::to_owned).unwrap_or(name)
    };
    let expected: Vec<_> = case.scheme().header_names().map(|name| plain(&name)).collect();
    let mut found = None;
    case.head.visit(&mut |name, _| {
        let is_renamed = name.contains('_') && expected.contains(&plain(name));
        if is_renamed && name.bytes().all(is_token_byte) {
            found.get_or_insert_with(|| name.to_ascii_lowercase());
        }
    });
    found
}

/// Returns a header whose name suggests a signature or a token.
fn similar(case: &Case<'_>) -> Option<String> {
    let mut found = None;
    case.head.visit(&mut |name, _| {
        let lower = name.to_ascii_lowercase();
        let words = ["authorization", "digest", "hmac", "sig", "token"];
        let is_own = case.scheme().header_names().any(|own| own.eq_ignore_ascii_case(name));
        if !is_own
            && lower.len() <= MAX_NAME
            && words.iter().any(|word| lower.contains(word))
            && lower.bytes().all(is_token_byte)
        {
            found.get_or_insert(lower);
        }
    });
    found
}

/// Returns a header that the scheme reads, but that the request lacks.
pub(super) fn absent_header(case: &Case<'_>) -> Option<Finding> {
    let scheme = case.scheme();
    let signed = scheme.content.iter().filter_map(|part| match part.facts().values {
        Values::Header(name) | Values::ListedHeaders(name) => Some(name),
        Values::Unnamed | Values::Field(_) | Values::FormField(_) | Values::Fields(_) => None,
    });
    let required = scheme.required_headers.iter().map(|(name, _)| name);
    let is_present = |name: &str| {
        let mut is_present = false;
        let alias = scheme.header_aliases.iter().find(|(known, _)| known == name);
        case.head.visit(&mut |known, _| {
            is_present |= known.eq_ignore_ascii_case(name);
            is_present |= alias.is_some_and(|(_, alias)| known.eq_ignore_ascii_case(alias));
        });
        is_present
    };
    let name = required.chain(signed).find(|name| !is_present(name))?;
    let what = format!("header `{name}`");
    Some(sender::by_headers(case).unwrap_or_else(|| missing_what(case, &what)))
}

/// Explains a signature that is not in the scheme's form.
pub(super) fn malformed(case: &Case<'_>) -> Finding {
    let scheme = case.scheme();
    let texts = texts(case);
    let own = scheme.encoding();
    let len = scheme.algorithm().tag_len();
    let has_len = |encoding: Encoding| {
        let decoded = |text: &String| encoding.decode(text.as_bytes());
        len > 0 && texts.iter().filter_map(decoded).any(|decoded| decoded.len() == len)
    };
    let is_hex_in_base64 = |text: &String| {
        let inner = base64_to_vec(text.as_bytes());
        inner.is_some_and(|it| it.len() == 2 * len && it.iter().all(u8::is_ascii_hexdigit))
    };
    let others = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url];
    if !has_len(own) {
        if let Some(other) = others.into_iter().find(|&other| other != own && has_len(other)) {
            return encoding_mismatch(other, own);
        }
        if len > 0 && is_escaped_base64(case, len) {
            return Finding::new(
                Cause::MalformedSignature,
                "send the signature in base64 as it is, without URL encoding",
                "the signature is base64 that was URL-encoded, or decoded once too often",
            );
        }
        if len > 0 && texts.iter().any(is_hex_in_base64) {
            return Finding::new(
                Cause::EncodingMismatch,
                "encode the bytes of the signature once, not the text of their hex form",
                "the signature is the base64 of hex digits",
            );
        }
        // As a log or a terminal shortens it.
        let has_dots = |value: &String| {
            let is_some = value.bytes().filter(u8::is_ascii_alphanumeric).count() >= 8;
            is_some && ["\u{2026}", "..", "***"].iter().any(|it| value.contains(it))
        };
        if texts.iter().any(|text| is_cut(scheme, text)) || values(case).iter().any(has_dots) {
            return cut();
        }
    }
    let reads = |form: &(Scheme, Finding)| case.reads_with(form.0.clone());
    let mut found = encodings(case).into_iter().chain(algorithms(case)).chain(prefixes(case));
    let found = found.find(reads).map(|(_, finding)| finding);
    let mut found = found.unwrap_or_else(|| {
        Finding::new(
            Cause::MalformedSignature,
            format!("send the signature as `{}` does: {}", scheme.name(), form(scheme)),
            "the signature has another prefix, version, length or alphabet than the scheme",
        )
    });
    let senders = sender::of_same_form(case);
    if !senders.is_empty() {
        let others = format!("the request has the form of `{}`", senders.join("`, `"));
        found = found.with_detail(&others);
        found.fix = format!("{}, or use the scheme of the sender", found.fix).into();
    }
    found
}

/// Recognizes a token that is the beginning of the secret.
pub(super) fn cut_token(case: &Case<'_>) -> Option<Finding> {
    let texts = if case.scheme().algorithm().is_token() { texts(case) } else { Vec::new() };
    let is_start = |text: &String| {
        let starts = |secret: &super::case::Text| {
            let secret = key::bare_secret(secret).unwrap_or(secret);
            secret.len() > text.len() && secret.starts_with(text.as_bytes())
        };
        text.len() >= case.min_cut_token && case.settings.secrets.iter().any(starts)
    };
    texts.iter().any(is_start).then(cut)
}

fn cut() -> Finding {
    Finding::new(
        Cause::SignatureTruncated,
        "send or copy the whole signature",
        "the signature is shorter than the scheme's, so its end is missing",
    )
}

/// Returns whether a text has the alphabet of the scheme's signatures, but is shorter.
fn is_cut(scheme: &Scheme, text: &str) -> bool {
    let algorithm = scheme.algorithm();
    if algorithm.is_jwt() {
        let parts: Vec<_> = text.split('.').collect();
        return parts.len() < 3 || parts[2].trim_end_matches('=').len() < 43;
    }
    let bare = text.trim_end_matches('=');
    let bytes = match algorithm.tag_len() {
        0 if matches!(algorithm, Algorithm::RsaSha256 | Algorithm::RsaSha1) => 256,
        // Signatures in DER have no fixed length.
        0 => 64,
        len => len,
    };
    let is_hex = bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    // A word such as `undefined` is no signature.
    let has = |is: fn(&u8) -> bool| bare.as_bytes().iter().any(is);
    let is_random = has(u8::is_ascii_digit)
        || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && bare.len() > 9;
    match scheme.encoding() {
        Encoding::Hex => is_hex && is_random && bare.len() >= 8 && bare.len() < 2 * bytes,
        Encoding::Base64 | Encoding::Base64Url => {
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
            let is_whole_hex = is_hex && bare.len() == 2 * bytes;
            // Without its padding, a whole signature is cut as well.
            let is_short = text.len() < bytes.div_ceil(3) * 4;
            bare.bytes().all(is_base64) && is_random && bare.len() >= 8 && !is_whole_hex && is_short
        }
    }
}

/// Returns whether a signature is base64 with escapes such as `%2B`, or with spaces in place of plus
/// signs.
fn is_escaped_base64(case: &Case<'_>, len: usize) -> bool {
    let is_it = |value: &String| {
        let bare = PREFIXES.iter().find_map(|it| value.strip_prefix(it)).unwrap_or(value);
        let plain =
            percent_encoding::percent_decode_str(bare).decode_utf8_lossy().replace(' ', "+");
        plain != bare && base64_to_vec(plain.as_bytes()).is_some_and(|tag| tag.len() == len)
    };
    case.scheme().encoding() != Encoding::Hex && values(case).iter().any(is_it)
}

/// Returns the values in the places of signatures.
fn values(case: &Case<'_>) -> Vec<String> {
    let mut values = Vec::new();
    for source in case.scheme().signatures.iter() {
        match &source.place {
            Place::Header(name) => values.extend(case.header(name).map(str::to_owned)),
            Place::HeaderPrefix(prefix) => case.head.visit(&mut |name, value| {
                if begins_with(name, prefix) {
                    values.push(String::from_utf8_lossy(value).into_owned());
                }
            }),
            Place::Query(name) => values.extend(case.head.single_query(name)),
            Place::Form(name) => {
                values.extend(single_value(&case.body, name));
            }
            Place::Pointer(pointer) => {
                let value = crate::request::json::scalar(&case.body, pointer);
                values.extend(value.ok().flatten().map(std::borrow::Cow::into_owned));
            }
        }
    }
    values
}

/// Returns the longest texts in the places of signatures that may be signatures.
fn texts(case: &Case<'_>) -> Vec<String> {
    let values = values(case);
    let is_plain = |source: &SignatureSource| matches!(source.grammar, Grammar::Plain(_));
    let is_plain = case.scheme().signatures.iter().all(is_plain);
    if case.scheme().algorithm().is_token() {
        let bare = |value: &String| {
            let text = value.split_once(' ').map_or(&**value, |(_, token)| token);
            text.to_owned()
        };
        return values.iter().map(bare).collect();
    }
    let is_part = |char: char| char.is_ascii_alphanumeric() || "+/-_.~".contains(char);
    let text = |value: &String| {
        let own = case.scheme().signatures.iter().filter_map(|source| match &source.grammar {
            Grammar::Plain(Prefix::Required(own) | Prefix::Scheme(own)) => Some(&**own),
            _ => None,
        });
        let prefixes = own.chain(PREFIXES);
        let bare = prefixes.into_iter().find_map(|it| value.strip_prefix(it));
        let value = bare.unwrap_or(value).trim_start();
        // The longest run, with the padding after it.
        let runs = value.split(|char| !is_part(char));
        let run = runs.max_by_key(|run| run.len()).unwrap_or_default();
        let rest = &value[value.find(run)? + run.len()..];
        let padding = rest.len() - rest.trim_start_matches('=').len();
        let text = format!("{run}{}", &rest[..padding]);
        // Other characters in a lone signature are what is wrong with it.
        (!run.is_empty() && (!is_plain || text == *value)).then_some(text)
    };
    values.iter().filter_map(text).collect()
}

/// Describes the form of the scheme's signatures.
fn form(scheme: &Scheme) -> String {
    let encoding = format!("{:?}", scheme.encoding()).to_ascii_lowercase();
    let first = scheme.signatures.first().map(|source| match &source.grammar {
        Grammar::Plain(Prefix::Required(prefix)) => format!("{prefix}<{encoding}>"),
        Grammar::Plain(Prefix::Scheme(name)) => format!("{name} <{encoding}>"),
        Grammar::Plain(Prefix::Refused | Prefix::Optional(_)) => format!("<{encoding}>"),
        Grammar::AfterTimestamp { separator } => format!("<time>{separator}<{encoding}>"),
        Grammar::Pairs { keys, separator, .. } => {
            let key = keys.first().map_or("v1", |key| key);
            format!("…{separator}{key}=<{encoding}>")
        }
        Grammar::List { version_separator, versions, .. } => {
            let version = versions.first().map_or("v1", |version| version);
            format!("{version}{version_separator}<{encoding}>")
        }
    });
    format!("`{}`", first.unwrap_or_default())
}
