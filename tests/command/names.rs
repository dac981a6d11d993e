//! Mistyped names, and the pages of senders.

use std::fs;

use serde_json::json;
use webhook_verify::Scheme;

use crate::{run, scheme_file, text};

fn error(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input.as_bytes());
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    text(&output.stderr)
}

#[test]
fn the_nearest_name_is_suggested() {
    for (arguments, said) in [
        (&["schemes", "strpie"][..], "did you mean stripe?"),
        (&["schemes", "GitHub"], "did you mean github?"),
        (&["sign", "--scheme", "githb", "--secret", "s"], "did you mean github?"),
        (&["shcemes"], "'schemes'"),
        (&["inbox", "lits"], "'list'"),
        (&["sign", "--sceme", "github"], "'--scheme'"),
        (&["check", "-", "--scheme-fiel", "x"], "'--scheme-file'"),
        (&["man", "inbox", "lits"], "no subcommand \"lits\": did you mean list?"),
    ] {
        let said_by_command = error(arguments, "{}");
        assert!(said_by_command.contains(said), "{arguments:?}: {said_by_command}");
    }
    let far = error(&["schemes", "qqqqqqqq"], "");
    assert!(!far.contains("did you mean"), "{far}");
}

#[test]
fn the_nearest_scheme_of_a_file_is_suggested() {
    let file = scheme_file(
        "names",
        "[a]\nname = \"acme\"\nsignature = { header = \"a\" }\n\
         [b]\nname = \"globex\"\nsignature = { header = \"b\" }\n",
    );
    let path = file.to_str().unwrap();
    for (name, said) in [
        ("acne", "contains only acme, globex: did you mean acme?"),
        ("Globex", "contains only acme, globex: did you mean globex?"),
        ("glob", "contains only acme, globex: did you mean globex?"),
        ("stripe", "contains only acme, globex\n"),
        ("", "contains only acme, globex\n"),
    ] {
        let signed = ["sign", "--secret", "s", "--scheme-file", path, "--scheme", name];
        for arguments in [&signed[..], &["schemes", name, "--scheme-file", path]] {
            let error = error(arguments, "{}");
            assert!(error.contains(said), "{error}");
        }
    }
    let row = |provider: &str| {
        json!({"provider": provider, "headers": [], "body_base64": "", "secret": "s"}).to_string()
    };
    let input = ["acne", "strpie", "acne", "zzzzzzzz"].map(row).join("\n");
    let output = run(&["check", "-", "--scheme-file", path], input.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "row 1: unknown scheme \"acne\": did you mean acme?\n\
         row 2: unknown scheme \"strpie\": did you mean stripe?\n\
         4 of 4 rows not as expected\n"
    );
    fs::remove_file(file).unwrap();
}

/// The same as in the documentation, whose test compares it with the preset.
#[test]
fn each_sender_has_its_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../webhook-verify/docs/senders");
    for name in Scheme::preset_names() {
        let page = fs::read(format!("{folder}/{name}.md")).unwrap();
        let output = run(&["schemes", name], b"");
        assert_eq!(text(&output.stdout), text(&page), "{name}");
    }
}
