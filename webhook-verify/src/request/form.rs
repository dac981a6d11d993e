//! Forms, in a body or a query.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

use super::hex;

/// The maximum number of fields in a form that is decoded. Counting them is fast. Without the
/// limit, a form of many small fields would take many times as long as its hash.
pub(crate) const MAX_FIELDS: usize = 4096;
/// The maximum number of fields in a form in which one name is looked up. A lookup is faster.
const MAX_NAMES: usize = 1 << 16;

/// Returns the decoded names and values of a form, or `None` for each pair that is not UTF-8.
/// Returns `None` if there are too many fields.
///
/// The result is that of `form_urlencoded::parse`. But `parse` takes several times as long, and
/// replaces bytes that are not UTF-8, so different forms would have the same signature.
pub(crate) fn pairs(
    form: &[u8],
) -> Option<impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>>> {
    let pairs = encoded_pairs(form, MAX_FIELDS)?;
    Some(pairs.map(|(name, value)| Some((decoded(name)?, decoded(value)?))))
}

/// Returns the decoded values of a field. Skips values that are not UTF-8. Returns none if the form
/// has too many fields.
pub(crate) fn values<'f>(form: &'f [u8], name: &str) -> impl Iterator<Item = Cow<'f, str>> {
    let pairs = encoded_pairs(form, MAX_NAMES).into_iter().flatten();
    pairs.filter(move |(known, _)| is_name(known, name)).filter_map(|(_, value)| decoded(value))
}

fn encoded_pairs(form: &[u8], most: usize) -> Option<impl Iterator<Item = (&[u8], &[u8])>> {
    if memchr_iter(b'&', form).count() >= most {
        return None;
    }
    let mut start = 0;
    let ends = memchr_iter(b'&', form).chain([form.len()]);
    let pairs = ends.map(move |end| {
        let pair = &form[start..end];
        start = end + 1;
        pair
    });
    Some(pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let end = memchr(b'=', pair).unwrap_or(pair.len());
        (&pair[..end], pair.get(end + 1..).unwrap_or_default())
    }))
}

/// Returns whether an encoded name decodes to `name`. Names that are equal or too long are not
/// decoded.
fn is_name(encoded: &[u8], name: &str) -> bool {
    encoded == name.as_bytes()
        || encoded.len() <= 3 * name.len() && decoded(encoded).is_some_and(|known| known == name)
}

fn decoded(text: &[u8]) -> Option<Cow<'_, str>> {
    if memchr2(b'+', b'%', text).is_none() {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut bytes = vec![0; text.len()];
    let (mut rest, mut len) = (text.iter(), 0);
    while let Some(&byte) = rest.next() {
        bytes[len] = if byte == b'%' {
            let digits = rest.as_slice().first_chunk::<2>();
            match digits.and_then(|digits| hex::number(*digits)) {
                Some(number) => {
                    rest = rest.as_slice()[2..].iter();
                    number as u8
                }
                None => b'%',
            }
        } else {
            UNESCAPED[usize::from(byte)]
        };
        len += 1;
    }
    bytes.truncate(len);
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The decoded form of each byte outside of escapes. A table is faster than a branch for `+`.
const UNESCAPED: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = byte as u8;
        byte += 1;
    }
    bytes[b'+' as usize] = b' ';
    bytes
};

/// Returns the decoded value of a form or query field, unless it is absent, empty or repeated.
pub(crate) fn single_value(form: &[u8], name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(form);
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = values.next().filter(|value| !value.is_empty())?;
    values.next().is_none().then(|| first.into_owned())
}

/// A name that must be unique is repeated, its value is not UTF-8, or there are too many fields.
pub(crate) struct Repeated;

/// Returns the decoded value of a form or query field, which is empty if the field is absent.
pub(crate) fn only_value(form: &[u8], name: &str) -> Result<String, Repeated> {
    let pairs = encoded_pairs(form, MAX_NAMES).ok_or(Repeated)?;
    let of_name = pairs.filter(|(known, _)| is_name(known, name));
    let mut values = of_name.map(|(_, value)| decoded(value));
    match (values.next(), values.next()) {
        (None, _) => Ok(String::new()),
        (Some(Some(value)), None) => Ok(value.into_owned()),
        (Some(_), _) => Err(Repeated),
    }
}

/// Returns the decoded value if the form has only this field. Such a form begins with the field's
/// name, so a JSON object or array is never taken for one.
pub(crate) fn lone_value<'f>(form: &'f [u8], name: &str) -> Option<Cow<'f, str>> {
    let value = form.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    if value.contains(&b'&') { None } else { decoded(value) }
}

/// Returns whether a content type is that of a form.
pub(crate) fn is_form_type(content_type: &[u8]) -> bool {
    is_media_type(content_type, b"application/x-www-form-urlencoded")
}

/// Returns whether a content type, without its parameters, is `media_type`.
pub(crate) fn is_media_type(content_type: &[u8], media_type: &[u8]) -> bool {
    let content_type = content_type.trim_ascii_start();
    let Some((start, rest)) = content_type.split_at_checked(media_type.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(media_type)
        && matches!(rest.trim_ascii_start().first(), None | Some(b';'))
}

#[cfg(test)]
mod tests {
    use super::{MAX_FIELDS, MAX_NAMES, is_form_type, only_value, pairs, values};

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
            let ours: Option<Vec<_>> = pairs(form.as_bytes()).unwrap().collect();
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
            assert_eq!(pairs(form.as_bytes()).unwrap().collect::<Option<Vec<_>>>(), None, "{form}");
        }
        assert!(pairs(b"a=\xff").unwrap().all(|pair| pair.is_none()));
    }

    #[test]
    fn a_form_of_too_many_fields_is_not_read() {
        let form = |fields: usize| vec!["a=b"; fields].join("&") + "&c=d";
        let most = form(MAX_FIELDS - 1);
        assert_eq!(pairs(most.as_bytes()).unwrap().count(), MAX_FIELDS);
        for more in [form(MAX_FIELDS), format!("c=d{}", "&".repeat(MAX_FIELDS))] {
            assert!(pairs(more.as_bytes()).is_none());
        }
        let most = form(MAX_NAMES - 1);
        assert_eq!(values(most.as_bytes(), "c").next().as_deref(), Some("d"));
        assert_eq!(only_value(most.as_bytes(), "c").ok().as_deref(), Some("d"));
        for more in [form(MAX_NAMES), format!("c=d{}", "&".repeat(MAX_NAMES))] {
            assert_eq!(values(more.as_bytes(), "c").next(), None);
            assert!(only_value(more.as_bytes(), "c").is_err());
        }
    }

    #[test]
    fn the_type_of_a_form_may_have_parameters_and_blanks() {
        for (text, is_form) in [
            ("application/x-www-form-urlencoded", true),
            (" Application/X-WWW-Form-URLencoded ;charset=utf-8", true),
            ("application/x-www-form-urlencoded;", true),
            ("application/x-www-form-urlencoded2", false),
            ("application/x-www-form-urlencoded x", false),
            ("application/x-www-form", false),
            ("text/plain; application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            assert_eq!(is_form_type(text.as_bytes()), is_form, "{text}");
        }
    }

    #[test]
    fn encoded_names_are_found() {
        for form in ["caf%C3%A9=1", "%63%61%66%c3%a9=1", "café=1"] {
            assert_eq!(only_value(form.as_bytes(), "café").ok().as_deref(), Some("1"), "{form}");
            assert_eq!(values(form.as_bytes(), "café").count(), 1, "{form}");
        }
    }
}
