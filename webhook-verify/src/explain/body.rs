//! Bodies that something on the way changed.

use super::{
    Finding,
    case::Case,
    cause::Cause,
    charset, form,
    json::{Escapes, Json, Layout, Numbers, Style},
};
use crate::{encoding::base64_to_vec, request::coding::decode_all};

const BOM: &[u8] = b"\xef\xbb\xbf";
/// The maximum length of a decompressed body, in bytes.
const MAX_DECODED: usize = 1 << 20;
/// The maximum number of orders of members to try.
const MAX_ORDERS: usize = 1000;
/// The limit for the probability that sorted members are sorted by chance.
const CHANCE: f64 = 0.002;

/// Finds another body under which the request is valid.
pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    if !case.reads_body() {
        return None;
    }
    // The attempts that follow copy the body several times.
    if !case.may_work(case.body.len().saturating_mul(8)) {
        return None;
    }
    wrapped(case)
        .or_else(|| final_line_break(case))
        .or_else(|| byte_order_mark(case))
        .or_else(|| line_endings(case))
        .or_else(|| decompressed(case))
        .or_else(|| charset::find(case))
        .or_else(|| reserialized(case))
}

/// Finds the body within a text that a gateway or a program made of it.
fn wrapped(case: &Case<'_>) -> Option<Finding> {
    let body = case.body.trim_ascii();
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    let is_base64 = body.len() > 7 && !body.starts_with(b"{") && !body.starts_with(b"[");
    bodies.extend(is_base64.then(|| base64_to_vec(body)).flatten().map(|it| it.to_vec()));
    bodies.extend(serde_json::from_slice::<String>(body).ok().map(String::into_bytes));
    if body.starts_with(b"{") && memchr::memmem::find(body, b"\"Buffer\"").is_some() {
        bodies.extend(node_buffer(body));
    }
    if let Ok(text) = std::str::from_utf8(body)
        && text.contains('&')
    {
        let plain = [("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<")];
        let plain = plain.iter().chain(&[("&gt;", ">"), ("&amp;", "&")]);
        let unescaped = plain.fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        if unescaped != text && form::is_form(body) {
            return case.holds_with_body(unescaped).then(form::reencoded);
        }
        bodies.extend((unescaped != text).then(|| unescaped.into_bytes()));
    }
    if body.starts_with(b"{") && memchr::memmem::find(body, b"\"body\"").is_some() {
        bodies.extend(event_of_gateway(body));
    }
    // WordPress adds these backslashes.
    if body.starts_with(br#"{\""#) || body.starts_with(br#"[{\""#) {
        bodies.push(without_slashes(body));
    }
    bodies.into_iter().any(|body| case.holds_with_body(body)).then(|| {
        rewritten(
            "the request is valid with the body decoded from base64, a JSON string, a buffer, an \
             event of a gateway, HTML or added backslashes",
        )
    })
}

/// Returns the body in an event of an API gateway: `{"body":"…","isBase64Encoded":false}`.
fn event_of_gateway(json: &[u8]) -> Option<Vec<u8>> {
    let event: serde_json::Value = serde_json::from_slice(json).ok()?;
    let body = event.get("body")?.as_str()?.as_bytes();
    match event.get("isBase64Encoded").and_then(serde_json::Value::as_bool) {
        Some(true) => Some(base64_to_vec(body)?.to_vec()),
        _ => Some(body.to_vec()),
    }
}

/// Removes the backslashes that PHP's `addslashes` adds.
fn without_slashes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        out.extend(if byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    out
}

/// Reads a buffer of Node.js in JSON: `{"type":"Buffer","data":[…]}`.
fn node_buffer(body: &[u8]) -> Option<Vec<u8>> {
    let buffer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let bytes = buffer.get("data")?.as_array()?.iter();
    bytes.map(|byte| u8::try_from(byte.as_u64()?).ok()).collect()
}

