//! Serializes JSON as common programs do, to recognize a body that was parsed and serialized again.

use std::fmt::Write as _;

/// The greatest depth of a value that is read.
const MAX_DEPTH: usize = 64;

/// A JSON value that keeps the order of its members and the text of its numbers.
#[derive(Clone)]
pub(super) enum Json<'j> {
    /// A number, `true`, `false` or `null`.
    Scalar(&'j str),
    Text {
        decoded: String,
        raw: &'j str,
    },
    Array(Vec<Self>),
    Object(Vec<(Self, Self)>),
}

impl<'j> Json<'j> {
    /// Parses an object or an array. Returns `None` for other texts.
    pub(super) fn parse(body: &'j [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body.trim_ascii()).ok()?;
        let mut reader = Reader { rest: text };
        let is_container = reader.rest.starts_with(['{', '[']);
        let value = is_container.then(|| reader.value(0))??;
        reader.rest.trim_start().is_empty().then_some(value)
    }

    /// Returns whether the text is the beginning of an object or an array.
    pub(super) fn is_cut(body: &[u8]) -> bool {
        let body = body.trim_ascii_start();
        let starts = body.first().is_some_and(|first| b"{[".contains(first));
        // A number may be cut after its point.
        let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let end = body.iter().rposition(|byte| !number(byte)).map_or(0, |at| at + 1);
        let error = serde_json::from_slice::<serde::de::IgnoredAny>(&body[..end]).err();
        // A text may be cut within a character.
        let is_within_char =
            std::str::from_utf8(body).is_err_and(|error| error.error_len().is_none());
        starts && (is_within_char || error.is_some_and(|error| error.is_eof()))
    }

    /// Returns the probability that the members of all objects are sorted by chance.
    pub(super) fn chance_of_order(&self) -> f64 {
        match self {
            Self::Scalar(_) | Self::Text { .. } => 1.0,
            Self::Array(items) => items.iter().map(Self::chance_of_order).product(),
            Self::Object(members) => {
                let is_sorted = members.is_sorted_by(|(a, _), (b, _)| a.name() <= b.name());
                let chance: f64 = (1..=members.len()).map(|n| 1.0 / n as f64).product();
                let inner: f64 = members.iter().map(|(_, value)| value.chance_of_order()).product();
                if is_sorted { chance * inner } else { 1.0 }
            }
        }
    }

    /// Returns the names of an object's members, in their order.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Object(members) => {
                members.iter().map(|(name, _)| name.name().to_owned()).collect()
            }
            Self::Scalar(_) | Self::Text { .. } | Self::Array(_) => Vec::new(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Text { decoded, .. } => decoded,
            Self::Scalar(_) | Self::Array(_) | Self::Object(_) => "",
        }
    }

    /// Returns the value with the members of all objects sorted by their names.
    pub(super) fn sorted(mut self) -> Self {
        self.sort();
        self
    }

    fn sort(&mut self) {
        match self {
            Self::Scalar(_) | Self::Text { .. } => {}
            Self::Array(items) => items.iter_mut().for_each(Self::sort),
            Self::Object(members) => {
                members.sort_by(|(a, _), (b, _)| a.name().cmp(b.name()));
                members.iter_mut().for_each(|(_, value)| value.sort());
            }
        }
    }

    /// Returns the number of orders that the members of all objects can have, at most `most` + 1.
    pub(super) fn count_orders(&self, most: usize) -> usize {
        let times = |all: usize, factor: usize| all.saturating_mul(factor).min(most + 1);
        match self {
            Self::Scalar(_) | Self::Text { .. } => 1,
            Self::Array(items) => {
                items.iter().fold(1, |all, item| times(all, item.count_orders(most)))
            }
            Self::Object(members) => {
                let own = (1..=members.len()).fold(1, times);
                members.iter().fold(own, |all, (_, value)| times(all, value.count_orders(most)))
            }
        }
    }

    /// Returns the value with its members in the order of this number, which counts all orders.
    pub(super) fn in_order(&self, number: &mut usize) -> Self {
        match self {
            Self::Scalar(_) | Self::Text { .. } => self.clone(),
            Self::Array(items) => {
                Self::Array(items.iter().map(|item| item.in_order(number)).collect())
            }
            Self::Object(members) => {
                let mut rest: Vec<_> = members.iter().collect();
                let mut ordered = Vec::with_capacity(rest.len());
                while !rest.is_empty() {
                    let (name, value) = rest.remove(*number % rest.len());
                    *number /= rest.len() + 1;
                    ordered.push((name.clone(), value.in_order(number)));
                }
                Self::Object(ordered)
            }
        }
    }
}

