//! `probe`: receivers that are right pass, and each fault is found in its row.

mod receiver;
mod tls;

use std::{
    fs,
    process::{Command, Output, Stdio},
    sync::Mutex,
    thread,
    time::Instant,
};

use axum::http::StatusCode;
use integration_tests::{Folder, PATIENCE, Program, in_folder, output};
use serde_json::Value;
use tokio::runtime::Runtime;

use self::receiver::{Fault, LIMIT, Receiver, SECRET};
use super::{command, text};

/// Runs `probe --json` for a receiver by hand.
fn probe(url: &str, scheme: &str, more: &[&str]) -> Output {
    let limit = LIMIT.to_string();
    let mut command = command();
    command.args(["probe", url, "--scheme", scheme, "--secret", SECRET, "--limit", &limit]);
    command.args(more).stdin(Stdio::null());
    output(command)
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Returns the IDs and the findings of the rows with this verdict.
fn rows(report: &Value, verdict: &str) -> Vec<(String, String)> {
    let rows = report["rows"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["verdict"] == verdict);
    let field = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.map(|row| (field(row, "id"), field(row, "seen"))).collect()
}

fn serve(runtime: &Runtime, fault: Fault, slack: bool, refusal: StatusCode) -> String {
    runtime.block_on(Receiver::new(fault, slack, refusal).serve())
}

/// Calls `run` for each item, some at the same time.
fn each<T: Send>(items: Vec<T>, run: impl Fn(T) + Sync) {
    let items = Mutex::new(items);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let item = items.lock().unwrap().pop();
                    let Some(item) = item else { break };
                    run(item);
                }
            });
        }
    });
}

/// Each fault, and the row that must find it, and no other.
const FAULTS: [(Fault, &str); 32] = [
    (Fault::NoVerification, "wrong-secret"),
    (Fault::EmptySecret, "empty-secret"),
    (Fault::Prefix, "truncated-signature"),
    (Fault::ExtraBytes, "longer-signature"),
    (Fault::UnsignedAllowed, "unsigned"),
    (Fault::EmptyAllowed, "empty-signature"),
    (Fault::BigBodies, "changed-end"),
    (Fault::ParsedJson, "exact-bytes"),
    (Fault::SpacedJson, "exact-bytes"),
    (Fault::NoWindow, "stale"),
    (Fault::PastOnly, "future"),
    (Fault::FirstHeader, "repeated-header"),
    (Fault::FirstSignature, "many-signatures"),
    (Fault::JsonOnly, "content-type"),
    (Fault::PathCase, "path"),
    (Fault::GetRuns, "methods"),
    (Fault::PutRuns, "methods"),
    (Fault::Decompresses, "compressed"),
    (Fault::ShortIds, "huge-id"),
    (Fault::Conflict, "duplicate"),
    (Fault::RecordsForged, "forged-id"),
    (Fault::RecordsFirst, "failing-retry"),
    (Fault::NoLimit, "over-limit"),
    (Fault::DeclaredLimit, "endless-body"),
    (Fault::NoBodyTime, "slow-body"),
    (Fault::SlowComparison, "response-times"),
    (Fault::Reveals, "refusals"),
    (Fault::RevealsByStatus, "refusals"),
    (Fault::Crashes, "server-errors"),
    (Fault::Poisoned, "still-works"),
    (Fault::NoHandshake, "challenges"),
    (Fault::ForgedHandshake, "challenges"),
];

#[test]
fn each_fault_is_found_by_its_row_and_no_other() {
    let runtime = Runtime::new().unwrap();
    let folder = Folder::new("probe");
    let failing = folder.path().join("failing.json");
    fs::write(&failing, r#"{"id":"PROBE_ID","type":"failing"}"#).unwrap();
    each(FAULTS.to_vec(), |(fault, row)| {
        let slack = matches!(fault, Fault::NoHandshake | Fault::ForgedHandshake);
        let url = serve(&runtime, fault, slack, StatusCode::UNAUTHORIZED);
        // Bodies are cut off after 2 s, and the rest waits for a busy machine only.
        let mut more = vec!["--json", "--timeout", "30"];
        if !slack {
            more.extend(["--failing-body", failing.to_str().unwrap()]);
        }
        let output = probe(&url, if slack { "slack" } else { "stripe" }, &more);
        let report = report(&output);
        let failed = rows(&report, "fail");
        let ids: Vec<_> = failed.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, [row], "{fault:?}: {failed:?}");
        assert_eq!(output.status.code(), Some(1), "{fault:?}");
        assert_eq!(report["failed"], 1);
        assert!(!text(&output.stdout).contains(SECRET));
    });
}

