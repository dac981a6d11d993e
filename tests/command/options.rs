//! Options: one name for each meaning, and errors that say what to write.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use integration_tests::Folder;
use serde_json::json;

use crate::{command, lines, run, scheme_file, stripe, target::Target, text, with};

const GITHUB: [&str; 4] = ["--scheme", "github", "--secret", "s"];

/// Returns the error of a command that exits with 2.
fn error(arguments: &[&[&str]], input: &str) -> String {
    let arguments = arguments.concat();
    let output = run(&arguments, input.as_bytes());
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    text(&output.stderr)
}

#[test]
fn each_meaning_has_one_name() {
    let help = |subcommand: &str| text(&run(&[subcommand, "--help"], b"").stdout);
    for (subcommands, option) in [
        (&["explain", "listen", "probe", "replay", "send", "sign"][..], "--url <URL>"),
        (&["explain", "listen", "probe", "send", "sign"], "--scheme <NAME>"),
        (&["explain", "sign"], "--now <TIME>"),
        (&["replay", "send"], "--to <URL>"),
        (&["replay", "send"], "--times <N>"),
        (&["probe", "replay", "send"], "--timeout <SECONDS>"),
        (&["probe", "send", "sign"], "--event-type <TYPE>"),
    ] {
        for subcommand in subcommands {
            assert!(help(subcommand).contains(option), "{subcommand} {option}");
        }
    }
    // Older names are accepted, but not shown.
    for (subcommand, name) in [("probe", "--public-url"), ("send", "--count")] {
        assert!(!help(subcommand).contains(name), "{subcommand} {name}");
    }
    let target = Target::with_status(200);
    let to = ["send", "--to", &*target.url()];
    for (name, number) in [("--times", 3), ("--count", 3)] {
        let before = target.requests().len();
        let output = run(&[&to[..], &GITHUB, &[name, "3"]].concat(), b"{}");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(target.requests().len() - before, number, "{name}");
    }
}

#[test]
fn a_bad_number_is_an_error_with_the_option_and_its_range() {
    let to = ["--to", "http://127.0.0.1:1"];
    let (send, replay) =
        ([&["send"], &to[..], &GITHUB].concat(), [&["replay", "-"], &to[..]].concat());
    let probe = [&["probe", "http://127.0.0.1:1"], &GITHUB[..]].concat();
    let inbox = ["inbox", "list", "--database", "sqlite::memory:"];
    for (command, option, good) in [
        (&send, "--times <N>", "a whole number from 1 to 1000000000"),
        (&send, "--concurrency <N>", "a whole number from 1 to 1000"),
        (&send, "--rate <N>", "a number from 0.001 to 1000000"),
        (&send, "--timeout <SECONDS>", "a whole number from 1 to 86400"),
        (&replay, "--times <N>", "a whole number from 1 to 1000000000"),
        (&replay, "--timeout <SECONDS>", "a whole number from 1 to 86400"),
        (&probe, "--limit <BYTES>", "a whole number from 1 to 268435456"),
        (&probe, "--timeout <SECONDS>", "a whole number from 1 to 600"),
        (&vec!["listen"], "--forward-timeout <SECONDS>", "a whole number from 1 to 86400"),
        (&inbox.to_vec(), "--limit <NUMBER>", "a whole number from 0 to 1000000000"),
        (&inbox.to_vec(), "--after <NUMBER>", "the number of an event, such as 17"),
        (&vec!["inbox", "purge"], "--keep-bodies <TIME>", "a time such as 7d, 12h, 30m or 90s"),
    ] {
        let name = option.split(' ').next().unwrap();
        for bad in ["x", "", "-1.5", "1.5.2", "99999999999999999999"] {
            let said = error(&[command, &[name, bad]], "{}");
            let expected = format!("invalid value '{bad}' for '{option}': not {good}");
            let is_empty = bad.is_empty() && said.contains(option);
            assert!(said.contains(&expected) || is_empty, "{said}");
        }
    }
}

