//! Forms that were parsed and encoded again.

use super::{Finding, case::Case, cause::Cause, json::Json, permute, remove_repeated};

/// How a program encodes the names and values of a form.
struct Encoder {
    /// The punctuation that stays as it is, besides letters and digits.
    keeps: &'static str,
    space: &'static str,
    lower: bool,
}

const ENCODERS: [Encoder; 9] = [
    // `application/x-www-form-urlencoded` (WHATWG URL), as browsers and Java have it.
    Encoder { keeps: "*-._", space: "+", lower: false },
    // RFC 3986 with plus signs, as Python's `urlencode` and Go have it.
    Encoder { keeps: "-._~", space: "+", lower: false },
    // PHP's `http_build_query`.
    Encoder { keeps: "-._", space: "+", lower: false },
    // RFC 3986.
    Encoder { keeps: "-._~", space: "%20", lower: false },
    // JavaScript's `encodeURIComponent`.
    Encoder { keeps: "-_.!~*'()", space: "%20", lower: false },
    Encoder { keeps: "-_.!~*'()", space: "+", lower: false },
    Encoder { keeps: "-._~", space: "+", lower: true },
    Encoder { keeps: "-._~", space: "%20", lower: true },
    // JavaScript's `encodeURI`.
    Encoder { keeps: "-_.!~*'();/?:@,$", space: "%20", lower: false },
];

impl Encoder {
    fn write(&self, text: &[u8], out: &mut String) {
        for &byte in text {
            if byte.is_ascii_alphanumeric() || self.keeps.as_bytes().contains(&byte) {
                out.push(byte.into());
            } else if byte == b' ' {
                out.push_str(self.space);
            } else if self.lower {
                out.push_str(&format!("%{byte:02x}"));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }

    fn encode(&self, pairs: &[(Vec<u8>, Option<Vec<u8>>)]) -> String {
        let mut out = String::new();
        for (at, (name, value)) in pairs.iter().enumerate() {
            if at > 0 {
                out.push('&');
            }
            self.write(name, &mut out);
            if let Some(value) = value {
                out.push('=');
                self.write(value, &mut out);
            }
        }
        out
    }
}

/// Returns a form in other encodings and orders.
pub(super) fn encodings(form: &[u8]) -> Vec<String> {
    let mut texts = encodings_of(form, true);
    if form.contains(&b'+') {
        texts.extend(encodings_of(form, false));
    }
    // Of a form that was encoded twice, or whose plus signs were.
    texts.push(percent_encoding::percent_decode(form).decode_utf8_lossy().into_owned());
    if let Ok(text) = std::str::from_utf8(form) {
        texts.extend([
            text.replace("%2B", "+"),
            text.replace("%2b", "+"),
            text.replace('+', "%2B"),
        ]);
        texts.push(text.replace("%25", "%"));
        // The separator of HTML 4.
        texts.push(text.replace(';', "&"));
        // A form parser takes JSON for a name without a value.
        let name = text.strip_suffix('=').unwrap_or(text).replace('+', " ");
        let name = percent_encoding::percent_decode_str(&name).decode_utf8_lossy().into_owned();
        texts.push(name);
    }
    texts.retain(|text| text.as_bytes() != form);
    remove_repeated(&mut texts);
    texts
}

/// Decodes a name or value. In most forms, a plus sign is a space.
fn decoded(text: &[u8], plus_is_space: bool) -> Vec<u8> {
    let space = |byte: u8| if plus_is_space && byte == b'+' { b' ' } else { byte };
    let spaced: Vec<u8> = text.iter().map(|&byte| space(byte)).collect();
    percent_encoding::percent_decode(&spaced).collect()
}

fn encodings_of(form: &[u8], plus_is_space: bool) -> Vec<String> {
    let decode = |text: &[u8]| decoded(text, plus_is_space);
    let pairs = form.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
    let pairs: Vec<_> = pairs
        .map(|pair| match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => (decode(&pair[..at]), Some(decode(&pair[at + 1..]))),
            None => (decode(pair), None),
        })
        .collect();
    let filled: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone().unwrap_or_default())))
        .collect();
    let sorted = |mut pairs: Vec<_>| {
        pairs.sort();
        pairs
    };
    let mut texts = Vec::new();
    for pairs in [pairs.clone(), filled.clone(), sorted(pairs), sorted(filled)] {
        texts.extend(ENCODERS.iter().map(|encoder| encoder.encode(&pairs)));
    }
    texts
}

