use std::{ops::Deref, slice, vec};

use serde::{Serialize, Serializer};

/// A list as PHP writes it: an array, or an object if its keys are not 0, 1, 2 …, for example after
/// an element was removed.
///
/// It dereferences to a slice of its elements, and is serialized as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    elements: Vec<T>,
    keys: Option<Vec<String>>,
}

impl<T> List<T> {
    /// Creates a list that is serialized as an array.
    #[must_use]
    pub fn new(elements: Vec<T>) -> Self {
        Self { elements, keys: None }
    }

    pub(super) fn with_keys(members: Vec<(String, T)>) -> Self {
        let (keys, elements) = members.into_iter().unzip();
        Self { elements, keys: Some(keys) }
    }

    /// Returns the keys of the elements, if the list was sent as an object.
    #[must_use]
    pub fn keys(&self) -> Option<&[String]> {
        self.keys.as_deref()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.iter()
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.into_iter()
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.keys {
            Some(keys) => serializer.collect_map(keys.iter().zip(&self.elements)),
            None => self.elements.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payloads::php::Php as _;

    #[test]
    fn lists_with_gaps_are_lists() {
        for (value, keys) in [
            (json!([]), None),
            (json!({}), Some(vec![])),
            (json!([1, 2]), None),
            (json!({"0": 1, "2": 3}), Some(vec!["0", "2"])),
        ] {
            let list = List::<i64>::read(&value).unwrap();
            let expected = keys.map(|keys| keys.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(list.keys(), expected.as_deref());
            assert_eq!(serde_json::to_value(&list).unwrap(), value);
        }
    }

    #[test]
    fn elements_that_do_not_fit_leave_the_list_to_the_caller() {
        for value in [json!([1, null]), json!({"a": "b"}), json!(null), json!(1)] {
            assert_eq!(List::<i64>::read(&value), None, "{value}");
        }
    }
}
