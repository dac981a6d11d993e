use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use super::php::Php as _;

/// An ID: a number or text. `52` and `"52"` are equal, and each is serialized as it was sent.
///
/// ```
/// use webhook_verify::payloads::Id;
///
/// let ids: Vec<Id> = serde_json::from_str(r#"[52, "52", "evt_1"]"#)?;
/// assert_eq!(ids[0], ids[1]);
/// assert_eq!(ids[1], 52);
/// assert_eq!(ids[2].as_u64(), None);
/// assert_eq!(serde_json::to_string(&ids)?, r#"[52,"52","evt_1"]"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Eq)]
pub struct Id {
    text: String,
    is_number: bool,
}

impl Id {
    /// Returns the ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the ID as a number, if it is one.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        let number: u64 = self.text.parse().ok()?;
        (number.to_string() == self.text).then_some(number)
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialEq<u64> for Id {
    fn eq(&self, other: &u64) -> bool {
        self.as_u64() == Some(*other)
    }
}

impl PartialEq<str> for Id {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for Id {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self { text: number.to_string(), is_number: true }
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Self { text: number.to_string(), is_number: true }
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), is_number: false }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| D::Error::custom("expected an ID"))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_number {
            if let Ok(number) = self.text.parse::<u64>() {
                return serializer.serialize_u64(number);
            }
            if let Ok(number) = self.text.parse::<i64>() {
                return serializer.serialize_i64(number);
            }
        }
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_equals_its_text() {
        let ids = [json!(52), json!("52"), json!(52.0)].map(|value| Id::read(&value).unwrap());
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1);
        assert_eq!(ids[0], 52);
        assert_eq!(ids[1], "52");
        assert_ne!(Id::from("052"), 52);
    }

    #[test]
    fn ids_are_serialized_as_sent() {
        for value in [json!(0), json!("0"), json!(-1), json!(u64::MAX), json!("é")] {
            let id = Id::read(&value).unwrap();
            assert_eq!(serde_json::to_value(&id).unwrap(), value);
        }
    }

    #[test]
    fn other_values_are_not_ids() {
        for value in
            [json!(null), json!(""), json!(0.5), json!(1e30), json!(true), json!([]), json!({})]
        {
            assert_eq!(Id::read(&value), None, "{value}");
        }
    }
}
