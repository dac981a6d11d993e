use std::time::Duration;

use super::{
    Algorithm, Challenge, Field, Grammar, Identity, KeyForm, Place, Prefix, Scheme,
    SignatureSource, Text, TimeUnit, TimestampPlace, TimestampSource,
    check::{self, header_name, pointer},
    content,
};
use crate::{ConfigError, Encoding, Tolerance};

/// Describes a [`Scheme`] step by step. A mistake shows in [`build`](Self::build), with the name of the option.
#[derive(Clone, Debug)]
#[must_use]
pub struct SchemeBuilder {
    name: String,
    algorithm: Algorithm,
    key_form: KeyForm,
    places: Vec<(PlaceKind, String)>,
    grammar: Grammar,
    encoding: Encoding,
    content: Option<String>,
    timestamp: Option<(TimestampKind, String)>,
    unit: TimeUnit,
    tolerance: Option<Tolerance>,
    required_headers: Vec<(String, String)>,
    id: Option<(FieldKind, String)>,
    event_type: Option<(FieldKind, String)>,
    event_header: Option<String>,
    identity: Option<Identity>,
    retry_horizon: Option<Duration>,
    body_limit: Option<usize>,
    challenges: Vec<Challenge>,
}

#[derive(Clone, Copy, Debug)]
enum PlaceKind {
    Header,
    HeaderPrefix,
    Query,
    Form,
    Pointer,
}

#[derive(Clone, Copy, Debug)]
enum TimestampKind {
    Header,
    Pair,
    Pointer,
}

#[derive(Clone, Copy, Debug)]
enum FieldKind {
    Header,
    Pointer,
}

