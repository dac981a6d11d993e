//! Forms, in a body or a query.

use std::borrow::Cow;

/// Returns the decoded names and values of a form, or `None` for each pair that is not UTF-8.
///
/// The result is that of `form_urlencoded::parse`. But `parse` takes several times as long, and
/// replaces bytes that are not UTF-8, so different forms would have the same signature.
pub(crate) fn pairs(form: &[u8]) -> impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>> {
    encoded_pairs(form).map(|(name, value)| Some((decoded(name)?, decoded(value)?)))
}

/// Returns the decoded values of a field. Skips values that are not UTF-8.
pub(crate) fn values<'f>(form: &'f [u8], name: &str) -> impl Iterator<Item = Cow<'f, str>> {
    let of_name = encoded_pairs(form).filter(move |(known, _)| {
        // Few names are encoded, and the others are not decoded.
        *known == name.as_bytes()
            || known.iter().any(|byte| matches!(byte, b'+' | b'%'))
                && decoded(known).is_some_and(|known| known == name)
    });
    of_name.filter_map(|(_, value)| decoded(value))
}

fn encoded_pairs(form: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    form.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        (&pair[..end], pair.get(end + 1..).unwrap_or_default())
    })
}

fn decoded(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut bytes = text.to_vec();
    let (mut from, mut to) = (0, 0);
    while let Some(&byte) = bytes.get(from) {
        from += 1;
        bytes[to] = match byte {
            b'+' => b' ',
            b'%' => match bytes.get(from..from + 2).and_then(escaped) {
                Some(byte) => {
                    from += 2;
                    byte
                }
                None => b'%',
            },
            _ => byte,
        };
        to += 1;
    }
    bytes.truncate(to);
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Returns the byte with this hexadecimal number.
fn escaped(digits: &[u8]) -> Option<u8> {
    match digits {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Returns the decoded value of a form or query field, unless it is absent, empty or repeated.
pub(crate) fn single_value(form: &[u8], name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(form);
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = values.next().filter(|value| !value.is_empty())?;
    values.next().is_none().then(|| first.into_owned())
}

/// A name that must be unique is repeated.
pub(crate) struct Repeated;

/// Returns the decoded value of a form or query field, which is empty if the field is absent.
pub(crate) fn only_value(form: &[u8], name: &str) -> Result<String, Repeated> {
    let of_name =
        encoded_pairs(form).filter(|(known, _)| decoded(known).is_some_and(|known| known == name));
    let mut values = of_name.map(|(_, value)| decoded(value));
    match (values.next(), values.next()) {
        (None, _) => Ok(String::new()),
        (Some(Some(value)), None) => Ok(value.into_owned()),
        (Some(_), _) => Err(Repeated),
    }
}

/// Returns the decoded value of the only field of a form. The form begins with the field's name, so
/// no JSON object or array is such a form.
pub(crate) fn lone_value<'f>(form: &'f [u8], name: &str) -> Option<Cow<'f, str>> {
    let value = form.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    if value.contains(&b'&') { None } else { decoded(value) }
}

/// Returns whether a content type is that of a form.
pub(crate) fn is_form_type(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|&byte| byte == b';').next();
    media_type
        .unwrap_or_default()
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::{pairs, values};

    #[test]
    fn pairs_are_those_of_the_standard() {
        let pieces = ["&", "=", "+", "%", "%4", "%41", "%c3%BC", "%2B", "%26", "a", "ü", "%zz"];
        let count = pieces.len();
        for number in 0..count.pow(4) {
            let piece = |place: u32| pieces[number / count.pow(place) % count];
            let form: String = (0..4).map(piece).collect();
            let known: Vec<_> = form_urlencoded::parse(form.as_bytes()).collect();
            let is_text =
                !known.iter().any(|(name, value)| format!("{name}{value}").contains('\u{fffd}'));
            let ours: Option<Vec<_>> = pairs(form.as_bytes()).collect();
            if is_text {
                for name in ["", "a", "A"] {
                    let ours: Vec<_> = values(form.as_bytes(), name).collect();
                    let of_name = known.iter().filter(|(known, _)| known == name);
                    assert_eq!(ours, of_name.map(|(_, value)| &**value).collect::<Vec<_>>());
                }
            }
            assert_eq!(ours, is_text.then_some(known), "{form}");
        }
        for form in ["a=%ff", "%ff=a", "a=b&%c3=", "a=%c3%28+"] {
            assert_eq!(pairs(form.as_bytes()).collect::<Option<Vec<_>>>(), None, "{form}");
        }
        assert!(pairs(b"a=\xff").all(|pair| pair.is_none()));
    }
}