#[test]
fn a_time_is_in_unix_seconds_or_in_rfc_3339() {
    let sign = ["sign", "--scheme", "stripe", "--secret", "s", "--now"];
    let signed = |now: &str| text(&run(&[&sign[..], &[now]].concat(), b"{}").stdout);
    let expected = signed("1795954899");
    assert!(expected.contains("t=1795954899,"), "{expected}");
    assert_eq!(signed("2026-11-29T12:21:39Z"), expected);
    assert_eq!(signed("2026-11-29T14:21:39.5+02:00"), expected);
    let request = format!("POST / HTTP/1.1\nHost: h\n{expected}\n{{}}");
    for (now, cause) in [
        ("2026-11-29T12:21:40Z", "valid"),
        ("2026-11-29T12:31:40Z", "timestamp_old"),
        ("1795954000", "timestamp_future"),
    ] {
        let explain = ["explain", "--scheme", "stripe", "--secret", "s", "--json", "--now", now];
        let output = run(&explain, request.as_bytes());
        assert_eq!(lines(&output)[0]["cause"], cause, "{output:?}");
    }
    for now in ["tomorrow", "2026-11-29", "1795954899000", "-1"] {
        for command in [&sign[..5], &["explain", "--scheme", "stripe", "--secret", "s"]] {
            let said = error(&[command, &["--now", now]], "{}");
            assert!(said.contains(&format!("invalid value '{now}' for '--now <TIME>'")), "{said}");
            for form in ["1795954899", "2026-11-29T12:21:39Z", "from 1970 to 9999"] {
                assert!(said.contains(form), "{said}");
            }
        }
    }
}

