//! `explain`: the cause of a refusal.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{VECTORS, command, output_of, run, text};

/// A request of GitHub, as `sign` makes it.
fn github(body: &str) -> (String, String) {
    let signed = run(&["sign", "--scheme", "github", "--secret", "a secret"], body.as_bytes());
    let headers = text(&signed.stdout);
    let signature = headers.lines().find(|line| line.starts_with("x-hub-signature-256")).unwrap();
    let (name, value) = signature.split_once(": ").unwrap();
    (name.to_owned(), value.to_owned())
}

/// Explains a request of GitHub with this secret.
fn explained(input: &[u8], secret: &str) -> Value {
    let arguments = ["explain", "--scheme", "github", "--secret", secret, "--json"];
    let output = run(&arguments, input);
    let code = output.status.code();
    let line = text(&output.stdout);
    let object: Value =
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}{}", text(&output.stderr)));
    assert_eq!(code, Some(i32::from(object["cause"] != "valid")), "{line}");
    let keys: Vec<_> = object.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["cause", "detail", "fix", "verdict"]);
    object
}

#[test]
fn each_form_of_an_input_is_explained_alike() {
    let (name, value) = github("{\"a\":1}");
    let raw = format!("POST /hook HTTP/1.1\r\nhost: x\r\n{name}: {value}\r\n\r\n{{\"a\":1}}");
    let trace = format!("> POST /hook HTTP/1.1\n> host: x\n> {name}: {value}\n> \n{{\"a\":1}}\n");
    let curl = format!("curl -i http://x/hook -H '{name}: {value}' --data-binary '{{\"a\":1}}'\n");
    let har = json!({"request": {"method": "POST", "url": "https://x/hook",
        "headers": [{"name": name, "value": value}], "postData": {"text": "{\"a\":1}"}}});
    let row = json!({"provider": "stripe", "url": null, "headers": [[name, value]],
        "body_base64": "eyJhIjoxfQ==", "secret": "another"});
    for input in [raw, trace, curl, har.to_string(), row.to_string()] {
        assert_eq!(explained(input.as_bytes(), "a secret")["cause"], "valid", "{input}");
        let whitespace = explained(input.as_bytes(), "a secret ");
        assert_eq!(whitespace["cause"], "secret_whitespace", "{input}");
        assert_eq!(whitespace["verdict"], "signature_mismatch");
        assert_eq!(explained(input.as_bytes(), "other")["cause"], "no_match", "{input}");
    }
}

/// A body of `curl -v` is not in its output.
#[test]
fn a_body_may_be_in_a_file_of_its_own() {
    let (name, value) = github("{\"a\":1}\n");
    let trace = format!("> POST / HTTP/1.1\n> {name}: {value}\n>\n* sent\n< HTTP/1.1 401\n");
    let arguments = ["explain", "--scheme", "github", "--secret", "a secret", "--json"];
    let without = run(&arguments, trace.as_bytes());
    assert_eq!(without.status.code(), Some(2));
    assert!(text(&without.stderr).contains("pass it with --body"));
    let file = std::env::temp_dir().join(format!("webhook-verify-body-{}", std::process::id()));
    fs::write(&file, "{\"a\":1}").unwrap();
    let with = [&arguments[..], &["--body", file.to_str().unwrap()]].concat();
    let output = run(&with, trace.as_bytes());
    fs::remove_file(&file).unwrap();
    assert!(text(&output.stdout).contains("\"body_final_newline\""), "{}", text(&output.stdout));
}