/// Returns whether the end of a form is missing: it ends within an escape or a JSON value.
pub(super) fn is_cut(form: &[u8]) -> bool {
    let last = form.iter().rev().take(2).position(|&byte| byte == b'%');
    let mut values = form_urlencoded::parse(form);
    last.is_some() || values.any(|(_, value)| Json::is_cut(value.as_bytes()))
}

/// Returns a form with each name and value converted.
pub(super) fn converted(form: &[u8], convert: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
    let field = |text: &[u8]| {
        let mut out = String::new();
        ENCODERS[1].write(&convert(&decoded(text, true))?, &mut out);
        Some(out)
    };
    let pair = |pair: &[u8]| {
        let fields: Option<Vec<_>> = pair.splitn(2, |&byte| byte == b'=').map(field).collect();
        Some(fields?.join("="))
    };
    let pairs: Option<Vec<_>> = form.split(|&byte| byte == b'&').map(pair).collect();
    Some(pairs?.join("&"))
}

/// Finds another encoding of the form in the body under which the request is valid.
pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let body = &case.body;
    if !case.may_work(body.len().saturating_mul(64)) {
        return None;
    }
    let texts = if is_form(body) {
        let mut texts = encodings(body);
        if case.may_work(body.len().saturating_mul(720)) {
            texts.extend(orders(body));
        }
        texts
    } else {
        from_json(body)
    };
    texts.into_iter().any(|text| case.holds_with_body(text)).then(reencoded)
}

pub(super) fn reencoded() -> Finding {
    Finding::new(
        Cause::FormReencoded,
        "verify the raw bytes of the form, before any form parser",
        "the request is valid with the form in another encoding or order",
    )
}

/// Returns whether a body looks like a form.
pub(super) fn is_form(body: &[u8]) -> bool {
    // JSON that a form parser took for a name.
    let is_name = body.ends_with(b"}=") || body.ends_with(b"]=");
    let is_part = |&byte: &u8| byte.is_ascii_graphic() || byte == b' ' || byte >= 0x80;
    body.contains(&b'=')
        && (is_name || !body.starts_with(b"{") && !body.starts_with(b"["))
        && !body.starts_with(b"<")
        && body.trim_ascii().iter().all(is_part)
}

/// Returns a form with a few fields in every order.
fn orders(form: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(form) else { return Vec::new() };
    let mut pairs: Vec<_> = text.split('&').collect();
    let mut texts = Vec::new();
    if (2..=6).contains(&pairs.len()) {
        permute(&mut pairs, 0, &mut |order| texts.push(order.join("&")));
    }
    texts
}

/// Returns the forms that a JSON object of texts may have been.
fn from_json(body: &[u8]) -> Vec<String> {
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(body) else {
        return Vec::new();
    };
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        serde_json::Value::Null => Some(String::new()),
        // Some parsers make a list of each field.
        serde_json::Value::Array(items) => match items.as_slice() {
            [serde_json::Value::String(text)] => Some(text.clone()),
            _ => None,
        },
        serde_json::Value::Object(_) => None,
    };
    // The order of the text, since the parsed members are sorted.
    let order = Json::parse(body).map(|json| json.names()).unwrap_or_default();
    // No form parser repeats a name, and each repetition would copy the last value.
    if order.len() != members.len() {
        return Vec::new();
    }
    let pair = |name: &String| {
        let value = text(members.get(name)?)?;
        Some((name.clone().into_bytes(), Some(value.into_bytes())))
    };
    let pairs: Option<Vec<_>> = order.iter().map(pair).collect();
    let encode =
        |pairs: Vec<_>| ENCODERS.iter().map(move |encoder| encoder.encode(&pairs)).collect();
    pairs.filter(|pairs| !pairs.is_empty()).map(encode).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_as_programs_encode_it() {
        let texts = encodings(b"b=%c3%a9+x&a=%7E*'&c");
        for expected in [
            "b=%C3%A9+x&a=%7E*%27&c",
            "b=%C3%A9+x&a=~%2A%27&c=",
            "a=~*'&b=%C3%A9%20x&c",
            "b=%c3%a9%20x&a=~%2a%27&c",
        ] {
            assert!(texts.iter().any(|text| text == expected), "{expected}: {texts:?}");
        }
        assert!(!texts.iter().any(|text| text == "b=%c3%a9+x&a=%7E*'&c"));
        assert!(from_json(br#"{"b":"x y","a":1}"#).contains(&"b=x+y&a=1".to_owned()));
        assert!(from_json(br#"{"a":"1","a":"2"}"#).is_empty());
        assert_eq!(orders(b"a=1&b=2").len(), 2);
    }
}
