/// Returns whether an event type matches a pattern.
///
/// A pattern that ends in `*` matches every type with that prefix: `contact.*` matches
/// `contact.created`, and `*` matches all types. Any other pattern matches only itself. These are
/// core-php's wildcards. For AMQP topic patterns, use [`matches_topic`](super::matches_topic).
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

/// Returns whether a pattern is empty, or has a `*` that is not at its end.
pub(super) fn is_malformed(pattern: &str) -> bool {
    pattern.is_empty() || pattern.strip_suffix('*').unwrap_or(pattern).contains('*')
}

/// Returns whether a pattern matches an event type. An unknown type matches only `*`.
pub(super) fn matches_known(pattern: &str, event_type: Option<&str>) -> bool {
    match event_type {
        Some(event_type) => matches(pattern, event_type),
        None => pattern == "*",
    }
}
