//! The program `quickstart`: what it prints is true, and can be pasted.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{self, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::Instant,
};

use integration_tests::{Folder, PATIENCE, Program, output};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use webhook_verify::{scheme, testing::Signer};

const MISMATCH: &str =
    "401 signature mismatch: wrong secret, or the body or signed URL was modified in transit";

/// The program, in a folder of its own and with none of the settings of this terminal.
fn quickstart(folder: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.args(args);
    prepare(&mut command, folder);
    command
}

fn prepare(command: &mut Command, folder: &Folder) {
    for variable in ["RUST_LOG", "NO_COLOR", "LC_ALL", "LC_CTYPE", "TERM"] {
        command.env_remove(variable);
    }
    command
        .env("LANG", "C.UTF-8")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// The program while it runs.
struct Running {
    program: Program,
    /// The lines to paste.
    curl: String,
    restart: String,
}

impl Running {
    /// Starts the program on a port that stays free when the program ends.
    fn start(folder: &Folder, args: &[&str]) -> Self {
        Self::spawn(quickstart(folder, &[args, &["--listen", &free_address()]].concat()))
    }

    /// Starts the program as a user does who pastes the line into a shell.
    fn restart(folder: &Folder, line: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]);
        prepare(&mut command, folder);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let program = Program::spawn(&mut command);
        let mut running = Self { program, curl: String::new(), restart: String::new() };
        let first = running.line();
        if let Ok(start) = serde_json::from_str::<Value>(&first) {
            running.curl = start["curl"].as_str().unwrap().to_owned();
            running.restart = start["restart"].as_str().unwrap().to_owned();
            return running;
        }
        assert!(first.contains(" listening on http://"), "{first}");
        running.curl = running.line_after("Paste this into another terminal");
        running.restart = running.line_after("To restart with the same secret:");
        assert_eq!(running.line(), "");
        running
    }

    fn line(&mut self) -> String {
        self.program.line(Instant::now() + PATIENCE).unwrap_or_else(|error| {
            let (_, log) = self.program.kill();
            panic!("no line of quickstart ({error}): {log:?}")
        })
    }

    fn line_after(&mut self, heading: &str) -> String {
        assert_eq!(self.line(), "");
        let line = self.line();
        assert!(line.starts_with(heading), "{line}");
        assert_eq!(self.line(), "");
        self.line()
    }

    /// The next line without its time, and the time.
    fn timed(&mut self) -> (String, String) {
        let line = self.line();
        let (time, rest) = line.split_once(' ').unwrap();
        let is_time = time.len() == 8 && time.split(':').all(|part| part.parse::<u8>().is_ok());
        assert!(is_time, "{line}");
        (rest.to_owned(), time.to_owned())
    }

    /// Kills the program, and returns its log.
    fn end(mut self) -> String {
        self.program.kill().1
    }
}

/// An address that no other program takes between two starts: it is below the ports that the system
/// hands out.
fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (process::id() % 1000) as u16 * 20;
    for _ in 0..1000 {
        let port = 10_000 + (first + NEXT.fetch_add(1, Relaxed)) % 20_000;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
    panic!("no free port");
}

/// A request and what came back.
struct Pasted {
    status: u16,
    head: String,
    body: String,
}

impl Pasted {
    fn is_replay(&self) -> bool {
        self.head.contains("\r\nidempotent-replayed: true")
    }
}

