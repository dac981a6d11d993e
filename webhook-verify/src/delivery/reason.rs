//! Removes values from serde's error messages.

/// The kinds of values in serde's messages.
const KINDS: [&str; 12] = [
    "boolean",
    "floating point",
    "integer",
    "map",
    "newtype variant",
    "null",
    "sequence",
    "string",
    "struct variant",
    "tuple variant",
    "unit value",
    "unit variant",
];

/// Returns serde's reason why JSON does not fit a type. The reason names fields and types, but
/// contains no value of the JSON. It is empty for messages that are not serde's own, because they
/// may contain values.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
    let names_the_type = [
        "missing field `",
        "duplicate field `",
        "data did not match any variant of untagged enum ",
    ];
    if names_the_type.iter().any(|start| text.starts_with(start)) {
        return text.to_owned();
    }
    // Split at the last occurrence, because a value may also contain these words.
    let (found, expected) = match text.rsplit_once(", expected ") {
        Some((found, expected)) => (found, format!(", expected {expected}")),
        None => (text, String::new()),
    };
    let without_value = |start: &str| {
        let kind = found.strip_prefix(start)?;
        let kind = kind.split(['`', '"']).next().unwrap_or_default().trim_end();
        KINDS.contains(&kind).then(|| format!("{start}{kind}{expected}"))
    };
    let of_value = ["invalid type: ", "invalid value: "].into_iter().find_map(without_value);
    let of_name = || {
        let all = ["invalid length", "unknown variant", "unknown field"];
        let start = all.into_iter().find(|start| found.starts_with(start))?;
        Some(format!("{start}{expected}"))
    };
    of_value.or_else(of_name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use serde::{Deserialize, de::DeserializeOwned};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Invoice {
        id: u8,
        #[serde(default)]
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Paid,
        Open,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its shape matters")]
    enum Untagged {
        Text(String),
    }

    #[derive(Debug)]
    struct Custom;

    impl<'de> Deserialize<'de> for Custom {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let value = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format_args!("bad value {value}, expected another")))
        }
    }

    fn of<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        reason(&serde_json::from_str::<T>(json).unwrap_err())
    }

    #[test]
    fn a_reason_names_fields_and_types_and_no_value() {
        let tricky = r#"{"id":"s3cret\", expected `s3cret`, expected "}"#;
        let kind = r#"{"id":1,"kind":"s3cret`, expected x"}"#;
        for (reason, expected) in [
            (of::<Invoice>("{}"), "missing field `id`"),
            (of::<Invoice>(r#"{"id":1,"id":2}"#), "duplicate field `id`"),
            (of::<Invoice>(r#"{"s3cret":1}"#), "unknown field, expected `id` or `kind`"),
            (of::<Invoice>(tricky), "invalid type: string, expected u8"),
            (of::<Invoice>(r#"{"id":7777}"#), "invalid value: integer, expected u8"),
            (of::<Invoice>(r#"{"id":77.5}"#), "invalid type: floating point, expected u8"),
            (of::<Invoice>(r#"{"id":true}"#), "invalid type: boolean, expected u8"),
            (of::<Invoice>(r#"{"id":null}"#), "invalid type: null, expected u8"),
            (of::<Invoice>(r#"{"id":[7]}"#), "invalid type: sequence, expected u8"),
            (of::<Invoice>(kind), "unknown variant, expected `paid` or `open`"),
            (of::<Invoice>("\"s3cret\""), "invalid type: string, expected struct Invoice"),
            (of::<Untagged>("7777"), "data did not match any variant of untagged enum Untagged"),
            (of::<(u8, u8)>("[7]"), "invalid length, expected a tuple of size 2"),
            (of::<NonZero<u8>>("0"), "invalid value: integer, expected a nonzero u8"),
            (of::<Custom>("\"s3cret\""), ""),
        ] {
            assert_eq!(reason, expected);
        }
    }
}
