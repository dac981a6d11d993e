//! Commands of shells, split into words.

/// Splits a command of a POSIX shell, or of `cmd` on Windows, into words. The command ends with its
/// line, or where a pipe, a redirection or another command begins.
pub(super) fn words(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let is_cmd = line.trim_ascii_end().ends_with(b" ^") || line.windows(3).any(|it| it == b" ^\"");
    let words = if is_cmd { posix_words(&without_carets(text)) } else { posix_words(text) };
    words.ok_or_else(|| "curl: a quotation mark is not closed".into())
}

/// Removes the escapes of `cmd`, which have no meaning between quotation marks.
fn without_carets(text: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::new();
    let (mut rest, mut is_quoted) = (text, false);
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'^' || is_quoted {
            is_quoted ^= *byte == b'"';
            unescaped.push(*byte);
            continue;
        }
        // An escaped line break is none. The character after it is escaped, too.
        rest = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")).unwrap_or(rest);
        if let [escaped, after @ ..] = rest {
            unescaped.push(*escaped);
            rest = after;
        }
    }
    unescaped
}

/// Returns `None` if a quotation mark is not closed.
fn posix_words(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut words, mut word, mut is_word) = (Vec::new(), Vec::new(), false);
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\'' => {
                is_word = true;
                let end = rest.iter().position(|&byte| byte == b'\'')?;
                word.extend_from_slice(&rest[..end]);
                rest = &rest[end + 1..];
            }
            b'$' if rest.starts_with(b"'") => {
                is_word = true;
                rest = ansi_c(&rest[1..], &mut word)?;
            }
            b'"' => {
                is_word = true;
                rest = double_quoted(rest, &mut word)?;
            }
            b'\\' => match rest {
                [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => rest = after,
                [escaped, after @ ..] => {
                    is_word = true;
                    word.push(*escaped);
                    rest = after;
                }
                [] => {}
            },
            b'\n' | b'|' | b';' | b'<' => break,
            b'>' => {
                // `2>file` redirects: 2 is no word.
                is_word &= !word.iter().all(u8::is_ascii_digit);
                break;
            }
            // Within an URL without quotation marks, people mean the character.
            b'&' if !is_word || matches!(rest, [] | [b'&' | b' ' | b'>' | b'\r' | b'\n', ..]) => {
                break;
            }
            b'#' if !is_word => break,
            b' ' | b'\t' | b'\r' => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            byte => {
                is_word = true;
                word.push(*byte);
            }
        }
    }
    if is_word {
        words.push(word);
    }
    Some(words)
}

/// Reads up to the end of `"…"`, and returns the rest.
fn double_quoted<'t>(mut text: &'t [u8], word: &mut Vec<u8>) -> Option<&'t [u8]> {
    loop {
        let (byte, after) = text.split_first()?;
        text = after;
        match (byte, text) {
            (b'"', rest) => return Some(rest),
            (b'\\', [escaped @ (b'"' | b'\\' | b'$' | b'`'), rest @ ..]) => {
                word.push(*escaped);
                text = rest;
            }
            (b'\\', [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..]) => text = rest,
            (byte, _) => word.push(*byte),
        }
    }
}

/// Reads up to the end of `$'…'`, and returns the rest.
fn ansi_c<'t>(mut text: &'t [u8], word: &mut Vec<u8>) -> Option<&'t [u8]> {
    loop {
        let (byte, after) = text.split_first()?;
        text = after;
        match byte {
            b'\'' => return Some(text),
            b'\\' => {}
            byte => {
                word.push(*byte);
                continue;
            }
        }
        let (escaped, after) = text.split_first()?;
        text = after;
        match escaped {
            b'n' => word.push(b'\n'),
            b'r' => word.push(b'\r'),
            b't' => word.push(b'\t'),
            b'a' => word.push(7),
            b'b' => word.push(8),
            b'f' => word.push(12),
            b'v' => word.push(11),
            b'e' => word.push(27),
            b'\'' | b'"' | b'\\' | b'?' => word.push(*escaped),
            b'x' => match hex(&mut text, 2) {
                Some(code) => word.push(u8::try_from(code).ok()?),
                None => word.extend(b"\\x"),
            },
            b'u' | b'U' => match char_of(&mut text, *escaped) {
                Some(char) => word.extend(char.encode_utf8(&mut [0; 4]).bytes()),
                None => word.extend([b'\\', *escaped]),
            },
            other => word.extend([b'\\', *other]),
        }
    }
}

/// Reads the digits of `\u` or `\U`. Browsers write a character beyond U+FFFF as two halves.
fn char_of(text: &mut &[u8], escape: u8) -> Option<char> {
    let code = hex(text, if escape == b'u' { 4 } else { 8 })?;
    let after = text.strip_prefix(b"\\u").filter(|_| (0xd800..0xdc00).contains(&code));
    let Some(mut after) = after else { return char::from_u32(code) };
    let second = hex(&mut after, 4).filter(|it| (0xdc00..0xe000).contains(it))?;
    *text = after;
    char::from_u32(0x1_0000 + ((code - 0xd800) << 10) + (second - 0xdc00))
}

/// Removes up to `max` hexadecimal digits.
fn hex(text: &mut &[u8], max: usize) -> Option<u32> {
    let len = text.iter().take(max).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = text.split_at(len);
    *text = rest;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::words;

    fn split(text: &str) -> Vec<String> {
        let words = words(text.as_bytes()).unwrap();
        words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, expected) in [
            ("a 'b c'\"d $\\\"\\\\\" e\\ f", &["a", "b cd $\"\\", "e f"][..]),
            ("a \\\n b \\\r\n c\nd", &["a", "b", "c"]),
            (
                r#"$'it\'s \\n \n\t\x41\xc3\xbc \u00fc\ud83d\ude00\U1f600 \q"'"#,
                &["it's \\n \n\tAü ü😀😀 \\q\""],
            ),
            ("a b | jq .", &["a", "b"]),
            ("a b > c d", &["a", "b"]),
            ("a b 2>&1", &["a", "b"]),
            ("a b; c", &["a", "b"]),
            ("a b && c", &["a", "b"]),
            ("a b # c", &["a", "b"]),
            ("a http://x/?b=1&c=#2 '|;>&'", &["a", "http://x/?b=1&c=#2", "|;>&"]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
        for text in ["a 'b", "a \"b", "a $'b\\'"] {
            assert!(words(text.as_bytes()).is_err(), "{text}");
        }
    }

    /// As the developer tools of Chrome copy a request on Windows, now and in earlier versions.
    #[test]
    fn words_of_windows_are_unquoted() {
        let now = "curl ^\"http://h/^\" ^\r\n  -H ^\"a: b^\" ^\r\n  -d ^\"^{^\\^\"z^\\^\":^\\^\"it's ^\\^\\^\\^\\n^\n\n^%^^^\\^\"^}^\"\r\nx";
        let expected = ["curl", "http://h/", "-H", "a: b", "-d", "{\"z\":\"it's \\\\n\n%^\"}"];
        assert_eq!(split(now), expected);
        let earlier = "curl \"http://h/\" ^\r\n -d \"{\\\"a\\\":1}\" -H \"a: ^\"\r\n";
        assert_eq!(split(earlier), ["curl", "http://h/", "-d", "{\"a\":1}", "-H", "a: ^"]);
    }
}
