//! Descriptions of schemes in the builder's terms, for tables, logs and error messages.

use std::fmt;

use super::{Field, Grammar, Place, Prefix, Scheme, TimestampPlace};

impl Scheme {
    /// Returns the signed content, as
    /// [`SchemeBuilder::signed_content`](super::SchemeBuilder::signed_content) takes it. It is
    /// empty for tokens and JSON Web Tokens.
    #[must_use]
    pub fn signed_content(&self) -> String {
        self.content.iter().map(ToString::to_string).collect()
    }

    /// Returns the places of the signature or token with their prefixes, such as
    /// `header x-hub-signature-256: sha256=…`.
    pub fn signature_places(&self) -> impl Iterator<Item = String> {
        self.signatures.iter().map(|source| format!("{}: {}", source.place, source.grammar))
    }

    /// Returns the place of the delivery ID, such as `header x-github-delivery`.
    #[must_use]
    pub fn id_place(&self) -> Option<String> {
        self.id.as_ref().map(ToString::to_string)
    }

    /// Returns the place of the event type, such as `body /type`.
    #[must_use]
    pub fn event_type_place(&self) -> Option<String> {
        self.event_type.as_ref().map(ToString::to_string)
    }

    /// Returns the place of the timestamp, such as `header webhook-timestamp`.
    #[must_use]
    pub fn timestamp_place(&self) -> Option<String> {
        let source = self.timestamp.as_ref()?;
        Some(match &source.place {
            TimestampPlace::Header(name) => format!("header {name}"),
            TimestampPlace::Pair(key) => format!("{key}= beside the signature"),
            TimestampPlace::Pointer(pointer) => format!("body {pointer}"),
            TimestampPlace::Claim(name) => format!("claim {name}"),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::HeaderPrefix(prefix) => write!(f, "header {prefix}*"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Form(name) => write!(f, "form {name}"),
            Self::Pointer(pointer) => write!(f, "body {pointer}"),
        }
    }
}

impl fmt::Display for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(Prefix::Refused) => f.write_str("…"),
            Self::Plain(Prefix::Required(prefix)) => write!(f, "{prefix}…"),
            Self::Plain(Prefix::Optional(prefix)) => write!(f, "[{prefix}]…"),
            Self::Plain(Prefix::Scheme(name)) => write!(f, "{name} …"),
            Self::Pairs { separator, keys } => {
                let pairs: Vec<_> = keys.iter().map(|key| format!("{key}=…")).collect();
                write!(f, "{}{separator} …", pairs.join(&separator.to_string()))
            }
            Self::List { separator, version_separator, versions } => {
                let items: Vec<_> = versions
                    .iter()
                    .map(|version| format!("{version}{version_separator}…"))
                    .collect();
                write!(f, "{}{separator}…", items.join(&separator.to_string()))
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Pointer(pointer) => write!(f, "body {pointer}"),
            Self::FirstKey => f.write_str("first key of the body"),
        }
    }
}