fn final_line_break(case: &Case<'_>) -> Option<Finding> {
    let body = &case.body;
    let bare = body.trim_ascii_end();
    let mut bodies: Vec<&[u8]> = vec![body.trim_ascii_start(), body.trim_ascii()];
    bodies.retain(|it| it.len() < body.len());
    bodies.extend(body.strip_suffix(b"\n"));
    bodies.extend(body.strip_suffix(b"\r\n"));
    bodies.extend((bare.len() < body.len()).then_some(bare));
    let trimmed = std::str::from_utf8(body).map_or(bare, |text| text.trim().as_bytes());
    bodies.extend((trimmed.len() < bare.len()).then_some(trimmed));
    // Old programs end a file with these bytes.
    bodies.extend(body.strip_suffix(b"\0"));
    bodies.extend(body.strip_suffix(b"\x1a"));
    if bodies.into_iter().any(|bare| case.holds_with_body(bare.to_vec())) {
        return Some(Finding::new(
            Cause::BodyFinalNewline,
            "keep the line break out of the body: verify the bytes exactly as they arrived",
            "the request is valid without the white space around the body",
        ));
    }
    let ends = [&b"\n"[..], b"\r\n", b"\n\n", b" "];
    let with = ends.iter().any(|end| case.holds_with_body([body, *end].concat()));
    with.then(|| {
        Finding::new(
            Cause::BodyFinalNewline,
            "keep the line break at the end of the body: verify the bytes exactly as they arrived",
            "the request is valid with white space at the end of the body",
        )
    })
}

fn byte_order_mark(case: &Case<'_>) -> Option<Finding> {
    // The mark may be decoded as Latin-1, or repeated.
    let mut bare = case.body.strip_prefix("\u{ef}\u{bb}\u{bf}".as_bytes()).unwrap_or(&case.body);
    while let Some(rest) = bare.strip_prefix(BOM) {
        bare = rest;
    }
    let had = bare.len() < case.body.len();
    let changed = if had { bare.to_vec() } else { [BOM, bare].concat() };
    // Editors that add the mark add a final line break and convert line breaks as well.
    let unix = replace(&changed, b"\r\n", b"\n");
    let bodies = [changed.trim_ascii_end().to_vec(), unix.trim_ascii_end().to_vec(), unix, changed];
    bodies.into_iter().any(|body| case.holds_with_body(body)).then(|| {
        let detail = match had {
            true => "the request is valid without the byte order mark of the body",
            false => "the request is valid with a byte order mark before the body",
        };
        Finding::new(Cause::BodyBom, "verify the bytes of the body exactly as they arrived", detail)
    })
}

fn line_endings(case: &Case<'_>) -> Option<Finding> {
    // A CRLF may have been converted once more.
    let unix = replace(&replace(&case.body, b"\r\r\n", b"\n"), b"\r\n", b"\n");
    let unix = replace(&unix, b"\r", b"\n");
    let windows = replace(&unix, b"\n", b"\r\n");
    let mac = replace(&unix, b"\n", b"\r");
    let mut bodies = Vec::new();
    for (body, name) in [(unix, "LF"), (windows, "CRLF"), (mac, "CR")] {
        // The last one may have been lost as well.
        bodies.push((body.trim_ascii_end().to_vec(), name));
        bodies.push((body, name));
    }
    // Within the fields of a form.
    let unix = replace(&replace(&case.body, b"%0D%0A", b"%0A"), b"%0d%0a", b"%0a");
    let upper = replace(&unix, b"%0A", b"%0D%0A");
    bodies.push((replace(&upper, b"%0a", b"%0d%0a"), "CRLF"));
    // Line breaks in an escaped form.
    bodies.push((replace(&case.body, b"\\n", b"\n"), "LF"));
    bodies.push((unix, "LF"));
    bodies.retain(|(body, _)| *body != case.body);
    let (_, name) = bodies.into_iter().find(|(body, _)| case.holds_with_body(body.clone()))?;
    Some(Finding::new(
        Cause::BodyLineEndings,
        "verify the bytes of the body exactly as they arrived, without converting line breaks",
        format!("the request is valid with {name} as the line breaks of the body"),
    ))
}

fn decompressed(case: &Case<'_>) -> Option<Finding> {
    let found = compressions(case).into_iter().any(|body| case.holds_with_body(body));
    found.then(|| {
        Finding::new(
            Cause::BodyDecompressed,
            "verify the bytes that the sender signed: move the layer that decompresses or \
             compresses behind the verification",
            "the request is valid if the body is decompressed or compressed",
        )
    })
}

