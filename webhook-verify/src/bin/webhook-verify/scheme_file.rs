//! Schemes from a TOML file.

use std::{collections::BTreeMap, path::Path};

use webhook_verify::Scheme;

use crate::{
    Failure,
    files::{self, MAX_SETTINGS},
    suggest::similar,
};

/// Reads a file that describes one scheme, or several schemes in tables.
pub(crate) fn read(path: &Path) -> Result<Vec<Scheme>, Failure> {
    let fail = |error: &dyn std::fmt::Display| -> Failure {
        format!("{}: {}", path.display(), error.to_string().trim_end()).into()
    };
    let text = files::read_text(path, MAX_SETTINGS)?;
    // Only errors in a scheme may repeat the file's text. Another file may contain a secret.
    let hidden = |error: toml::de::Error| fail(&format!("{}not a scheme", place(&text, &error)));
    let shown =
        |error: toml::de::Error| fail(&format!("{}{}", place(&text, &error), message(&error)));
    let table: toml::Table = toml::from_str(&text).map_err(hidden)?;
    // A description of one scheme has a string here. In a file of tables, it may be a table's name.
    let has_name = |table: &toml::Table| table.get("name").is_some_and(toml::Value::is_str);
    if has_name(&table) {
        return Ok(vec![toml::from_str(&text).map_err(shown)?]);
    }
    let are_schemes = table.values().all(|value| value.as_table().is_some_and(has_name));
    let schemes = toml::from_str::<BTreeMap<String, Scheme>>(&text);
    let schemes =
        schemes.map_err(|error| if are_schemes { shown(error) } else { hidden(error) })?;
    if schemes.is_empty() {
        return Err(fail(&"no scheme"));
    }
    Ok(schemes.into_values().collect())
}

/// Returns where an error is: `line 1 column 2: `.
fn place(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return String::new();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line} column {column}: ")
}

/// Returns what is wrong, on one line. An error within a description repeats the lines around it.
fn message(error: &toml::de::Error) -> String {
    let message = error.message().trim_end();
    let last = message.lines().next_back().unwrap_or_default();
    match message.split_once("TOML parse error") {
        Some((field, _)) => format!("{field}{last}"),
        None => message.to_owned(),
    }
}

/// Returns the scheme of this name, or the only one.
pub(crate) fn pick(schemes: Vec<Scheme>, name: Option<&str>) -> Result<Scheme, Failure> {
    let names: Vec<_> = schemes.iter().map(|scheme| scheme.name().to_owned()).collect();
    let mut named = schemes.into_iter().filter(|it| name.is_none_or(|name| it.name() == name));
    match (named.next(), named.next()) {
        (Some(scheme), None) => Ok(scheme),
        (None, _) => {
            let similar = similar(name.unwrap_or_default(), names.iter().map(String::as_str));
            let hint = similar.map(|name| format!(": did you mean {name}?")).unwrap_or_default();
            Err(format!("the scheme file contains only {}{hint}", names.join(", ")).into())
        }
        (Some(_), Some(_)) => Err(format!("--scheme: choose one of {}", names.join(", ")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    fn reason(name: &str, text: &str) -> String {
        let file = format!("webhook-verify-scheme-{name}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let reason = read(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        reason
    }

    #[test]
    fn an_error_repeats_no_text_of_another_file() {
        for (text, place) in [
            ("hunter2hunter2", "line 1 column "),
            ("a = 1\nhunter2 = hunter2", "line 2 column "),
            ("KEY = \"hunter2\"", "line 1 column "),
            ("[db]\npassword = \"hunter2\"", "column "),
            ("[db]\nhunter2 = 1", "column "),
        ] {
            let reason = reason("other", text);
            assert!(!reason.contains("hunter2"), "{reason}");
            assert!(reason.contains(place) && reason.ends_with(": not a scheme"), "{reason}");
        }
        let reason = reason("own", "name = \"acme\"\nsignatur = 1\n");
        assert!(reason.contains("unknown field `signatur`"), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
}
