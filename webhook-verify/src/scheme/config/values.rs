//! Values with several notations.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, MapAccess, SeqAccess, value},
};

use super::super::SchemeBuilder;
use crate::clock::Tolerance;

/// A list, or its only item.
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a place, or a list of places")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let one = T::deserialize(value::MapAccessDeserializer::new(map))?;
                Ok(OneOrMore(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let more = Vec::deserialize(value::SeqAccessDeserializer::new(seq))?;
                if more.is_empty() {
                    return Err(A::Error::invalid_length(0, &self));
                }
                Ok(OneOrMore(more))
            }
        }

        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

/// A list of JSON pointers, or one.
pub(super) struct Pointers(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Pointers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Pointers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON pointer, or a list of them")
            }

            fn visit_str<E>(self, pointer: &str) -> Result<Pointers, E> {
                Ok(Pointers(vec![pointer.into()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Pointers, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(Pointers)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// A template, or one for each version of signatures.
pub(super) enum Contents {
    One(String),
    OfVersions(Vec<(String, String)>),
}

impl Contents {
    pub(super) fn add(self, builder: SchemeBuilder) -> SchemeBuilder {
        match self {
            Self::One(template) => builder.signed_content(template),
            Self::OfVersions(contents) => {
                contents.into_iter().fold(builder, |builder, (version, template)| {
                    builder.signed_content_of(version, template)
                })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Contents;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a template, or a table of templates by version")
            }

            fn visit_str<E>(self, template: &str) -> Result<Contents, E> {
                Ok(Contents::One(template.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Contents, A::Error> {
                let mut contents = Vec::new();
                while let Some(content) = map.next_entry()? {
                    contents.push(content);
                }
                Ok(Contents::OfVersions(contents))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Seconds for both directions or for each, or `false` for no check.
pub(super) struct Window(pub(super) Option<Tolerance>);

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Sides {
            past: u64,
            future: u64,
        }

        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Window;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, `past` and `future` in seconds, or false")
            }

            fn visit_bool<E: de::Error>(self, judged: bool) -> Result<Window, E> {
                if judged {
                    return Err(E::invalid_value(de::Unexpected::Bool(true), &self));
                }
                Ok(Window(None))
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Window, E> {
                let window = Duration::from_secs(seconds);
                Ok(Window(Some(Tolerance::symmetric(window))))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Window, E> {
                match u64::try_from(seconds) {
                    Ok(seconds) => self.visit_u64(seconds),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(seconds), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Window, A::Error> {
                let sides = Sides::deserialize(value::MapAccessDeserializer::new(map))?;
                let [past, future] = [sides.past, sides.future].map(Duration::from_secs);
                Ok(Window(Some(Tolerance::new(past, future))))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
