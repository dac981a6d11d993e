/// Whether an event type matches a pattern: one that ends in `*` matches all types that begin as it does (`contact.*`, and
/// `*` for all), and any other matches itself alone. These are core-php's wildcards; for words between dots, as in AMQP, there
/// is [`matches_topic`](super::matches_topic).
///
/// ```
/// use webhook_verify::event::matches;
///
/// assert!(matches("contact.*", "contact.created"));
/// assert!(matches("*", "anything"));
/// assert!(matches("post.created", "post.created"));
/// assert!(!matches("contact.*", "contacts.created"));
/// assert!(!matches("post.created", "post.created.later"));
/// ```
#[must_use]
pub fn matches(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => event_type.starts_with(start),
        None => event_type == pattern,
    }
}

/// Whether a pattern matches an event type that may not be known: then `*` alone does.
pub(super) fn matches_known(pattern: &str, event_type: Option<&str>) -> bool {
    match event_type {
        Some(event_type) => matches(pattern, event_type),
        None => pattern == "*",
    }
}
