//! The macros that define the payloads' types.

/// Returns the name of a field in JSON: the given one, or else that of the Rust field.
macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// Defines types for JSON objects. Every field may be missing, or have a value of another type: the
/// member is then kept in `more`. So every object can be read, and nothing is lost.
///
/// A line is a field, its name in JSON if that differs, and its type.
macro_rules! objects {
    ($($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* $field:ident $($key:literal)?: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
            /// All other members as sent: those without a field here, and those whose value does
            /// not fit their field, such as `null`.
            pub more: serde_json::Map<String, serde_json::Value>,
        }

        impl crate::payloads::php::Php for $name {
            fn read(value: &serde_json::Value) -> Option<Self> {
                let mut read = Self::default();
                for (key, value) in crate::payloads::php::members(value)? {
                    $(if key == crate::payloads::macros::key!($field $($key)?) {
                        read.$field = crate::payloads::php::Php::read(value);
                        if read.$field.is_some() {
                            continue;
                        }
                    })*
                    read.more.insert(key.clone(), value.clone());
                }
                Some(read)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            /// Reads any object, and `[]`.
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                let read = crate::payloads::php::Php::read(&value);
                read.ok_or_else(|| serde::de::Error::custom("expected an object"))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $(if let Some(value) = &self.$field {
                    map.serialize_entry(crate::payloads::macros::key!($field $($key)?), value)?;
                })*
                for (key, value) in &self.more {
                    // If the field was set later, it replaces the value that did not fit.
                    $(if key == crate::payloads::macros::key!($field $($key)?)
                        && self.$field.is_some()
                    {
                        continue;
                    })*
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    )*};
}

/// Defines the enum of a sender's events. A line is a variant, the event type, and the type of the
/// data. The function `$data` returns the event's data, or as `Err` the whole event if it has none.
macro_rules! events {
    ($(#[$doc:meta])* pub enum $name:ident by $data:path {
        $($(#[$variant_doc:meta])* $variant:ident = $event_type:literal: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant(Box<$type>),)*
            /// Any other event, or one of the above whose data is neither an object, nor `[]`, nor
            /// `null`.
            Other {
                /// The event type, if there is one.
                event_type: Option<String>,
                /// The data as sent.
                data: serde_json::Value,
            },
        }

        impl $name {
            /// The event types that have a variant.
            pub const EVENT_TYPES: &[&str] = &[$($event_type),*];

            /// Returns the payload for an event type and its data, as `Event::data` does for an
            /// event. Use it for events from another source, such as a queue.
            #[must_use]
            pub fn from_parts(event_type: Option<&str>, data: serde_json::Value) -> Self {
                match event_type {
                    $(Some($event_type) => {
                        if data.is_null() {
                            return Self::$variant(Default::default());
                        }
                        if let Some(read) = crate::payloads::php::Php::read(&data) {
                            return Self::$variant(read);
                        }
                    })*
                    _ => {}
                }
                let event_type = event_type.map(String::from);
                Self::Other { event_type, data }
            }

            /// Returns the event type, if there is one.
            #[must_use]
            pub fn event_type(&self) -> Option<&str> {
                match self {
                    $(Self::$variant(_) => Some($event_type),)*
                    Self::Other { event_type, .. } => event_type.as_deref(),
                }
            }
        }

        impl crate::delivery::FromEvent for $name {
            fn from_event(
                event: &crate::delivery::Event,
            ) -> Result<Self, crate::delivery::ExtractError> {
                let event_type = event.event_type();
                let is_known = |event_type: &str| Self::EVENT_TYPES.contains(&event_type);
                let data = match $data(event)? {
                    Ok(data) => data,
                    // The members of an envelope are not the event's data.
                    Err(_) if event_type.as_deref().is_some_and(is_known) => {
                        serde_json::Value::Null
                    }
                    Err(whole) => whole,
                };
                Ok(Self::from_parts(event_type.as_deref(), data))
            }
        }

        impl serde::Serialize for $name {
            /// Serializes only the data.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(data) => data.serialize(serializer),)*
                    Self::Other { data, .. } => data.serialize(serializer),
                }
            }
        }
    };
}

pub(super) use {events, key, objects};