/// Returns the body decompressed, or compressed as common programs do.
fn compressions(case: &Case<'_>) -> Vec<Vec<u8>> {
    let mut bodies = gzip(case);
    for decoded in decode_all(&case.body, MAX_DECODED) {
        // A body may be compressed twice.
        if has_mark(&decoded) {
            bodies.extend(decode_all(&decoded, MAX_DECODED));
        }
        bodies.push(decoded);
    }
    bodies
}

/// Returns the body in gzip (RFC 1952) with the headers and levels of common programs.
#[cfg(feature = "gzip")]
fn gzip(case: &Case<'_>) -> Vec<Vec<u8>> {
    use std::io::Write as _;

    use flate2::{Compression, Crc, write::DeflateEncoder};

    let mut bodies = Vec::new();
    let body = &case.body;
    let mut crc = Crc::new();
    crc.update(body);
    // The length modulo 2^32.
    let tail = [crc.sum().to_le_bytes(), (body.len() as u32).to_le_bytes()].concat();
    for level in [6, 9, 1] {
        if body.starts_with(b"\x1f\x8b") || !case.may_work(8 * body.len()) {
            break;
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        let deflated = encoder.write_all(body).and_then(|()| encoder.finish());
        let Ok(deflated) = deflated else { continue };
        for extra in [0, 2, 4] {
            for system in [0, 3, 255] {
                let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra, system];
                bodies.push([&head[..], &deflated, &tail].concat());
            }
        }
    }
    bodies
}

#[cfg(not(feature = "gzip"))]
fn gzip(_: &Case<'_>) -> Vec<Vec<u8>> {
    Vec::new()
}

fn reserialized(case: &Case<'_>) -> Option<Finding> {
    let text = case.body.strip_prefix(BOM).unwrap_or(&case.body);
    if !case.may_work(4 * text.len()) {
        return None;
    }
    let json = Json::parse(text)?;
    let sorted = json.clone().sorted();
    if let Json::Array(items) = &json {
        for escapes in &Escapes::ALL[..5] {
            let style =
                Style { layout: Layout::COMMON[0], escapes: *escapes, numbers: Numbers::AsTheyAre };
            let lines: Vec<_> = items.iter().map(|item| style.write(item)).collect();
            // SendGrid puts each event on its own line.
            let lines = format!("[{}]\r\n", lines.join(",\r\n"));
            if case.holds_with_body(lines) {
                return Some(reserialized_as(style, " and each item on its own line"));
            }
        }
    }
    for (json, order) in [(&json, ""), (&sorted, ", sorted by names")] {
        if let Some(style) = Style::all().find(|style| holds(case, json, *style)) {
            return Some(reserialized_as(style, order));
        }
    }
    for numbers in [Numbers::WithPoint, Numbers::TwoDigits, Numbers::Whole] {
        for escapes in &Escapes::ALL[..5] {
            for layout in &Layout::COMMON[..3] {
                let style = Style { layout: *layout, escapes: *escapes, numbers };
                if holds(case, &json, style) {
                    return Some(reserialized_as(style, ", with numbers written in another way"));
                }
            }
        }
    }
    None
}

/// Finds another order of the JSON's members under which the request is valid.
pub(super) fn reordered(case: &Case<'_>) -> Option<Finding> {
    let body = case.body.strip_prefix(BOM).unwrap_or(&case.body);
    if !case.reads_body() || !case.may_work(body.len().saturating_mul(4)) {
        return None;
    }
    let json = Json::parse(body)?;
    let count = json.count_orders(MAX_ORDERS);
    if count > MAX_ORDERS {
        return None;
    }
    for escapes in &Escapes::ALL[..3] {
        for layout in &Layout::COMMON[..3] {
            let style = Style { layout: *layout, escapes: *escapes, numbers: Numbers::AsTheyAre };
            let is_it = |mut number| {
                // Copying costs as much as writing.
                case.may_work(2 * body.len()) && holds(case, &json.in_order(&mut number), style)
            };
            if (1..count).any(is_it) {
                return Some(reserialized_as(style, ", with its members in another order"));
            }
        }
    }
    None
}

