//! Proves that a signed text has only one meaning: no two lists of values give the same text.
//!
//! The proof reads a text from both ends. From the left, the end of each part must be certain: the
//! part is constant, or none of its texts is a prefix of another, or it contains no byte that may
//! follow it. From the right, the same applies to the starts. One part may remain in the middle,
//! and its text is the rest. If the boundary between two parts is not certain, the scheme is
//! refused.

use super::{
    super::{DigestForm, Free, Part, PathForm, Scheme, Text, TimeUnit, UrlForm},
    is_token_byte,
};
#[cfg(test)]
use crate::scheme::body_follows_url;

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bytes([u128; 2]);

impl Bytes {
    const NONE: Self = Self([0; 2]);
    const ALL: Self = Self([u128::MAX; 2]);

    fn of(is_in: impl Fn(u8) -> bool) -> Self {
        (0..=u8::MAX).filter(|byte| is_in(*byte)).fold(Self::NONE, Self::and_byte)
    }

    fn from(text: &[u8]) -> Self {
        text.iter().copied().fold(Self::NONE, Self::and_byte)
    }

    fn and_byte(mut self, byte: u8) -> Self {
        self.0[usize::from(byte >> 7)] |= 1 << (byte & 127);
        self
    }

    fn with(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    fn without(self, other: Self) -> Self {
        Self([self.0[0] & !other.0[0], self.0[1] & !other.0[1]])
    }

    fn len(self) -> u32 {
        self.0[0].count_ones() + self.0[1].count_ones()
    }

    fn meets(self, other: Self) -> bool {
        self.0[0] & other.0[0] != 0 || self.0[1] & other.0[1] != 0
    }

    fn contains(self, byte: u8) -> bool {
        self.0[usize::from(byte >> 7)] & (1 << (byte & 127)) != 0
    }

    fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |byte| self.contains(*byte))
    }
}

/// The texts that a part, or a piece of one, may have.
#[derive(Clone, Copy)]
struct Shape {
    /// The same in all requests to a verifier.
    is_constant: bool,
    may_be_empty: bool,
    /// No text is the beginning, or the end, of another one.
    ends_itself: bool,
    starts_itself: bool,
    /// If one text is a proper prefix of another, only these bytes may follow the prefix.
    continued_by: Option<Bytes>,
    all: Bytes,
    first: Bytes,
    last: Bytes,
    /// A byte at a fixed distance from the start.
    mark: Option<u8>,
    /// Verification refuses a text that contains one of these bytes, if an adjacent part begins or
    /// ends with it.
    kept_out: Bytes,
}

impl Shape {
    /// Any text of these bytes.
    const fn text(all: Bytes) -> Self {
        Self {
            is_constant: false,
            may_be_empty: true,
            ends_itself: false,
            starts_itself: false,
            continued_by: None,
            all,
            first: all,
            last: all,
            mark: None,
            kept_out: Bytes::NONE,
        }
    }

    /// A value that must not contain the bytes next to it, or verification refuses it.
    const fn value() -> Self {
        Self { kept_out: Bytes::ALL, ..Self::text(Bytes::ALL) }
    }

    fn constant(text: &[u8]) -> Self {
        Self {
            is_constant: true,
            may_be_empty: text.is_empty(),
            first: Bytes::from(&text[..text.len().min(1)]),
            last: Bytes::from(&text[text.len().saturating_sub(1)..]),
            ..Self::text(Bytes::from(text))
        }
    }

    /// A text of one length.
    fn fixed(all: Bytes) -> Self {
        Self { may_be_empty: false, ends_itself: true, starts_itself: true, ..Self::text(all) }
    }
}

/// A piece of the content: a part, or a piece of one.
struct Piece<'p> {
    part: &'p Part,
    shape: Shape,
}

fn digits() -> Bytes {
    Bytes::of(|byte| byte.is_ascii_digit())
}

/// The bytes of a target: no white space and no control characters (RFC 9110 §4.1).
fn visible() -> Bytes {
    Bytes::of(|byte| byte > b' ' && byte != 0x7f)
}

/// A part of a target. Verification may refuse bytes that no URI contains unescaped (RFC 3986 §2).
fn target() -> Shape {
    let of_uri =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let kept_out = Bytes::of(|byte| !of_uri(byte));
    Shape { kept_out, ..Shape::text(visible()) }
}

