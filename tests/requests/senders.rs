//! The pages about senders in the documentation, which are made of the presets themselves.
//!
//! ```sh
//! UPDATE_SENDERS=1 cargo test -p integration-tests --test requests senders
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use integration_tests::secret_of;
use webhook_verify::{
    Scheme, Verifier,
    clock::Tolerance,
    scheme::{self, Evidence, Identity},
};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../webhook-verify/docs");

const INTRODUCTION: &str = "\
# Senders

Every preset, by the name that `Scheme::preset` takes, with a page about its sender.
`webhook-verify schemes NAME` prints the same page. [Custom senders](custom-senders.md) shows how to
describe any other sender.

Evidence: ✔ a published example was recomputed, or the sender's own source was read or run. ~ the
sender's documentation says so. ? only third parties say so: check the preset before you rely on it.

Host UK and FluentCRM have several presets, because their documentation and their code differ. No
preset falls back to another.

| preset | sender | signature | evidence |
|---|---|---|---|
";

fn mark(evidence: &[Evidence]) -> &'static str {
    match evidence {
        [Evidence::Unproven] => "?",
        [Evidence::Documentation] => "~",
        _ => "✔",
    }
}

/// Returns all pages, by their path below `docs`.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut schemes: Vec<_> = Scheme::presets().collect();
    schemes.sort_by_key(|scheme| scheme.name());
    let mut table = INTRODUCTION.to_owned();
    let mut pages = BTreeMap::new();
    for scheme in schemes {
        let (name, description) = (scheme.name(), scheme.describe());
        let places: Vec<_> =
            description.signatures.iter().map(|place| format!("`{place}`")).collect();
        table += &format!(
            "| [{name}](senders/{name}.md) | {} | {} | {} |\n",
            description.sender,
            places.join(", ").replace('|', "\\|"),
            mark(&description.evidence),
        );
        pages.insert(format!("senders/{name}.md").into(), description.to_string());
    }
    pages.insert("senders.md".into(), table);
    pages
}

#[test]
fn the_pages_about_senders_are_up_to_date() {
    let (docs, pages) = (Path::new(DOCS), pages());
    if std::env::var_os("UPDATE_SENDERS").is_some() {
        let _ = fs::remove_dir_all(docs.join("senders"));
        fs::create_dir(docs.join("senders")).unwrap();
        for (path, page) in &pages {
            fs::write(docs.join(path), page).unwrap();
        }
    }
    for (path, page) in &pages {
        let kept = fs::read_to_string(docs.join(path)).unwrap_or_default();
        assert!(
            kept == *page,
            "{} is out of date: run UPDATE_SENDERS=1 cargo test -p integration-tests --test \
             requests senders",
            path.display()
        );
    }
    let kept = fs::read_dir(docs.join("senders")).unwrap().count();
    assert_eq!(kept + 1, pages.len(), "a page of a preset that is no more");
}

#[test]
fn every_row_says_where_it_is_from_and_has_a_name_of_its_own() {
    let names: BTreeSet<_> = Scheme::preset_names().collect();
    assert_eq!(names.len(), Scheme::presets().count());
    assert!(names.len() >= 150, "{}", names.len());
    for scheme in Scheme::presets() {
        let name = scheme.name();
        assert!(scheme.describe().documentation.starts_with("https://"), "{name}");
        assert!(!scheme.describe().evidence.is_empty(), "{name}");
        assert!(!scheme.describe().sender.is_empty(), "{name}");
        assert!(!scheme.describe().signatures.is_empty(), "{name}");
        // A delivery is suppressed by what is signed, and by nothing else.
        if scheme.identity() == Identity::SignedId {
            assert!(scheme.id_is_signed(), "{name}");
        }
        let one_day = Tolerance::symmetric(Duration::from_secs(86_400));
        assert!(
            scheme.tolerance().is_none_or(|tolerance| tolerance.past() <= one_day.past()),
            "{name}"
        );
    }
}

/// A fact that is not known, or does not apply, is a row as well.
#[test]
fn every_page_has_the_same_rows_and_none_is_empty() {
    let rows_of = |scheme: &Scheme| {
        let page = scheme.describe().to_string();
        let rows = page.lines().filter(|line| line.starts_with("| ") && *line != "| | |");
        let rows = rows.map(|row| {
            let (name, text) = row.trim_matches('|').split_once('|').unwrap();
            assert!(!text.trim().is_empty(), "{}: {row}", scheme.name());
            (name.trim().to_owned(), text.trim().to_owned())
        });
        rows.collect::<BTreeMap<_, _>>()
    };
    let names = |scheme: &Scheme| rows_of(scheme).into_keys().collect::<Vec<_>>();
    let expected = names(&scheme::GITHUB);
    for scheme in Scheme::presets() {
        let name = scheme.name();
        assert_eq!(names(scheme), expected, "{name}");
        let rows = rows_of(scheme);
        let description = scheme.describe();
        let needs = &rows["The verifier also needs"];
        assert_eq!(needs.contains("public_url"), description.needs_public_url, "{name}");
        assert!(description.parameters.iter().all(|it| needs.contains(&**it)), "{name}: {needs}");
        let needs_feature = rows["Compressed bodies"].contains("feature `gzip`");
        assert_eq!(needs_feature, description.signed_bytes.is_some(), "{name}");
        let mut verifier = Verifier::builder(scheme.clone()).secret(secret_of(scheme));
        for parameter in &description.parameters {
            verifier = verifier.parameter(parameter, "x");
        }
        // The page names everything that a verifier needs.
        assert_eq!(verifier.build().is_err(), description.needs_public_url, "{name}");
    }
    assert!(rows_of(&scheme::NYLAS)["Compressed bodies"].starts_with("the compressed bytes"));
    let fallback = |scheme: &Scheme| rows_of(scheme).remove("Idempotency key").unwrap();
    assert_eq!(fallback(&scheme::STRIPE), "signed ID; if that is absent: digest of the body");
    assert_eq!(fallback(&scheme::STANDARD_WEBHOOKS), "signed ID");
}