/// Returns whether the request is valid with the JSON in this style.
fn holds(case: &Case<'_>, json: &Json<'_>, style: Style) -> bool {
    // Writing costs more than hashing.
    if !case.may_work(2 * case.body.len()) {
        return false;
    }
    let written = style.write(json);
    case.holds_with_body(written.clone()) || case.holds_with_body(written + "\n")
}

fn reserialized_as(style: Style, order: &str) -> Finding {
    let escapes = style.escapes.name;
    let with = if escapes.is_empty() { String::new() } else { format!(" with {escapes}") };
    let name = style.layout.name;
    rewritten(format!("the request is valid with the body as {name}{with}{order}"))
}

/// Recognizes an empty body whose head declares another one.
pub(super) fn empty(case: &Case<'_>) -> Option<Finding> {
    let declared = case.head.content_length().filter(|len| *len > 0 && case.body.is_empty())?;
    let detail = format!("content-length declares {declared} bytes, but the body is empty");
    case.reads_body().then(|| consumed(detail))
}

fn consumed(detail: String) -> Finding {
    Finding::new(Cause::BodyEmpty, "verify before anything else reads the body", detail)
}

/// Finds signs of a change that cannot be undone.
pub(super) fn signs(case: &Case<'_>) -> Option<Finding> {
    let body = &case.body;
    let declared = case.head.content_length();
    let is_coded = case
        .header("content-encoding")
        .is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    if !case.reads_body() {
        return None;
    }
    if body.trim_ascii().is_empty() {
        let is_post = !matches!(case.head.method_text(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
        let had_body = is_post || case.header("content-type").is_some();
        return had_body.then(|| consumed("the body is empty".to_owned()));
    }
    if let Some(program) = printed_by(body) {
        return Some(rewritten(format!("the body is an object as {program} prints it, not JSON")));
    }
    let empties = [&b"{}"[..], b"[]", b"null", b"\"\"", b"undefined"];
    if declared.is_some_and(|len| len > body.len()) && empties.contains(&body.trim_ascii()) {
        return Some(consumed("the body is that of a parser that found none".to_owned()));
    }
    if is_coded && !is_compressed(body) {
        return Some(Finding::new(
            Cause::BodyDecompressed,
            "verify the compressed bytes: move the layer that decompresses behind the verification",
            "the request has a content encoding, but the body is not compressed",
        ));
    }
    let is_cut = form::is_form(body) && form::is_cut(body);
    if Json::is_cut(body) || is_cut || multipart_is_cut(case) || lacks_start(case) {
        return Some(truncated(declared, body.len()));
    }
    let text = std::str::from_utf8(body);
    if text.is_err() && looks_like_text(case) || text.is_ok_and(|text| text.contains('\u{fffd}')) {
        return Some(Finding::new(
            Cause::BodyCharset,
            "verify the bytes of the body exactly as they arrived, without decoding them as text; if \
             the sender sends them like this, compare the secret",
            "the body is not valid UTF-8, or contains the replacement character",
        ));
    }
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    match declared {
        // A complete value is not cut.
        Some(len) if len > body.len() && !is_json => return Some(truncated(declared, body.len())),
        Some(len) if len < body.len() && !is_json => {
            return Some(Finding::new(
                Cause::BodyDecompressed,
                "verify the compressed bytes: move the layer that decompresses behind the \
                 verification",
                format!("content-length declares {len} bytes, but {} arrived", body.len()),
            ));
        }
        _ => {}
    }
    let is_short = case.scheme().signs_body() && body.len() <= MAX_DECODED;
    let json = if is_short { Json::parse(body)? } else { return None };
    (json.chance_of_order() < CHANCE).then(|| {
        Finding::new(
            Cause::BodyReserialized,
            "verify the raw bytes of the body, before any JSON parser; if the sender sorts the \
             members itself, compare the secret",
            "the members of all objects are sorted by their names, so their order may be lost",
        )
    })
}

/// Returns how the length of the body differs from the one that the head declares.
pub(super) fn other_length(case: &Case<'_>) -> Option<String> {
    let received = case.received;
    let is_other = |declared: &usize| received > 0 && *declared != received;
    let declared = case.head.content_length().filter(is_other)?;
    Some(format!("content-length declares {declared} bytes, but {received} arrived"))
}

fn truncated(declared: Option<usize>, len: usize) -> Finding {
    let detail = match declared {
        Some(declared) if declared > len => {
            format!("content-length declares {declared} bytes, but {len} arrived")
        }
        _ => format!("the body ends in the middle of a value, after {len} bytes"),
    };
    Finding::new(Cause::BodyTruncated, "read the whole body before the verification", detail)
}

fn rewritten(detail: impl Into<std::borrow::Cow<'static, str>>) -> Finding {
    Finding::new(
        Cause::BodyReserialized,
        "verify the raw bytes of the body, before any JSON parser",
        detail,
    )
}

/// Returns whether the body ends like a JSON object or array, but does not begin like JSON.
fn lacks_start(case: &Case<'_>) -> bool {
    let body = case.body.trim_ascii();
    let is_json = case.header("content-type").is_some_and(|it| it.contains("json"));
    let is_end = body.last().is_some_and(|last| b"}]".contains(last));
    is_json && is_end && !body.starts_with(b"{") && !body.starts_with(b"[")
}

fn multipart_is_cut(case: &Case<'_>) -> bool {
    let boundary = case.header("content-type").and_then(|value| {
        let (kind, rest) = value.split_once(';')?;
        let is_multipart = kind.trim().to_ascii_lowercase().starts_with("multipart/");
        let (_, boundary) = rest.split_once("boundary=").filter(|_| is_multipart)?;
        Some(boundary.split(';').next().unwrap_or_default().trim().trim_matches('"'))
    });
    boundary.is_some_and(|boundary| {
        let end = format!("--{boundary}--");
        memchr::memmem::find(&case.body, end.as_bytes()).is_none()
    })
}

/// Returns the program that prints an object like this.
fn printed_by(body: &[u8]) -> Option<&'static str> {
    let body = body.trim_ascii();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let after_name = body.strip_prefix(b"{").map(|rest| rest.trim_ascii_start());
    let after_name = after_name.and_then(|rest| {
        let len = rest.iter().take_while(|byte| is_name(byte)).count();
        rest.get(len).filter(|_| len > 0)
    });
    Some(match body {
        b"[object Object]" => "JavaScript",
        _ if body.starts_with(b"{'") || body.starts_with(b"[{'") => "Python",
        _ if body.starts_with(b"{\"") && memchr::memmem::find(body, b"\"=>").is_some() => "Ruby",
        _ if body.starts_with(b"map[") => "Go",
        _ if body.starts_with(b"Array\n(") || body.starts_with(b"array(") => "PHP",
        _ if body.ends_with(b"}") && after_name == Some(&b'=') => "Java",
        _ => return None,
    })
}

/// Returns whether a body that is not UTF-8 is text in another character set.
fn looks_like_text(case: &Case<'_>) -> bool {
    let body = case.body.trim_ascii_start();
    let starts = [b'{', b'[', b'<'].iter().any(|start| body.first() == Some(start));
    let is_text = case.header("content-type").is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        ["text/", "json", "xml", "form-urlencoded"].iter().any(|kind| value.contains(kind))
    });
    let is_plain = |byte: &&u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let is_mostly_plain = 2 * body.iter().filter(is_plain).count() >= body.len();
    !body.contains(&0) && !has_mark(body) && (starts || is_text && is_mostly_plain)
}

/// Returns whether a body begins like gzip, zlib or Zstandard.
fn has_mark(body: &[u8]) -> bool {
    let starts: [&[u8]; 5] =
        [b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda", b"\x28\xb5\x2f\xfd"];
    starts.iter().any(|start| body.starts_with(start))
}

/// Returns whether a body may be compressed. Brotli has no mark, but is seldom text.
fn is_compressed(body: &[u8]) -> bool {
    has_mark(body) || std::str::from_utf8(body).is_err()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
