//! Bodies that were decoded as text in one character set, and encoded in another.

use super::{Finding, case::Case, cause::Cause, form};

/// A conversion of a field's bytes.
type Conversion = fn(&[u8]) -> Option<Vec<u8>>;

/// Finds another character set of the body under which the request is valid.
pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let mut bodies = Vec::new();
    if let Ok(text) = std::str::from_utf8(&case.body) {
        let utf16 = |to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        if !text.is_ascii() {
            for is_windows in [false, true] {
                let once = single_bytes(text, is_windows);
                // The text may have been converted twice.
                let twice = once
                    .as_deref()
                    .and_then(|once| single_bytes(std::str::from_utf8(once).ok()?, is_windows));
                bodies.extend([once, twice].into_iter().flatten());
            }
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
    if form::is_form(&case.body) {
        let conversions: [Conversion; 4] = [
            |field| single_bytes(std::str::from_utf8(field).ok()?, false),
            |field| single_bytes(std::str::from_utf8(field).ok()?, true),
            |field| Some(field.iter().map(|&byte| char::from(byte)).collect::<String>().into()),
            |field| Some(field.iter().map(|&byte| windows(byte)).collect::<String>().into()),
        ];
        for convert in conversions {
            bodies.extend(form::converted(&case.body, convert).map(String::into_bytes));
        }
    }
    // An editor that converts the text adds a final line break as well.
    let holds = |body: Vec<u8>| {
        let trimmed = body.trim_ascii_end();
        let is_longer = trimmed.len() < body.len();
        is_longer && case.holds_with_body(trimmed.to_vec()) || case.holds_with_body(body)
    };
    bodies.into_iter().any(holds).then(|| {
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

#[cfg(test)]
mod tests {
    use super::{single_bytes, windows};

    #[test]
    fn single_bytes_are_read_as_they_are_written() {
        let latin: Vec<u8> = (0xa0..=0xff).collect();
        let text: String = latin.iter().map(|&byte| char::from(byte)).collect();
        assert_eq!(single_bytes(&text, false).unwrap(), latin);
        let all: Vec<u8> = (0..=255).collect();
        let text: String = all.iter().map(|&byte| windows(byte)).collect();
        assert_eq!(single_bytes(&text, true).unwrap(), all);
        assert_eq!(single_bytes("€", true).unwrap(), [0x80]);
        assert_eq!(single_bytes("€", false), None);
        assert_eq!(single_bytes("語", true), None);
    }
}