/// An option that changes nothing would be a silent mistake.
#[test]
fn an_option_that_the_scheme_has_no_place_for_is_refused() {
    let target = Target::with_status(200);
    let sign = ["sign", "--secret", "00112233445566778899aabbccddeeff"];
    let send = ["send", "--to", &*target.url(), "--secret", "s"];
    for (command, scheme, options, said) in [
        (
            &sign[..],
            "stripe",
            &["--id", "evt_2"][..],
            "--id: `stripe` takes no ID from this option (location of the ID: body /id)",
        ),
        (&sign, "mautic", &["--id", "evt_2"], "(location of the ID: none)"),
        (&send, "mautic", &["--id", "evt_2"], "--id: `mautic` has no delivery ID"),
        (&sign, "github", &["--parameter", "a=b"], "--parameter: `github` has no parameters"),
        (&send, "github", &["--parameter", "a=b"], "--parameter: `github` has no parameters"),
        (&sign, "meta", &["--parameter", "a=b"], "--parameter: `meta` has only verify_token"),
        (&sign, "github", &["--gzip"], "--gzip: `github` does not define"),
        (&sign, "stripe", &["--event-type", "a"], "--event-type: `stripe` has no header for it"),
    ] {
        let said_by_command = error(&[command, &["--scheme", scheme], options], "{}");
        assert!(said_by_command.contains(said), "{said_by_command}");
    }
    assert!(target.requests().is_empty());
    // These have their place.
    for (scheme, options, place) in [
        ("github", &["--id", "x1"][..], "x-github-delivery: x1"),
        ("standard-webhooks", &["--id", "x1"], "webhook-id: x1"),
        ("meta", &["--parameter", "verify_token=t"], "x-hub-signature-256: "),
    ] {
        let secret = ["--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
        let secret = if scheme == "standard-webhooks" { &secret[..] } else { &["--secret", "s"] };
        let output = run(&[&["sign", "--scheme", scheme], secret, options].concat(), b"{}");
        assert!(text(&output.stdout).contains(place), "{output:?}");
    }
}

#[test]
fn what_cannot_be_a_header_is_refused() {
    let target = Target::with_status(200);
    let (sign, send) = (["sign"], ["send", "--to", &*target.url()]);
    for command in [&sign[..], &send] {
        for option in ["--event-type", "--id"] {
            for (value, said) in [
                ("a\nb", "a header cannot contain line breaks"),
                ("a\r\nX-Forged: 1", "a header cannot contain line breaks"),
                ("\u{1b}[2J", "control characters"),
                ("push ", "remove the white space"),
            ] {
                let error = error(&[command, &GITHUB, &[option, value]], "{}");
                assert!(error.starts_with(&format!("error: {option}: ")), "{error}");
                assert!(error.contains(said), "{error}");
                assert!(!error.contains("Forged") && !error.contains('\u{1b}'), "{error}");
            }
        }
    }
    for command in [&sign[..], &send, &["replay", "-", "--to", &*target.url()]] {
        for url in ["http://h/\n", "http://h/a b?secret", "http://h/\u{85}"] {
            let scheme = ["--scheme", "square", "--secret", "s", "--url", url];
            let scheme = if command[0] == "replay" { &scheme[2..] } else { &scheme };
            let error = error(&[command, scheme], "{}");
            let said = "--url: a URL cannot contain white space or control characters";
            assert_eq!(error, format!("error: {said}\n"), "{command:?} {url:?}");
        }
    }
    let svix = ["--scheme", "svix", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    for command in [&sign[..], &send] {
        let error = error(&[command, &svix, &["--id", ""]], "{}");
        assert_eq!(error, "error: --id: empty, but `svix` needs a delivery ID\n");
    }
    // A token is a header as it is.
    let token = ["--scheme", "shared-header", "--header", "x-token", "--secret", "one\ntwo"];
    let error = error(&[&sign, &token], "{}");
    assert!(error.contains("the value of x-token has control characters"), "{error}");
    assert!(!error.contains("two"), "{error}");
    assert!(target.requests().is_empty());
}

#[test]
fn an_unknown_expectation_is_an_error_with_a_suggestion() {
    for (word, said) in [
        ("vaild", "row 1: `expect` is not a verdict: did you mean valid?"),
        ("Valid", "did you mean valid?"),
        ("signature-mismatch", "did you mean signature_mismatch?"),
        ("timestamp_old", "did you mean timestamp_too_old?"),
        ("accepted", "write valid, invalid, or a reason such as signature_mismatch"),
        ("", "write valid, invalid, or a reason"),
    ] {
        let row = with(stripe(), "expect", json!(word)).to_string();
        let said_by_command = error(&[&["check", "-"]], &row);
        assert!(said_by_command.contains(said), "{word}: {said_by_command}");
    }
    let wrong = with(stripe(), "body_base64", json!("W10="));
    for word in ["invalid", "unknown_key", "invalid_secret", "unknown_scheme", "body_too_large"] {
        let row = with(wrong.clone(), "expect", json!(word)).to_string();
        assert_eq!(run(&["check", "-"], row.as_bytes()).status.code(), Some(0), "{word}");
    }
}

/// A file without an end is not read for ever, and a long one does not fill the memory.
#[cfg(unix)]
#[test]
fn no_file_is_read_beyond_a_limit() {
    let folder = Folder::new("limits");
    let config = folder.path().join("senders.toml");
    fs::write(&config, "[\"/a\"]\nscheme = \"github\"\nsecret-file = \"long\"\n").unwrap();
    let long = folder.path().join("long");
    fs::write(&long, "a".repeat(70_000)).unwrap();
    let (config, long) = (config.to_str().unwrap(), long.to_str().unwrap());
    let (zero, to) = ("/dev/zero", "http://127.0.0.1:1");
    let scheme = ["--scheme", "github"];
    let explain = ["explain", "-"];
    let curl = "curl http://h/ -d 1";
    for (arguments, input, said) in [
        (&[&["explain", zero][..], &GITHUB][..], "", "/dev/zero: longer than 64 MiB"),
        (&[&explain, &GITHUB, &["--body", zero]], curl, "/dev/zero: longer than 64 MiB"),
        (&[&["send", zero, "--to", to], &GITHUB], "", "/dev/zero: longer than 64 MiB"),
        (&[&explain, &scheme, &["--secret-file", zero]], curl, "/dev/zero: longer than 64 KiB"),
        (&[&["sign"], &scheme, &["--secret-file", long]], "", "longer than 65536 bytes"),
        (&[&["sign", "--secret", "s", "--scheme-file", zero]], "", "/dev/zero: longer than 1 MiB"),
        (&[&["schemes", "--scheme-file", zero]], "", "/dev/zero: longer than 1 MiB"),
        (&[&["check", "-", "--scheme-file", zero]], "", "/dev/zero: longer than 1 MiB"),
        (&[&["listen", "--config", zero]], "", "/dev/zero: longer than 1 MiB"),
        (&[&["listen", "--config", config]], "", "longer than 65536 bytes"),
        (&[&["probe", to, "--body", zero], &GITHUB], "", "/dev/zero: longer than 1 MiB"),
    ] {
        let error = error(arguments, input);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    let mut sign = command();
    sign.arg("sign").args(GITHUB).stdin(fs::File::open(zero).unwrap());
    let error = text(&sign.output().unwrap().stderr);
    assert_eq!(error, "error: standard input: longer than 64 MiB\n");
}

/// A user of the command cannot call a method.
#[test]
fn errors_name_options_and_no_code() {
    let folder = Folder::new("options");
    let padded = folder.path().join("padded");
    fs::write(&padded, " hush").unwrap();
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let standard = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let custom = scheme_file(
        "parameter",
        "name = \"acme\"\nsignature = { header = \"a\" }\n\
         signed-content = \"{parameter:app}.{body}\"\n",
    );
    let custom = custom.to_str().unwrap();
    for (options, said) in [
        (&["--scheme", "github", "--secret", "hush\n"][..], "copy the secret without it"),
        (&["--scheme", "github", "--secret", "'hush'"], "copy the secret without them"),
        (&["--scheme", "github", "--secret-file", padded.to_str().unwrap()], "begins with white"),
        (&["--scheme", "github", "--secret", "sk_live_hush"], "copy the webhook secret instead"),
        (&["--scheme", "github", "--secret", standard], "in the description of the scheme"),
        (&["--scheme", "github", "--secret", ""], "secret: empty"),
        (&["--scheme", "discord", "--secret", key], "only the sender has"),
        (&["--scheme", "square", "--secret", "hush", "--url", "h"], "--url: not a URL"),
        (&["--scheme-file", custom, "--secret", "hush"], "--parameter: the scheme needs `app`"),
        (&["--scheme", "nylas", "--secret", "hush", "--parameter", "a=b"], "no parameters"),
    ] {
        let error = error(&[&["sign"], options], "{}");
        assert!(error.contains(said), "{error}");
        assert_eq!(code_of(&error), BTreeSet::new(), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    fs::remove_file(custom).unwrap();
    // The other subcommands have the same errors, also for rows.
    let row = with(stripe(), "secret", json!("hush\n")).to_string();
    let target = Target::with_status(200);
    let fresh = ["replay", "-", "--to", &*target.url(), "--fresh"];
    let to = ["send", "--to", &*target.url(), "--scheme", "github", "--secret", "hush\n"];
    let probe = ["probe", "http://127.0.0.1:1", "--scheme", "github", "--secret", "hush\n"];
    let listen = ["listen", "--scheme", "github", "--secret", "hush\n", "--listen", "127.0.0.1:0"];
    for (arguments, input) in [(&fresh[..], &*row), (&to, "{}"), (&probe, ""), (&listen, "")] {
        let output = run(arguments, input.as_bytes());
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("copy the secret without it"), "{arguments:?}: {said}");
        assert_eq!(code_of(&said), BTreeSet::new(), "{arguments:?}: {said}");
    }
}

/// A recorded request has its values in fields.
#[test]
fn errors_about_rows_name_fields() {
    let text_of = |content: &str| {
        format!(
            "name = \"acme\"\nsignature = {{ header = \"a\" }}\nsigned-content = \"{content}\"\n"
        )
    };
    let file = scheme_file("row", &text_of("{parameter:app}.{body}"));
    let plain = scheme_file("plain-row", &text_of("{body}"));
    let target = Target::with_status(200);
    let row = with(stripe(), "provider", json!("acme")).to_string();
    for (file, more, said) in [
        (&file, &[][..], "`parameters`: the scheme needs `app`"),
        (&plain, &["--new-id"], "--new-id: the scheme has no delivery ID"),
    ] {
        let to = ["replay", "-", "--to", &*target.url(), "--fresh", "--scheme-file"];
        let output = run(&[&to[..], &[file.to_str().unwrap()], more].concat(), row.as_bytes());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stdout).contains(said), "{output:?}");
        fs::remove_file(file).unwrap();
    }
    assert!(target.requests().is_empty());
}

/// Returns the paths of Rust in a text, such as `Secret::exact`.
fn code_of(text: &str) -> BTreeSet<&str> {
    let is_part = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
    let words = text.split(|char| !is_part(char));
    words.filter(|word| word.trim_matches(':').contains("::")).collect()
}

/// A text of the library with another path needs a text of the command.
#[test]
fn the_library_names_no_other_code_in_errors() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../webhook-verify/src");
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(folder).to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("bin") {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let source = fs::read_to_string(path).unwrap();
                let code = source.split("#[cfg(test)]\nmod ").next().unwrap();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                for line in
                    lines.filter(|line| !line.contains("about:") && !line.contains("recheck:"))
                {
                    // In texts, code is between backticks.
                    let spans = line.split('`').skip(1).step_by(2);
                    found.extend(spans.flat_map(code_of).map(str::to_owned));
                }
            }
        }
    }
    // `errors.rs` leaves the first one out, and `sign.rs` checks before the second one. The others
    // are about receivers, whose idempotency, timer and proof the command does not set.
    let known = [
        "Secret::exact",
        "Signer::generate",
        "Identity::None",
        "Proof::Fields",
        "ReceiverBuilder::timer",
    ];
    assert_eq!(found, BTreeSet::from(known.map(str::to_owned)));
}

