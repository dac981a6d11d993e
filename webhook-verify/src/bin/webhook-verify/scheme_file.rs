//! Schemes from a TOML file.

use std::{collections::BTreeMap, fs, path::Path};

use webhook_verify::Scheme;

use crate::{Failure, suggest::similar};

/// Reads a file that describes one scheme, or several schemes in tables.
pub(crate) fn read(path: &Path) -> Result<Vec<Scheme>, Failure> {
    let fail = |error: &dyn std::fmt::Display| -> Failure {
        format!("{}: {}", path.display(), error.to_string().trim_end()).into()
    };
    let text = fs::read_to_string(path).map_err(|error| fail(&error))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| fail(&error))?;
    // A description of one scheme has a string here. In a file of tables, it may be a table's name.
    if table.get("name").is_some_and(toml::Value::is_str) {
        return Ok(vec![toml::from_str(&text).map_err(|error| fail(&error))?]);
    }
    let schemes: BTreeMap<String, Scheme> = toml::from_str(&text).map_err(|error| fail(&error))?;
    if schemes.is_empty() {
        return Err(fail(&"no scheme"));
    }
    Ok(schemes.into_values().collect())
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