fn time(unit: Option<TimeUnit>) -> Shape {
    match unit {
        // Verification requires the length of a time between 2001 and 2286 where parts touch.
        Some(TimeUnit::Seconds | TimeUnit::Milliseconds) | None => Shape::fixed(digits()),
        Some(TimeUnit::Rfc3339) => Shape {
            first: digits(),
            mark: Some(b':'),
            ..Shape::fixed(Bytes::of(|byte| byte.is_ascii_digit() || b"-+:.TtZz ".contains(&byte)))
        },
        // A fraction may follow the seconds. No text is a proper suffix of another one, because
        // only the date at the start has hyphens.
        Some(TimeUnit::Utc) => Shape {
            may_be_empty: false,
            starts_itself: true,
            first: digits(),
            mark: Some(b':'),
            continued_by: Some(digits().and_byte(b'.')),
            ..Shape::text(Bytes::of(|byte| byte.is_ascii_digit() || b"-:.Tt ".contains(&byte)))
        },
        Some(TimeUnit::Rfc1123) => {
            let letters =
                Bytes::of(|byte| byte.is_ascii_alphanumeric() || b" ,:+-".contains(&byte));
            Shape { mark: Some(b','), ..Shape::fixed(letters) }
        }
    }
}

/// Returns the pieces of a content, in one case of its conditions.
fn pieces<'p>(scheme: &Scheme, content: &'p [Part], is_equal: bool) -> Vec<Piece<'p>> {
    let mut pieces = Vec::new();
    for part in content {
        let mut push = |shape| pieces.push(Piece { part, shape });
        match part {
            Part::Literal(text) => push(Shape::constant(text.as_bytes())),
            // Only the user and the sender choose these.
            Part::Parameter(_) | Part::Secret => {
                push(Shape { is_constant: true, ..Shape::text(Bytes::ALL) });
            }
            Part::Timestamp => push(time(scheme.timestamp.as_ref().map(|source| source.unit))),
            Part::Method => {
                push(Shape { may_be_empty: false, ..Shape::text(Bytes::of(is_token_byte)) })
            }
            Part::Url(form) => {
                push(Shape {
                    may_be_empty: false,
                    is_constant: true,
                    mark: Some(b':'),
                    first: Bytes::from(b"hw"),
                    ..Shape::text(visible())
                });
                match form {
                    UrlForm::WithoutQuery => {}
                    UrlForm::AsConfigured | UrlForm::EitherPort | UrlForm::PartlyDecoded => {
                        push(Shape { first: Bytes::from(b"?"), ..target() });
                    }
                }
            }
            Part::Path(PathForm::AsSent | PathForm::EscapedTwice) => {
                push(Shape { may_be_empty: false, first: Bytes::from(b"/"), ..target() })
            }
            Part::SortedQuery | Part::Form | Part::Body | Part::Fields(_) => {
                push(Shape::text(Bytes::ALL));
            }
            // No proper prefix or suffix of a JSON object or array is itself an object or array.
            // White space may follow it. An empty body is a prefix of any.
            Part::JsonBody => push(Shape {
                starts_itself: true,
                continued_by: Some(Bytes::from(b"{[ \t\r\n")),
                first: Bytes::from(b"{["),
                last: Bytes::from(b"}] \t\r\n"),
                ..Shape::text(Bytes::ALL)
            }),
            Part::BodyDigest(_, form) => push(Shape::fixed(match form {
                DigestForm::Hex => {
                    Bytes::of(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
                }
                DigestForm::Base64 => {
                    Bytes::of(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
                }
                DigestForm::Raw => Bytes::ALL,
            })),
            Part::Crc32 => push(Shape { may_be_empty: false, ..Shape::text(digits()) }),
            // Verification refuses line breaks.
            Part::SignedHeaders(_) => push(Shape::text(Bytes::of(|byte| byte != b'\n'))),
            Part::HeaderValues(_) => push(Shape::text(Bytes::ALL)),
            Part::Id => push(Shape { may_be_empty: false, ..Shape::value() }),
            Part::Header(_) | Part::Query(_) | Part::FormField(_) => push(Shape::value()),
            // Verification requires these bytes.
            Part::Pair(_) => push(Shape {
                may_be_empty: false,
                ..Shape::text(Bytes::of(|byte| {
                    byte.is_ascii_alphanumeric() || b" -_".contains(&byte)
                }))
            }),
            Part::Pointer(_, free) => push(match free {
                Free::Never => Shape::value(),
                Free::Always => Shape::text(Bytes::ALL),
                Free::If { is_equal: wanted, .. } if *wanted == is_equal => Shape::text(Bytes::ALL),
                Free::If { .. } => Shape::value(),
            }),
            Part::Group(parts) => {
                let text = |part: Option<&Part>| match part {
                    Some(Part::Literal(text)) => Shape::constant(text.as_bytes()),
                    _ => Shape::text(Bytes::ALL),
                };
                push(Shape {
                    first: text(parts.first()).first,
                    last: text(parts.last()).last,
                    ..Shape::value()
                });
            }
        }
    }
    pieces
}

/// Returns the bytes with which the text of these pieces may begin, and whether it may be empty.
fn first_bytes(pieces: &[Piece<'_>]) -> (Bytes, bool) {
    let mut first = Bytes::NONE;
    for Piece { shape, .. } in pieces {
        first = first.with(shape.first);
        if !shape.may_be_empty {
            return (first, false);
        }
    }
    (first, true)
}

/// Returns the bytes with which the text after a piece may begin, or `None` if it may be empty.
fn first_after(pieces: &[Piece<'_>]) -> Option<Bytes> {
    let (first, may_be_empty) = first_bytes(pieces);
    (!may_be_empty).then_some(first)
}

/// Returns the bytes with which the text before a piece may end, or `None` if it may be empty.
fn last_before(pieces: &[Piece<'_>]) -> Option<Bytes> {
    let mut last = Bytes::NONE;
    for Piece { shape, .. } in pieces.iter().rev() {
        last = last.with(shape.last);
        if !shape.may_be_empty {
            return Some(last);
        }
    }
    None
}

/// The most bytes that verification keeps out of a value.
const MOST_DELIMITERS: u32 = 8;

/// Returns the bytes that a value must not contain, so that its boundaries are certain: the bytes
/// with which its neighbors begin and end.
fn delimiters(pieces: &[Piece<'_>], index: usize) -> Bytes {
    let few = |bytes: Bytes| {
        if bytes.len() <= MOST_DELIMITERS { bytes } else { Bytes::NONE }
    };
    let after = match pieces.get(index + 1).and_then(|piece| piece.shape.mark) {
        Some(mark) => Bytes::from(&[mark]),
        None => few(first_after(&pieces[index + 1..]).unwrap_or(Bytes::NONE)),
    };
    let before = match &pieces[..index] {
        [.., Piece { part: Part::Literal(text), .. }] => {
            Bytes::from(&text.as_bytes()[text.len() - 1..])
        }
        _ => Bytes::NONE,
    };
    after.with(before).and(pieces[index].shape.kept_out)
}

/// Returns the bytes that a piece may contain, once verification has refused the others.
fn allowed(pieces: &[Piece<'_>], index: usize) -> Bytes {
    pieces[index].shape.all.without(delimiters(pieces, index))
}

/// Returns whether a reader who knows the start of a piece knows its end.
fn ends_clearly(pieces: &[Piece<'_>], index: usize) -> bool {
    let shape = pieces[index].shape;
    if let Part::Group(_) = pieces[index].part {
        // Its own text shows whether it is present, and where its value ends.
        return first_after(&pieces[index + 1..]).is_some_and(|next| !shape.first.meets(next));
    }
    if shape.is_constant || shape.ends_itself {
        return true;
    }
    if let Some(more) = shape.continued_by {
        return first_after(&pieces[index + 1..]).is_some_and(|next| !next.meets(more));
    }
    let allowed = allowed(pieces, index);
    let marked = pieces.get(index + 1).and_then(|next| next.shape.mark);
    marked.is_some_and(|mark| !allowed.contains(mark))
        || first_after(&pieces[index + 1..]).is_some_and(|next| !allowed.meets(next))
}

/// Returns whether a reader who knows the end of a piece knows its start.
fn starts_clearly(pieces: &[Piece<'_>], index: usize) -> bool {
    let shape = pieces[index].shape;
    if let Part::Group(_) = pieces[index].part {
        return last_before(&pieces[..index]).is_some_and(|previous| !shape.last.meets(previous));
    }
    let allowed = allowed(pieces, index);
    shape.is_constant
        || shape.starts_itself
        || last_before(&pieces[..index]).is_some_and(|previous| !allowed.meets(previous))
}

/// Returns two adjacent parts without a certain boundary, or `None` if every text has one meaning.
fn blurred<'p>(pieces: &[Piece<'p>]) -> Option<[&'p Part; 2]> {
    let from_left = (0..pieces.len()).take_while(|&index| ends_clearly(pieces, index)).count();
    let from_right =
        (0..pieces.len()).rev().take_while(|&index| starts_clearly(pieces, index)).count();
    // One piece may remain: its text is the rest.
    if from_left + from_right + 1 >= pieces.len() {
        return None;
    }
    let (first, last) = (from_left, pieces.len() - 1 - from_right);
    // Twilio, Plivo and Mandrill sign the query and a form without any text between them.
    let is_query = |piece: &Piece<'_>| matches!(piece.part, Part::Url(_));
    let is_form = |piece: &Piece<'_>| matches!(piece.part, Part::Form);
    if last == first + 1 && is_query(&pieces[first]) && is_form(&pieces[last]) {
        return None;
    }
    Some([pieces[first].part, pieces[last].part])
}

/// Checks that every signed text has one meaning.
pub(super) fn check(scheme: &Scheme) -> Result<(), String> {
    one_meaning(scheme, &scheme.content)?;
    for (version, content) in &*scheme.version_contents {
        one_meaning(scheme, content)?;
        let others = scheme.version_contents.iter().take_while(|(other, _)| other != version);
        let others = others.map(|(_, content)| &**content).chain([&*scheme.content]);
        for other in others {
            apart(scheme, content, other)?;
        }
    }
    Ok(())
}

/// Checks that no text is signed in two versions with a different meaning.
///
/// Suppose that both versions sign the same text. Then their common parts have the same texts, by
/// induction from the left: each part ends clearly in both versions, and at the same byte
/// ([`end_alike`]). So the rest of the text is also the same. But the two versions cannot begin the
/// rest with the same byte, and only one of them may leave it empty.
fn apart(scheme: &Scheme, one: &[Part], other: &[Part]) -> Result<(), String> {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let both = [one, other].map(|content| pieces(scheme, content, true));
    let is_common =
        |piece: &&Piece<'_>| one[..same].iter().any(|part| std::ptr::eq(part, piece.part));
    // Equal parts have the same pieces.
    let common = both[0].iter().take_while(is_common).count();
    let begins_alike = (0..common).all(|index| {
        both.iter().all(|pieces| ends_clearly(pieces, index)) && end_alike(&both, index, common)
    });
    let [(one_first, one_empty), (other_first, other_empty)] =
        [0, 1].map(|at| first_bytes(&both[at][common..]));
    if !begins_alike || one_first.meets(other_first) || one_empty && other_empty {
        return Err(
            "two versions could sign the same text with different meanings: begin the rest of \
                    one with `{body:json}`"
                .into(),
        );
    }
    Ok(())
}

/// Returns the first part whose text does not fit the assumptions of the proof.
#[cfg(test)]
pub(crate) fn misfit<'p>(
    scheme: &Scheme,
    content: &'p [Part],
    texts: &[Vec<u8>],
) -> Option<&'p Part> {
    let fits = |part: &Part, text: &[u8], is_equal: bool| {
        let pieces = pieces(scheme, content, is_equal);
        let start = pieces.iter().take_while(|piece| !std::ptr::eq(piece.part, part)).count();
        let len = pieces[start..].iter().take_while(|piece| std::ptr::eq(piece.part, part)).count();
        let own = &pieces[start..start + len];
        // After a URL without a query, verification accepts any text, which all parts repeat.
        if matches!(part, Part::JsonBody) && body_follows_url(content) {
            return true;
        }
        let (Some(first), Some(last)) = (text.first(), text.last()) else {
            return own.iter().all(|piece| piece.shape.may_be_empty);
        };
        let all = (start..start + len).map(|index| allowed(&pieces, index));
        let all = all.reduce(Bytes::with).unwrap_or(Bytes::NONE);
        // Only the second piece of a URL may be empty where the first is not.
        let lasts = own.iter().fold(Bytes::NONE, |lasts, piece| lasts.with(piece.shape.last));
        own[0].shape.first.contains(*first)
            && lasts.contains(*last)
            && own[0].shape.mark.is_none_or(|mark| text.contains(&mark))
            // The proof uses only the ends of a group.
            && (matches!(part, Part::Group(_)) || text.iter().all(|byte| all.contains(*byte)))
    };
    let mut parts = content.iter().zip(texts);
    let misfit =
        parts.find(|(part, text)| ![true, false].iter().any(|case| fits(part, text, *case)));
    misfit.map(|(part, _)| part)
}

/// Returns whether a common piece of two versions ends at the same byte in both. Assumes that it
/// begins at the same byte, and ends clearly in each version.
///
/// A piece without an end of its own ends before the first byte that it cannot contain, which is
/// the first byte of the next piece. If it could end earlier in one version, its text in the other
/// version would contain a byte that begins the next piece. The last line excludes this.
fn end_alike(both: &[Vec<Piece<'_>>; 2], index: usize, common: usize) -> bool {
    let Piece { part, shape } = &both[0][index];
    // These end in the same way in all versions: by their own text, or at a byte of the next piece.
    if shape.is_constant
        || shape.ends_itself
        || matches!(part, Part::Group(_) | Part::JsonBody)
        || index + 1 < common && both[0][index + 1].shape.mark.is_some()
    {
        return true;
    }
    let [(one, one_next), (other, other_next)] =
        both.each_ref().map(|pieces| (allowed(pieces, index), first_bytes(&pieces[index + 1..]).0));
    let is_marked = |pieces: &Vec<Piece<'_>>| {
        pieces.get(index + 1).is_some_and(|next| next.shape.mark.is_some())
    };
    !both.iter().any(is_marked) && !one.meets(other_next) && !other.meets(one_next)
}

fn one_meaning(scheme: &Scheme, content: &[Part]) -> Result<(), String> {
    conditions(content)?;
    groups(content)?;
    for is_equal in [true, false] {
        let pieces = pieces(scheme, content, is_equal);
        if let Some([one, other]) = blurred(&pieces) {
            return Err(format!(
                "the boundary between `{one}` and `{other}` is ambiguous: put text between them that \
                 neither can contain, or use `{{body:json}}` or `{{json:…}}`"
            ));
        }
    }
    Ok(())
}

/// Checks that all conditions use one field, which is read from the same side in both cases.
fn conditions(content: &[Part]) -> Result<(), String> {
    let mut free = content.iter().enumerate().filter_map(|(index, part)| {
        let Part::Pointer(_, Free::If { pointer, value, .. }) = part else { return None };
        Some((index, pointer, value))
    });
    let Some((first, pointer, value)) = free.next() else { return Ok(()) };
    let field = |part: &Part| matches!(part, Part::Pointer(known, Free::Never) if known == pointer);
    let Some(at) = content.iter().position(field) else {
        return Err(format!("the condition of a field reads `{pointer}`, which is not signed"));
    };
    let agrees = |(index, other, wanted): (usize, &Text, &Text)| {
        other == pointer && wanted == value && (index < at) == (first < at)
    };
    if free.all(agrees) {
        return Ok(());
    }
    Err(format!("the fields that depend on `{pointer}` must all be before it, or all after it"))
}

/// Checks that each value that may be left out is one that is kept apart from the text around it.
fn groups(content: &[Part]) -> Result<(), String> {
    for part in content {
        let Part::Group(parts) = part else { continue };
        if !matches!(
            &**parts,
            [
                _,
                Part::Header(_)
                    | Part::Query(_)
                    | Part::FormField(_)
                    | Part::Pointer(_, Free::Never),
                _
            ]
        ) {
            return Err(format!(
                "`{part}` could contain the text around its value: only `{{header:…}}`, \
                 `{{query:…}}`, `{{json:…}}` and `{{form:…}}` can be left out"
            ));
        }
    }
    Ok(())
}

/// Returns the bytes that the value of each part of a content must not contain.
pub(in super::super) fn all_delimiters(scheme: &Scheme, content: &[Part]) -> Vec<Box<[u8]>> {
    let cases = [true, false].map(|is_equal| pieces(scheme, content, is_equal));
    let of_part = |part: &Part| {
        let of_case = |pieces: &Vec<Piece<'_>>| {
            // The last piece of a part is the one that varies.
            let index = pieces.iter().rposition(|piece| std::ptr::eq(piece.part, part));
            index.map_or(Bytes::NONE, |index| delimiters(pieces, index))
        };
        // In a case where a part is free, it has no delimiters.
        cases.iter().map(of_case).fold(Bytes::NONE, Bytes::with).iter().collect()
    };
    content.iter().map(of_part).collect()
}
