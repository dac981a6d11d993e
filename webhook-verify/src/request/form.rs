//! Forms, in a body or a query.

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
    let pairs = form_urlencoded::parse(form);
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
    let first = values.next().unwrap_or_default();
    match values.next() {
        None => Ok(first.into_owned()),
        Some(_) => Err(Repeated),
    }
}

/// Returns whether a content type is that of a form.
pub(crate) fn is_form_type(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|&byte| byte == b';').next();
    media_type
        .unwrap_or_default()
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}
