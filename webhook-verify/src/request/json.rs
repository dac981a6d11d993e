//! Reads single values from a JSON body without building a tree.

use std::{borrow::Cow, fmt};

use memchr::memchr;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{de::SliceRead, value::RawValue};

use super::{
    hex,
    pointers::{index, unescaped},
};

/// The body is not JSON, or a key on the pointer's path is repeated.
#[derive(Debug)]
pub(crate) struct Unreadable;

#[cfg(test)]
std::thread_local! {
    /// The number of bytes that this thread has read as JSON.
    pub(crate) static BYTES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Returns a reader of `json`. Tests count the bytes.
pub(super) fn reader(json: &[u8]) -> serde_json::Deserializer<SliceRead<'_>> {
    #[cfg(test)]
    BYTES_READ.set(BYTES_READ.get() + json.len());
    serde_json::Deserializer::from_slice(json)
}

/// Returns the raw JSON at `pointer` (RFC 6901).
fn raw_at<'a>(body: &'a [u8], pointer: &str) -> Result<Option<&'a str>, Unreadable> {
    let mut json = reader(body);
    let found = Below(pointer, Raw).deserialize(&mut json);
    let found = found.map_err(|_| Unreadable)?;
    json.end().map_err(|_| Unreadable)?;
    Ok(found.map(RawValue::get))
}

/// Returns the scalar at `pointer` as text: a string's content, or a number or boolean as written.
/// Returns `None` for `null`, an object, an array or nothing.
pub(crate) fn scalar<'a>(
    body: &'a [u8],
    pointer: &str,
) -> Result<Option<Cow<'a, str>>, Unreadable> {
    raw_at(body, pointer)?.map_or(Ok(None), scalar_of)
}

/// Returns raw JSON as text, as [`scalar`] does.
pub(super) fn scalar_of(raw: &str) -> Result<Option<Cow<'_, str>>, Unreadable> {
    match raw.as_bytes().first() {
        Some(b'"') => string_of(raw).map(Some).ok_or(Unreadable),
        Some(b'{' | b'[' | b'n') | None => Ok(None),
        Some(_) => Ok(Some(Cow::Borrowed(raw))),
    }
}

/// Returns the text of a string in valid JSON, or `None` if an escape stands for no character.
///
/// The result is that of `serde_json`, which takes several times as long for many escapes.
fn string_of(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (escape, after) = rest.split_first()?;
        rest = after;
        bytes.push(match escape {
            b'"' | b'\\' | b'/' => *escape,
            b'b' => b'\x08',
            b'f' => b'\x0c',
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = unicode(&mut rest)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Takes the digits after `\u`, and the second half of a pair of surrogates.
fn unicode(rest: &mut &[u8]) -> Option<char> {
    let first = code_unit(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    *rest = rest.strip_prefix(b"\\u")?;
    let second = code_unit(rest)?.checked_sub(0xdc00).filter(|second| *second < 0x400)?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
}

/// Takes four hexadecimal digits.
fn code_unit(rest: &mut &[u8]) -> Option<u32> {
    let (digits, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    hex::number(*digits)
}

/// Returns the raw JSON at `pointer`, or `None` for `null` or nothing.
pub(crate) fn raw<'a>(body: &'a [u8], pointer: &str) -> Result<Option<&'a str>, Unreadable> {
    Ok(raw_at(body, pointer)?.filter(|raw| *raw != "null"))
}

/// Returns whether the body is valid JSON.
pub(crate) fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// Returns the first key of the top-level object whose value is an object or an array.
pub(crate) fn first_key(body: &[u8]) -> Option<Cow<'_, str>> {
    reader(body).deserialize_map(FirstKey).ok()?
}

/// Returns whether the body is an object with this key, whatever its value.
#[cfg(feature = "jwt")]
pub(crate) fn has_key(body: &[u8], key: &str) -> bool {
    let object =
        serde_json::from_slice::<std::collections::BTreeMap<Cow<'_, str>, IgnoredAny>>(body);
    object.is_ok_and(|object| object.contains_key(key))
}

/// A string, borrowed unless it contains escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.into())))
            }
        }
        deserializer.deserialize_str(Visit)
    }
}

/// The rest of a pointer, and the seed that reads the value there.
#[derive(Clone, Copy)]
pub(crate) struct Below<'p, S>(pub(crate) &'p str, pub(crate) S);

/// Reads a value as raw JSON.
#[derive(Clone, Copy)]
struct Raw;

