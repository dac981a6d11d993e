//! Bodies that something on the way changed.

use super::{
    Finding,
    case::Case,
    cause::Cause,
    json::{Escapes, Json, Layout, Numbers, Style},
};

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
    final_line_break(case)
        .or_else(|| byte_order_mark(case))
        .or_else(|| line_endings(case))
        .or_else(|| decompressed(case))
        .or_else(|| charset(case))
        .or_else(|| reserialized(case))
}

fn final_line_break(case: &Case<'_>) -> Option<Finding> {
    let body = &case.body;
    let bare = body.trim_ascii_end();
    let mut bodies: Vec<&[u8]> = Vec::new();
    bodies.extend(body.strip_suffix(b"\n"));
    bodies.extend(body.strip_suffix(b"\r\n"));
    bodies.extend((bare.len() < body.len()).then_some(bare));
    if bodies.into_iter().any(|bare| case.holds_with_body(bare.to_vec())) {
        return Some(Finding::new(
            Cause::BodyFinalNewline,
            "keep the line break out of the body: verify the bytes exactly as they arrived",
            "the request is valid without the white space at the end of the body",
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
    let changed = match case.body.strip_prefix(BOM) {
        Some(bare) => bare.to_vec(),
        None => [BOM, &case.body].concat(),
    };
    let had = case.body.starts_with(BOM);
    case.holds_with_body(changed).then(|| {
        let detail = match had {
            true => "the request is valid without the byte order mark of the body",
            false => "the request is valid with a byte order mark before the body",
        };
        Finding::new(Cause::BodyBom, "verify the bytes of the body exactly as they arrived", detail)
    })
}

fn line_endings(case: &Case<'_>) -> Option<Finding> {
    let unix = replace(&replace(&case.body, b"\r\n", b"\n"), b"\r", b"\n");
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
    let mut bodies = crate::request::coding::decode_all(&case.body, MAX_DECODED);
    #[cfg(feature = "gzip")]
    {
        use std::io::Write as _;

        use flate2::{Compression, write::DeflateEncoder};

        let body = &case.body;
        if !body.starts_with(b"\x1f\x8b") {
            let mut crc = flate2::Crc::new();
            crc.update(body);
            for level in [6, 9, 1] {
                if !case.may_work(8 * body.len()) {
                    break;
                }
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
                let deflated = encoder.write_all(body).and_then(|()| encoder.finish());
                let Ok(deflated) = deflated else { continue };
                let len = body.len() as u32;
                for extra in [0, 2, 4] {
                    for system in [0, 3, 255] {
                        let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra, system];
                        let tail = [crc.sum().to_le_bytes(), len.to_le_bytes()].concat();
                        bodies.push([&head[..], &deflated, &tail].concat());
                    }
                }
            }
        }
    }
    bodies
}

fn charset(case: &Case<'_>) -> Option<Finding> {
    let mut bodies = Vec::new();
    if let Ok(text) = std::str::from_utf8(&case.body) {
        let utf16 = |to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        if !text.is_ascii() {
            bodies.extend(single_bytes(text, false));
            bodies.extend(single_bytes(text, true));
        }
        bodies.extend([utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)]);
        let marked = |mark: &[u8], text: Vec<u8>| [mark, &text].concat();
        bodies.push(marked(b"\xff\xfe", utf16(u16::to_le_bytes)));
        bodies.push(marked(b"\xfe\xff", utf16(u16::to_be_bytes)));
    }
    if !case.body.is_ascii() {
        let chars = |table: &dyn Fn(u8) -> char| {
            case.body.iter().map(|&byte| table(byte)).collect::<String>().into_bytes()
        };
        bodies.push(chars(&char::from));
        bodies.push(chars(&windows));
    }
    for from in [u16::from_le_bytes as fn([u8; 2]) -> u16, u16::from_be_bytes] {
        let units = case.body.chunks_exact(2).map(|pair| from([pair[0], pair[1]]));
        let units = units.skip_while(|unit| *unit == 0xfeff);
        let text: Result<String, _> = char::decode_utf16(units).collect();
        bodies.extend(text.ok().map(String::into_bytes));
    }
    if super::form::is_form(&case.body) {
        let conversions: [&dyn Fn(&[u8]) -> Option<Vec<u8>>; 4] = [
            &|field| single_bytes(std::str::from_utf8(field).ok()?, false),
            &|field| single_bytes(std::str::from_utf8(field).ok()?, true),
            &|field| Some(field.iter().map(|&byte| char::from(byte)).collect::<String>().into()),
            &|field| Some(field.iter().map(|&byte| windows(byte)).collect::<String>().into()),
        ];
        for convert in conversions {
            bodies.extend(super::form::converted(&case.body, convert).map(String::into_bytes));
        }
    }
    bodies.into_iter().any(|body| case.holds_with_body(body)).then(|| {
        Finding::new(
            Cause::BodyCharset,
            "verify the bytes of the body exactly as they arrived, without decoding them as text",
            "the request is valid with the body in another character set",
        )
    })
}

/// Encodes a text with one byte for each character: Latin-1, or Windows-1252.
fn single_bytes(text: &str, is_windows: bool) -> Option<Vec<u8>> {
    let encode = |char: char| match is_windows {
        true => (0..=255).find(|&byte| windows(byte) == char),
        false => u8::try_from(char).ok(),
    };
    text.chars().map(encode).collect()
}

/// Decodes a byte of Windows-1252.
fn windows(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => byte.into(),
    }
}