impl SchemeBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            algorithm: Algorithm::HmacSha256,
            key_form: KeyForm::Utf8,
            places: Vec::new(),
            grammar: Grammar::Plain(Prefix::Refused),
            encoding: Encoding::Hex,
            content: None,
            timestamp: None,
            unit: TimeUnit::Seconds,
            tolerance: Some(Tolerance::symmetric(Duration::from_secs(300))),
            required_headers: Vec::new(),
            id: None,
            event_type: None,
            event_header: None,
            identity: None,
            retry_horizon: None,
            body_limit: None,
            challenges: Vec::new(),
        }
    }

    /// The algorithm. Default: HMAC-SHA256.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How the secret's text becomes key bytes. Default: as it is.
    pub fn key_form(mut self, form: KeyForm) -> Self {
        self.key_form = form;
        self
    }

    /// A header that holds the signature or token. More places may be added: each is looked into, and a token must be
    /// the same wherever it is.
    pub fn signature_header(self, name: impl Into<String>) -> Self {
        self.place(PlaceKind::Header, name)
    }

    /// Every header whose name starts with `prefix` holds a signature.
    pub fn signature_header_prefix(self, prefix: impl Into<String>) -> Self {
        self.place(PlaceKind::HeaderPrefix, prefix)
    }

    /// A query parameter that holds the signature or token. It ends up in access logs; prefer a header.
    pub fn signature_query(self, name: impl Into<String>) -> Self {
        self.place(PlaceKind::Query, name)
    }

    /// A field of an `application/x-www-form-urlencoded` body that holds the signature or token.
    pub fn signature_form(self, name: impl Into<String>) -> Self {
        self.place(PlaceKind::Form, name)
    }

    /// A JSON pointer (RFC 6901) to the signature in the body.
    pub fn signature_pointer(self, pointer: impl Into<String>) -> Self {
        self.place(PlaceKind::Pointer, pointer)
    }

    fn place(mut self, kind: PlaceKind, name: impl Into<String>) -> Self {
        self.places.push((kind, name.into()));
        self
    }

    /// Text that must stand before the signature, such as `sha256=`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.grammar = Grammar::Plain(Prefix::Required(Text::Owned(prefix.into())));
        self
    }

    /// Text that may stand before the signature.
    pub fn optional_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.grammar = Grammar::Plain(Prefix::Optional(Text::Owned(prefix.into())));
        self
    }

    /// The header holds `key=value` pairs; the values of `keys` are signatures. Unknown keys are ignored.
    pub fn pairs<K: Into<String>>(
        mut self,
        separator: char,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        self.grammar = Grammar::Pairs {
            separator,
            keys: owned(keys),
        };
        self
    }

    /// The header holds versioned signatures, such as `v1,<base64> v1,<base64>`. Unknown versions are skipped.
    pub fn version_list<K: Into<String>>(
        mut self,
        separator: char,
        version_separator: char,
        versions: impl IntoIterator<Item = K>,
    ) -> Self {
        self.grammar = Grammar::List {
            separator,
            version_separator,
            versions: owned(versions),
        };
        self
    }

    /// How a signature is written. Default: hex.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// What is signed: text with `{body}`, `{timestamp}`, `{id}`, `{url}`, `{method}`, `{path}`, `{header:NAME}` and
    /// `{json:/POINTER}` in it. Default: `{body}`. `{timestamp}` stands for the text as sent, `{path}` for path and query.
    ///
    /// Text must stand between an id or a header and the body, and a request is refused whose id or header holds a byte
    /// of it: it could be cut apart elsewhere under the same signature.
    pub fn signed_content(mut self, template: impl Into<String>) -> Self {
        self.content = Some(template.into());
        self
    }

    /// The header that holds the signed timestamp.
    pub fn timestamp_header(mut self, name: impl Into<String>) -> Self {
        self.timestamp = Some((TimestampKind::Header, name.into()));
        self
    }

    /// The key of the timestamp among the signature header's pairs.
    pub fn timestamp_pair(mut self, key: impl Into<String>) -> Self {
        self.timestamp = Some((TimestampKind::Pair, key.into()));
        self
    }

    /// A JSON pointer to a timestamp in the signed body.
    pub fn timestamp_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.timestamp = Some((TimestampKind::Pointer, pointer.into()));
        self
    }

    /// The timestamp's unit. Default: seconds.
    pub fn timestamp_unit(mut self, unit: TimeUnit) -> Self {
        self.unit = unit;
        self
    }

    /// How far the timestamp may lie from the clock. Default: 300 s on both sides. `None`: it is not judged.
    pub fn tolerance(mut self, tolerance: impl Into<Option<Tolerance>>) -> Self {
        self.tolerance = tolerance.into();
        self
    }

    /// A header that must have this very value, such as a version.
    pub fn require_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.required_headers.push((name.into(), value.into()));
        self
    }

    /// The header that holds the delivery's id: signed if `{id}` is in the signed content, else a label for logs.
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.id = Some((FieldKind::Header, name.into()));
        self
    }

    /// A JSON pointer to the delivery's id in the body.
    pub fn id_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.id = Some((FieldKind::Pointer, pointer.into()));
        self
    }

    /// The header that names the event type.
    pub fn event_type_header(mut self, name: impl Into<String>) -> Self {
        self.event_type = Some((FieldKind::Header, name.into()));
        self
    }

    /// A JSON pointer to the event type in the body.
    pub fn event_type_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.event_type = Some((FieldKind::Pointer, pointer.into()));
        self
    }

    /// An unsigned header that repeats the body's event type: a request in which the two differ is refused.
    pub fn event_type_repeated_in(mut self, header: impl Into<String>) -> Self {
        self.event_header = Some(header.into());
        self
    }

    /// What a delivery is recognised by. Default: the id if it is signed, else the body's digest if that is signed,
    /// else nothing.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// How long after the event the sender's last retry may come.
    pub fn retry_horizon(mut self, horizon: Duration) -> Self {
        self.retry_horizon = Some(horizon);
        self
    }

    /// The largest body the sender sends, in bytes.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// A challenge of the sender, which a [`Receiver`](crate::Receiver) answers. May be given several times.
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.challenges.push(challenge);
        self
    }

    /// Checks the description as a whole.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] that names the option: a name that is not a header's, a template that cannot be read,
    /// a signed content that uses what is not described, an identity from bytes that are not signed.
    pub fn build(self) -> Result<Scheme, ConfigError> {
        let mut scheme = Scheme {
            name: self.name.into(),
            algorithm: self.algorithm,
            key_form: self.key_form,
            encoding: self.encoding,
            ..Scheme::BASE
        };
        if scheme.name.is_empty() {
            return Err(ConfigError::option("name", "empty"));
        }
        if self.places.is_empty() {
            return Err(ConfigError::option(
                "signature_header",
                "no place for the signature is given",
            ));
        }
        check::grammar(&self.grammar)?;
        scheme.signatures = self
            .places
            .into_iter()
            .map(|(kind, name)| {
                Ok(SignatureSource {
                    place: place(kind, &name)?,
                    grammar: self.grammar.clone(),
                })
            })
            .collect::<Result<_, ConfigError>>()?;
        scheme.content = match (&self.content, check::signs_content(scheme.algorithm)) {
            (None, false) => Vec::new().into(),
            (Some(_), false) => {
                return Err(ConfigError::option(
                    "signed_content",
                    "a token signs nothing, or itself",
                ));
            }
            (None, _) => Scheme::BASE.content,
            (Some(template), _) => content::parse(template)?.into(),
        };
        scheme.timestamp = match self.timestamp {
            None => None,
            Some((kind, name)) => Some(TimestampSource {
                place: timestamp_place(kind, name, &self.grammar)?,
                unit: self.unit,
                tolerance: self.tolerance,
            }),
        };
        scheme.required_headers = self
            .required_headers
            .into_iter()
            .map(|(name, value)| Ok((header_name("require_header", &name)?, value.into())))
            .collect::<Result<_, ConfigError>>()?;
        scheme.id = self
            .id
            .map(|(kind, name)| field("id", kind, &name))
            .transpose()?;
        scheme.event_type = self
            .event_type
            .map(|(kind, name)| field("event_type", kind, &name))
            .transpose()?;
        scheme.event_header = self
            .event_header
            .map(|name| header_name("event_type_repeated_in", &name))
            .transpose()?;
        scheme.hints.retry_horizon = self.retry_horizon;
        scheme.hints.body_limit = self.body_limit;
        scheme.challenges = self.challenges.into();
        check::whole(&scheme)?;
        scheme.identity = match self.identity {
            Some(Identity::SignedId) if !scheme.id_is_signed() => {
                return Err(ConfigError::option("identity", "the id is not signed"));
            }
            Some(Identity::BodyDigest) if !scheme.signs_body() => {
                return Err(ConfigError::option("identity", "the body is not signed"));
            }
            Some(identity) => identity,
            None if scheme.id_is_signed() => Identity::SignedId,
            None if scheme.signs_body() => Identity::BodyDigest,
            None => Identity::None,
        };
        Ok(scheme)
    }
}