/// Reads a JSON text.
struct Reader<'j> {
    rest: &'j str,
}

impl<'j> Reader<'j> {
    fn value(&mut self, depth: usize) -> Option<Json<'j>> {
        self.skip_space();
        match self.rest.as_bytes().first()? {
            b'{' | b'[' if depth >= MAX_DEPTH => None,
            b'{' => {
                let member = |reader: &mut Self| {
                    reader.skip_space();
                    let name = reader.text()?;
                    reader.skip_space();
                    reader.take(':')?;
                    Some((name, reader.value(depth + 1)?))
                };
                Some(Json::Object(self.list('{', '}', member)?))
            }
            b'[' => Some(Json::Array(self.list('[', ']', |reader| reader.value(depth + 1))?)),
            b'"' => self.text(),
            _ => self.scalar(),
        }
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.take(open)?;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(close).is_some() {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            self.skip_space();
            if self.take(close).is_some() {
                return Some(items);
            }
            self.take(',')?;
        }
    }

    fn text(&mut self) -> Option<Json<'j>> {
        let bytes = self.rest.as_bytes();
        let mut at = 1;
        if bytes.first() != Some(&b'"') {
            return None;
        }
        while *bytes.get(at)? != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        let (raw, rest) = self.rest.split_at_checked(at + 1)?;
        self.rest = rest;
        Some(Json::Text { decoded: serde_json::from_str(raw).ok()?, raw })
    }

    fn scalar(&mut self) -> Option<Json<'j>> {
        let is_part = |char: char| char.is_ascii_alphanumeric() || "+-.".contains(char);
        let end = self.rest.find(|char| !is_part(char)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        Some(Json::Scalar(text))
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, char: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(char)?;
        Some(())
    }
}

/// The white space that a program writes.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) name: &'static str,
    comma: &'static str,
    colon: &'static str,
    /// The indentation of each level, if each member has a line of its own.
    indent: Option<&'static str>,
    line_break: &'static str,
    /// The white space between the brackets of an empty object or array.
    empty: Empty,
    /// Whether arrays are on one line, as Jackson writes them: `[ 1, 2 ]`.
    has_flat_arrays: bool,
}

/// The white space between the brackets of an empty object or array.
#[derive(Clone, Copy)]
enum Empty {
    Nothing,
    Space,
    /// An empty line, and the indentation.
    Line,
}

impl Layout {
    const COMPACT: Self = Self {
        name: "compact JSON",
        comma: ",",
        colon: ":",
        indent: None,
        line_break: "\n",
        empty: Empty::Nothing,
        has_flat_arrays: false,
    };

