//! `webhook-verify replay`.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output, Stdio},
    slice::from_ref,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use integration_tests::{Folder, PATIENCE, Program, in_folder};
use serde_json::{Value, json};

use crate::{
    base64, command, lines, output_of, run, stripe,
    target::{Request, Target},
    text, with,
};

/// The project's receiver, as a process.
struct Receiver {
    program: Program,
    url: String,
}

impl Receiver {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_receiver"));
        in_folder(&mut command);
        command.args(["--listen", "127.0.0.1:0", "--store", "memory:"]).args(arguments);
        let program = Program::spawn(command.stderr(Stdio::null()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = program.line(deadline).expect("a line `listening on` in time");
            if let Some(url) = line.strip_prefix("listening on ") {
                return Self { program, url: url.to_owned() };
            }
        }
    }

    /// Kills the receiver, and returns the deliveries that its handler has seen.
    fn handled(mut self) -> Vec<Value> {
        let (lines, _) = self.program.kill();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Replays rows from standard input, with a JSON line for each response.
fn replay(rows: &[Value], to: &str, arguments: &[&str]) -> Output {
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    run(&[&["replay", "-", "--json", "--to", to], arguments].concat(), rows.as_bytes())
}

fn statuses(output: &Output) -> Vec<u64> {
    lines(output).iter().map(|line| line["status"].as_u64().unwrap_or_default()).collect()
}

fn file(folder: &Folder, name: &str, contents: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, contents).unwrap();
    path
}

/// A scheme of each kind: how to sign a first request, which the tests record and replay.
struct Kind {
    scheme: &'static str,
    secret: &'static str,
    body: &'static str,
    /// The path and query of the recorded request.
    target: &'static str,
    signs_body: bool,
    has_timestamp: bool,
    in_header: bool,
}

const KINDS: [Kind; 9] = [
    Kind::new("github", "secret", "{\"a\":1}"),
    Kind {
        has_timestamp: true,
        ..Kind::new("stripe", "whsec_x", "{\"id\":\"evt_7\",\"type\":\"a\"}")
    },
    Kind { has_timestamp: true, ..Kind::new("slack", "secret", "{\"event_id\":\"Ev1\"}") },
    Kind {
        has_timestamp: true,
        ..Kind::new(
            "standard-webhooks",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "{\"type\":\"a\"}",
        )
    },
    Kind { signs_body: false, ..Kind::new("gitlab", "secret", "{\"object_kind\":\"push\"}") },
    Kind { target: "/hook?tenant=7", ..Kind::new("twilio", "secret", "From=%2B1&MessageSid=SM1") },
    Kind { in_header: false, ..Kind::new("adyen", "00112233445566778899aabbccddeeff", ADYEN) },
    Kind { has_timestamp: true, ..Kind::new("linear", "secret", "{\"type\":\"Issue\"}") },
    Kind { in_header: false, ..Kind::new("mailgun", "secret", MAILGUN) },
];

const ADYEN: &str = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"AUTHORISATION","success":"true","pspReference":"7914","originalReference":"","merchantAccountCode":"Shop","merchantReference":"Order-1","amount":{"currency":"EUR","value":1130},"additionalData":{}}}]}"#;
const MAILGUN: &str = r#"{"signature":{"token":"abcdef","parent-signature":""},"event-data":{"event":"opened","id":"ase1"}}"#;

impl Kind {
    const fn new(scheme: &'static str, secret: &'static str, body: &'static str) -> Self {
        let target = "/hook";
        let (signs_body, has_timestamp, in_header) = (true, false, true);
        Self { scheme, secret, body, target, signs_body, has_timestamp, in_header }
    }