/// Sends the request that `curl` would send, as a real shell parses the line, with a changed body.
fn paste(line: &str, change: impl Fn(&str) -> String) -> Pasted {
    let script = format!("curl() {{ for word; do printf '%s\\0' \"$word\"; done; }}\n{line}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    let mut words = words.split('\0');
    let (mut url, mut headers, mut body) = ("", String::new(), String::new());
    while let Some(word) = words.next() {
        match word {
            "-i" | "-g" | "" => {}
            "-H" => headers += &format!("{}\r\n", words.next().unwrap()),
            "--data-binary" => body = change(words.next().unwrap()),
            _ => url = word,
        }
    }
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let length = body.len();
    send(address, &format!("POST /{path} HTTP/1.1\r\n{headers}content-length: {length}\r\n"), &body)
}

fn send(address: &str, head: &str, body: &str) -> Pasted {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("{head}host: {address}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    Pasted {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn as_it_is(body: &str) -> String {
    body.to_owned()
}

fn address_of(curl: &str) -> &str {
    let (_, rest) = curl.split_once("http://").unwrap();
    rest.split_once('/').unwrap().0
}

/// Handled, a duplicate, refused, and a duplicate after a restart: the delivery has an identity.
fn walk(args: &[&str], event_type: &str) {
    let folder = Folder::new("quickstart");
    let mut running = Running::start(&folder, args);
    let line = running.curl.clone();
    let first = paste(&line, as_it_is);
    assert_eq!((first.status, first.is_replay()), (204, false), "{args:?}");
    let (text, time) = running.timed();
    assert_eq!(text, format!("✔ 204 {event_type} (attempt 1)"));

    let again = paste(&line, as_it_is);
    assert_eq!((again.status, again.is_replay()), (204, true), "{args:?}");
    assert_eq!(running.timed().0, format!("↺ duplicate of {time}"));

    let changed = paste(&line, |body| body.replacen("evt_", "evt-", 1) + " ");
    assert_eq!(changed.status, 401, "{args:?}");
    assert_eq!(changed.body, "invalid webhook signature");
    assert_eq!(running.timed().0, format!("✘ {MISMATCH}"));
    let restart = running.restart.clone();
    assert_eq!(running.end(), "", "{args:?}");

    let mut running = Running::restart(&folder, &restart);
    assert_eq!(running.restart, restart);
    assert_ne!(running.curl, line);
    let again = paste(&line, as_it_is);
    assert_eq!((again.status, again.is_replay()), (204, true), "{args:?}");
    assert_eq!(running.timed().0, "↺ duplicate");
    let new = running.curl.clone();
    assert_eq!(paste(&new, as_it_is).status, 204);
    assert_eq!(running.timed().0, format!("✔ 204 {event_type} (attempt 1)"));
    assert_eq!(running.end(), "", "{args:?}");
}

#[test]
fn the_printed_lines_can_be_pasted() {
    walk(&[], "push");
    walk(&["--scheme", "stripe"], "invoice.paid");
    walk(&["--scheme", "standard-webhooks"], "invoice.paid");
    walk(&["--scheme", "mautic"], "mautic.lead_post_delete");
}

#[test]
fn odd_secrets_and_file_names_survive_the_shell() {
    walk(&["--db=-x.db"], "push");
    for secret in ["it's \"$HOME\" `id` \\ ü;&|", "-x", "a b", "--json"] {
        walk(&["--secret", secret, "--db", "my $1 'deliveries'.db"], "push");
    }
}

/// Another sender's secret, and a line of an earlier start without its secret.
#[test]
fn a_line_for_another_secret_is_refused() {
    let folder = Folder::new("quickstart");
    let first = Running::start(&folder, &[]);
    let (line, address) = (first.curl.clone(), address_of(&first.curl).to_owned());
    first.end();
    let mut running = Running::spawn(quickstart(&folder, &["--listen", &address]));
    assert_eq!(paste(&line, as_it_is).status, 401);
    assert_eq!(running.timed().0, format!("✘ {MISMATCH}"));
}

/// By curl itself, where it is installed. What it sends is covered above.
#[test]
fn curl_sends_the_printed_line() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("curl is not installed: its line is not run");
        return;
    }
    let folder = Folder::new("quickstart");
    let mut running = Running::start(&folder, &[]);
    for expected in ["✔ 204 push (attempt 1)", "↺ duplicate of "] {
        let output = Command::new("sh").args(["-c", &running.curl]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(text.starts_with("HTTP/1.1 204"), "{text}");
        let line = running.timed().0;
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_scheme_that_cannot_tell_deliveries_apart_runs_each() {
    let folder = Folder::new("quickstart");
    let mut running = Running::start(&folder, &["--scheme", "pipeforce-token"]);
    for _ in 0..2 {
        let pasted = paste(&running.curl, as_it_is);
        assert_eq!((pasted.status, pasted.is_replay()), (204, false));
        let line = running.timed().0;
        assert!(line.starts_with("✔ 204 "), "{line}");
    }
}

#[test]
fn a_line_that_expires_says_when() {
    for (scheme, expires) in [("github", false), ("stripe", true)] {
        let folder = Folder::new("quickstart");
        let mut command = quickstart(&folder, &["--scheme", scheme, "--listen", "127.0.0.1:0"]);
        let program = Program::spawn(&mut command);
        let mut lines = (0..3).map(|_| program.line(Instant::now() + PATIENCE).unwrap());
        let heading = lines.nth(2).unwrap();
        match expires {
            true => assert!(heading.ends_with(" UTC, twice:"), "{heading}"),
            false => assert_eq!(heading, "Paste this into another terminal, twice:"),
        }
    }
}

#[test]
fn every_refusal_has_a_line() {
    let folder = Folder::new("quickstart");
    let mut running = Running::start(&folder, &[]);
    let address = address_of(&running.curl).to_owned();
    for (head, status, line) in [
        ("GET / HTTP/1.1\r\n", 401, "✘ 401 no signature"),
        ("POST /a/b?c HTTP/1.1\r\ncontent-length: 0\r\n", 401, "✘ 401 no signature"),
        (
            "POST / HTTP/1.1\r\ncontent-length: 99999999\r\nx-hub-signature-256: sha256=00\r\n",
            413,
            "✘ 413 body",
        ),
        (
            "POST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-encoding: gzip\r\n\
             x-hub-signature-256: sha256=00\r\n",
            415,
            "✘ 415 body is sent in a content encoding",
        ),
    ] {
        assert_eq!(send(&address, head, "").status, status, "{head}");
        let printed = running.timed().0;
        assert!(printed.starts_with(line), "{printed}");
    }
    assert_eq!(running.end(), "");
}

/// While another program locks the database, deliveries get 503, and one line each says why.
#[tokio::test]
async fn a_store_that_fails_has_a_line() {
    let folder = Folder::new("quickstart");
    let mut running = Running::start(&folder, &[]);
    let url = format!("sqlite://{}", folder.path().join("webhooks.db").display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pasted = paste(&running.curl, as_it_is);
    assert_eq!(pasted.status, 503);
    assert_eq!(pasted.body, "temporarily unavailable");
    let line = running.timed().0;
    assert!(line.starts_with("✘ 503 store failed: "), "{line}");
    lock.rollback().await.unwrap();
    assert_eq!(paste(&running.curl, as_it_is).status, 204);
    let line = running.timed().0;
    assert!(line.starts_with("✔ 204 push (attempt "), "{line}");
    assert_eq!(running.end(), "");
}

#[test]
fn a_mistake_is_one_line() {
    let folder = Folder::new("quickstart");
    fs::write(folder.path().join("letter.txt"), "Dear reader, ".repeat(1000)).unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().map(|addr| (busy, addr.to_string()));
    let (_busy, taken) = busy.unwrap();
    for (args, expected) in [
        (["--scheme", "strpie"], r#"unknown scheme "strpie": did you mean stripe?"#),
        (["--scheme", "nobody"], r#"unknown scheme "nobody""#),
        (["--scheme", "twilio"], "--scheme twilio: public_url: the scheme signs the URL"),
        (
            ["--scheme", "discord"],
            "--scheme discord: secret: the scheme needs the sender's public key",
        ),
        (
            ["--scheme", "paypal"],
            "--scheme paypal: secret: the scheme needs the sender's public key",
        ),
        (["--secret", ""], "--scheme github: secret: empty or blank"),
        (
            ["--db", "nowhere/webhooks.db"],
            "--db nowhere/webhooks.db: store failed: there is no directory nowhere",
        ),
        (
            ["--db", "/nowhere/at/all.db"],
            "--db /nowhere/at/all.db: store failed: there is no directory /nowhere/at",
        ),
        (["--db", "letter.txt"], "--db letter.txt: store failed: "),
        (["--db", "folder"], "--db folder: store failed: folder is a directory"),
        (["--db", ""], "--db : store failed: the url names no file"),
        (["--db", "postgres://app:pw@db/hooks"], "not the url of a sqlite file"),
        (["--listen", &taken], "Address already in use"),
        (["--listen", "nonsense"], "--listen nonsense: "),
    ] {
        let mut args = args.to_vec();
        if args[0] != "--listen" {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        assert_one_line(&output(quickstart(&folder, &args)), expected);
    }
    let mut command = quickstart(&folder, &["--listen", "127.0.0.1:0"]);
    command.env("RUST_LOG", "webhook_verify=loud");
    assert_one_line(&output(command), "RUST_LOG: error parsing level filter");
}

fn assert_one_line(output: &Output, expected: &str) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.starts_with("error: "), "{error}");
    assert!(error.contains(expected), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    for rough in ["panicked", "Os {", "Error(", "Error {", "Some("] {
        assert!(!error.contains(rough), "{error}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn an_option_that_does_not_exist_is_named() {
    let folder = Folder::new("quickstart");
    let failed = output(quickstart(&folder, &["--shceme", "stripe"]));
    let error = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(2), "{error}");
    assert!(error.contains("'--shceme'"), "{error}");
    let help = output(quickstart(&folder, &["--help"]));
    let help_text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    for option in ["--scheme", "--secret", "--listen", "--db", "--json", "RUST_LOG"] {
        assert!(help_text.contains(option), "{help_text}");
    }
}

#[test]
fn a_locale_without_utf_8_gets_ascii() {
    let folder = Folder::new("quickstart");
    for (variables, mark) in [
        (&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")][..], "+"),
        (&[("LC_CTYPE", "de_DE.ISO-8859-1")], "+"),
        (&[("LANG", "POSIX")], "+"),
        (&[("LC_ALL", ""), ("LANG", "en_US.utf8")], "✔"),
        (&[("LC_ALL", "C.UTF-8"), ("LANG", "C")], "✔"),
        (&[("LANG", "")], "✔"),
    ] {
        let mut command = quickstart(&folder, &["--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().copied()).env("TERM", "xterm");
        let mut running = Running::spawn(command);
        paste(&running.curl, as_it_is);
        assert_eq!(running.timed().0, format!("{mark} 204 push (attempt 1)"), "{variables:?}");
        if mark == "+" {
            paste(&running.curl, as_it_is);
            assert!(running.timed().0.starts_with("= duplicate of "));
            paste(&running.curl, |_| String::new());
            assert_eq!(running.timed().0, format!("! {MISMATCH}"));
        }
    }
}

/// `script` gives the program a terminal, where it is installed.
#[test]
fn a_terminal_gets_color_unless_it_refuses() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("script is not installed: color is not tried");
        return;
    }
    let folder = Folder::new("quickstart");
    let program = env!("CARGO_BIN_EXE_quickstart");
    for (variables, has_color) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "")], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
        (&[], false),
    ] {
        let mut command = Command::new("script");
        let line = format!("exec {program} --listen 127.0.0.1:0");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]);
        prepare(&mut command, &folder);
        command.envs(variables.iter().copied());
        let first = Program::spawn(&mut command).line(Instant::now() + PATIENCE).unwrap();
        let is_colored = first.contains("\x1b[32m✔\x1b[0m listening on");
        assert_eq!(is_colored, has_color, "{variables:?}: {first:?}");
        assert_eq!(first.contains('\x1b'), has_color, "{first:?}");
    }
}

#[test]
fn json_lines_can_be_read_by_a_program() {
    let folder = Folder::new("quickstart");
    let mut running = Running::start(&folder, &["--json", "--scheme", "stripe"]);
    let line = running.curl.clone();
    let mut json = |body: fn(&str) -> String| -> Value {
        paste(&line, body);
        serde_json::from_str(&running.line()).unwrap()
    };
    let first = json(as_it_is);
    assert_eq!(first["status"], 204);
    assert_eq!(first["event_type"], "invoice.paid");
    assert_eq!(first["attempt"], 1);
    assert!(first["id"].as_str().unwrap().starts_with("evt_example_"));
    assert_eq!(first["time"].as_str().unwrap().len(), 8);
    let again = json(as_it_is);
    assert_eq!((&again["status"], &again["duplicate_of"]), (&204.into(), &first["time"]));
    let refused = json(|_| String::new());
    assert_eq!(refused["status"], 401);
    assert!(refused["reason"].as_str().unwrap().starts_with("signature mismatch: "));
    let restart = running.restart.clone();
    assert!(restart.ends_with(" --json"), "{restart}");
    running.end();

    let mut running = Running::restart(&folder, &restart);
    paste(&line, as_it_is);
    let again: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!((&again["status"], &again["duplicate_of"]), (&204.into(), &Value::Null));
}

#[test]
fn rust_log_shows_the_log_apart_from_the_lines() {
    let folder = Folder::new("quickstart");
    for (filter, expected) in [("debug", "DEBUG"), ("webhook_verify=trace", "claimed"), ("off", "")]
    {
        let address = free_address();
        let mut command = quickstart(&folder, &["--listen", &address]);
        command.env("RUST_LOG", filter);
        let mut running = Running::spawn(command);
        paste(&running.curl, as_it_is);
        assert_eq!(running.timed().0, "✔ 204 push (attempt 1)");
        let log = running.end();
        assert!(log.contains(expected), "{filter}: {log}");
        assert_eq!(log.is_empty(), expected.is_empty(), "{filter}: {log}");
    }
}

/// Text from a sender cannot move the cursor or start a line.
#[test]
fn event_types_are_printed_without_control_characters() {
    let folder = Folder::new("quickstart");
    let mut running = Running::start(&folder, &["--scheme", "stripe", "--secret", "s"]);
    let signer = Signer::new(scheme::STRIPE, "s").unwrap();
    let signed = signer.sign(r#"{"id":"evt_1","type":"a\u001b[2J\n18:00:00 b"}"#);
    let origin = format!("http://{}", address_of(&running.curl));
    let pasted = paste(&signed.unwrap().curl(&origin), as_it_is);
    assert_eq!(pasted.status, 204);
    assert_eq!(running.timed().0, r"✔ 204 a\u{1b}[2J\n18:00:00 b (attempt 1)");
}

/// The source is a file to copy: as short as promised.
#[test]
fn the_source_is_short() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(package.join("src/main.rs")).unwrap();
    assert!(source.lines().count() <= 150);
    assert!(source.lines().all(|line| line.chars().count() <= 100));
}