    /// The most common ones.
    pub(super) const COMMON: [Self; 6] = [
        Self::COMPACT,
        Self::flat("JSON with a space after `,` and `:`", ", ", ": "),
        Self::indented("JSON indented by two spaces", ": ", "  "),
        Self::indented("JSON indented by four spaces", ": ", "    "),
        Self::indented("JSON indented by tabs", ": ", "\t"),
        Self {
            line_break: "\r\n",
            ..Self::indented("JSON indented by two spaces, with CRLF", ": ", "  ")
        },
    ];
    pub(super) const OTHERS: [Self; 12] = [
        Self::indented("indented JSON with a space before `:`", " : ", "  "),
        Self::flat("JSON with a space after `:`", ",", ": "),
        Self::flat("JSON with a space after `,`", ", ", ":"),
        Self::indented("JSON with one space of indentation", ": ", " "),
        Self::indented("JSON indented by three spaces", ": ", "   "),
        // Perl.
        Self::indented("JSON indented by three spaces, with a space before `:`", " : ", "   "),
        // Swift.
        Self { empty: Empty::Line, ..Self::indented("JSON as Swift indents it", " : ", "  ") },
        // Jackson.
        Self {
            empty: Empty::Space,
            has_flat_arrays: true,
            ..Self::indented("JSON as Jackson indents it", " : ", "  ")
        },
        // Python 2.
        Self { comma: ", ", ..Self::indented("JSON as Python 2 indents it", ": ", "    ") },
        Self { comma: ", ", ..Self::indented("JSON as Python 2 indents it", ": ", "  ") },
        Self {
            line_break: "\r\n",
            ..Self::indented("JSON indented by four spaces, with CRLF", ": ", "    ")
        },
        Self {
            line_break: "\r\n",
            ..Self::indented("JSON indented by tabs, with CRLF", ": ", "\t")
        },
    ];

    const fn flat(name: &'static str, comma: &'static str, colon: &'static str) -> Self {
        Self { name, comma, colon, ..Self::COMPACT }
    }

    const fn indented(name: &'static str, colon: &'static str, indent: &'static str) -> Self {
        Self { name, colon, indent: Some(indent), ..Self::COMPACT }
    }
}

/// The characters that a program escapes in texts, besides those that it must.
#[derive(Clone, Copy)]
pub(super) struct Escapes {
    pub(super) name: &'static str,
    keeps: bool,
    slash: bool,
    non_ascii: bool,
    /// Whether the hex digits of `others` are capitals.
    upper: bool,
    /// The same for those of other characters.
    upper_non_ascii: bool,
    others: &'static str,
}

impl Escapes {
    const NONE: Self = Self {
        name: "",
        keeps: false,
        slash: false,
        non_ascii: false,
        upper: false,
        upper_non_ascii: false,
        others: "",
    };
    const HTML: &'static str = "<>&\u{2028}\u{2029}";

    /// The most common ones come first.
    pub(super) const ALL: [Self; 14] = [
        // As they are in the body.
        Self { keeps: true, ..Self::NONE },
        Self { name: "nothing escaped", ..Self::NONE },
        Self { name: "escaped unicode", non_ascii: true, ..Self::NONE },
        Self { name: "escaped slashes", slash: true, ..Self::NONE },
        Self { name: "escaped slashes and unicode", slash: true, non_ascii: true, ..Self::NONE },
        Self { name: "escaped `<`, `>` and `&`", others: Self::HTML, ..Self::NONE },
        Self {
            name: "escaped `<`, `>`, `&` and unicode",
            others: Self::HTML,
            non_ascii: true,
            ..Self::NONE
        },
        Self {
            name: "escaped unicode in capitals",
            non_ascii: true,
            upper_non_ascii: true,
            ..Self::NONE
        },
        // System.Text.Json.
        Self {
            name: "escaped unicode, quotes and `<`, `>`, `&`, `+` in capitals",
            non_ascii: true,
            upper: true,
            upper_non_ascii: true,
            others: "<>&'+`\"",
            ..Self::NONE
        },
        // Gson.
        Self { name: "escaped `<`, `>`, `&`, `=` and `'`", others: "<>&='", ..Self::NONE },
        // aeson.
        Self { name: "escaped `<` and `>`", others: "<>", ..Self::NONE },
        // PHP's `JSON_HEX_TAG`, `JSON_HEX_AMP`, `JSON_HEX_APOS` and `JSON_HEX_QUOT`.
        Self {
            name: "escaped slashes, unicode, quotes and `<`, `>`, `&`",
            slash: true,
            non_ascii: true,
            upper: true,
            others: "<>&'\"",
            ..Self::NONE
        },
        Self {
            name: "escaped quotes and `<`, `>`, `&`",
            upper: true,
            others: "<>&'\"",
            ..Self::NONE
        },
        // Newtonsoft.Json.
        Self { name: "escaped line separators", others: "\u{85}\u{2028}\u{2029}", ..Self::NONE },
    ];

