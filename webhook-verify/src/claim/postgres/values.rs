//! Binds the parameters of statements, or writes them into the text of the statement.

use bytes::Bytes;
use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, Error, Postgres, SqlSafeStr as _, SqlStr, Type,
    postgres::PgArguments,
};

use crate::encoding::Encoding;

/// The value of a parameter. No value can end an SQL literal.
#[derive(Clone)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    ByteArrays(Vec<Vec<u8>>),
    Int(i64),
    Ints(Vec<i64>),
    Flag(bool),
    Null,
    /// A name. PostgreSQL's texts cannot hold NUL, so U+FFFD replaces it.
    Text(String),
    /// Names, as in [`Text`](Self::Text).
    Texts(Vec<String>),
    /// A handler's response. It is always bound, because servers log the text of statements.
    Response(Vec<u8>),
    /// Texts of deliveries, or of errors, which are always bound, unless all are `None`.
    Contents(Vec<Option<String>>),
    /// Bodies, which are always bound.
    Bodies(Vec<Bytes>),
    /// Numbers of deliveries, if they have any. They are always bound.
    Times(Vec<Option<i64>>),
    /// Keys, if there are any. They are always bound.
    Keys(Vec<Option<[u8; 32]>>),
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(without_nul(text))
    }

    pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Texts(texts.into_iter().map(without_nul).collect())
    }

    pub(crate) fn contents<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self::Contents(texts.into_iter().map(|text| text.map(without_nul)).collect())
    }

    /// Returns whether the value must not be part of a statement's text.
    pub(super) fn is_private(&self) -> bool {
        match self {
            Self::Response(_) | Self::Bodies(_) | Self::Times(_) | Self::Keys(_) => true,
            Self::Contents(texts) => texts.iter().any(Option::is_some),
            Self::Bytes(_)
            | Self::ByteArrays(_)
            | Self::Int(_)
            | Self::Ints(_)
            | Self::Flag(_)
            | Self::Null
            | Self::Text(_)
            | Self::Texts(_) => false,
        }
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Returns the values as arguments of a prepared statement.
pub(super) fn bound(values: &[Value]) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Bytes(bytes) | Value::Response(bytes) => add(&mut arguments, &**bytes),
            Value::ByteArrays(arrays) => add(&mut arguments, &**arrays),
            Value::Int(number) => add(&mut arguments, *number),
            Value::Ints(numbers) => add(&mut arguments, &**numbers),
            Value::Flag(flag) => add(&mut arguments, *flag),
            Value::Null => add(&mut arguments, None::<&str>),
            Value::Text(text) => add(&mut arguments, &**text),
            Value::Texts(texts) => add(&mut arguments, &**texts),
            Value::Contents(texts) => add(&mut arguments, &**texts),
            Value::Bodies(bodies) => {
                let bodies: Vec<&[u8]> = bodies.iter().map(|body| &**body).collect();
                add(&mut arguments, bodies)
            }
            Value::Times(times) => add(&mut arguments, &**times),
            Value::Keys(keys) => add(&mut arguments, &**keys),
        }?;
    }
    Ok(arguments)
}

fn add<'a, T: Encode<'a, Postgres> + Type<Postgres>>(
    arguments: &mut PgArguments,
    value: T,
) -> Result<(), Error> {
    arguments.add(value).map_err(Error::Encode)
}

/// Returns the statement with the values in place of its parameters, after `before`. A parameter
/// without a value stays, so the server refuses the statement.
pub(super) fn written(before: &str, statement: &SqlStr, values: &[Value]) -> SqlStr {
    let mut pieces = statement.as_str().split('$');
    let mut sql = format!("{before}{}", pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match index.and_then(|index| values.get(index)) {
            Some(value) => sql += &literal(value),
            None => sql.extend(["$", number]),
        }
        sql += rest;
    }
    AssertSqlSafe(sql).into_sql_str()
}

/// Returns an SQL literal. The server parses `E''` in the same way with any settings.
fn literal(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(",");
    match value {
        Value::Bytes(bytes) => format!(r"E'\\x{}'", Encoding::Hex.encode(bytes)),
        Value::ByteArrays(arrays) => {
            let items =
                arrays.iter().map(|bytes| format!(r#""\\\\x{}""#, Encoding::Hex.encode(bytes)));
            format!("E'{{{}}}'", list(items.collect()))
        }
        Value::Int(number) if *number >= 0 => number.to_string(),
        // Without the parentheses, a cast would apply to the number without its sign.
        Value::Int(number) => format!("({number})"),
        Value::Ints(numbers) => {
            format!("'{{{}}}'", list(numbers.iter().map(i64::to_string).collect()))
        }
        Value::Flag(flag) => flag.to_string(),
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => quoted(text),
        Value::Texts(texts) => {
            let item =
                |text: &String| format!(r#""{}""#, text.replace('\\', r"\\").replace('"', r#"\""#));
            quoted(&format!("{{{}}}", list(texts.iter().map(item).collect())))
        }
        Value::Contents(texts) => {
            let nulls = texts.iter().map(|_| "NULL".to_owned());
            format!("'{{{}}}'", list(nulls.collect()))
        }
        // The link binds them.
        Value::Response(_) | Value::Bodies(_) | Value::Times(_) | Value::Keys(_) => {
            "NULL".to_owned()
        }
    }
}

/// Returns a text as `E''`, in which quotes and backslashes are doubled. The encoding of all
/// connections is UTF-8, where no other character contains their bytes.
fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_gets_its_value() {
        let written = |sql: &'static str, count| {
            let values: Vec<_> = (101..).map(Value::Int).take(count).collect();
            written("BEGIN; ", &sql.into_sql_str(), &values).as_str().to_owned()
        };
        assert_eq!(written("SELECT $1, $10::text, $12", 12), "BEGIN; SELECT 101, 110::text, 112");
        assert_eq!(written("SELECT $2, $10, $0, $", 1), "BEGIN; SELECT $2, $10, $0, $");
    }
}
