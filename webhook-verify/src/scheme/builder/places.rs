//! Places in a request, and the form of what is there.

use super::{
    super::{Field, Grammar, List, Place, Prefix, SignatureSource, Text, TimestampPlace},
    SchemeBuilder, owned,
};

/// Set the signature's places and their forms. The default form is the bare signature. A prefix,
/// pairs or versions apply to all places before them that have no form yet.
impl SchemeBuilder {
    /// Adds a header with the signature or token. All places are read, and tokens must be equal.
    pub fn signature_header(self, name: impl Into<String>) -> Self {
        self.place(Place::Header(owned(name)))
    }

    /// Adds every header whose name starts with `prefix`, with a signature each.
    pub fn signature_header_prefix(self, prefix: impl Into<String>) -> Self {
        self.place(Place::HeaderPrefix(owned(prefix)))
    }

    /// Adds a query parameter with the signature or token. Access logs contain it; prefer a header.
    pub fn signature_query(self, name: impl Into<String>) -> Self {
        self.place(Place::Query(owned(name)))
    }

    /// Adds a field of an `application/x-www-form-urlencoded` body with the signature or token.
    pub fn signature_form(self, name: impl Into<String>) -> Self {
        self.place(Place::Form(owned(name)))
    }

    /// Adds a JSON pointer (RFC 6901) to the signature in the body.
    pub fn signature_pointer(self, pointer: impl Into<String>) -> Self {
        self.place(Place::Pointer(owned(pointer)))
    }

    fn place(mut self, place: Place) -> Self {
        let grammar = Grammar::Plain(Prefix::Refused);
        let places = self.scheme.signatures.to_mut();
        places.push(SignatureSource { place, grammar, several: None });
        self
    }

    /// Requires a prefix before the signature, such as `sha256=`. It may end in a space.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = Prefix::Required(owned(prefix));
        self.form("prefix", &Grammar::Plain(prefix))
    }

    /// Allows a prefix before the signature.
    pub fn optional_prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = Prefix::Optional(owned(prefix));
        self.form("optional_prefix", &Grammar::Plain(prefix))
    }

    /// Requires the name of an HTTP authentication scheme before the signature or token, such as
    /// `Bearer`, in any case and followed by a space.
    pub fn authorization_scheme(self, name: impl Into<String>) -> Self {
        let prefix = Prefix::Scheme(owned(name));
        self.form("authorization_scheme", &Grammar::Plain(prefix))
    }

    /// Reads `key=value` pairs. The values of `keys` are signatures, and other keys are ignored.
    pub fn pairs<K: Into<String>>(
        self,
        separator: char,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        let keys = all(keys);
        self.form("pairs", &Grammar::Pairs { separator, groups: None, keys })
    }

    /// Allows several groups of the [pairs](Self::pairs) that were set before, such as `t=1,v1=…
    /// t=1,v1=…`. All groups must have the same timestamp.
    pub fn pair_groups(mut self, separator: char) -> Self {
        for source in self.scheme.signatures.to_mut() {
            if let Grammar::Pairs { groups, .. } = &mut source.grammar {
                *groups = Some(separator);
            }
        }
        self
    }

    /// Allows several signatures at the last place, with this separator or in several header lines.
    /// After a timestamp, they must be in one line.
    pub fn several(mut self, separator: char) -> Self {
        match self.scheme.signatures.to_mut().last_mut() {
            Some(source) => source.several = Some(separator),
            None => {
                self.stray_form.get_or_insert("several");
            }
        }
        self
    }

    /// Reads the timestamp, this separator and the signature, such as `1795305600.<hex>`.
    pub fn after_timestamp(self, separator: char) -> Self {
        let builder = self.form("after_timestamp", &Grammar::AfterTimestamp { separator });
        builder.timestamp(TimestampPlace::Before)
    }

    /// Reads versioned signatures, such as `v1,<base64> v1,<base64>`. Unknown versions are skipped.
    pub fn version_list<K: Into<String>>(
        self,
        separator: char,
        version_separator: char,
        versions: impl IntoIterator<Item = K>,
    ) -> Self {
        let grammar = Grammar::List { separator, version_separator, versions: all(versions) };
        self.form("version_list", &grammar)
    }

    fn form(mut self, option: &'static str, grammar: &Grammar) -> Self {
        let places = self.scheme.signatures.to_mut();
        if self.formed == places.len() {
            self.stray_form.get_or_insert(option);
        }
        for place in &mut places[self.formed..] {
            place.grammar = grammar.clone();
        }
        self.formed = places.len();
        self
    }

    /// Keeps the forms of the places so far: the next form is not theirs.
    #[cfg(feature = "serde")]
    pub(in super::super) fn end_of_place(mut self) -> Self {
        self.formed = self.scheme.signatures.len();
        self
    }
}

/// Set the timestamp's place.
impl SchemeBuilder {
    /// Sets the header with the signed timestamp.
    pub fn timestamp_header(self, name: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Header(owned(name)))
    }

    /// Sets the timestamp's key among the signature header's pairs.
    pub fn timestamp_pair(self, key: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Pair(owned(key)))
    }

    /// Sets the JSON pointer to a timestamp in the signed body.
    pub fn timestamp_pointer(self, pointer: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Pointer(owned(pointer)))
    }

    /// Sets the field of an `application/x-www-form-urlencoded` body with the signed timestamp.
    pub fn timestamp_form(self, name: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Form(owned(name)))
    }

    /// Sets the claim of the JSON Web Token with its time, such as `iat`.
    pub fn timestamp_claim(self, name: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Claim(owned(name)))
    }

    fn timestamp(mut self, place: TimestampPlace) -> Self {
        self.timestamp = Some(place);
        self
    }
}

/// Set the places of ID and event type.
impl SchemeBuilder {
    /// Sets the header with the delivery ID. If it is not signed, it proves nothing, but by default it
    /// is part of the idempotency key next to the body's digest.
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.scheme.id = Some(Field::Header(owned(name)));
        self
    }

    /// Sets the JSON pointer to the delivery ID in the body.
    pub fn id_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.id = Some(Field::Pointer(owned(pointer)));
        self
    }

    /// Sets the header with the event type.
    pub fn event_type_header(mut self, name: impl Into<String>) -> Self {
        self.scheme.event_type = Some(Field::Header(owned(name)));
        self
    }

    /// Sets the JSON pointer to the event type in the body.
    pub fn event_type_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.event_type = Some(Field::Pointer(owned(pointer)));
        self
    }

    /// Takes the body's first key whose value is an object or an array as the event type.
    pub fn event_type_first_key(mut self) -> Self {
        self.scheme.event_type = Some(Field::FirstKey);
        self
    }

    /// Sets an unsigned header that repeats the body's event type. A different one is refused.
    pub fn event_type_repeated_in(mut self, header: impl Into<String>) -> Self {
        self.scheme.event_header = Some(owned(header));
        self
    }
}

fn all<K: Into<String>>(items: impl IntoIterator<Item = K>) -> List<Text> {
    items.into_iter().map(owned).collect()
}