#[test]
fn receivers_by_hand_pass_whatever_status_they_refuse_with() {
    let runtime = Runtime::new().unwrap();
    let folder = Folder::new("probe");
    let failing = folder.path().join("failing.json");
    fs::write(&failing, r#"{"id":"PROBE_ID","type":"failing"}"#).unwrap();
    let statuses = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST];
    let all = statuses.iter().flat_map(|status| [(*status, false), (*status, true)]).collect();
    each(all, |(status, slack)| {
        let url = serve(&runtime, Fault::None, slack, status);
        let scheme = if slack { "slack" } else { "stripe" };
        let failing = ["--failing-body", failing.to_str().unwrap()];
        let more = [&["--json"][..], if slack { &[] } else { &failing }].concat();
        let output = probe(&url, scheme, &more);
        let report = report(&output);
        assert_eq!(rows(&report, "fail"), [], "{scheme} {status}");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(report["rows"].as_array().unwrap().len(), 32);
        let expected: &[&str] = match slack {
            true => &["many-signatures", "huge-id", "failing-retry"],
            false => &["challenges"],
        };
        let other = rows(&report, "not_applicable");
        let other: Vec<_> = other.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(other, expected, "{scheme}");
        assert!(report["requests"].as_u64().unwrap() < 200, "{report}");
    });
}

/// The scheme, the options that the receiver and the probe share, and rows that must apply.
const SCHEMES: [(&str, &[&str], &[&str]); 8] = [
    // A list of signatures after a timestamp; the ID is in the body.
    ("stripe", &[], &["stale", "future", "many-signatures", "exact-bytes", "huge-id"]),
    // The ID is in a header, and nothing but the body is signed.
    ("github", &[], &["changed-body", "exact-bytes", "huge-id"]),
    // Decoded secrets, and a signed ID.
    ("standard-webhooks", &[], &["stale", "many-signatures", "huge-id"]),
    ("slack", &[], &["challenges", "future"]),
    // The URL and a form, in base64.
    ("twilio", &["--public-url", "https://hooks.example.test/hook"], &["changed-body", "unsigned"]),
    // A token in place of a signature.
    ("pipeforce-token", &[], &["unsigned", "truncated-signature", "duplicate"]),
    // A JSON Web Token with a digest of the body.
    ("vonage", &[], &["stale", "changed-body", "empty-secret"]),
    // Handshakes with a parameter.
    ("meta", &["--parameter", "verify_token=a token & more"], &["challenges", "changed-end"]),
];

#[test]
fn receivers_of_this_project_pass() {
    let all = SCHEMES.iter().flat_map(|row| [("axum", row), ("actix", row)]).collect();
    each(all, |(framework, (scheme, options, applicable))| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_receiver"));
        command.args(["--listen", "127.0.0.1:0", "--framework", framework, "--scheme", scheme]);
        command.args(["--store", "memory:"]).args(*options).stderr(Stdio::null());
        in_folder(&mut command);
        let receiver = Program::spawn(&mut command);
        let deadline = Instant::now() + PATIENCE;
        let line = |start| {
            let line = receiver.line(deadline).unwrap();
            line.strip_prefix(start).unwrap_or_else(|| panic!("{line}")).to_owned()
        };
        let (secret, origin) = (line("secret "), line("listening on "));
        let mut command = super::command();
        command.args(["probe", &format!("{origin}/hook"), "--scheme", scheme, "--json"]);
        command.args(*options).env("WEBHOOK_SECRET", &secret).stdin(Stdio::null());
        let output = output(command);
        let report = report(&output);
        assert_eq!(rows(&report, "fail"), [], "{framework} {scheme}");
        assert_eq!(output.status.code(), Some(0));
        let passed = rows(&report, "pass");
        for id in *applicable {
            assert!(passed.iter().any(|(row, _)| row == id), "{scheme} {id}: {report}");
        }
        assert!(!text(&output.stdout).contains(&secret));
    });
}

