//! Reads the JSON that PHP's `json_encode` writes as the original values.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Id, List};

/// A type that can be read from the JSON that PHP writes.
pub(super) trait Php: Serialize + Sized {
    /// Reads a value. Returns `None` if its form is unknown; the caller then keeps it.
    fn read(value: &Value) -> Option<Self>;
}

/// Returns the members of an object, which PHP writes as `[]` if it is empty.
pub(super) fn members(value: &Value) -> Option<impl Iterator<Item = (&String, &Value)>> {
    let members = match value {
        Value::Object(members) => Some(members),
        Value::Array(elements) if elements.is_empty() => None,
        _ => return None,
    };
    Some(members.into_iter().flatten())
}

/// Reads the members as they are.
impl Php for Map<String, Value> {
    fn read(value: &Value) -> Option<Self> {
        let members = members(value)?;
        Some(members.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl<T: Php> Php for List<T> {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Array(elements) => {
                let elements = elements.iter().map(T::read).collect::<Option<_>>()?;
                Some(Self::new(elements))
            }
            Value::Object(members) => {
                let members =
                    members.iter().map(|(key, value)| Some((key.clone(), T::read(value)?)));
                members.collect::<Option<Vec<_>>>().map(Self::with_keys)
            }
            _ => None,
        }
    }
}

impl<T: Php> Php for Box<T> {
    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Self::new)
    }
}

/// Reads any value but `null`.
impl Php for Value {
    fn read(value: &Value) -> Option<Self> {
        (!value.is_null()).then(|| value.clone())
    }
}

impl Php for String {
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(Self::from)
    }
}

impl Php for Id {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) if !text.is_empty() => Some(Self::from(text.as_str())),
            Value::Number(number) => match number.as_u64() {
                Some(number) => Some(Self::from(number)),
                None => i64::read(value).map(Self::from),
            },
            _ => None,
        }
    }
}

/// Reads a number, or its text as PHP writes it: without a `+`, leading zeros or white space.
impl Php for i64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => {
                text.parse().ok().filter(|read: &Self| read.to_string() == *text)
            }
            _ => None,
        }
    }
}

impl Php for bool {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(*value),
            Value::Number(number) => match number.as_u64()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
            Value::String(text) => match text.as_str() {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Converts a float to the integer that it represents, if floats represent its neighbours as well.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    let is_whole = number.fract() == 0.0 && number.abs() < EXACT;
    is_whole.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use std::borrow::Borrow;

    use serde_json::json;

    use super::*;

    fn read<T: Php>(value: impl Borrow<Value>) -> Option<T> {
        T::read(value.borrow())
    }

    #[test]
    fn integers_are_read_from_numbers_and_text() {
        for value in [json!(12), json!("12"), json!(12.0)] {
            assert_eq!(read::<i64>(value), Some(12));
        }
        assert_eq!(read::<i64>(json!("-7")), Some(-7));
        assert_eq!(read::<i64>(json!(i64::MIN)), Some(i64::MIN));
        for value in [
            json!(null),
            json!(""),
            json!("012"),
            json!("+12"),
            json!(" 12"),
            json!("-0"),
            json!("12.0"),
            json!(0.1),
            json!(u64::MAX),
            json!("9223372036854775808"),
            json!(9_007_199_254_740_992.0),
            json!(-1e300),
            json!(true),
            json!([12]),
        ] {
            assert_eq!(read::<i64>(&value), None, "{value}");
        }
    }

    #[test]
    fn booleans_are_read_from_database_values() {
        for value in [json!(true), json!(1), json!("1")] {
            assert_eq!(read::<bool>(value), Some(true));
        }
        for value in [json!(false), json!(0), json!("0")] {
            assert_eq!(read::<bool>(value), Some(false));
        }
        for value in [json!(null), json!(""), json!("true"), json!(2), json!(1.0), json!([])] {
            assert_eq!(read::<bool>(&value), None, "{value}");
        }
    }

    #[test]
    fn an_empty_list_is_an_empty_map() {
        assert_eq!(read::<Map<String, Value>>(json!([])), Some(Map::new()));
        for value in [json!([1]), json!(null), json!(""), json!("{}")] {
            assert_eq!(read::<Map<String, Value>>(&value), None, "{value}");
        }
    }
}
