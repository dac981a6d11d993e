//! The command as a program.
#![allow(clippy::unwrap_used)]

mod explain;
mod inbox;
mod listen;
mod names;
mod options;
mod probe;
mod replay;
mod send;
mod shells;
mod target;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use integration_tests::in_folder;
use serde_json::{Value, json};
use webhook_verify::{
    Scheme,
    scheme::{Algorithm, KeyForm},
};

pub(crate) const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
/// Builds the command. `cargo test` of the whole workspace does so by itself.
const BUILD: &str = match cfg!(debug_assertions) {
    true => "cargo build -p webhook-verify --features cli",
    false => "cargo build -p webhook-verify --features cli --release",
};

/// Returns the command `webhook-verify`. It does not outlive this process.
pub(crate) fn command() -> Command {
    // Above the folder of this very program, where cargo builds programs.
    let folder = std::env::current_exe().unwrap();
    let mut path = folder.parent().unwrap().with_file_name("webhook-verify");
    path.set_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "no {path:?}: run `{BUILD}` before this test");
    let mut command = Command::new(path);
    in_folder(&mut command);
    command.env_remove("WEBHOOK_SECRET").env_remove("DATABASE_URL");
    command
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = command();
    command.args(arguments);
    output_of(command, input)
}

/// Runs a program to its end.
pub(crate) fn output_of(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends before it has read everything closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(file: &str) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(Path::new(VECTORS).join(file)).unwrap()).unwrap()
}

/// A row that is authentic, by Stripe.
fn stripe() -> Value {
    let signed =
        run(&["sign", "--scheme", "stripe", "--secret", "whsec_x", "--now", "1700000000"], b"{}");
    let header = text(&signed.stdout);
    let (name, value) = header.trim_end().split_once(": ").unwrap();
    json!({
        "provider": "stripe", "name": "right", "method": "POST", "url": null,
        "headers": [[name, value]], "body_base64": "e30=", "secret": "whsec_x",
        "secret_encoding": "utf8", "now": 1_700_000_000, "expect": "valid",
    })
}

fn with(mut row: Value, field: &str, value: Value) -> Value {
    row[field] = value;
    row
}

#[test]
fn recorded_requests_are_judged_in_order_with_the_exact_reason() {
    for (file, provider) in
        [("seed-systems.json", "scheme"), ("presets.json", "scheme"), ("senders.json", "provider")]
    {
        let path = Path::new(VECTORS).join(file);
        let output = run(&["check", path.to_str().unwrap()], b"");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let (rows, lines) = (rows(file), lines(&output));
        assert_eq!(rows.len(), lines.len());
        for (row, line) in rows.iter().zip(&lines) {
            assert_eq!(line["provider"], row[provider]);
            assert_eq!(line["name"], row["name"]);
            assert_eq!(line["verdict"], row["expect"], "{line}");
            assert_eq!(line.as_object().unwrap().len(), 3);
        }
    }
}