/// The rows were made by a program in another language: `vectors/explain.py`.
#[test]
fn the_cause_comes_first_for_broken_requests_of_many_senders() {
    let rows = fs::read_to_string(format!("{VECTORS}/explain.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let group = row.get("group").and_then(Value::as_str);
        groups.entry(group.map_or(format!("{at:05}"), str::to_owned)).or_default().push(row);
    }
    let (mut causes, mut wrong) = (BTreeMap::<&str, [usize; 2]>::new(), Vec::new());
    for rows in groups.values() {
        let input = serde_json::to_vec(rows).unwrap();
        let output = run(&["explain", "--json"], &input);
        let printed = text(&output.stdout) + &text(&output.stderr);
        let lines: Vec<Value> =
            text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), rows.len(), "{printed}");
        for (row, line) in rows.iter().zip(&lines) {
            let cause = row["cause"].as_str().unwrap();
            let [all, right] = causes.entry(cause).or_default();
            *all += 1;
            // Some requests have several causes, so that any of them is right.
            let others = row["also"].as_array().into_iter().flatten();
            if line["cause"] == cause || others.into_iter().any(|other| line["cause"] == *other) {
                *right += 1;
            } else {
                wrong.push(format!("{} {}: {}", row["provider"], row["name"], line["cause"]));
            }
            for hidden in hidden(row) {
                assert!(!printed.contains(&hidden), "{}: {printed}", row["name"]);
            }
        }
    }
    let right: usize = causes.values().map(|[_, right]| right).sum();
    println!("{causes:#?}");
    println!("{}", wrong.join("\n"));
    assert!(rows.len() >= 300 && causes.len() >= 29, "{} rows, {causes:?}", rows.len());
    assert!(right * 100 >= rows.len() * 95, "{right} of {}: {wrong:#?}", rows.len());
}

/// Returns what no output may contain: the secret, and everything in the headers that may be a
/// signature.
fn hidden(row: &Value) -> Vec<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "+/=_-".contains(char);
    let headers = row["headers"].as_array().unwrap().iter();
    let values = headers.map(|header| header[1].as_str().unwrap());
    let runs = values.flat_map(|value| value.split(move |char| !is_part(char)));
    let runs = runs.filter(|run| run.len() >= 20).map(str::to_owned);
    let secret = row["secret"].as_str().unwrap().trim().to_owned();
    runs.chain([secret]).filter(|text| text.len() > 5).collect()
}

#[test]
fn a_terminal_obeys_no_request() {
    let (name, value) = github("{}");
    let raw = format!(
        "POST /\u{1b}[2J\u{202e} HTTP/1.1\nX-\u{1b}]0;owned\u{7}: x\n{name}: {value}\n\n{{}}\u{1b}[31m"
    );
    let row = json!({"provider": "github", "name": "\u{1b}[1m\n\u{9b}m", "url": null,
        "headers": [["x-\u{1b}[5m", "\r"]], "body_base64": "e30=", "secret": "s"});
    for input in [raw, row.to_string()] {
        let output = run(&["explain", "--scheme", "github", "--secret", "s"], input.as_bytes());
        let printed = text(&output.stdout) + &text(&output.stderr);
        let is_harmless = |char: char| char == '\n' || !char.is_control() && char != '\u{202e}';
        assert!(printed.chars().all(is_harmless), "{printed:?}");
        assert!(printed.contains(r"\u{1b}"), "{printed}");
    }
}

#[test]
fn an_input_that_cannot_be_explained_is_an_error() {
    let (name, value) = github("{}");
    let raw = format!("POST / HTTP/1.1\n{name}: {value}\n\n{{}}");
    let with = |arguments: &[&str], input: &[u8], reason: &str| {
        let output = run(&[&["explain"], arguments].concat(), input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let printed = text(&output.stderr);
        assert!(printed.contains(reason), "{arguments:?}: {printed}");
    };
    let github = ["--scheme", "github", "--secret", "s"];
    with(&github, b"", "the input is empty");
    with(&github, b"\xff\x00 binary", "no request line");
    with(&github, b"{\"a\":", "not JSON at line 1");
    with(&github, b"{}", "missing");
    with(&["--secret", "s"], raw.as_bytes(), "no scheme");
    with(&[&github[..], &["--header", "x"]].concat(), raw.as_bytes(), "only for");
    with(&["--scheme", "githib", "--secret", "s"], raw.as_bytes(), "did you mean github");
    with(&["--scheme", "github"], raw.as_bytes(), "no secret");
    with(&["--scheme", "github", "--secret", " "], raw.as_bytes(), "empty or blank");
    with(&[&github[..], &["/no/such/file"]].concat(), b"", "/no/such/file: ");
}

/// A row need not contain a secret if an option does.
#[test]
fn a_secret_may_be_given_beside_a_row() {
    let (name, value) = github("{}");
    let row = json!({"provider": "github", "headers": [[name, value]], "body_base64": "e30="});
    let input = row.to_string();
    let given = run(&["explain", "--json", "--secret", "a secret"], input.as_bytes());
    assert!(text(&given.stdout).contains("\"valid\""), "{}", text(&given.stderr));
    // The variable is for requests that bring no secret.
    let own = json!({"provider": "github", "headers": row["headers"], "body_base64": "e30=",
        "secret": "a secret"});
    for (input, secret) in [(&row, "a secret"), (&own, "another")] {
        let mut command = command();
        command.args(["explain", "--json"]).env("WEBHOOK_SECRET", secret);
        let output = output_of(command, input.to_string().as_bytes());
        assert!(text(&output.stdout).contains("\"valid\""), "{}", text(&output.stdout));
    }
    let missing = run(&["explain", "--json"], input.as_bytes());
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("no secret"), "{}", text(&missing.stderr));
}

