//! The page that says what can go wrong, what then happens, and which test shows it.

use std::{collections::BTreeSet, fs, path::Path};

const PAGE: &str = include_str!("../../webhook-verify/docs/reliability.md");

/// A source of a test or an example, by its path.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// What is written above `fn name(`, if that is there: its attributes and comments.
    fn above(&self, name: &str) -> Option<&str> {
        let at = self.text.find(&format!("fn {name}("))?;
        let before = &self.text[..at];
        Some(
            before
                .rsplit_once("\n\n")
                .map_or(before, |(_, above)| above),
        )
    }
}

fn sources(folder: &Path, into: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(Source {
                text: fs::read_to_string(&path).unwrap(),
                path: path.to_str().unwrap().to_owned(),
            });
        }
    }
}

fn all_sources() -> Vec<Source> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    sources(tests, &mut all);
    for other in ["../examples", "../webhook-verify/tests"] {
        sources(&tests.join(other), &mut all);
    }
    all
}

/// The tests that a line names: `folder/file::name` between backticks.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    let names = quoted.filter_map(|name| name.rsplit_once("::"));
    // Others are of the crate's own types, as in `Lapsed::Hold`.
    names.filter(|(file, _)| !file.starts_with(char::is_uppercase))
}

/// The rows of the tables, by the number in the first column.
fn rows() -> Vec<(&'static str, &'static str)> {
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix("| "));
    lines.filter_map(|line| line.split_once(" | ")).collect()
}

#[test]
fn every_row_is_there_and_names_a_test() {
    let rows = rows();
    let expected = (1..=28)
        .map(|n| format!("B{n}"))
        .chain((1..=12).map(|n| format!("C{n}")))
        .chain([3, 4, 6].map(|n| format!("D{n}")))
        .chain((1..=12).map(|n| format!("E{n}")));
    for number in expected {
        let found: Vec<_> = rows.iter().filter(|(first, _)| *first == number).collect();
        assert_eq!(found.len(), 1, "row {number}");
        assert!(
            named(found[0].1).next().is_some(),
            "row {number} names no test"
        );
    }
}

/// A test that was renamed, removed or switched off must not stand for a row any longer.
#[test]
fn every_named_test_is_one() {
    let sources = all_sources();
    let mut count = 0;
    for line in PAGE.lines().filter(|line| line.starts_with("| ")) {
        for (file, name) in named(line) {
            let end = format!("/{file}.rs");
            let above = sources
                .iter()
                .filter(|source| source.path.ends_with(&end))
                .find_map(|source| source.above(name))
                .unwrap_or_else(|| panic!("there is no {file}::{name}"));
            let is_test = above.contains("#[test]") || above.contains("#[tokio::test");
            assert!(is_test, "{file}::{name} is no test");
            let is_off = above.contains("#[ignore");
            assert!(
                !is_off || line.contains("**open**"),
                "{file}::{name} is not run"
            );
            count += 1;
        }
    }
    assert!(count > 100, "{count} tests are named");
}

/// A test that is written for a row is on the page.
#[test]
fn every_test_of_a_row_is_named() {
    let on_page: BTreeSet<_> = PAGE.lines().flat_map(named).map(|(_, name)| name).collect();
    for source in all_sources() {
        if !source.path.contains("/reliability/") && !source.path.contains("/idempotency/") {
            continue;
        }
        for (at, _) in source.text.match_indices("fn ") {
            let name: String = source.text[at + 3..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let of_row = matches!(name.as_bytes(), [b'b' | b'c', b'0'..=b'9', b'0'..=b'9', ..]);
            let above = source.above(&name).unwrap_or_default();
            if of_row && above.contains("test") {
                assert!(on_page.contains(name.as_str()), "{}: {name}", source.path);
            }
        }
    }
}