#[test]
fn the_page_of_a_scheme_in_a_file_has_a_command_that_works() {
    let folder = Folder::new("it's a folder");
    let file = folder.path().join("two schemes.toml");
    let scheme = |name: &str, content: &str| {
        format!(
            "[{name}]\nname = \"{name}\"\nsignature = {{ header = \"{name}-signature\" }}\n\
             signed-content = \"{content}\"\n"
        )
    };
    let schemes = scheme("acme", "{parameter:app}.{body}") + &scheme("globex", "{body}");
    fs::write(&file, schemes).unwrap();
    for name in ["acme", "globex"] {
        let page = run(&["schemes", name, "--scheme-file", file.to_str().unwrap()], b"");
        let page = text(&page.stdout);
        let (_, command) = page.split_once("```sh\n").unwrap();
        let command = command.split("```").next().unwrap();
        let mut shell = Command::new("sh");
        // The page runs the command with cargo, which is the program of this test.
        let script = format!(
            "cargo() {{ while [ \"$1\" != -- ]; do shift; done; shift; \"$PROGRAM\" \"$@\"; }}\n\
             {command}"
        );
        let program = crate::command().get_program().to_owned();
        shell.args(["-c", &script]).env("PROGRAM", program).env("WEBHOOK_SECRET", "s");
        let output = shell.output().unwrap();
        let signed = text(&output.stdout);
        assert!(signed.contains(&format!("{name}-signature: ")), "{command}{output:?}");
    }
}
