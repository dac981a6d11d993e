//! Reads the values at several JSON pointers in one pass.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, fmt};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::{
    json::{self, Unreadable},
    length_bit,
};

/// A set of JSON pointers (RFC 6901), compiled once to read all of them in one pass.
///
/// The nodes form a tree, one for each distinct beginning of a pointer, in the order of a walk from
/// the root: a node is followed by all nodes below it.
#[derive(Debug, Default)]
pub(crate) struct Pointers {
    /// The pointers and their nodes, sorted.
    all: Box<[(Box<str>, usize)]>,
    pub(super) nodes: Box<[Node]>,
}

#[derive(Debug)]
pub(super) struct Node {
    /// Whether a pointer ends here.
    pub(super) is_wanted: bool,
    /// The end of the nodes below this one.
    pub(super) end: usize,
    /// The next reference tokens and their nodes, sorted by length, so that most keys of a body are
    /// compared as numbers only.
    pub(super) children: Box<[(Box<str>, usize)]>,
    /// The lengths of these tokens, one bit each. Most keys of a body have another length.
    lengths: u64,
    /// The children that may be elements of an array: indexes and nodes, sorted.
    pub(super) elements: Box<[(usize, usize)]>,
    /// Whether a JSON encoder may escape a child's token.
    has_unusual: bool,
}

/// What was found at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Absent,
    /// A value whose text no pointer needs.
    Passed,
    /// The raw JSON, as a range of the body.
    Found {
        start: usize,
        end: usize,
    },
    /// A key on the path is repeated, or the body is not JSON.
    Unreadable,
}

/// A tree of reference tokens.
#[derive(Default)]
struct Tree {
    is_wanted: bool,
    children: BTreeMap<String, Self>,
}

impl Tree {
    /// Adds the nodes of the tree, and returns the first.
    fn add_to(self, nodes: &mut Vec<Node>) -> usize {
        let at = nodes.len();
        let is_wanted = self.is_wanted;
        let (children, elements) = (Box::default(), Box::default());
        nodes.push(Node { is_wanted, end: 0, children, lengths: 0, elements, has_unusual: false });
        let mut children: Box<[_]> = self
            .children
            .into_iter()
            .map(|(token, child)| (token.into_boxed_str(), child.add_to(nodes)))
            .collect();
        children.sort_by(|(one, _), (other, _)| by_length(one.as_bytes(), other.as_bytes()));
        let indexes = children.iter().filter_map(|(token, node)| Some((index(token)?, *node)));
        let mut elements: Box<[_]> = indexes.collect();
        elements.sort_unstable();
        let end = nodes.len();
        let has_unusual = !children.iter().all(|(token, _)| token.bytes().all(is_usual));
        let lengths = children.iter().fold(0, |all, (token, _)| all | length_bit(token.as_bytes()));
        nodes[at] = Node { is_wanted, end, children, lengths, elements, has_unusual };
        at
    }
}

impl Pointers {
    pub(crate) fn new<'p>(pointers: impl Iterator<Item = &'p str>) -> Self {
        let mut tree = Tree::default();
        let mut texts: Vec<_> = pointers.collect();
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            return Self::default();
        }
        for pointer in &texts {
            let mut at = &mut tree;
            for token in pointer.split('/').skip(1) {
                at = at.children.entry(unescaped(token).into_owned()).or_default();
            }
            at.is_wanted = true;
        }
        let mut nodes = Vec::new();
        tree.add_to(&mut nodes);
        let node_of = |pointer: &str| {
            pointer.split('/').skip(1).try_fold(0, |at: usize, token| {
                let node: &Node = &nodes[at];
                node.child(unescaped(token).as_bytes())
            })
        };
        let all = texts.iter().filter_map(|text| Some(((*text).into(), node_of(text)?))).collect();
        Self { all, nodes: nodes.into() }
    }

    /// Returns the values of `body`, which must be JSON. Parses the body once. If one pointer ends
    /// at a value and another passes through it, parses this value once more.
    pub(super) fn read(&self, body: &[u8]) -> Box<[Slot]> {
        let mut slots = vec![Slot::Absent; self.nodes.len()].into_boxed_slice();
        if slots.is_empty() {
            return slots;
        }
        let walk =
            Walk { nodes: &self.nodes, at: 0, slots: &mut slots, start: body.as_ptr().addr() };
        let mut json = json::reader(body);
        if walk.deserialize(&mut json).and_then(|()| json.end()).is_err() {
            slots.fill(Slot::Unreadable);
        }
        slots
    }
}