/// A receiver that limits the rate of requests does not say whether it accepts them.
#[test]
fn too_many_requests_are_no_refusals() {
    let runtime = Runtime::new().unwrap();
    let url = serve(&runtime, Fault::LimitsRate, false, StatusCode::UNAUTHORIZED);
    let output = probe(&url, "stripe", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    let other = rows(&report, "not_applicable");
    let limited = other.iter().filter(|(_, seen)| seen.starts_with("429: "));
    let limited: Vec<_> = limited.map(|(id, _)| id.as_str()).collect();
    for id in ["longer-signature", "changed-body", "header-case", "still-works"] {
        assert!(limited.contains(&id), "{id}: {report}");
    }
}

/// Such a report would say that a receiver is safe that nobody has tested.
#[test]
fn a_receiver_that_refuses_the_valid_delivery_fails_one_row_and_gets_a_hint() {
    let runtime = Runtime::new().unwrap();
    let url = serve(&runtime, Fault::None, false, StatusCode::UNAUTHORIZED);
    for (url, scheme, hint) in [
        (url.as_str(), "github", "not accepted: 401; check the URL, --scheme and the secret"),
        (&url.replace("/hook", "/elsewhere"), "stripe", "not accepted: 404; check the URL"),
    ] {
        let output = probe(url, scheme, &["--json"]);
        assert_eq!(output.status.code(), Some(1));
        let report = report(&output);
        let [(id, seen)] = &rows(&report, "fail")[..] else { panic!("{report}") };
        assert_eq!(id, "valid");
        assert!(seen.contains(hint) && seen.contains("webhook-verify sign"), "{seen}");
        assert!(report["requests"].as_u64().unwrap() < 3, "{report}");
        let other = rows(&report, "not_applicable");
        assert!(other.iter().all(|(_, seen)| seen == "not tested, because `valid` failed"));
        assert_eq!(other.len(), 31);
        let table = text(&probe(url, scheme, &[]).stdout);
        assert_eq!(table.lines().count(), 4, "the row, why, a blank line, the summary: {table}");
    }
}

#[test]
fn the_table_names_each_row_its_verdict_and_why_it_matters() {
    let runtime = Runtime::new().unwrap();
    let url = serve(&runtime, Fault::NoWindow, false, StatusCode::UNAUTHORIZED);
    let output = probe(&format!("{url}?token=confidential"), "stripe", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let report = probe(&url, "stripe", &["--json"]);
    let report = self::report(&report);
    for row in report["rows"].as_array().unwrap() {
        let verdict = match row["verdict"].as_str().unwrap() {
            "pass" => "pass",
            "fail" => "FAIL",
            _ => "n/a",
        };
        let start = format!("{verdict:<5} {:<20}", row["id"].as_str().unwrap());
        assert!(table.contains(&start), "{start}\n{table}");
        assert!(table.contains(row["why"].as_str().unwrap()), "{row}");
    }
    assert!(table.contains("FAIL  stale "), "{table}");
    assert!(table.contains(" 1 failed, "), "{table}");
    assert!(!table.contains("confidential") && !table.contains(SECRET), "{table}");
}

#[test]
fn other_machines_are_refused_before_a_request_is_sent() {
    // 192.0.2.1 is for documentation: no machine has it.
    for url in ["http://192.0.2.1/", "http://[2001:db8::1]:3000/hook", "http://0.0.0.0:3000/"] {
        let output = probe(url, "stripe", &["--json"]);
        assert_eq!(output.status.code(), Some(2), "{url}");
        assert!(text(&output.stderr).contains("--i-own-this-receiver"), "{output:?}");
        assert!(output.stdout.is_empty());
    }
    let runtime = Runtime::new().unwrap();
    let url = serve(&runtime, Fault::None, false, StatusCode::UNAUTHORIZED);
    for host in ["localhost", "[::ffff:127.0.0.1]"] {
        let url = url.replace("127.0.0.1", host);
        // There is a receiver, but of another sender.
        let output = probe(&url, "github", &["--json"]);
        assert_eq!(output.status.code(), Some(1), "{host}: {output:?}");
    }
    // The option permits it. Nobody listens on this port of this machine.
    let output = probe("http://127.0.0.1:1/", "stripe", &["--i-own-this-receiver"]);
    assert!(text(&output.stderr).starts_with("error: the URL: no connection: "), "{output:?}");
}

#[test]
fn mistakes_are_errors_that_name_what_to_fix() {
    let folder = Folder::new("probe-mistakes");
    let file = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (binary, long) = (file("binary", b"\xff\xfe"), file("long", &vec![b' '; 1 << 21]));
    let url = "http://127.0.0.1:1/";
    for (url, scheme, more, expected) in [
        (url, "discord", &[][..], "only the sender has the private key"),
        (url, "strip", &[], "did you mean"),
        ("https://127.0.0.1:1/", "stripe", &[], "no connection: "),
        (
            "http://user:word@127.0.0.1:1/",
            "stripe",
            &[],
            "not a URL without a user name and password",
        ),
        ("ftp://127.0.0.1/", "stripe", &[], "http://"),
        ("http://nowhere.invalid/", "stripe", &[], "its host has no address"),
        (url, "stripe", &["--body", &binary], "binary: not text in UTF-8"),
        (url, "stripe", &["--body", &long], "long: longer than 1 MiB"),
        (url, "stripe", &["--failing-body", "/nowhere"], "/nowhere: "),
        (url, "stripe", &["--limit", "0"], "--limit"),
        (url, "stripe", &["--timeout", "0"], "--timeout"),
        (url, "github", &["--event-type", "a\nb"], "control character"),
        (url, "stripe", &[], "no connection: "),
    ] {
        let output = probe(url, scheme, more);
        assert_eq!(output.status.code(), Some(2), "{url} {more:?}");
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains(SECRET) && !error.contains("word@"), "{error}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// A server that reads requests and says nothing, or something else than HTTP.
#[test]
fn silent_and_strange_servers_are_no_receivers() {
    use std::{io::Write as _, net::TcpListener};

    for (says, seen) in [
        (&b""[..], "no response within 1 s"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "closed without a response"),
        (b"HTTP/1.1 \x1b[2J\r\n\r\n", "closed without a response"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(says);
                open.push(stream);
            }
        });
        let output = probe(&url, "stripe", &["--timeout", "1", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let report = report(&output);
        let failed = rows(&report, "fail");
        assert!(failed.len() == 1 && failed[0].1.contains(seen), "{failed:?}");
    }
}
