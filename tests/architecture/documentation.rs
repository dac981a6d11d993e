//! The dependencies that the documentation tells readers to copy, and the tests that it names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn table(path: &Path) -> Table {
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for crate_name in ["webhook-verify", "webhook-verify-axum", "webhook-verify-actix"] {
        pages.push(root().join(crate_name).join("README.md"));
    }
    let docs = fs::read_dir(root().join("webhook-verify/docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    pages
}

/// Returns the tables of dependencies in the blocks of a page.
fn dependencies(page: &Path) -> Vec<Table> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let tables = blocks.map(|block| toml::from_str::<Table>(block).unwrap());
    tables.filter_map(|mut table| table.remove("dependencies")?.try_into().ok()).collect()
}

/// Returns the features of a crate that others can enable.
fn features(path: &Path) -> Vec<String> {
    let features = table(&path.join("Cargo.toml")).remove("features").unwrap();
    features.as_table().unwrap().keys().cloned().collect()
}

#[test]
fn copied_dependencies_have_the_versions_and_features_of_this_workspace() {
    let lock = table(&root().join("Cargo.lock"));
    let locked = |name: &str, version: &str| {
        let mut packages = lock["package"].as_array().unwrap().iter();
        packages.any(|package| {
            let of_package = package["version"].as_str().unwrap();
            let rest = of_package.strip_prefix(version);
            package["name"].as_str() == Some(name) && rest.is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let mut checked = 0;
    for page in pages() {
        for (name, dependency) in dependencies(&page).into_iter().flatten() {
            let what = format!("{}: {name} = {dependency:?}", page.display());
            let field = |field: &str| dependency.get(field).and_then(Value::as_str);
            match (dependency.as_str().or_else(|| field("version")), field("path")) {
                (Some(version), None) => assert!(locked(&name, version), "{what}"),
                (None, Some(path)) => {
                    // The reader's package is next to the clone.
                    let path = root().join(path.strip_prefix("../webhook-verify/").unwrap());
                    let known = features(&path);
                    let listed = dependency.get("features").and_then(Value::as_array);
                    for feature in listed.into_iter().flatten() {
                        assert!(known.iter().any(|it| Some(&**it) == feature.as_str()), "{what}");
                    }
                }
                _ => panic!("{what}: neither a version nor a path"),
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

/// Returns the texts of all Rust files in a folder.
fn sources(folder: &Path) -> String {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = paths.map(|path| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
        _ => String::new(),
    });
    texts.collect()
}

/// The last cell of each row about inboxes names its tests.
#[test]
fn rows_about_inboxes_name_tests_that_exist() {
    let page = fs::read_to_string(root().join("webhook-verify/docs/reliability.md")).unwrap();
    let chapter = page.split("\n## ").find(|chapter| chapter.starts_with("Inboxes\n")).unwrap();
    let tests = sources(Path::new(env!("CARGO_MANIFEST_DIR")));
    let rows: Vec<_> = chapter.lines().filter(|line| line.starts_with("| F")).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || cell.contains("conformance"), "{row}");
        for name in names {
            let exists = match name.contains('/') {
                true => root().join(name).is_file(),
                false => tests.contains(&format!("fn {name}()")),
            };
            assert!(exists, "{name}: {row}");
        }
    }
}