    fn write(self, text: &str, out: &mut String) {
        out.push('"');
        for char in text.chars() {
            let short = match char {
                _ if self.others.contains(char) => None,
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '\n' => Some("\\n"),
                '\r' => Some("\\r"),
                '\t' => Some("\\t"),
                '\u{8}' => Some("\\b"),
                '\u{c}' => Some("\\f"),
                '/' if self.slash => Some("\\/"),
                _ => None,
            };
            let is_other = self.others.contains(char);
            let is_escaped = char < ' ' || is_other || self.non_ascii && !char.is_ascii();
            let upper = if is_other { self.upper } else { self.upper_non_ascii };
            match short {
                Some(short) => out.push_str(short),
                None if is_escaped => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        let _ = match upper {
                            true => write!(out, "\\u{unit:04X}"),
                            false => write!(out, "\\u{unit:04x}"),
                        };
                    }
                }
                None => out.push(char),
            }
        }
        out.push('"');
    }
}

/// How a program writes numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    AsTheyAre,
    /// `10` becomes `10.0`.
    WithPoint,
    /// `10` and `10.0` become `10.00`.
    TwoDigits,
    /// `10.0` becomes `10`.
    Whole,
}

impl Numbers {
    fn write(self, number: &str, out: &mut String) {
        let is_number = number.starts_with(|char: char| char == '-' || char.is_ascii_digit());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_plain = is_number && !number.contains(['e', 'E']);
        out.push_str(match self {
            Self::Whole if is_plain && fraction.bytes().all(|digit| digit == b'0') => whole,
            _ => number,
        });
        if is_plain {
            match self {
                Self::WithPoint if fraction.is_empty() => out.push_str(".0"),
                Self::TwoDigits if fraction.is_empty() => out.push_str(".00"),
                Self::TwoDigits if fraction.len() == 1 => out.push('0'),
                Self::AsTheyAre | Self::WithPoint | Self::TwoDigits | Self::Whole => {}
            }
        }
    }
}

/// The style of a program that serializes JSON.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) layout: Layout,
    pub(super) escapes: Escapes,
    pub(super) numbers: Numbers,
}