    /// Returns a row for a receiver that was given `url`. The request is old.
    fn row(&self, url: &str) -> Value {
        let url = format!("{url}{}", self.target);
        let arguments = ["sign", "--scheme", self.scheme, "--secret", self.secret, "--url", &url];
        let signed =
            run(&[&arguments[..], &["--now", "1700000000"]].concat(), self.body.as_bytes());
        assert!(signed.status.success(), "{}", text(&signed.stderr));
        let headers = text(&signed.stdout);
        let headers: Vec<_> = headers.lines().map(|line| line.split_once(": ").unwrap()).collect();
        let errors = text(&signed.stderr);
        let changed = errors.lines().find_map(|line| line.strip_prefix("body-base64: "));
        let content_type = if self.scheme == "twilio" { None } else { Some("application/json") };
        let content_type = content_type.map(|value| ("content-type", value));
        json!({
            "provider": self.scheme, "name": "recorded", "method": "POST", "url": url,
            "headers": headers.into_iter().chain(content_type).collect::<Vec<_>>(),
            "body_base64": changed.map_or_else(|| base64(self.body.as_bytes()), str::to_owned),
            "secret": self.secret, "now": 1_700_000_000, "expect": "valid",
        })
    }

    fn receiver(&self, arguments: &[&str]) -> Receiver {
        let own = ["--scheme", self.scheme, "--secret", self.secret];
        Receiver::start(&[&own, &["--public-url", PUBLIC_URL][..], arguments].concat())
    }
}

const PUBLIC_URL: &str = "https://hooks.example.test/hook";
const ORIGIN: &str = "https://hooks.example.test";