fn reserialized(case: &Case<'_>) -> Option<Finding> {
    let text = case.body.strip_prefix(BOM).unwrap_or(&case.body);
    if !case.may_work(4 * text.len()) {
        return None;
    }
    let json = Json::parse(text)?;
    let sorted = json.clone().sorted();
    for (json, order) in [(&json, ""), (&sorted, ", sorted by names")] {
        for escapes in Escapes::ALL {
            for layout in Layout::ALL {
                let style = Style { layout, escapes, numbers: Numbers::AsTheyAre };
                if holds(case, json, style) {
                    return Some(reserialized_as(style, order));
                }
            }
        }
    }
    for numbers in [Numbers::WithPoint, Numbers::TwoDigits, Numbers::Whole] {
        for escapes in &Escapes::ALL[..5] {
            for layout in &Layout::ALL[..3] {
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
    let json = if case.reads_body() { Json::parse(body)? } else { return None };
    let orders = json.orders(MAX_ORDERS);
    for escapes in &Escapes::ALL[..3] {
        for layout in &Layout::ALL[..3] {
            let style = Style { layout: *layout, escapes: *escapes, numbers: Numbers::AsTheyAre };
            if orders.iter().any(|json| holds(case, json, style)) {
                return Some(reserialized_as(style, ", with its members in another order"));
            }
        }
    }
    None
}

/// Returns whether the request is valid with the JSON in this style.
fn holds(case: &Case<'_>, json: &Json<'_>, style: Style) -> bool {
    let written = style.write(json);
    // Writing costs more than hashing.
    case.may_work(2 * written.len())
        && (case.holds_with_body(written.clone()) || case.holds_with_body(written + "\n"))
}

fn reserialized_as(style: Style, order: &str) -> Finding {
    let escapes = style.escapes.name;
    let with = if escapes.is_empty() { String::new() } else { format!(" with {escapes}") };
    let name = style.layout.name;
    rewritten(format!("the request is valid with the body as {name}{with}{order}"))
}

/// Recognizes an empty body whose head declares another one.
pub(super) fn empty(case: &Case<'_>) -> Option<Finding> {
    let declared = case.content_length().filter(|len| *len > 0 && case.body.is_empty())?;
    let detail = format!("content-length declares {declared} bytes, but the body is empty");
    case.reads_body().then(|| consumed(detail))
}

fn consumed(detail: String) -> Finding {
    Finding::new(Cause::BodyEmpty, "verify before anything else reads the body", detail)
}

/// Finds signs of a change that cannot be undone.
pub(super) fn signs(case: &Case<'_>) -> Option<Finding> {
    let body = &case.body;
    let declared = case.content_length();
    let is_coded = case
        .header("content-encoding")
        .is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    if !case.reads_body() {
        return None;
    }
    if body.is_empty() {
        let is_post = !matches!(case.head.method_text(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
        return is_post.then(|| consumed("the body is empty".to_owned()));
    }
    if is_coded && !is_compressed(body) {
        return Some(Finding::new(
            Cause::BodyDecompressed,
            "verify the compressed bytes: move the layer that decompresses behind the verification",
            "the request has a content encoding, but the body is not compressed",
        ));
    }
    let is_cut = super::form::is_form(body) && super::form::is_cut(body);
    if Json::is_cut(body) || is_cut || multipart_is_cut(case) {
        return Some(truncated(declared, body.len()));
    }
    let text = std::str::from_utf8(body);
    let is_text = !is_compressed(body) && !body.contains(&0);
    if text.is_err() && is_text || text.is_ok_and(|text| text.contains('\u{fffd}')) {
        return Some(Finding::new(
            Cause::BodyCharset,
            "verify the bytes of the body exactly as they arrived, without decoding them as text",
            "the body is not valid UTF-8, or contains the replacement character",
        ));
    }
    let is_json = Json::parse(body).is_some();
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
    let json = Json::parse(body)?;
    (json.chance_of_order() < CHANCE).then(|| {
        rewritten(
            "the members of all objects are sorted by their names, so their order may be lost",
        )
    })
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

/// Returns whether a body begins like gzip, zlib or Zstandard.
fn is_compressed(body: &[u8]) -> bool {
    let starts: [&[u8]; 5] =
        [b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda", b"\x28\xb5\x2f\xfd"];
    // Brotli has no mark, but is seldom text.
    starts.iter().any(|start| body.starts_with(start)) || std::str::from_utf8(body).is_err()
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