/// A request that was saved by an editor, with a secret that was copied with its quotes.
#[test]
fn two_faults_are_named_together() {
    let (name, value) = github("{\"a\":1}");
    let raw = format!("POST / HTTP/1.1\n{name}: {value}\n\n{{\"a\":1}}\n");
    for (secret, cause, first) in [
        ("'a secret'", "secret_quotes", "remove the quotation marks"),
        (" a secret", "secret_whitespace", "remove the white space"),
    ] {
        let object = explained(raw.as_bytes(), secret);
        assert_eq!(object["cause"], cause);
        let fix = object["fix"].as_str().unwrap();
        assert!(fix.starts_with(first) && fix.contains("; then keep the line break"), "{fix}");
    }
}

/// Several senders use the same header.
#[test]
fn all_senders_of_a_header_are_named() {
    let (name, value) = github("{}");
    let raw = format!("POST / HTTP/1.1\n{name}: {value}\n\n{{}}");
    let arguments = ["explain", "--scheme", "stripe", "--secret", "other", "--json"];
    let output = text(&run(&arguments, raw.as_bytes()).stdout);
    assert!(output.contains("\"other_sender\"") && output.contains("`github`"), "{output}");
    assert!(output.contains("`meta`"), "{output}");
}

/// A sparse file, so that no disk fills up.
#[test]
fn a_file_that_is_too_long_is_refused_without_reading_it_all() {
    let path = std::env::temp_dir().join(format!("webhook-verify-long-{}", std::process::id()));
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let arguments = ["explain", "--scheme", "github", "--secret", "s", path.to_str().unwrap()];
    let output = run(&arguments, b"");
    fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("longer than 64 MiB"), "{}", text(&output.stderr));
}