#[test]
fn requests_are_sent_as_they_were_recorded() {
    let target = Target::with_status(204);
    let row = json!({
        "provider": "nobody", "name": "odd", "method": "PUT", "url": "https://a.test/b%20c?d=%7B&d=",
        "headers": [["X-Two", "1"], ["Host", "a.test"], ["x-two", " ü"], ["Content-Length", "7"],
            ["Transfer-Encoding", "chunked"], ["Connection", "close"], ["User-Agent", "acme/1"]],
        "body_base64": base64(b"\xff\0\r\n{}"),
    });
    let output = replay(&[row], &target.url(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let [request] = &target.requests()[..] else { panic!() };
    assert_eq!((&*request.method, &*request.target), ("PUT", "/b%20c?d=%7B&d="));
    assert_eq!(request.body, b"\xff\0\r\n{}");
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    headers.sort_unstable();
    let host = target.addr.to_string();
    let expected = [
        ("content-length", "6"),
        ("host", &host),
        ("user-agent", "acme/1"),
        ("x-two", "1"),
        ("x-two", "ü"),
    ];
    assert_eq!(headers, expected);
    let line = &lines(&output)[0];
    assert_eq!(
        (&line["row"], &line["provider"], &line["name"]),
        (&json!(1), &json!("nobody"), &json!("odd"))
    );
    assert_eq!((&line["status"], &line["duplicate"]), (&json!(204), &json!(false)));
    assert!(line["ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_receivers_path_replaces_the_recorded_one_and_its_query_is_added() {
    let target = Target::with_status(200);
    let row = with(stripe(), "url", json!("https://a.test/b?c=d"));
    for (to, expected) in [
        ("", "/b?c=d"),
        ("/own", "/own?c=d"),
        ("/own?e=f", "/own?e=f&c=d"),
        ("/?c=own", "/b?c=own"),
    ] {
        replay(from_ref(&row), &format!("{}{to}", target.url()), &[]);
        assert_eq!(target.requests().last().unwrap().target, expected);
    }
}

#[test]
fn several_files_are_sent_in_order_and_each_request_many_times() {
    let target = Target::with_status(200);
    let named = |name: &str| with(stripe(), "name", json!(name));
    let folder = Folder::new("replay");
    let array = file(&folder, "array.json", &json!([named("a"), named("b")]).to_string());
    let rows = file(&folder, "rows.json", &format!("{}\n{}\n", named("c"), named("")));
    let (array, rows) = (array.to_str().unwrap(), rows.to_str().unwrap());
    let output = run(&["replay", array, rows, "--to", &target.url(), "--times", "2"], b"");
    assert_eq!(output.status.code(), Some(0));
    let labels: Vec<_> = text(&output.stdout)
        .lines()
        .map(|line| line.split_once(" ms  ").unwrap().1.to_owned())
        .collect();
    let expected = ["a, 1", "a, 2", "b, 1", "b, 2", "c, 1", "c, 2", "row 2, 1", "row 2, 2"];
    assert_eq!(labels, expected.map(|label| format!("stripe, {label} of 2")));
    assert_eq!(target.requests().len(), 8);
    let broken = file(&folder, "broken.json", "{");
    let output = run(&["replay", array, broken.to_str().unwrap(), "--to", &target.url()], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("broken.json: row 1: not JSON"));
    assert_eq!(target.requests().len(), 10);
}

/// A row is sent before the next one is read, so a long file needs no memory.
#[test]
fn rows_are_sent_as_they_come() {
    let target = Target::with_status(200);
    let mut child = command();
    child.args(["replay", "-", "--to", &target.url()]).stdin(Stdio::piped());
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::io::BufReader::new(child.stdout.take().unwrap());
    let (sender, responses) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in std::io::BufRead::lines(output) {
            let _ = sender.send(line.unwrap());
        }
    });
    for _ in 0..2 {
        writeln!(input, "{}", stripe()).unwrap();
        let line = responses.recv_timeout(PATIENCE);
        assert!(line.expect("a response to the row before the input ends").starts_with("200"));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_receiver_accepts_each_kind_of_scheme_as_recorded_and_fresh() {
    for kind in &KINDS {
        let stopped = kind.receiver(&["--now", "1700000000"]);
        let row = kind.row(ORIGIN);
        let output = replay(from_ref(&row), &stopped.url, &[]);
        assert_eq!(statuses(&output), [204], "{}: {}", kind.scheme, text(&output.stdout));
        assert_eq!(stopped.handled().len(), 1);

        let receiver = kind.receiver(&[]);
        let output = replay(from_ref(&row), &receiver.url, &[]);
        let expected = if kind.has_timestamp { (401, 1) } else { (204, 0) };
        assert_eq!(
            (statuses(&output)[0], output.status.code()),
            (expected.0, Some(expected.1)),
            "{}",
            kind.scheme
        );
        let output = replay(&[row], &receiver.url, &["--fresh"]);
        assert_eq!(statuses(&output), [204], "{}: {}", kind.scheme, text(&output.stdout));
    }
}

#[test]
fn a_receiver_refuses_each_mutation() {
    let parts = ["body", "signature", "timestamp", "header"];
    let parts = parts.iter().flat_map(|part| ["--mutate", part]).collect::<Vec<_>>();
    for kind in &KINDS {
        for (is_fresh, clock) in [(true, &[][..]), (false, &["--now", "1700000000"])] {
            let receiver = kind.receiver(clock);
            let fresh: &[&str] = if is_fresh { &["--fresh"] } else { &[] };
            let output = replay(&[kind.row(ORIGIN)], &receiver.url, &[&parts, fresh].concat());
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
            let expected = |applies| if applies { json!(401) } else { Value::Null };
            let applies = [kind.signs_body, true, kind.has_timestamp, kind.in_header].map(expected);
            let lines = lines(&output);
            let statuses: Vec<_> = lines.iter().map(|line| line["status"].clone()).collect();
            assert_eq!(statuses, applies, "{} {}", kind.scheme, text(&output.stdout));
            for line in lines.iter().filter(|line| line["status"].is_null()) {
                assert!(line["error"].as_str().unwrap().starts_with("not sent: "), "{line}");
            }
            assert!(receiver.handled().is_empty());
        }
    }
}

/// Returns the names of the parts in which two requests differ.
fn differences(one: &Request, other: &Request) -> Vec<String> {
    let names = one.headers.iter().chain(&other.headers).map(|(name, _)| name.clone());
    let mut names: Vec<_> = names.filter(|name| one.header(name) != other.header(name)).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| name != "content-length");
    if one.target != other.target {
        names.push("target".into());
    }
    if one.body != other.body {
        names.push("body".into());
    }
    names
}

#[test]
fn a_mutation_breaks_one_part_alone() {
    let target = Target::with_status(401);
    let row = Kind::new("slack", "secret", "{\"event_id\":\"Ev1\"}").row(ORIGIN);
    replay(from_ref(&row), &target.url(), &[]);
    for (part, expected) in [
        ("body", &["body"][..]),
        ("signature", &["x-slack-signature"]),
        ("header", &["x-slack-signature"]),
        ("timestamp", &["x-slack-request-timestamp", "x-slack-signature"]),
    ] {
        let output = replay(from_ref(&row), &target.url(), &["--mutate", part]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        assert_eq!(lines(&output)[0]["mutation"], part);
        let requests = target.requests();
        assert_eq!(differences(&requests[0], requests.last().unwrap()), expected, "{part}");
        let body = &requests.last().unwrap().body;
        assert_eq!(body.len(), requests[0].body.len());
    }
    let requests = target.requests();
    let [signature, header, timestamp] = [2, 3, 4].map(|at| &requests[at]);
    assert_eq!(signature.header("x-slack-signature").unwrap().len(), 67);
    assert_eq!(header.header("x-slack-signature"), None);
    assert_eq!(timestamp.header("x-slack-request-timestamp"), Some("1699913300"));
}

#[test]
fn a_receiver_that_accepts_a_mutated_request_is_found_out() {
    let target = Target::with_status(200);
    let output = replay(&[stripe()], &target.url(), &["--mutate", "body"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("1 of 1 requests not refused"), "{errors}");
    assert!(errors.contains("too old even without the mutation: add --fresh"), "{errors}");
    let output = replay(&[stripe()], &target.url(), &["--mutate", "body", "--fresh"]);
    assert!(!text(&output.stderr).contains("--fresh"));
    // It proves nothing that a receiver refuses such a request.
    let wrong = with(stripe(), "secret", json!("whsec_y"));
    let output = replay(&[wrong], &target.url(), &["--mutate", "body"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).contains("refused without the mutation, too: signature_mismatch"));
    assert!(text(&output.stderr).contains("no request was sent"));
}

#[test]
fn a_fresh_request_is_a_duplicate_unless_it_has_a_new_id() {
    for kind in
        KINDS.iter().filter(|kind| ["github", "standard-webhooks", "stripe"].contains(&kind.scheme))
    {
        let receiver = kind.receiver(&[]);
        let row = kind.row(ORIGIN);
        let output = replay(from_ref(&row), &receiver.url, &["--fresh", "--times", "2"]);
        let duplicates = |output: &Output| {
            lines(output).iter().map(|line| line["duplicate"] == true).collect::<Vec<_>>()
        };
        assert_eq!(
            (statuses(&output), duplicates(&output)),
            (vec![204, 204], vec![false, true]),
            "{}",
            kind.scheme
        );
        let output =
            replay(from_ref(&row), &receiver.url, &["--fresh", "--new-id", "--times", "2"]);
        assert_eq!(
            (statuses(&output), duplicates(&output)),
            (vec![204, 204], vec![false, false]),
            "{}",
            kind.scheme
        );
        let rows = format!("{row}\n");
        let shown = run(&["replay", "-", "--fresh", "--to", &receiver.url], rows.as_bytes());
        assert!(
            text(&shown.stdout).ends_with(", recorded: duplicate\n"),
            "{}",
            text(&shown.stdout)
        );
        assert_eq!(receiver.handled().len(), 3);
    }
}

#[test]
fn a_new_id_is_of_the_kind_of_the_old_one() {
    let target = Target::with_status(200);
    let id = |body: &str| {
        let row = with(stripe(), "body_base64", json!(base64(body.as_bytes())));
        let output = replay(&[row], &target.url(), &["--fresh", "--new-id"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        let requests = target.requests();
        serde_json::from_slice::<Value>(&requests.last().unwrap().body).unwrap()["id"].clone()
    };
    let text = id("{\"id\":\"evt_1\"}");
    let uuid = text.as_str().unwrap();
    let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
    assert_eq!((lengths, &uuid[14..15]), (vec![8, 4, 4, 4, 12], "4"));
    assert!(id("{\"id\":17}").is_u64());
    let without = Kind::new("mautic", "secret", "{}").row(ORIGIN);
    let output = replay(&[without], &target.url(), &["--fresh", "--new-id"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output)[0]["error"].as_str().unwrap().contains("the scheme has no delivery ID"));
}

#[test]
fn secrets_come_from_an_option_the_row_or_the_variable() {
    let secret = |row: &Value, arguments: &[&str], variable: Option<&str>| {
        let target = Target::with_status(200);
        let mut command = command();
        if let Some(variable) = variable {
            command.env("WEBHOOK_SECRET", variable);
        }
        command.args(["replay", "-", "--fresh", "--to", &target.url()]).args(arguments);
        let output = output_of(command, row.to_string().as_bytes());
        let requests = target.requests();
        let Some(request) = requests.first() else { return text(&output.stdout) };
        let row = with(row.clone(), "headers", json!(request.headers));
        let row = with(row, "now", json!(null));
        let fits = |secret: &&str| {
            let row = with(row.clone(), "secret", json!(secret));
            lines(&run(&["check", "-"], row.to_string().as_bytes()))[0]["verdict"] == "valid"
        };
        ["whsec_x", "option", "variable"].iter().find(|it| fits(it)).unwrap().to_string()
    };
    let mut without = stripe();
    without.as_object_mut().unwrap().remove("secret");
    assert_eq!(secret(&stripe(), &[], Some("variable")), "whsec_x");
    assert_eq!(secret(&stripe(), &["--secret", "option"], Some("variable")), "option");
    assert_eq!(secret(&without, &[], Some("variable")), "variable");
    assert!(secret(&without, &[], None).contains("not sent: no secret"));
}

#[test]
fn schemes_with_public_keys_are_sent_as_recorded_and_broken_but_not_signed() {
    let rows: Vec<_> = crate::rows("senders.json")
        .into_iter()
        .filter(|row| ["discord", "sendgrid"].contains(&row["provider"].as_str().unwrap()))
        .filter(|row| row["expect"] == "valid")
        .take(1)
        .collect();
    let target = Target::with_status(204);
    assert_eq!(statuses(&replay(&rows, &target.url(), &[])), [204]);
    let output = replay(&rows, &target.url(), &["--fresh"]);
    assert_eq!((statuses(&output), output.status.code()), (vec![0], Some(1)));
    assert!(text(&output.stdout).contains("signs with a private key, which only the sender has"));
    let target = Target::with_status(401);
    let all = [
        "--mutate",
        "body",
        "--mutate",
        "signature",
        "--mutate",
        "header",
        "--mutate",
        "timestamp",
    ];
    let output = replay(&rows, &target.url(), &all);
    assert_eq!(
        (statuses(&output), output.status.code()),
        (vec![401, 401, 401, 0], Some(0)),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn responses_other_than_2xx_and_none_at_all_fail() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let redirects = Target::new(|_| {
        "HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\u{202e}\r\ncontent-length: 0\r\n\r\n"
            .into()
    });
    let refuses = Target::new(|_| {
        "HTTP/1.1 401 X\r\ncontent-length: 15\r\n\r\nno \x1b[31m\u{202e}luck".into()
    });
    let breaks = Target::new(|_| String::new());
    let nonsense = Target::new(|_| "SSH-2.0-x\r\n\r\n".into());
    for (to, arguments, said) in [
        (format!("http://{gone}"), &[][..], "---          -  stripe, right: "),
        (
            format!("http://{}", hangs.local_addr().unwrap()),
            &["--timeout", "1"],
            "no response within 1 s",
        ),
        (redirects.url(), &[], r"right: redirects to http://127.0.0.1:1/\u{202e}, not followed"),
        (refuses.url(), &[], r"stripe, right: no \u{1b}[31m\u{202e}luck"),
        (breaks.url(), &[], "---"),
        (nonsense.url(), &[], "---"),
    ] {
        let row = stripe().to_string();
        let output = run(&[&["replay", "-", "--to", &to], arguments].concat(), row.as_bytes());
        let shown = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(shown.contains(said), "{shown}");
        assert!(shown.trim_end().chars().all(|char| !char.is_control()), "{shown:?}");
        assert_eq!(text(&output.stderr), "1 of 1 requests not accepted\n");
        let json = replay(&[stripe()], &to, arguments);
        assert!(json.stdout.trim_ascii().iter().all(|byte| (b' '..0x7f).contains(byte)));
    }
    assert_eq!(redirects.requests().len(), 2);
    // A new connection that fails is not replaced.
    assert_eq!(breaks.requests().len(), 2);
}

/// A connection that closes later than at once is that of a server that failed, so on a machine that
/// stands still, a run may fail.
#[test]
fn a_request_is_sent_again_if_a_reused_connection_closes() {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let target = Target::closing_reused();
        let row = stripe().to_string();
        let output = run(&["replay", "-", "--to", &target.url(), "--times", "20"], row.as_bytes());
        let requests = target.requests();
        assert!(requests.iter().all(|request| request.body == requests[0].body));
        if output.status.success() {
            assert_eq!(requests.iter().filter(|request| request.number == 1).count(), 20);
            return;
        }
        assert!(Instant::now() < deadline, "no run succeeds: {}", text(&output.stdout));
    }
}

/// The server has the request, so a second one would hide that it fails.
#[test]
fn a_failure_of_the_server_on_a_reused_connection_is_reported() {
    for response in ["HTTP/1.1 2", "HTTP/1.1 100 Continue\r\n\r\n", ""] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let target = Target::new(move |request| {
                if request.number == 1 {
                    return "HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n".into();
                }
                if response.is_empty() {
                    // Longer than a connection that is closed already needs to fail.
                    thread::sleep(Duration::from_millis(1500));
                }
                response.to_owned()
            });
            let output = replay(&[stripe()], &target.url(), &["--times", "4"]);
            let requests = target.requests();
            assert_eq!(requests.len(), 4, "{response:?}: {}", text(&output.stdout));
            let failed = statuses(&output).iter().filter(|status| **status == 0).count();
            assert_eq!(failed, requests.iter().filter(|request| request.number == 2).count());
            if failed > 0 {
                break;
            }
            assert!(Instant::now() < deadline, "no connection was reused");
        }
    }
}

/// Returns a row whose first headers are the sender's own.
fn with_headers(count: usize) -> Value {
    let mut row = stripe();
    let headers = row["headers"].as_array_mut().unwrap();
    headers.extend((headers.len()..count).map(|number| json!([format!("x-{number}"), "1"])));
    row
}

#[test]
fn a_request_with_too_many_headers_is_not_sent() {
    let target = Target::with_status(200);
    for arguments in [&[][..], &["--fresh"], &["--mutate", "body"]] {
        let output = replay(&[with_headers(40_000)], &target.url(), arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let error = &lines(&output)[0]["error"];
        assert_eq!(error, "not sent: too many headers: more than 10000", "{arguments:?}");
    }
    assert!(target.requests().is_empty());
    // The server of this test accepts any number.
    let output = replay(&[with_headers(10_000)], &target.url(), &[]);
    assert_eq!(statuses(&output), [200], "{}", text(&output.stdout));
    assert!(target.requests()[0].headers.len() > 10_000);
}

#[test]
fn wrong_rows_and_options_are_named() {
    let target = Target::with_status(200);
    for (row, said) in [
        (with(stripe(), "method", json!("A B")), "not sent: not a method"),
        (with(stripe(), "target", json!("/a b")), "not sent: not a path and query"),
        (with(stripe(), "headers", json!([["a b", "c"]])), "not sent: not a header name: a b"),
        (
            with(stripe(), "headers", json!([["a", "b\r\nc: d"]])),
            "not sent: the value of a has control",
        ),
    ] {
        let output = replay(&[row], &target.url(), &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stdout).contains(said), "{}", text(&output.stdout));
    }
    let unknown = with(stripe(), "provider", json!("nobody"));
    let output = replay(&[unknown], &target.url(), &["--fresh"]);
    assert!(text(&output.stdout).contains("unknown scheme"), "{}", text(&output.stdout));
    assert!(target.requests().is_empty());
    for (arguments, said) in [
        (&["replay", "-", "--to", "ftp://a"][..], "not a URL that begins with http://"),
        (&["replay", "--to", "http://a"], "<FILE>"),
        (&["replay", "-", "--to", "http://a", "--new-id"], "--fresh"),
        (&["replay", "-", "--to", "http://a", "--times", "0"], "0"),
        (&["replay", "/no/such", "--to", "http://a"], "/no/such: "),
        (&["replay", "-", "--to", "http://a", "--secret-file", "/no/such"], "/no/such"),
    ] {
        let output = run(arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn a_fresh_timestamp_is_the_current_time() {
    let target = Target::with_status(200);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    replay(&[Kind::new("slack", "secret", "{}").row(ORIGIN)], &target.url(), &["--fresh"]);
    let requests = target.requests();
    let sent: u64 = requests[0].header("x-slack-request-timestamp").unwrap().parse().unwrap();
    assert!((before..=now()).contains(&sent), "{sent}");
}

/// The body changes where it is signed, and the signature that it contains stays.
#[test]
fn a_signature_in_the_body_is_not_the_changed_part() {
    const AT: &str = "/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature";
    let signature = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body.pointer(AT).unwrap().clone()
    };
    let kind = KINDS.iter().find(|kind| kind.scheme == "adyen").unwrap();
    let target = Target::with_status(401);
    let row = kind.row(ORIGIN);
    replay(from_ref(&row), &target.url(), &[]);
    // The signature is at the end of the body.
    let signed = signature(&target.requests()[0].body);
    let data = json!({ "hmacSignature": signed }).to_string();
    let body = ADYEN.replace("\"additionalData\":{}", &format!("\"additionalData\":{data}"));
    let row = with(row, "body_base64", json!(base64(body.as_bytes())));
    let output = replay(&[row], &target.url(), &["--mutate", "body"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let broken = target.requests().pop().unwrap().body;
    let different = broken.iter().zip(body.as_bytes()).filter(|(one, other)| one != other);
    assert_eq!((different.count(), broken.len()), (1, body.len()));
    assert_eq!(signature(&broken), signed);
}

/// A scheme without a timestamp has no time window to switch off.
#[test]
fn a_row_without_a_time_is_mutated() {
    let target = Target::with_status(401);
    let signed = run(&["sign", "--scheme", "github", "--secret", "s"], b"{}");
    let headers = text(&signed.stdout);
    let headers: Vec<_> = headers.lines().map(|line| line.split_once(": ").unwrap()).collect();
    let row = json!({"provider": "github", "headers": headers, "body_base64": "e30=",
        "secret": "s"});
    for mutation in ["body", "signature", "header"] {
        let output = replay(from_ref(&row), &target.url(), &["--mutate", mutation]);
        assert_eq!(statuses(&output), [401], "{}", text(&output.stderr));
    }
}

/// Otherwise, a file that lost its rows would go unnoticed.
#[test]
fn an_input_without_requests_is_an_error() {
    for input in ["", " \n", "[]"] {
        let output = run(&["replay", "-", "--to", "http://127.0.0.1:1/"], input.as_bytes());
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("the input has no request"));
    }
}