impl Pointers {
    /// Returns an error if the body is not JSON, or if its fields differ from those that were
    /// [found](Fields::find).
    pub(crate) fn confirm(&self, slots: Option<&[Slot]>, body: &[u8]) -> Result<(), Unreadable> {
        match slots {
            Some(slots) if *self.read(body) != *slots => Err(Unreadable),
            _ => Ok(()),
        }
    }
}

impl Node {
    /// Returns the child that a key leads to.
    #[inline]
    pub(super) fn child(&self, token: &[u8]) -> Option<usize> {
        if self.lengths & length_bit(token) == 0 {
            return None;
        }
        let found = self.children.binary_search_by(|(known, _)| by_length(known.as_bytes(), token));
        found.ok().map(|found| self.children[found].1)
    }

    /// Returns the child that a key with escapes leads to, if an encoder may write it with escapes.
    pub(super) fn escaped_child(&self, quoted: &[u8]) -> Option<usize> {
        let mut json = self.has_unusual.then(|| json::reader(quoted))?;
        Key(self).deserialize(&mut json).ok()?
    }
}

/// Returns whether a byte is one that no JSON encoder escapes.
fn is_usual(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

fn by_length(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Returns the text of a reference token.
pub(super) fn unescaped(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// Returns the array index that a reference token is: digits without a leading zero.
pub(super) fn index(token: &str) -> Option<usize> {
    let is_number = token.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = token == "0" || !token.starts_with('0');
    (is_number && is_short).then(|| token.parse().ok()).flatten()
}

/// The fields of a body.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pointers: &'a Pointers,
    slots: &'a [Slot],
    body: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Finds the fields of a body that is not verified yet, or takes them from `slots` if they were
    /// read before. They must be [confirmed](Pointers::confirm) after the body is verified.
    pub(crate) fn find(
        pointers: &'a Pointers,
        slots: &'a mut Option<Box<[Slot]>>,
        body: &'a [u8],
    ) -> Self {
        Self { pointers, slots: slots.get_or_insert_with(|| pointers.scan(body)), body }
    }

    /// Reads the fields of a verified body, or takes them from `slots` if they were read before.
    pub(crate) fn read(
        pointers: &'a Pointers,
        slots: &'a mut Option<Box<[Slot]>>,
        body: &'a [u8],
    ) -> Self {
        Self { pointers, slots: slots.get_or_insert_with(|| pointers.read(body)), body }
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Returns the raw JSON at `pointer`.
    fn raw(&self, pointer: &str) -> Result<Option<&'a str>, Unreadable> {
        let known = self.pointers.all.binary_search_by(|(known, _)| (**known).cmp(pointer));
        // A pointer that is not in the set would be a bug, so the request is refused.
        let (_, node) = known.map(|known| &self.pointers.all[known]).map_err(|_| Unreadable)?;
        match self.slots[*node] {
            Slot::Absent => Ok(None),
            Slot::Found { start, end } => {
                let raw = self.body.get(start..end).and_then(|raw| std::str::from_utf8(raw).ok());
                raw.map(Some).ok_or(Unreadable)
            }
            Slot::Passed | Slot::Unreadable => Err(Unreadable),
        }
    }

    /// Returns the scalar at `pointer` as text: a string's content, or a number or boolean as
    /// written. Returns `None` for `null`, an object, an array or nothing.
    pub(crate) fn scalar(&self, pointer: &str) -> Result<Option<Cow<'a, str>>, Unreadable> {
        self.raw(pointer)?.map_or(Ok(None), json::scalar_of)
    }

    /// Returns whether there is a value at `pointer`, `null` included.
    pub(crate) fn has(&self, pointer: &str) -> Result<bool, Unreadable> {
        Ok(self.raw(pointer)?.is_some())
    }

    /// Returns whether there is `null` or nothing at `pointer`.
    pub(crate) fn is_null_or_absent(&self, pointer: &str) -> bool {
        matches!(self.raw(pointer), Ok(None | Some("null")))
    }
}

/// A walk through a value, along the nodes below one.
struct Walk<'p, 's> {
    nodes: &'p [Node],
    at: usize,
    slots: &'s mut [Slot],
    /// The address of the body in memory.
    start: usize,
}

impl<'p> Walk<'p, '_> {
    fn node(&self) -> &'p Node {
        &self.nodes[self.at]
    }

    fn to(&mut self, child: usize) -> Walk<'p, '_> {
        Walk { nodes: self.nodes, at: child, slots: self.slots, start: self.start }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let node = self.node();
        if !node.is_wanted {
            self.slots[self.at] = Slot::Passed;
            return deserializer.deserialize_any(self);
        }
        let raw: &RawValue = serde::Deserialize::deserialize(deserializer)?;
        let raw = raw.get();
        let start = raw.as_ptr().addr() - self.start;
        self.slots[self.at] = Slot::Found { start, end: start + raw.len() };
        if !node.children.is_empty() && raw.starts_with(['{', '[']) {
            let below = json::reader(raw.as_bytes()).deserialize_any(self);
            return below.map_err(D::Error::custom);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let node = self.node();
        while let Some(child) = map.next_key_seed(Key(node))? {
            let Some(child) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.slots[child] == Slot::Absent {
                map.next_value_seed(self.to(child))?;
            } else {
                self.slots[child..self.nodes[child].end].fill(Slot::Unreadable);
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut next = 0;
        for &(index, child) in &self.node().elements {
            while next < index {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(());
                }
                next += 1;
            }
            if seq.next_element_seed(self.to(child))?.is_none() {
                return Ok(());
            }
            next += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    // The pointers continue, but a scalar has no children.
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Finds the child that a key leads to, without a copy of the key.
struct Key<'p>(&'p Node);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::json::BYTES_READ, Fields, Pointers};

    fn read<'p>(
        body: &[u8],
        pointers: impl IntoIterator<Item = &'p str>,
    ) -> Vec<Result<Option<String>, ()>> {
        let pointers: Vec<_> = pointers.into_iter().collect();
        let set = Pointers::new(pointers.iter().copied());
        let mut slots = None;
        let fields = Fields::read(&set, &mut slots, body);
        let text = |pointer: &&str| fields.scalar(pointer).map(|text| text.map(Into::into));
        pointers.iter().map(text).map(|found| found.map_err(|_| ())).collect()
    }

    /// Returns the values. Reading them one by one must give the same values.
    fn values(body: &str, pointers: &[&str]) -> Vec<Option<String>> {
        let all = read(body.as_bytes(), pointers.iter().copied());
        for (pointer, found) in pointers.iter().zip(&all) {
            let alone = super::json::scalar(body.as_bytes(), pointer);
            assert_eq!(
                found.clone().ok(),
                alone.ok().map(|text| text.map(Into::into)),
                "{pointer}"
            );
        }
        all.into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn all_pointers_are_read_as_if_each_were_read_alone() {
        let body =
            r#"{"a":{"b/c":["x",{"d~":"\u00fc\n"},17,1.50,true,null,[]]},"e":"f","":{"":1}}"#;
        let pointers = [
            "/a/b~1c/1/d~0",
            "/e",
            "/a/b~1c/0",
            "/a/b~1c/2",
            "/a/b~1c/3",
            "/a/b~1c/4",
            "/a/b~1c/5",
            "/a/b~1c/6",
            "/a/b~1c/7",
            "/a/b~1c/x",
            "/a/b~1c/18446744073709551615",
            "/a/b~1c/02",
            "/a/b~1c/+2",
            "/a",
            "/e/f",
            "/z",
            "//",
            "",
        ];
        let expected = ["ü\n", "f", "x", "17", "1.50", "true"].map(|text| Some(text.to_owned()));
        let mut expected = expected.to_vec();
        expected.resize(pointers.len(), None);
        expected[16] = Some("1".into());
        assert_eq!(values(body, &pointers), expected);
        assert_eq!(values("\"x\"", &["", "/a"]), [Some("x".to_owned()), None]);
        assert_eq!(values("[1,2]", &["/1", "/2", "/0"])[..2], [Some("2".to_owned()), None]);
    }

    #[test]
    fn a_repeated_key_concerns_the_pointers_through_it() {
        let body = br#"{"a":{"x":1},"b":{"x":1,"y":2,"x":3,"z":4,"z":5},"a":{"x":1},"c":6}"#;
        let found = read(body, ["/a/x", "/a", "/b/x", "/b/y", "/c", "/a/z", "/b"]);
        let some = |text: &str| Ok(Some(text.to_owned()));
        let expected = [Err(()), Err(()), Err(()), some("2"), some("6"), Err(()), Ok(None)];
        assert_eq!(found, expected);
        let again = br#"{"a":1,"\u0061":2,"a":3,"c":6}"#;
        assert_eq!(read(again, ["/a", "/c"]), [Err(()), some("6")]);
    }

    #[test]
    fn what_is_not_json_is_unreadable_for_all() {
        for body in [
            "",
            "{",
            "{\"a\":1}x",
            "\u{feff}{\"a\":1}",
            "{\"a\":1,\"b\":\"\n\"}",
            "[1",
            "{\"a\":1,\"b\":[}",
        ] {
            let found = read(body.as_bytes(), ["/a", "/b/c", "/d"]);
            assert!(found.iter().all(Result::is_err), "{body}");
        }
        assert!(read(b"{\"a\":\"\xff\"}", ["/a"])[0].is_err());
        assert!(read(b"{\"a\":\"\\ud800\"}", ["/a"])[0].is_err());
    }

    #[test]
    fn a_pointer_that_is_not_in_the_set_is_refused() {
        let (set, mut slots) = (Pointers::new(["/a/b"].into_iter()), None);
        let fields = Fields::read(&set, &mut slots, br#"{"a":{"b":1},"c":2}"#);
        for pointer in ["/a", "/c", ""] {
            assert!(fields.scalar(pointer).is_err(), "{pointer}");
            assert!(fields.has(pointer).is_err(), "{pointer}");
            assert!(!fields.is_null_or_absent(pointer), "{pointer}");
        }
    }

    #[test]
    fn null_is_there_but_no_value() {
        let set = Pointers::new(["/a", "/b", "/c"].into_iter());
        let mut slots = None;
        let fields = Fields::read(&set, &mut slots, br#"{"a":null,"c":[]}"#);
        let states = ["/a", "/b", "/c"]
            .map(|pointer| (fields.has(pointer).ok(), fields.is_null_or_absent(pointer)));
        assert_eq!(states, [(Some(true), true), (Some(false), true), (Some(true), false)]);
    }

    #[test]
    fn a_body_is_read_once_for_any_number_of_pointers() {
        let pointers: Vec<_> = (0..1000).map(|number| format!("/a/{number}/b")).collect();
        let body = format!("{{\"a\":[{}{{}}]}}", "{\"b\":1},".repeat(2000));
        let before = BYTES_READ.get();
        let set = Pointers::new(pointers.iter().map(String::as_str));
        let mut slots = None;
        for _ in 0..2 {
            let fields = Fields::read(&set, &mut slots, body.as_bytes());
            assert!(pointers.iter().all(|pointer| fields.scalar(pointer).is_ok()));
        }
        assert_eq!(BYTES_READ.get() - before, body.len());
    }

    #[test]
    fn depth_is_no_danger() {
        let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let deep = format!("{{\"b\":{nested},\"c\":{nested},\"a\":\"x\"}}");
        let pointer = "/0".repeat(200);
        let found = read(deep.as_bytes(), ["/a", "/b", "/b/0"]);
        assert_eq!(found, [Ok(Some("x".to_owned())), Ok(None), Ok(None)]);
        assert!(read(deep.as_bytes(), ["/a", &*format!("/c{pointer}")])[0].is_err());
        assert!(read(deep.replace(']', "").as_bytes(), ["/a", "/b"])[0].is_err());
    }
}
