//! Finds a text however it is spelled: as it is, percent-encoded, or with the escapes of JSON.

/// Replaces each occurrence of a text in any spelling.
pub(super) fn replace(bytes: &[u8], text: &str, to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let Some(first) = text.as_bytes().first() else { return bytes.to_vec() };
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        let may_begin = byte == first || matches!(byte, b'%' | b'\\' | b'+');
        match may_begin.then(|| end_of(bytes, at, text)).flatten() {
            Some(end) => {
                replaced.extend_from_slice(&bytes[copied..at]);
                replaced.extend_from_slice(to);
                (at, copied) = (end, end);
            }
            None => at += 1,
        }
    }
    replaced.extend_from_slice(&bytes[copied..]);
    replaced
}

/// Returns the end of a text that begins at `start`.
fn end_of(bytes: &[u8], start: usize, text: &str) -> Option<usize> {
    let mut places = vec![start];
    let mut next = Vec::new();
    for c in text.chars() {
        for place in places.drain(..) {
            add_ends(bytes.get(place..).unwrap_or_default(), place, c, &mut next);
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut places, &mut next);
        if places.is_empty() {
            return None;
        }
    }
    places.last().copied()
}

/// Adds the ends of each spelling of a character.
fn add_ends(bytes: &[u8], place: usize, c: char, ends: &mut Vec<usize>) {
    let mut buffer = [0; 4];
    let plain = c.encode_utf8(&mut buffer).as_bytes();
    if bytes.starts_with(plain) {
        ends.push(place + plain.len());
    }
    if c == ' ' && bytes.first() == Some(&b'+') {
        ends.push(place + 1);
    }
    if let Some(len) = percent_encoded(bytes, plain) {
        ends.push(place + len);
    }
    // In a form, the backslash itself is encoded.
    let backslash = match bytes.first() {
        Some(b'\\') => 1,
        Some(b'%') => match percent_encoded(bytes, b"\\") {
            Some(len) => len,
            None => return,
        },
        _ => return,
    };
    let rest = &bytes[backslash..];
    let short = match c {
        '"' | '\\' | '/' => Some(plain[0]),
        '\n' => Some(b'n'),
        '\r' => Some(b'r'),
        '\t' => Some(b't'),
        '\u{8}' => Some(b'b'),
        '\u{c}' => Some(b'f'),
        _ => None,
    };
    if let Some(short) = short {
        if rest.first() == Some(&short) {
            ends.push(place + backslash + 1);
        } else if let Some(len) = percent_encoded(rest, &[short]) {
            ends.push(place + backslash + len);
        }
    }
    let mut units = [0; 2];
    let mut len = 0;
    for (number, unit) in c.encode_utf16(&mut units).iter().enumerate() {
        if number > 0 {
            let second = &bytes[len..];
            let Some(at) =
                second.starts_with(b"\\").then_some(1).or(percent_encoded(second, b"\\"))
            else {
                return;
            };
            len += at;
        } else {
            len += backslash;
        }
        let digits = bytes.get(len + 1..len + 5).and_then(|it| std::str::from_utf8(it).ok());
        let is_it = bytes.get(len) == Some(&b'u')
            && digits.is_some_and(|it| u16::from_str_radix(it, 16) == Ok(*unit));
        if !is_it {
            return;
        }
        len += 5;
    }
    ends.push(place + len);
}

/// Returns the length of the percent-encoded form of `plain`, if the bytes begin with it.
fn percent_encoded(bytes: &[u8], plain: &[u8]) -> Option<usize> {
    let mut at = 0;
    for byte in plain {
        let code = bytes.get(at..at + 3)?;
        let digits = std::str::from_utf8(&code[1..]).ok()?;
        if code[0] != b'%' || u8::from_str_radix(digits, 16).ok() != Some(*byte) {
            return None;
        }
        at += 3;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn a_text_is_found_in_any_spelling() {
        let text = "a b+/%\"ü😀";
        for spelled in [
            "a b+/%\"ü😀",
            "%61+b%2b%2F%25%22%c3%bc%F0%9f%98%80",
            r#"\u0061 b\u002B\/%\"\u00fc\ud83D\uDE00"#,
            "a%20b%2B/%25%5C%22%5Cu00fc%5cud83d%5cude00",
        ] {
            let shown = replace(format!("x{spelled}y").as_bytes(), text, b"_");
            assert_eq!(String::from_utf8_lossy(&shown), "x_y", "{spelled}");
        }
        assert_eq!(replace(b"%%6%\\u006\\", "a", b"_"), b"%%6%\\u006\\");
    }
}