/// Published examples of the senders, if they are next to the project, which does not contain them.
#[test]
fn public_examples_are_judged_by_their_kind() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/providers-public.json");
    if !path.exists() {
        eprintln!("NOT TESTED: published examples are not there: {}", path.display());
        return;
    }
    let output = run(&["check", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(lines(&output).len(), 170);
}

/// An interpreter of the schemes in another language, if it is next to the project. It judges the
/// vectors as well.
#[test]
fn another_interpreter_agrees() {
    const JUDGE: &str = "import json, sys
sys.path.insert(0, sys.argv[1])
from schemes import S, verify
for row in json.load(open(sys.argv[2])):
    scheme = S.get(row['provider'])
    judged = scheme and scheme['kind'] in ('hmac', 'digest', 'static', 'ed25519', 'ecdsa-p256')
    if judged and 'extra_secrets' not in row:
        print(json.dumps([row['provider'], row['name'], row['expect'], verify(row)]))
";
    // The interpreter does not support these, or treats them differently: requests that are refused
    // here for good reason, a second header, an entity, a query, JSON in forms and parts.
    const KNOWN: [(&str, &str); 50] = [
        ("forgejo", "JSON instead of a form"),
        ("forgejo", "the JSON in a part"),
        ("forgejo", "trap: of a form, the JSON inside is signed"),
        ("forgejo", "trap: the form is not what is signed"),
        ("gitea", "JSON instead of a form"),
        ("gitea", "the JSON in a part"),
        ("gitea", "trap: of a form, the JSON inside is signed"),
        ("gitea", "trap: the form is not what is signed"),
        ("gogs", "JSON instead of a form"),
        ("gogs", "the JSON in a part"),
        ("gogs", "trap: of a form, the JSON inside is signed"),
        ("gogs", "trap: the form is not what is signed"),
        ("mailgun", "a route's parts: trap: a file with the name of a field does not count"),
        ("mailgun", "a route's parts: trap: a message with an attachment"),
        ("generic-base64", "right"),
        ("generic-base64", "names of headers in another case"),
        ("generic-base64", "a body that is not text"),
        ("generic-base64", "an empty body"),
        ("generic-hex", "the header twice"),
        ("woocommerce", "trap: HTML entities in the secret are decoded"),
        ("contentful", "a timestamp that is not among what is signed"),
        ("contentful", "trap: a list that is not signed itself"),
        ("plivo-v2", "the query is not signed"),
        ("trello", "a body that is not text"),
        ("mailgun", "a key that is there twice"),
        ("adyen", "trap: a second item, which is not signed"),
        ("adyen", "trap: fields that are cut apart elsewhere"),
        ("coinbase-cdp", "a body that is not JSON"),
        ("coinbase-cdp", "trap: a bad v0 beside a good v1"),
        ("coinbase-cdp", "v1: listed headers and the body"),
        ("linear", "as old as it may be"),
        ("linear", "trap: the last retry with the first timestamp"),
        ("mailgun", "a route's form: right"),
        ("mailgun", "a route's form: trap: the message is not signed"),
        ("mailgun", "trap: a subaccount's signature beside the parent's"),
        ("mollie", "trap: a line for each secret, with and without the prefix"),
        ("mollie", "trap: the lines joined by a gateway"),
        ("mollie", "without its prefix"),
        ("plivo-v2", "the main account's signature alone"),
        ("plivo-v2", "trap: a subaccount's signature beside the main account's"),
        ("segment", "a list of events"),
        ("segment", "the header that covers lists"),
        ("shopify", "headers without x-"),
        ("shopify", "trap: both forms, and the header without x- is wrong"),
        ("standard-webhooks-v1a", "Svix's headers"),
        ("standard-webhooks-v1a", "trap: two ids that disagree"),
        ("svix", "the headers of a white-labeled Svix"),
        ("svix", "trap: two families of headers that disagree"),
        ("x-twitter", "the header of OAuth 2.0 alone"),
        ("x-twitter", "trap: one header for each secret, and the second one fits"),
    ];
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracle");
    let has_python = Command::new("python3")
        .args(["-c", "import cryptography"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !oracle.exists() || !has_python {
        let _ = writeln!(
            std::io::stderr(),
            "NOT TESTED: the other interpreter is not there, or Python with cryptography"
        );
        return;
    }
    let rows = Path::new(VECTORS).join("senders.json");
    let output =
        Command::new("python3").args(["-B", "-c", JUDGE]).args([&oracle, &rows]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let judged = lines(&output);
    assert!(judged.len() > 1000, "{}", judged.len());
    let mut differ = BTreeSet::new();
    for row in &judged {
        let [provider, name, expect, verdict] = [0, 1, 2, 3].map(|at| row[at].as_str().unwrap());
        if (expect == "valid") != (verdict == "valid") {
            differ.insert((provider, name));
        }
    }
    assert_eq!(differ, BTreeSet::from(KNOWN));
}

#[test]
fn an_array_and_lines_are_read_alike() {
    let rows = [
        stripe(),
        with(stripe(), "body_base64", json!("W10=")),
        with(stripe(), "provider", json!("nobody")),
        with(stripe(), "secret", json!("")),
        with(stripe(), "now", json!(null)),
        with(stripe(), "now", json!(1_700_000_301)),
    ];
    let expected = [
        "valid",
        "signature_mismatch",
        "unknown_scheme",
        "invalid_secret",
        "valid",
        "timestamp_too_old",
    ];
    let array = format!("\n {}\n", json!(rows));
    let lines_of_json: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let pretty: String = rows.iter().map(|row| format!("{row:#}\n")).collect();
    for input in [&array, &lines_of_json, &pretty] {
        let output = run(&["check", "-"], input.as_bytes());
        let verdicts: Vec<_> = lines(&output)
            .iter()
            .map(|line| line["verdict"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(verdicts, expected);
        assert_eq!(output.status.code(), Some(1), "four rows are not valid");
        assert!(text(&output.stderr).contains("4 of 6 rows"));
    }
}

#[test]
fn the_exit_code_is_for_the_kind_of_the_verdict() {
    let wrong = with(stripe(), "body_base64", json!("W10="));
    let no_expectation = |mut row: Value| {
        row.as_object_mut().unwrap().remove("expect");
        row
    };
    for (row, code) in [
        (stripe(), 0),
        (wrong.clone(), 1),
        // Another reason is of the same kind.
        (with(wrong.clone(), "expect", json!("timestamp_too_old")), 0),
        (with(stripe(), "expect", json!("signature_mismatch")), 1),
        (no_expectation(stripe()), 0),
        (no_expectation(wrong), 1),
        (
            with(with(stripe(), "provider", json!("nobody")), "expect", json!("missing_signature")),
            0,
        ),
    ] {
        let output = run(&["check", "-"], row.to_string().as_bytes());
        assert_eq!(output.status.code(), Some(code), "{row}");
    }
    assert_eq!(run(&["check", "-"], b"").status.code(), Some(0));
    assert_eq!(run(&["check", "-"], b" [ ] \n").status.code(), Some(0));
    assert_eq!(run(&["check", "/no/such/file"], b"").status.code(), Some(2));
}

#[test]
fn a_row_that_cannot_be_read_is_named_by_its_number_after_those_before_it() {
    let good = stripe().to_string();
    for (bad, said) in [
        ("7", "row 2: not an object"),
        ("{}", "row 2: `body_base64` is missing"),
        ("{\"body_base64\":\"?\"}", "row 2: `body_base64` is not base64"),
        ("{\"body_base64\":\"e30=\"}", "row 2: `secret` is missing"),
        ("{\"body_base64\":\"e30=\",\"secret\":5}", "row 2: `secret` is not a string"),
        ("{\"body_base64\":\"\",\"secret\":\"hush\"}", "row 2: `provider` is missing"),
        (
            "{\"body_base64\":\"\",\"secret\":\"hush\",\"provider\":\"stripe\"}",
            "row 2: `headers` is missing",
        ),
        (
            "{\"body_base64\":\"\",\"secret\":\"hush\",\"provider\":\"stripe\",\"headers\":[[\"a\"]]}",
            "row 2: `headers` is not a list of pairs of strings",
        ),
        (
            "{\"body_base64\":\"\",\"secret\":\"hush\",\"provider\":\"stripe\",\"headers\":[],\"now\":-1}",
            "row 2: `now` is not a number",
        ),
        ("{\"secret\":\"hush\" x", "row 2: not JSON at line"),
        ("{\"secret\":\"hush", "row 2: not JSON at line"),
    ] {
        for input in [
            format!("[{good},{bad},{good}]"),
            format!("{good}\n{bad}\n{good}"),
            // It is the first mistake that counts: nothing after it is read.
            format!("[{good},{bad},{good}}}"),
        ] {
            let output = run(&["check", "-"], input.as_bytes());
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{input}");
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("hush"), "{error}");
            assert_eq!(lines(&output).len(), 1, "{input}");
        }
    }
    let deep = format!("{good}\n{}", "[".repeat(100_000));
    assert_eq!(run(&["check", "-"], deep.as_bytes()).status.code(), Some(2));
}

#[test]
fn rows_are_judged_as_they_come() {
    let mut child = command()
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, verdicts) = mpsc::channel();
    thread::spawn(move || {
        for line in output.lines() {
            let _ = sender.send(line.unwrap());
        }
    });
    for _ in 0..2 {
        writeln!(input, "{}", stripe()).unwrap();
        let line = verdicts.recv_timeout(Duration::from_secs(120));
        let line = line.expect("a verdict on the row within 120 s, before the input ends");
        assert!(line.contains("valid"), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_preset_is_listed_once() {
    let names: BTreeSet<_> = Scheme::preset_names().collect();
    let output = run(&["schemes", "--json"], b"");
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed.len(), names.len());
    let listed_names: BTreeSet<_> =
        listed.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(listed_names, names);
    let stripe = listed.iter().find(|row| row["name"] == "stripe").unwrap();
    assert_eq!(stripe["signed_content"], "{timestamp}.{body}");
    assert_eq!(stripe["tolerance"]["past"], 300);
    assert_eq!(stripe["brings"], "one event");
    assert_eq!(stripe["event_data"], "/data/object");

    let table = text(&run(&["schemes"], b"").stdout);
    assert_eq!(table.lines().count(), names.len());
    for (line, name) in table.lines().zip(Scheme::preset_names()) {
        assert!(line.starts_with(&format!("{name} ")), "{line}");
    }
    let ends = |name: &str, end: &str| {
        let mut lines = table.lines();
        let line = lines.find(|line| line.starts_with(&format!("{name} ")));
        assert!(line.unwrap().ends_with(end), "{line:?}");
    };
    ends("stripe", "  {timestamp}.{body}");
    ends("pipeforce-token", "  -");
    ends("contentful", r"}\n{body}");
    assert!(table.contains("  list in form mandrill_events  "));
}

#[test]
fn the_help_names_the_exit_codes() {
    let help = run(&["--help"], b"");
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Exits with 0, with 1 if"));
    assert!(text(&run(&["check", "--help"], b"").stdout).contains("Exits with 1 if"));
    assert_eq!(run(&["no-such-command"], b"").status.code(), Some(2));
}

/// A secret in the form that the scheme takes.
fn secret_of(scheme: &Scheme) -> &'static str {
    match (scheme.algorithm(), scheme.key_form()) {
        (Algorithm::Basic, _) => "user:pass",
        (_, KeyForm::Hex | KeyForm::Base64) => "00112233445566778899aabbccddeeff",
        (_, KeyForm::Whsec) => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ => "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
}

/// A body that the scheme can sign, and a careless shell would change.
fn body_of(scheme: &Scheme) -> &'static str {
    match scheme.describe().signed_content.contains("{form}") {
        true => "From=%2B1555&Body=it%27s",
        false => "{\"text\":\"it's $HOME `x` \\\\ \\\"\"}",
    }
}

/// A receiver accepts the requests that the command signs.
#[test]
fn what_is_signed_is_valid_for_every_scheme_with_a_shared_secret() {
    const URL: &str = "https://hooks.example.test:8443/hook?tenant=7&name=a%20b";
    let mut signed_schemes = 0;
    for scheme in Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric()) {
        let (secret, body) = (secret_of(scheme), body_of(scheme));
        let line = run(
            &[
                "sign",
                "--scheme",
                scheme.name(),
                "--secret",
                secret,
                "--url",
                URL,
                "--now",
                "1700000000",
                "--curl",
            ],
            body.as_bytes(),
        );
        assert_eq!(line.status.code(), Some(0), "{}", text(&line.stderr));
        let request = executed(&text(&line.stdout));
        assert_eq!(request.method, "POST");
        assert!(request.url.starts_with("https://hooks.example.test:8443/hook?tenant=7"));
        let row = json!({
            "provider": scheme.name(), "method": request.method, "url": request.url,
            "headers": request.headers, "body_base64": base64(&request.body),
            "secret": secret, "now": 1_700_000_000, "expect": "valid",
        });
        let output = run(&["check", "-"], row.to_string().as_bytes());
        assert_eq!(lines(&output)[0]["verdict"], "valid", "{row}");
        signed_schemes += 1;
    }
    assert!(signed_schemes > 90, "{signed_schemes}");
}

#[test]
fn a_body_or_a_url_that_signing_changes_is_told_beside_the_headers() {
    const URL: &str = "https://hooks.example.test:8443/hook?tenant=7#top";
    let (mut bodies, mut urls) = (0, 0);
    for scheme in Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric()) {
        let (secret, body) = (secret_of(scheme), body_of(scheme));
        let arguments = ["sign", "--scheme", scheme.name(), "--url", URL];
        let more = ["--secret", secret, "--now", "1700000000"];
        let output = run(&[&arguments[..], &more].concat(), body.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let headers: Vec<(String, String)> = text(&output.stdout)
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let (mut url, mut body) = (URL.to_owned(), base64(body.as_bytes()));
        for line in text(&output.stderr).lines() {
            match line.split_once(": ").unwrap() {
                ("url", changed) => (url, urls) = (changed.into(), urls + 1),
                ("body-base64", changed) => (body, bodies) = (changed.into(), bodies + 1),
                _ => panic!("{line}"),
            }
        }
        let row = json!({
            "provider": scheme.name(), "method": "POST", "url": url, "headers": headers,
            "body_base64": body, "secret": secret, "now": 1_700_000_000,
        });
        let output = run(&["check", "-"], row.to_string().as_bytes());
        assert_eq!(lines(&output)[0]["verdict"], "valid", "{row}");
    }
    assert!(bodies > 0 && urls > 0, "{bodies} {urls}");
}

#[test]
fn a_curl_line_has_the_url_that_was_given() {
    for (given, sent) in [
        ("localhost:3000/hook", "localhost:3000/hook"),
        ("https://h.test", "https://h.test/"),
        ("https://h.test?a=/b", "https://h.test?a=/b"),
        ("https://h.test/a/b?c=d#e", "https://h.test/a/b?c=d"),
        ("https://h.test/a#b?c", "https://h.test/a"),
    ] {
        let arguments = ["sign", "--scheme", "github", "--secret", "s", "--curl"];
        let line = run(&[&arguments[..], &["--url", given]].concat(), b"{}");
        assert_eq!(executed(&text(&line.stdout)).url, sent);
    }
}

/// `name:` would tell curl to leave the header out.
#[test]
fn a_curl_line_keeps_an_empty_header() {
    let arguments = ["sign", "--scheme", "github", "--secret", "s", "--curl"];
    let line = run(&[&arguments[..], &["--id", ""]].concat(), b"{}");
    assert!(text(&line.stdout).contains(" -H 'x-github-delivery;' "));
}

#[test]
fn a_body_that_is_no_text_survives_the_shell() {
    for body in [&b"\xff\x00\n'"[..], b"@/etc/passwd", b"", b"two\nlines\n"] {
        let arguments = ["sign", "--scheme", "github", "--secret", "s", "--curl"];
        let line = run(&arguments, body);
        assert_eq!(executed(&text(&line.stdout)).body, body);
    }
}

#[test]
fn a_secret_can_be_kept_off_the_command_line() {
    let expected = run(&["sign", "--scheme", "github", "--secret", "hush"], b"{}").stdout;
    assert!(text(&expected).contains("x-hub-signature-256: sha256="));
    let file = std::env::temp_dir().join(format!("webhook-verify-secret-{}", std::process::id()));
    fs::write(&file, "hush\n").unwrap();
    let output =
        run(&["sign", "--scheme", "github", "--secret-file", file.to_str().unwrap()], b"{}");
    fs::remove_file(&file).unwrap();
    assert_eq!(output.stdout, expected);

    let none = run(&["sign", "--scheme", "github"], b"{}");
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("no secret"));
    for (arguments, said) in [
        (
            ["--scheme", "nobody", "--secret", "s"],
            "unknown scheme \"nobody\" (`webhook-verify schemes` lists all)",
        ),
        (["--scheme", "shared-header", "--secret", "s"], "needs --header"),
        (["--scheme", "discord", "--secret", "s"], "secret: not an Ed25519"),
        (["--scheme", "adyen", "--secret", "xyz"], "secret: not hex"),
    ] {
        let output = run(&[&["sign"], &arguments[..]].concat(), b"{}");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

/// A file with a scheme of one's own.
fn scheme_file(name: &str, text: &str) -> std::path::PathBuf {
    let name = format!("webhook-verify-{name}-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).unwrap();
    path
}

const ACME: &str = r#"
name = "acme"
signature = { header = "acme-signature", prefix = "v1=" }
signed-content = "{timestamp}.{body}"
timestamp = { header = "acme-timestamp" }
event-type = { pointer = "/type" }
"#;
const GLOBEX: &str = r#"
name = "globex"
signature = { header = "globex-signature" }
signed-bytes = "decoded"
"#;

#[test]
fn every_command_reads_schemes_from_a_file() {
    let one = scheme_file("one", ACME);
    let two = scheme_file("two", &format!("[first]\n{ACME}\n[second]\n{GLOBEX}"));
    for (file, choice) in [(&one, &[][..]), (&one, &["acme"]), (&two, &["acme"])] {
        let file = file.to_str().unwrap();
        let choice: Vec<_> = choice.iter().flat_map(|name| ["--scheme", name]).collect();
        let arguments = ["sign", "--secret", "s", "--now", "1700000000", "--scheme-file", file];
        let signed = run(&[&arguments[..], &choice].concat(), b"{}");
        assert_eq!(signed.status.code(), Some(0), "{}", text(&signed.stderr));
        let headers = text(&signed.stdout);
        let headers: Vec<_> = headers.lines().map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(headers[0], ("acme-timestamp", "1700000000"));
        assert!(headers[1].1.starts_with("v1="), "{headers:?}");
        let row = json!({
            "provider": "acme", "headers": headers, "body_base64": "e30=", "secret": "s",
            "now": 1_700_000_000, "expect": "valid",
        });
        let output = run(&["check", "-", "--scheme-file", file], row.to_string().as_bytes());
        assert_eq!(lines(&output)[0]["verdict"], "valid");
        let unknown = run(&["check", "-"], row.to_string().as_bytes());
        assert_eq!(lines(&unknown)[0]["verdict"], "unknown_scheme");
        let page = text(&run(&["schemes", "acme", "--scheme-file", file], b"").stdout);
        assert!(page.starts_with("# acme (`acme`)"), "{page}");
    }
    let two = two.to_str().unwrap();
    let listed = text(&run(&["schemes", "--scheme-file", two], b"").stdout);
    assert_eq!(listed.lines().count(), 2);
    let broken = scheme_file("broken", "name = \"acme\"\nsignature = { header = \"a b\" }");
    let broken = broken.to_str().unwrap();
    for (arguments, said) in [
        (&["--scheme-file", two][..], "choose one of acme, globex"),
        (&["--scheme-file", two, "--scheme", "github"], "contains only acme, globex"),
        (&["--scheme-file", broken], "acme: signature.header: not a header name"),
        (&["--scheme-file", "/no/such.toml"], "/no/such.toml: No such file"),
        (&[], "no scheme: set --scheme or --scheme-file"),
    ] {
        let output = run(&[&["sign", "--secret", "s"], arguments].concat(), b"{}");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
    for name in ["one", "two", "broken"] {
        fs::remove_file(scheme_file(name, "")).unwrap();
    }
}

#[test]
fn compressed_requests_are_signed_as_the_scheme_defines() {
    let globex = scheme_file("globex", GLOBEX);
    let file = globex.to_str().unwrap();
    for scheme in [&["--scheme", "nylas"][..], &["--scheme-file", file]] {
        let arguments = ["sign", "--secret", "s", "--gzip", "--curl"];
        let line = run(&[&arguments[..], scheme].concat(), b"{\"id\":\"1\"}");
        let request = executed(&text(&line.stdout));
        assert!(request.body.starts_with(&[0x1f, 0x8b]));
        assert!(request.headers.contains(&("content-encoding".into(), "gzip".into())));
        let provider = if scheme.contains(&"nylas") { "nylas" } else { "globex" };
        let row = json!({
            "provider": provider, "headers": request.headers, "secret": "s",
            "body_base64": base64(&request.body),
        });
        let output = run(&["check", "-", "--scheme-file", file], row.to_string().as_bytes());
        assert_eq!(lines(&output)[0]["verdict"], "valid");
    }
    fs::remove_file(globex).unwrap();
    let refused = run(&["sign", "--scheme", "github", "--secret", "s", "--gzip"], b"{}");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("signed-bytes"), "{}", text(&refused.stderr));
}

/// An event type that is not part of the request would be a silent mistake.
#[test]
fn an_event_type_is_refused_unless_the_scheme_has_it_in_a_header() {
    for scheme in Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric()) {
        let arguments = ["sign", "--scheme", scheme.name(), "--secret", secret_of(scheme)];
        let more = ["--event-type", "thing.made", "--url", "https://a.test/"];
        let output = run(&[&arguments[..], &more].concat(), body_of(scheme).as_bytes());
        let place = scheme.describe().event_type.unwrap_or_default();
        if place.starts_with("header") {
            assert!(text(&output.stdout).contains(": thing.made"), "{}", scheme.name());
        } else {
            assert_eq!(output.status.code(), Some(2), "{}", scheme.name());
            assert!(text(&output.stderr).contains(&place), "{}", text(&output.stderr));
        }
    }
    let help = text(&run(&["sign", "--help"], b"").stdout);
    assert!(help.contains("the default is evt_1") && help.contains("the body that you pass"));
}

struct Executed {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The arguments that a shell passes to `curl`.
fn executed(line: &str) -> Executed {
    // Each argument ends in a NUL; a body on standard input comes last.
    let script = format!(
        "curl() {{ for argument; do printf '%s\\0' \"$argument\"; done; if [ \"$argument\" = @- ]; then cat; fi; }}\n{line}"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut parts = output.stdout.split(|&byte| byte == 0);
    let mut next = || text(parts.next().unwrap());
    let (mut method, mut url) = ("POST".to_owned(), String::new());
    let (mut headers, mut body) = (Vec::new(), Vec::new());
    loop {
        match next().as_str() {
            "-g" | "-i" => {}
            "-X" => method = next(),
            "-H" => {
                let header = next();
                let (name, value) = header.split_once(": ").unwrap();
                headers.push((name.to_owned(), value.to_owned()));
            }
            "--data-binary" => {
                let given = next();
                let rest: Vec<_> = parts.collect();
                body = match given.as_str() {
                    "@-" => rest.join(&0),
                    _ => given.into_bytes(),
                };
                break;
            }
            "" => break,
            other if url.is_empty() => other.clone_into(&mut url),
            other => panic!("{other}"),
        }
    }
    Executed { method, url, headers, body }
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}
