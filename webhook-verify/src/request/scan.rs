//! Finds the values at JSON pointers in an untrusted body, at the speed of a hash.
//!
//! This is not a parser. In valid JSON, it finds the same values as a parser. In other bodies, its
//! result is arbitrary. It is for requests that are not verified yet: [`Pointers::read`] confirms
//! the result with a parser afterwards. No pointer leads to most values of a body. The scan skips
//! them by their brackets and quotes, in a fraction of the time that a parser takes for many small
//! values.

use super::pointers::{Node, Pointers, Slot};

/// The body ended, or is not JSON.
struct Broken;

struct Scan<'p, 'a> {
    nodes: &'p [Node],
    slots: Box<[Slot]>,
    body: &'a [u8],
    at: usize,
}

impl Pointers {
    /// Returns the values of `body` as [`read`](Self::read) does if it is JSON. Keys of letters,
    /// digits, `_`, `-` and `.` are not found if the body escapes them.
    pub(super) fn scan(&self, body: &[u8]) -> Box<[Slot]> {
        let slots = vec![Slot::Absent; self.nodes.len()].into_boxed_slice();
        if slots.is_empty() {
            return slots;
        }
        #[cfg(test)]
        super::json::BYTES_READ.set(super::json::BYTES_READ.get() + body.len());
        let mut scan = Scan { nodes: &self.nodes, slots, body, at: 0 };
        // Only white space may follow: `next` would end at another byte.
        if scan.value(0).is_err() || scan.next().is_ok() {
            scan.slots.fill(Slot::Unreadable);
        }
        scan.slots
    }
}

impl Scan<'_, '_> {
    fn peek(&self) -> Result<u8, Broken> {
        self.body.get(self.at).copied().ok_or(Broken)
    }

    /// Returns the next byte that is not white space, without taking it.
    fn next(&mut self) -> Result<u8, Broken> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    /// Takes one of two bytes, and returns whether it was the first.
    fn take_either(&mut self, one: u8, other: u8) -> Result<bool, Broken> {
        let byte = self.next()?;
        self.at += 1;
        if byte == one || byte == other { Ok(byte == one) } else { Err(Broken) }
    }

    /// Takes a string, and returns whether it has escapes.
    fn string(&mut self) -> Result<bool, Broken> {
        let mut has_escapes = false;
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Ok(has_escapes),
                b'\\' => {
                    has_escapes = true;
                    self.at += 1;
                }
                _ => {}
            }
        }
    }

    /// Takes a value that no pointer leads to.
    #[inline]
    fn pass(&mut self) -> Result<(), Broken> {
        match self.next()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.pass_nested(),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let ends =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
                let rest = &self.body[self.at..];
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                Ok(())
            }
            _ => Err(Broken),
        }
    }

    /// Takes an object or array that no pointer leads to.
    fn pass_nested(&mut self) -> Result<(), Broken> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => {
                    self.at += 1;
                    return Ok(());
                }
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Takes the value at a node.
    fn value(&mut self, node: usize) -> Result<(), Broken> {
        let nodes = self.nodes;
        let first = self.next()?;
        let start = self.at;
        self.slots[node] = Slot::Passed;
        match first {
            b'{' if !nodes[node].children.is_empty() => self.object(&nodes[node])?,
            b'[' if !nodes[node].children.is_empty() => self.array(&nodes[node])?,
            _ => self.pass()?,
        }
        if nodes[node].is_wanted {
            self.slots[node] = Slot::Found { start, end: self.at };
        }
        Ok(())
    }

    fn object(&mut self, node: &Node) -> Result<(), Broken> {
        self.at += 1;
        if self.next()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.next()? != b'"' {
                return Err(Broken);
            }
            let start = self.at;
            let has_escapes = self.string()?;
            let child = match &self.body[start..self.at] {
                quoted if has_escapes => node.escaped_child(quoted),
                quoted => node.child(&quoted[1..quoted.len() - 1]),
            };
            self.take_either(b':', b':')?;
            match child {
                None => self.pass()?,
                Some(child) if self.slots[child] == Slot::Absent => self.value(child)?,
                Some(child) => {
                    self.slots[child..self.nodes[child].end].fill(Slot::Unreadable);
                    self.pass()?;
                }
            }
            if !self.take_either(b',', b'}')? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, node: &Node) -> Result<(), Broken> {
        self.at += 1;
        if self.next()? == b']' {
            self.at += 1;
            return Ok(());
        }
        let mut wanted = node.elements.iter().peekable();
        for index in 0.. {
            match wanted.next_if(|(wanted, _)| *wanted == index) {
                Some((_, child)) => self.value(*child)?,
                None => self.pass()?,
            }
            if !self.take_either(b',', b']')? {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pointers, pointers::Slot};

    const POINTERS: [&str; 9] =
        ["", "/a", "/a/b", "/a/0", "/a/1/b", "/b", "/é", "/a~1b/c", "/a/b/0/c"];

    fn set() -> Pointers {
        Pointers::new(POINTERS.into_iter())
    }

    /// Bodies made of all combinations of some pieces: nearly all of them are not JSON.
    #[test]
    fn the_result_is_that_of_the_parser_or_refused_by_it() {
        let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "1", " ", "\"", "\\"];
        let (set, count) = (set(), pieces.len());
        let mut valid = 0;
        for number in 0..count.pow(5) {
            let piece = |place: u32| pieces[number / count.pow(place) % count];
            let body: String = (0..5).map(piece).collect();
            let read = set.read(body.as_bytes());
            if read[0] != Slot::Unreadable {
                valid += 1;
                assert_eq!(set.scan(body.as_bytes()), read, "{body}");
            } else {
                let _ = set.scan(body.as_bytes());
            }
        }
        assert!(valid > 100, "{valid}");
    }

    #[test]
    fn valid_bodies_are_read_as_by_the_parser() {
        let set = set();
        for body in [
            r#"{"a":{"b":[{"c":"\"}]"}]},"b":"\\","\u00e9":1,"a\/b":{"c":true}}"#,
            "\t{ \"a\" : [ 1 , { \"b\" : \"x\" } , [ ] ] , \"b\" : -1.5e3 }\r\n",
            r#"{"é":1,"\u00e9":2}"#,
            r#"{"a":1,"a":{"b":1},"b":null}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[[{"b":1}],{"b":{}},{}]}"#,
            r#"{"x\"a":{"a":1},"":{},"b":"\ud83d\ude00"}"#,
            r#"[{"a":1}]"#,
            "{}",
            "[]",
            " 17 ",
            "\"x\"",
            "null",
        ] {
            let scanned = set.scan(body.as_bytes());
            assert_eq!(scanned, set.read(body.as_bytes()), "{body}");
            assert_ne!(scanned[0], Slot::Unreadable, "{body}");
        }
        // No sender escapes such letters: the parser finds the key, and the results differ.
        let (usual, body) = (Pointers::new(["/a"].into_iter()), br#"{"\u0061":1}"#);
        assert_ne!(usual.scan(body), usual.read(body));
    }

    #[test]
    fn depth_is_no_danger() {
        for body in ["[".repeat(1 << 20), "{\"a\":".repeat(100_000), "{\"x\":[".repeat(100_000)] {
            assert!(set().scan(body.as_bytes()).iter().all(|slot| *slot == Slot::Unreadable));
        }
    }
}
