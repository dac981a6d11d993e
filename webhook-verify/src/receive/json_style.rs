//! Formats JSON as common programs do, to detect a body that was parsed and serialized again.

/// A format in which programs serialize JSON.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// The white space after commas.
    comma: &'static str,
    colon: &'static str,
    /// Whether each member has its own indented line.
    is_pretty: bool,
    /// Whether slashes are escaped, as PHP does.
    escapes_slashes: bool,
}

impl Style {
    const COMPACT: Self = Self { comma: "", colon: "", is_pretty: false, escapes_slashes: false };
    /// The styles, and their names for the log.
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::COMPACT, "JSON without white space"),
        (Self { comma: " ", colon: " ", ..Self::COMPACT }, "JSON with a space after `,` and `:`"),
        (Self { escapes_slashes: true, ..Self::COMPACT }, "JSON with escaped slashes"),
        (Self { colon: " ", is_pretty: true, ..Self::COMPACT }, "indented JSON"),
    ];

    /// Formats a JSON object or array in this style, with its members in the same order. Returns
    /// `None` for other bodies.
    pub(super) fn write(self, json: &[u8]) -> Option<Vec<u8>> {
        json.first().filter(|first| b"{[".contains(first))?;
        let (mut out, mut depth, mut in_text) =
            (Vec::with_capacity(2 * json.len()), 0_usize, false);
        let line = |out: &mut Vec<u8>, depth: usize| {
            if self.is_pretty {
                out.push(b'\n');
                out.resize(out.len() + 2 * depth.min(64), b' ');
            }
        };
        let mut bytes = json.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            // Indentation makes deeply nested arrays much longer.
            if out.len() > 4 * json.len() + 256 {
                return None;
            }
            match byte {
                b'\\' if in_text => match bytes.next()? {
                    b'/' if !self.escapes_slashes => out.push(b'/'),
                    escaped => out.extend([b'\\', escaped]),
                },
                b'/' if in_text && self.escapes_slashes => out.extend(br"\/"),
                b'"' => {
                    in_text = !in_text;
                    out.push(byte);
                }
                _ if in_text => out.push(byte),
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'{' | b'[' => {
                    out.push(byte);
                    while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
                    if !matches!(bytes.peek(), Some(b'}' | b']')) {
                        depth += 1;
                        line(&mut out, depth);
                    } else {
                        out.extend(bytes.next());
                    }
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                    out.push(byte);
                }
                b',' => {
                    out.push(byte);
                    out.extend(self.comma.as_bytes());
                    line(&mut out, depth);
                }
                b':' => {
                    out.push(byte);
                    out.extend(self.colon.as_bytes());
                }
                _ => out.push(byte),
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::Style;

    #[test]
    fn json_is_written_as_programs_write_it() {
        let json = br#"{"a" :[1, {"b/c":"\"x\\" } ],"d":{ },  "e":[],"f":"\/"}"#;
        let styles =
            Style::ALL.map(|(style, _)| String::from_utf8(style.write(json).unwrap()).unwrap());
        let expected = [
            r#"{"a":[1,{"b/c":"\"x\\"}],"d":{},"e":[],"f":"/"}"#,
            r#"{"a": [1, {"b/c": "\"x\\"}], "d": {}, "e": [], "f": "/"}"#,
            r#"{"a":[1,{"b\/c":"\"x\\"}],"d":{},"e":[],"f":"\/"}"#,
            "{\n  \"a\": [\n    1,\n    {\n      \"b/c\": \"\\\"x\\\\\"\n    }\n  ],\n  \"d\": {},\n  \
             \"e\": [],\n  \"f\": \"/\"\n}",
        ];
        assert_eq!(styles, expected);
        for body in ["", "a=b", "\"text\""] {
            assert!(Style::COMPACT.write(body.as_bytes()).is_none());
        }
        // Bodies that are not JSON must not panic either.
        for body in ["{", "[", "{\"\\", "]}", "{{{{", "[\"", "{ "] {
            for (style, _) in Style::ALL {
                let _ = style.write(body.as_bytes());
            }
        }
    }
}
