//! Binds the parameters of statements, or writes them into the text of the statement.

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, Error, Postgres, SqlSafeStr as _, SqlStr, Type,
    postgres::PgArguments,
};

use crate::encoding::Encoding;

/// The value of a parameter. No value can end an SQL literal.
#[derive(Clone)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    ByteArrays(Vec<Vec<u8>>),
    Int(i64),
    Ints(Vec<i64>),
    Flag(bool),
    /// A handler's response. It is always bound, because servers log the text of statements.
    Response(Vec<u8>),
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

/// Returns the statement with the values in place of its parameters, `$1` to `$9`, after `before`.
pub(super) fn written(before: &str, statement: &SqlStr, values: &[Value]) -> SqlStr {
    let mut pieces = statement.as_str().split('$');
    let mut sql = format!("{before}{}", pieces.next().unwrap_or_default());
    for piece in pieces {
        let (number, rest) = piece.split_at(1);
        let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        if let Some(value) = index.and_then(|index| values.get(index)) {
            sql += &literal(value);
        }
        sql += rest;
    }
    AssertSqlSafe(sql).into_sql_str()
}

/// Returns an SQL literal. The server parses `E''` in the same way with any settings.
fn literal(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(",");
    match value {
        Value::Bytes(bytes) | Value::Response(bytes) => {
            format!(r"E'\\x{}'", Encoding::Hex.encode(bytes))
        }
        Value::ByteArrays(arrays) => {
            let items =
                arrays.iter().map(|bytes| format!(r#""\\\\x{}""#, Encoding::Hex.encode(bytes)));
            format!("E'{{{}}}'", list(items.collect()))
        }
        Value::Int(number) => number.to_string(),
        Value::Ints(numbers) => {
            format!("'{{{}}}'", list(numbers.iter().map(i64::to_string).collect()))
        }
        Value::Flag(flag) => flag.to_string(),
    }
}