fn owned<K: Into<String>>(items: impl IntoIterator<Item = K>) -> super::List<Text> {
    items
        .into_iter()
        .map(|item| Text::Owned(item.into()))
        .collect()
}

fn place(kind: PlaceKind, name: &str) -> Result<Place, ConfigError> {
    let named = |option| match name.is_empty() {
        true => Err(ConfigError::option(option, "empty")),
        false => Ok(Text::Owned(name.into())),
    };
    Ok(match kind {
        PlaceKind::Header => Place::Header(header_name("signature_header", name)?),
        PlaceKind::HeaderPrefix => {
            Place::HeaderPrefix(header_name("signature_header_prefix", name)?)
        }
        PlaceKind::Query => Place::Query(named("signature_query")?),
        PlaceKind::Form => Place::Form(named("signature_form")?),
        PlaceKind::Pointer => Place::Pointer(pointer("signature_pointer", name)?),
    })
}

fn timestamp_place(
    kind: TimestampKind,
    name: String,
    grammar: &Grammar,
) -> Result<TimestampPlace, ConfigError> {
    Ok(match kind {
        TimestampKind::Header => TimestampPlace::Header(header_name("timestamp_header", &name)?),
        TimestampKind::Pointer => TimestampPlace::Pointer(pointer("timestamp_pointer", &name)?),
        TimestampKind::Pair if name.is_empty() || name.contains(['=', ' ']) => {
            return Err(ConfigError::option(
                "timestamp_pair",
                "empty, or holds a separator",
            ));
        }
        TimestampKind::Pair if matches!(grammar, Grammar::Pairs { keys, .. } if keys.iter().any(|key| *key == name)) =>
        {
            return Err(ConfigError::option(
                "timestamp_pair",
                "is the key of the signature, too",
            ));
        }
        TimestampKind::Pair => TimestampPlace::Pair(name.into()),
    })
}

fn field(option: &'static str, kind: FieldKind, name: &str) -> Result<Field, ConfigError> {
    Ok(match kind {
        FieldKind::Header => Field::Header(header_name(option, name)?),
        FieldKind::Pointer => Field::Pointer(pointer(option, name)?),
    })
}
