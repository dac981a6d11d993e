/// The maximum length of a file name on common file systems, in bytes.
const MAX_LEN: usize = 255;

/// Returns the text after the last separator of any system, if it is a safe file name.
pub(super) fn last_component(path: &str) -> Option<&str> {
    // A colon follows a drive letter, or precedes an NTFS stream.
    let last = path.rsplit(['/', '\\', ':']).next()?;
    let name = last.trim_start().trim_end_matches([' ', '.']);
    let stem = name.split('.').next().unwrap_or_default();
    let sane = !name.is_empty()
        && name.len() <= MAX_LEN
        && !last.contains(|c: char| c.is_control() || is_bidirectional(c))
        && !is_device(stem);
    sane.then_some(name)
}

/// Returns whether the character changes the direction of the text (Unicode Standard Annex #9), so
/// that a name looks like another, as in `a\u{202e}fdp.exe`.
fn is_bidirectional(char: char) -> bool {
    matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Returns whether Windows treats a file name with this stem as a device, whatever its extension
/// is.
fn is_device(stem: &str) -> bool {
    let stem = stem.trim_end();
    let numbered = |name: &str| {
        let number = stem
            .split_at_checked(name.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(name))
            .map(|(_, number)| number.chars());
        number.is_some_and(|mut number| {
            matches!(number.next(), Some('0'..='9' | '¹' | '²' | '³')) && number.next().is_none()
        })
    };
    ["con", "prn", "aux", "nul"].iter().any(|name| stem.eq_ignore_ascii_case(name))
        || ["com", "lpt"].into_iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::last_component;

    #[test]
    fn only_the_last_component_is_left() {
        for (path, expected) in [
            ("fileA.pdf", Some("fileA.pdf")),
            ("/etc/passwd", Some("passwd")),
            ("../../etc/passwd", Some("passwd")),
            (r"C:\Users\me\fileA.pdf", Some("fileA.pdf")),
            (r"..\..\boot.ini", Some("boot.ini")),
            (r"a/b\c:d", Some("d")),
            ("C:evil.exe", Some("evil.exe")),
            ("fileA.pdf::$DATA", Some("$DATA")),
            ("Lebenslauf – Zoë.pdf", Some("Lebenslauf – Zoë.pdf")),
            (".htaccess", Some(".htaccess")),
            (" a.txt. . ", Some("a.txt")),
            ("com1x.txt", Some("com1x.txt")),
            ("console.log", Some("console.log")),
            ("", None),
            (" ", None),
            (".", None),
            ("..", None),
            ("...", None),
            ("a/..", None),
            (r"a\..", None),
            ("a/", None),
            (r"C:\", None),
            ("C:", None),
            ("a\0.pdf", None),
            ("fileA.pdf\0.exe", None),
            ("a\nb", None),
            ("a\r\nSet-Cookie", None),
            ("a\u{85}b", None),
            ("NUL", None),
            ("aux.txt", None),
            ("Con .txt", None),
            ("COM1", None),
            ("lpt9.log", None),
            ("com¹", None),
        ] {
            assert_eq!(last_component(path), expected, "{path:?}");
        }
        assert!(last_component(&"a".repeat(255)).is_some());
        assert_eq!(last_component(&"a".repeat(256)), None);
    }
}