/// `curl --trace-ascii` replaces bytes and omits line breaks.
#[test]
fn a_trace_that_lost_bytes_is_named() {
    let file = std::env::temp_dir().join(format!("webhook-verify-trace-{}", std::process::id()));
    let file = file.to_str().unwrap();
    for (body, len, shown, is_exact) in [
        ("{\"n\":\"Zoë\"}", 12, "0000: {\"n\":\"Zo..\"}\n", false),
        ("{}\r\n", 4, "0000: {}\n", false),
        ("{\n}", 3, "0000: {.}\n", false),
        ("{\"n\":1}", 7, "0000: {\"n\":1}\n", true),
    ] {
        let (name, value) = github(body);
        let trace = format!(
            "== Info: Trying\n=> Send header, 9 bytes (0x9)\n0000: POST / HTTP/1.1\n\
             0011: {name}: {value}\n0200: Content-Length: {len}\n0300: \n\
             => Send data, {len} bytes (0x0)\n{shown}<= Recv header, 2 bytes (0x2)\n"
        );
        let arguments = ["explain", "--scheme", "github", "--secret", "a secret", "--json"];
        let output = run(&arguments, trace.as_bytes());
        let note = text(&output.stderr);
        let is_named = note.starts_with("note: `curl --trace-ascii` ") && note.lines().count() == 1;
        assert_eq!((is_named, note.is_empty()), (!is_exact, is_exact), "{body}: {note}");
        assert_eq!(text(&output.stdout).contains("\"valid\""), is_exact, "{output:?}");
        fs::write(file, body).unwrap();
        let output = run(&[&arguments[..], &["--body", file]].concat(), trace.as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    fs::remove_file(file).unwrap();
    // A real dot is no fault.
    let (name, value) = github("1.5");
    let trace = format!(
        "=> Send header, 9 bytes (0x9)\n0000: POST / HTTP/1.1\n0011: {name}: {value}\n0200: \n\
         => Send data, 3 bytes (0x3)\n0000: 1.5\n"
    );
    let output = run(&["explain", "--scheme", "github", "--secret", "a secret"], trace.as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Some bodies are no words of a shell, so the command decodes them.
#[test]
fn the_command_of_sign_is_read_whatever_the_body_contains() {
    let long = b"\xff".repeat(3000);
    for body in [&b"\xff\x9e\xc8"[..], b"@file", b"a\0b", b"it's\n\\\n", "ü".as_bytes(), &long] {
        let arguments = ["sign", "--scheme", "github", "--secret", "a secret", "--curl"];
        let signed = run(&arguments, body);
        let line = text(&signed.stdout);
        assert_eq!(explained(line.as_bytes(), "a secret")["cause"], "valid", "{line}");
        assert_eq!(explained(line.as_bytes(), "other")["cause"], "no_match", "{line}");
    }
}

#[test]
fn a_request_with_too_many_headers_is_refused() {
    let (name, value) = github("{}");
    let raw = |count: usize| {
        let more: String = (1..count).map(|number| format!("x-{number}: 1\r\n")).collect();
        format!("POST / HTTP/1.1\r\n{name}: {value}\r\n{more}\r\n{{}}")
    };
    assert_eq!(explained(raw(10_000).as_bytes(), "a secret")["cause"], "valid");
    let arguments = ["explain", "--scheme", "github", "--secret", "a secret"];
    let output = run(&arguments, raw(10_001).as_bytes());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = text(&output.stderr);
    assert_eq!(error, "error: a request has too many headers: more than 10000\n");
}

/// One row that cannot be verified does not hide the others.
#[test]
fn every_row_of_a_file_is_explained() {
    let (name, value) = github("{}");
    let row = |secret: &str, name: &str, header: (&str, &str)| {
        json!({"provider": "github", "name": name, "url": null, "headers": [header],
            "body_base64": "e30=", "secret": secret})
    };
    let header = (name.as_str(), value.as_str());
    let rows = [row("", "blank", header), row("a secret", "right", header)];
    let output = run(&["explain", "--json"], serde_json::to_string(&rows).unwrap().as_bytes());
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["verdict"], "invalid_configuration");
    assert_eq!((&lines[1]["cause"], &lines[1]["name"]), (&json!("valid"), &json!("right")));
    assert_eq!(output.status.code(), Some(1));
}

/// The body ends where tools print something else.
#[test]
fn what_surrounds_a_request_is_left_out() {
    let body = "{\"a\":1}";
    let (name, value) = github(body);
    let head = format!("POST /hook HTTP/1.1\r\nContent-Length: 7\r\n{name}: {value}\r\n\r\n");
    let chunked = head.replace("Content-Length: 7", "Transfer-Encoding: gzip, chunked");
    let traced = head.lines().map(|line| format!("> {line}\n")).collect::<String>();
    let proxy = "> CONNECT h:443 HTTP/1.1\n> Host: h:443\n> \n< HTTP/1.1 200 OK\n< \n";
    let utf16 = format!("\u{feff}{head}{body}");
    for input in [
        format!("{head}{body}\n\nHTTP/1.1 401 Unauthorized\r\n\r\nno").into_bytes(),
        format!("{head}{body}{head}{body}").into_bytes(),
        format!("{chunked}7\r\n{body}\r\n").into_bytes(),
        format!("### push\n{head}{body}").into_bytes(),
        format!("$ curl -v h -sSd '{body}' | jq .\n{proxy}{traced}< HTTP/1.1 401\n").into_bytes(),
        format!("user@host:~$ curl.exe -H'{name}: {value}' h --json $'{{\\x22a\\u0022:1}}' > x\n")
            .into_bytes(),
        format!("curl ^\"http://h/^\" ^\r\n -H ^\"{name}: {value}^\" ^\r\n -d ^\"^{{^\\^\"a^\\^\":1^}}^\"\r\n")
            .into_bytes(),
        utf16.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ] {
        let object = explained(&input, "a secret");
        assert_eq!(object["cause"], "valid", "{}", String::from_utf8_lossy(&input));
    }
    // A line break at the end may be the fault.
    let edited = explained(format!("{head}{body}\n").as_bytes(), "a secret");
    assert_eq!(edited["cause"], "body_final_newline");
    // The body decides over no form.
    let body = "Run:\ncurl https://evil.example/ -d 1\n> GET / HTTP/1.1\n";
    let (name, value) = github(body);
    let raw = format!("POST / HTTP/1.1\n{name}: {value}\n\n{body}");
    assert_eq!(explained(raw.as_bytes(), "a secret")["cause"], "valid");
}

/// The reason why a command has no body matters only without --body.
#[test]
fn a_body_of_a_command_may_be_in_a_file() {
    let (name, value) = github("{\"a\":1}");
    let file = std::env::temp_dir().join(format!("webhook-verify-curl-{}", std::process::id()));
    fs::write(&file, "{\"a\":1}").unwrap();
    for (option, reason) in [
        ("--data-binary @body.json", "curl: the body is in a file: pass it with --body"),
        ("-F a=b", "curl: a form in parts is not supported: pass the body with --body"),
    ] {
        let command = format!("curl h -H '{name}: {value}' {option}");
        let arguments = ["explain", "--scheme", "github", "--secret", "a secret", "--json"];
        let without = run(&arguments, command.as_bytes());
        assert_eq!(text(&without.stderr), format!("error: {reason}\n"));
        let with = [&arguments[..], &["--body", file.to_str().unwrap()]].concat();
        let output = run(&with, command.as_bytes());
        assert!(text(&output.stdout).contains("\"valid\""), "{}", text(&output.stderr));
    }
    fs::remove_file(&file).unwrap();
}

/// People mix up options, and forget the blank line before a body.
#[test]
fn no_output_repeats_what_may_be_a_secret() {
    let (name, value) = github("{}");
    let raw = format!(
        "POST //user:hunter2@h/hook;token=hunter2?hunter2 HTTP/1.1\n{name}: {value}\n\
         {{\"hunter2\":1}}\n"
    );
    let file = std::env::temp_dir().join(format!("webhook-verify-secret-{}", std::process::id()));
    fs::write(&file, "KEY = \"hunter2\"\n").unwrap();
    let github = ["--scheme", "github"];
    for (arguments, expected) in [
        (&["--scheme", "github", "--secret", "s"][..], "(no header name)"),
        (
            &[&github[..], &["--secret-env", "Hunter2-hunter2"]].concat(),
            "not the name of a variable",
        ),
        (&[&github[..], &["--secret-file", "hunter2"]].concat(), "--secret-file: no such file"),
        (
            &["--secret", "s", "--scheme-file", file.to_str().unwrap()],
            "line 1 column 7: not a scheme",
        ),
        (&["--secret", "s", "--scheme", "\u{1b}[2J"], "\\u{1b}[2J"),
    ] {
        let output = run(&[&["explain"], arguments].concat(), raw.as_bytes());
        let printed = text(&output.stdout) + &text(&output.stderr);
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
        assert!(!printed.to_lowercase().contains("hunter2"), "{arguments:?}: {printed}");
        assert!(printed.chars().all(|char| char == '\n' || !char.is_control()), "{printed:?}");
    }
    fs::remove_file(&file).unwrap();
}
