//! Where things are in a request, and in which form.

use super::{
    super::{Field, Grammar, List, Place, Prefix, SignatureSource, Text, TimestampPlace},
    SchemeBuilder, owned,
};

/// The signature's places, and the form of what is there: the bare signature, unless a prefix, pairs or versions are
/// named after the place. That goes for all places before it that have no form yet.
impl SchemeBuilder {
    /// A header that holds the signature or token. More places may be added: each is looked into, and a token must be
    /// the same wherever it is.
    pub fn signature_header(self, name: impl Into<String>) -> Self {
        self.place(Place::Header(owned(name)))
    }

    /// Every header whose name starts with `prefix` holds a signature.
    pub fn signature_header_prefix(self, prefix: impl Into<String>) -> Self {
        self.place(Place::HeaderPrefix(owned(prefix)))
    }

    /// A query parameter that holds the signature or token. It ends up in access logs; prefer a header.
    pub fn signature_query(self, name: impl Into<String>) -> Self {
        self.place(Place::Query(owned(name)))
    }

    /// A field of an `application/x-www-form-urlencoded` body that holds the signature or token.
    pub fn signature_form(self, name: impl Into<String>) -> Self {
        self.place(Place::Form(owned(name)))
    }

    /// A JSON pointer (RFC 6901) to the signature in the body.
    pub fn signature_pointer(self, pointer: impl Into<String>) -> Self {
        self.place(Place::Pointer(owned(pointer)))
    }

    fn place(mut self, place: Place) -> Self {
        let grammar = Grammar::Plain(Prefix::Refused);
        let places = self.scheme.signatures.to_mut();
        places.push(SignatureSource { place, grammar });
        self
    }

    /// Text that must stand before the signature, such as `sha256=`.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = Prefix::Required(owned(prefix));
        self.form("prefix", &Grammar::Plain(prefix))
    }

    /// Text that may stand before the signature.
    pub fn optional_prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = Prefix::Optional(owned(prefix));
        self.form("optional_prefix", &Grammar::Plain(prefix))
    }

    /// The name of an HTTP authentication scheme before the signature or token, such as `Bearer`: in either case, and with
    /// a blank behind it.
    pub fn authorization_scheme(self, name: impl Into<String>) -> Self {
        let prefix = Prefix::Scheme(owned(name));
        self.form("authorization_scheme", &Grammar::Plain(prefix))
    }

    /// The header holds `key=value` pairs; the values of `keys` are signatures. Unknown keys are ignored.
    pub fn pairs<K: Into<String>>(
        self,
        separator: char,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        let keys = all(keys);
        self.form("pairs", &Grammar::Pairs { separator, keys })
    }

    /// The header holds versioned signatures, such as `v1,<base64> v1,<base64>`. Unknown versions are skipped.
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

    /// The places so far stay as they are: the next form is not theirs.
    #[cfg(feature = "serde")]
    pub(in super::super) fn end_of_place(mut self) -> Self {
        self.formed = self.scheme.signatures.len();
        self
    }
}

/// The timestamp's place.
impl SchemeBuilder {
    /// The header that holds the signed timestamp.
    pub fn timestamp_header(self, name: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Header(owned(name)))
    }

    /// The key of the timestamp among the signature header's pairs.
    pub fn timestamp_pair(self, key: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Pair(owned(key)))
    }

    /// A JSON pointer to a timestamp in the signed body.
    pub fn timestamp_pointer(self, pointer: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Pointer(owned(pointer)))
    }

    /// The claim of the JSON Web Token that holds its time, such as `iat`.
    pub fn timestamp_claim(self, name: impl Into<String>) -> Self {
        self.timestamp(TimestampPlace::Claim(owned(name)))
    }

    fn timestamp(mut self, place: TimestampPlace) -> Self {
        self.timestamp = Some(place);
        self
    }
}

/// The places of id and event type.
impl SchemeBuilder {
    /// The header that holds the delivery's id: signed if `{id}` is in the signed content, else a label for logs.
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.scheme.id = Some(Field::Header(owned(name)));
        self
    }

    /// A JSON pointer to the delivery's id in the body.
    pub fn id_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.id = Some(Field::Pointer(owned(pointer)));
        self
    }

    /// The header that names the event type.
    pub fn event_type_header(mut self, name: impl Into<String>) -> Self {
        self.scheme.event_type = Some(Field::Header(owned(name)));
        self
    }

    /// A JSON pointer to the event type in the body.
    pub fn event_type_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.event_type = Some(Field::Pointer(owned(pointer)));
        self
    }

    /// The event type is the first key of the body's object that holds an object or an array.
    pub fn event_type_first_key(mut self) -> Self {
        self.scheme.event_type = Some(Field::FirstKey);
        self
    }

    /// An unsigned header that repeats the body's event type: a request in which the two differ is refused.
    pub fn event_type_repeated_in(mut self, header: impl Into<String>) -> Self {
        self.scheme.event_header = Some(owned(header));
        self
    }
}

fn all<K: Into<String>>(items: impl IntoIterator<Item = K>) -> List<Text> {
    items.into_iter().map(owned).collect()
}