impl<'de> DeserializeSeed<'de> for Raw {
    type Value = &'de RawValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

impl<'p, S> Below<'p, S> {
    /// Splits off the next reference token.
    fn step(self) -> (Cow<'p, str>, Self) {
        let rest = self.0.strip_prefix('/').unwrap_or(self.0);
        let end = rest.find('/').unwrap_or(rest.len());
        (unescaped(&rest[..end]), Self(&rest[end..], self.1))
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for Below<'_, S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return self.1.deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for Below<'_, S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (token, rest) = self.step();
        let (mut found, mut seen) = (None, false);
        while let Some(Text(key)) = map.next_key()? {
            if key != token {
                map.next_value::<IgnoredAny>()?;
            } else if seen {
                return Err(A::Error::custom("repeated key"));
            } else {
                seen = true;
                found = map.next_value_seed(rest)?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (token, rest) = self.step();
        let Some(index) = index(&token) else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        for _ in 0..index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = seq.next_element_seed(rest)?.flatten();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    // The pointer continues, but scalars contain nothing.
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

struct FirstKey;

impl<'de> Visitor<'de> for FirstKey {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut first = None;
        while let Some(Text(key)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            if first.is_none() && value.get().starts_with(['{', '[']) {
                first = Some(key);
            }
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::{RawValue, first_key, scalar, string_of};

    fn at(body: &str, pointer: &str) -> Option<String> {
        scalar(body.as_bytes(), pointer).unwrap().map(Into::into)
    }

    #[test]
    fn scalars_are_read_as_text() {
        let body = r#"{"a":{"b/c":["x",{"d~":"\u00fc\n"},17,1.50,true,null,[]]},"e":"f"}"#;
        assert_eq!(at(body, "/e").as_deref(), Some("f"));
        assert_eq!(at(body, "/a/b~1c/0").as_deref(), Some("x"));
        assert_eq!(at(body, "/a/b~1c/1/d~0").as_deref(), Some("ü\n"));
        assert_eq!(at(body, "/a/b~1c/2").as_deref(), Some("17"));
        assert_eq!(at(body, "/a/b~1c/3").as_deref(), Some("1.50"));
        assert_eq!(at(body, "/a/b~1c/4").as_deref(), Some("true"));
        for nothing in ["/a/b~1c/5", "/a/b~1c/6", "/a/b~1c/7", "/a/b~1c/x", "/a", "/e/f", "/z"] {
            assert_eq!(at(body, nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_not_json_or_ambiguous_is_unreadable() {
        for body in
            ["", "{", "{\"a\":1}x", "{\"a\":1,\"a\":1}", "\u{feff}{\"a\":1}", "{\"a\":\"\\ud800\"}"]
        {
            assert!(scalar(body.as_bytes(), "/a").is_err(), "{body}");
        }
        assert!(scalar(b"{\"a\":\"\xff\"}", "/a").is_err());
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("{{\"b\":{}{},\"a\":\"x\"}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(at(&deep, "/a").as_deref(), Some("x"));
        assert!(scalar(deep.replace(']', "").as_bytes(), "/a").is_err());
    }

    #[test]
    fn first_key_skips_what_is_no_event() {
        assert_eq!(first_key(br#"{"timestamp":"x","a.b":[1],"c":[2]}"#).as_deref(), Some("a.b"));
        assert_eq!(first_key(br#"{"timestamp":"x"}"#), None);
        assert_eq!(first_key(b"[1]"), None);
        assert_eq!(first_key(b"{\"a\":["), None);
    }

    #[test]
    fn the_text_of_a_string_is_that_of_the_parser() {
        let pieces = [
            "a", "ü", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0000",
            "\\u00fC", "\\uFFFF", "\\ud83d", "\\uDe00", "\\udbff", "\\udfff", "\\u12", "\\x",
            "\\U0061", "0", "\\",
        ];
        let count = pieces.len();
        for number in 0..count.pow(3) {
            let piece = |place: u32| pieces[number / count.pow(place) % count];
            let json: String = ["\"", piece(0), piece(1), piece(2), "\""].concat();
            let text = serde_json::from_str::<String>(&json).ok();
            // The parser's raw values are valid. Those of the scan may not be.
            if serde_json::from_str::<&RawValue>(&json).is_ok() {
                assert_eq!(string_of(&json).as_deref(), text.as_deref(), "{json}");
            }
        }
        for broken in ["", "\"", "\"a", "a\""] {
            assert_eq!(string_of(broken), None, "{broken}");
        }
    }
}