impl Style {
    /// Returns the styles of programs. The most common ones come first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let pairs = |layouts: &'static [Layout], escapes: &'static [Escapes]| {
            let style = |escapes, layout| Self { layout, escapes, numbers: Numbers::AsTheyAre };
            let of = move |escapes: &Escapes| {
                let escapes = *escapes;
                layouts.iter().map(move |layout| style(escapes, *layout))
            };
            escapes.iter().flat_map(of)
        };
        pairs(&Layout::COMMON, &Escapes::ALL).chain(pairs(&Layout::OTHERS, &Escapes::ALL[..5]))
    }

    pub(super) fn write(self, json: &Json<'_>) -> String {
        let mut out = String::new();
        self.write_value(json, 0, &mut out);
        out
    }

    fn write_value(self, json: &Json<'_>, depth: usize, out: &mut String) {
        match json {
            Json::Scalar(text) => self.numbers.write(text, out),
            Json::Text { raw, .. } if self.escapes.keeps => out.push_str(raw),
            Json::Text { decoded, .. } => self.escapes.write(decoded, out),
            Json::Array(items) => {
                let deeper = if self.layout.has_flat_arrays { 0 } else { 1 };
                self.write_list('[', ']', items, depth, out, |item, out| {
                    self.write_value(item, depth + deeper, out);
                });
            }
            Json::Object(members) => {
                self.write_list('{', '}', members, depth, out, |(name, value), out| {
                    self.write_value(name, depth + 1, out);
                    out.push_str(self.layout.colon);
                    self.write_value(value, depth + 1, out);
                });
            }
        }
    }

    fn write_list<T>(
        self,
        open: char,
        close: char,
        items: &[T],
        depth: usize,
        out: &mut String,
        write: impl Fn(&T, &mut String),
    ) {
        let layout = self.layout;
        let is_flat = layout.has_flat_arrays && open == '[';
        let line = |out: &mut String, depth: usize| match layout.indent {
            Some(_) if is_flat => out.push(' '),
            Some(indent) => {
                out.push_str(layout.line_break);
                (0..depth).for_each(|_| out.push_str(indent));
            }
            None => {}
        };
        out.push(open);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push_str(layout.comma);
            }
            line(out, depth + 1);
            write(item, out);
        }
        match layout.empty {
            _ if !items.is_empty() => line(out, depth),
            Empty::Nothing => {}
            Empty::Space => out.push(' '),
            Empty::Line => {
                out.push_str(layout.line_break);
                line(out, depth);
            }
        }
        out.push(close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn styles() -> impl Iterator<Item = Style> {
        Style::all().chain(Layout::OTHERS.into_iter().flat_map(|layout| {
            let style = move |escapes| Style { layout, escapes, numbers: Numbers::AsTheyAre };
            Escapes::ALL.into_iter().map(style)
        }))
    }

    #[test]
    fn json_is_written_as_programs_write_it() {
        let json = r#"{"a" :[1, {"b/c":"\"x\\" } ],"d":{ },  "e":[],"f":"\/ü<"}"#;
        let json = Json::parse(json.as_bytes()).unwrap();
        let write = |layout: usize, escapes: usize| {
            let numbers = Numbers::AsTheyAre;
            let style =
                Style { layout: Layout::COMMON[layout], escapes: Escapes::ALL[escapes], numbers };
            style.write(&json)
        };
        assert_eq!(write(0, 1), r#"{"a":[1,{"b/c":"\"x\\"}],"d":{},"e":[],"f":"/ü<"}"#);
        assert_eq!(write(0, 0), r#"{"a":[1,{"b/c":"\"x\\"}],"d":{},"e":[],"f":"\/ü<"}"#);
        assert_eq!(
            write(1, 2),
            r#"{"a": [1, {"b/c": "\"x\\"}], "d": {}, "e": [], "f": "/\u00fc<"}"#
        );
        assert_eq!(write(0, 3), r#"{"a":[1,{"b\/c":"\"x\\"}],"d":{},"e":[],"f":"\/ü<"}"#);
        assert_eq!(
            write(2, 5),
            "{\n  \"a\": [\n    1,\n    {\n      \"b/c\": \"\\\"x\\\\\"\n    }\n  ],\n  \"d\": {},\n  \
             \"e\": [],\n  \"f\": \"/ü\\u003c\"\n}",
        );
    }

    #[test]
    fn indentation_is_that_of_each_program() {
        let json = Json::parse(br#"{"a":[1,{"b":{}}],"c":[]}"#).unwrap();
        let write = |name: &str| {
            let layout = Layout::OTHERS.into_iter().find(|layout| layout.name == name).unwrap();
            Style { layout, escapes: Escapes::ALL[0], numbers: Numbers::AsTheyAre }.write(&json)
        };
        for (name, expected) in [
            (
                "JSON as Jackson indents it",
                "{\n  \"a\" : [ 1, {\n    \"b\" : { }\n  } ],\n  \"c\" : [ ]\n}",
            ),
            (
                "JSON as Swift indents it",
                "{\n  \"a\" : [\n    1,\n    {\n      \"b\" : {\n\n      }\n    }\n  ],\n  \"c\" : \
                 [\n\n  ]\n}",
            ),
            (
                "JSON as Python 2 indents it",
                "{\n    \"a\": [\n        1, \n        {\n            \"b\": {}\n        }\n    ], \n\
                 \x20   \"c\": []\n}",
            ),
            (
                "JSON indented by tabs, with CRLF",
                "{\r\n\t\"a\": [\r\n\t\t1,\r\n\t\t{\r\n\t\t\t\"b\": {}\r\n\t\t}\r\n\
                 \t],\r\n\t\"c\": []\r\n}",
            ),
        ] {
            assert_eq!(write(name), expected, "{name}");
        }
    }

    #[test]
    fn every_style_keeps_the_value() {
        let text = r#"{"z":["\ud83d\ude00","é/<>&'+`=\"\\\u0000\b\f\n\r\t\u2028"],"a":{"b":-1.5e3,"c":null}}"#;
        let json = Json::parse(text.as_bytes()).unwrap();
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        for style in styles() {
            for json in [json.clone(), json.clone().sorted()] {
                let written = style.write(&json);
                let read: serde_json::Value = serde_json::from_str(&written).unwrap();
                assert_eq!(read, value, "{written}");
            }
        }
    }

    #[test]
    fn numbers_are_written_as_programs_write_them() {
        let json = Json::parse(br#"[1,2.5,10.0,-3,1e5,true,"1"]"#).unwrap();
        let write = |numbers| {
            let style = Style { layout: Layout::COMMON[0], escapes: Escapes::ALL[0], numbers };
            style.write(&json)
        };
        assert_eq!(write(Numbers::WithPoint), r#"[1.0,2.5,10.0,-3.0,1e5,true,"1"]"#);
        assert_eq!(write(Numbers::TwoDigits), r#"[1.00,2.50,10.00,-3.00,1e5,true,"1"]"#);
        assert_eq!(write(Numbers::Whole), r#"[1,2.5,10,-3,1e5,true,"1"]"#);
    }

    #[test]
    fn all_orders_of_members_are_found() {
        let json = Json::parse(br#"{"a":1,"b":[{"c":2,"d":3},4],"e":5}"#).unwrap();
        let style = styles().next().unwrap();
        assert_eq!((json.count_orders(100), json.count_orders(11)), (12, 12));
        assert_eq!(json.count_orders(5), 6);
        let mut orders: Vec<_> =
            (0..12).map(|mut number| style.write(&json.in_order(&mut number))).collect();
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(orders.len(), 12);
        assert!(json.chance_of_order() < 0.09);
        let long = format!("[{}]", vec!["0"; 100_000].join(","));
        assert_eq!(Json::parse(long.as_bytes()).unwrap().count_orders(1000), 1);
    }

    #[test]
    fn other_texts_are_not_json() {
        for text in [
            "",
            "a=b",
            "\"text\"",
            "1",
            "{",
            "[",
            "{\"\\",
            "]}",
            "{{{{",
            "[\"",
            "{ ",
            "[1]x",
            "{\"a\":01}",
            "[\"\\ud800\"]",
            "[tru]",
        ] {
            assert!(Json::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Json::parse("[".repeat(100_000).as_bytes()).is_none());
        assert!(Json::parse(b"[\"\xff\"]").is_none());
        for (text, is_cut) in [
            (&b"{\"a\":1"[..], true),
            (b"[1,", true),
            (b"{\"a\":\"\xc3", true),
            (b"{}", false),
            (b"{]", false),
            (b"", false),
            (b"a=b", false),
            (b"{\"a\":tru", true),
            (b"{\"a\":7.", true),
            (b"[1", true),
        ] {
            assert_eq!(Json::is_cut(text), is_cut, "{text:?}");
        }
    }
}
