//! The modules of the core crate and the dependencies between them, which must have no cycle.
//!
//! A module here is a directory under `webhook-verify/src`, or a file next to `lib.rs`. A module
//! depends on another if it names an item that a file of the other *defines*. Re-exports are
//! followed, so that importing an item through the crate root hides nothing.
//!
//! ```text
//! cargo test -p integration-tests --test architecture -- --nocapture
//! ```
#![allow(clippy::unwrap_used)]

mod documentation;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use source::Sources;

/// Modules by name, with the modules that each depends on, and one use that shows it.
type Modules = BTreeMap<String, BTreeMap<String, String>>;

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../webhook-verify/src")
}

/// Returns the modules in an order in which each depends only on earlier ones, and those for which
/// there is no such order.
fn layers(modules: &Modules) -> (Vec<&str>, BTreeSet<&str>) {
    let mut open: BTreeSet<&str> = modules.keys().map(String::as_str).collect();
    let mut order = Vec::new();
    loop {
        let is_next = |name: &&str| modules[*name].keys().all(|other| !open.contains(&**other));
        let next: Vec<_> = open.iter().copied().filter(is_next).collect();
        if next.is_empty() {
            return (order, open);
        }
        open.retain(|name| !next.contains(name));
        order.extend(next);
    }
}

#[test]
fn modules_form_no_cycle() {
    let modules = Sources::read(&core()).modules();
    let (order, cyclic) = layers(&modules);
    for name in order.iter().chain(&cyclic) {
        let uses: Vec<_> = modules[*name].keys().map(String::as_str).collect();
        println!("{name}: {}", uses.join(", "));
    }
    let mut uses = String::new();
    for name in &cyclic {
        for (other, example) in &modules[*name] {
            if cyclic.contains(&**other) {
                uses.push_str(&format!("\n{name} -> {other}: {example}"));
            }
        }
    }
    assert!(cyclic.is_empty(), "cycles between {cyclic:?}:{uses}");
    assert!(order.len() > 10, "{order:?}");
}

/// The root holds the crate's ground, not a seventh place to look.
#[test]
fn at_most_six_files_are_at_the_root() {
    let files: Vec<_> = fs::read_dir(core())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!((1..=6).contains(&files.len()), "{files:?}");
}

#[test]
fn claims_know_nothing_of_webhooks() {
    let mut files = 0;
    for file in source::files(&core().join("claim")) {
        let text = fs::read_to_string(&file).unwrap();
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        for word in text.split(|c| !is_part(c)) {
            let foreign = ["Delivery", "Event", "Scheme", "Verifier"];
            assert!(!foreign.contains(&word), "{}: {word}", file.display());
        }
        files += 1;
    }
    assert!(files > 10, "{files} files");
}
