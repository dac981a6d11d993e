//! `webhook-verify send`.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output, Stdio},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Folder, PATIENCE, output};
use serde_json::{Value, json};

use crate::{
    base64, command, lines, run,
    target::{Request, Target},
    text,
};

const GITHUB: [&str; 4] = ["--scheme", "github", "--secret", "secret"];
const STRIPE: [&str; 4] = ["--scheme", "stripe", "--secret", "whsec_x"];

fn send(to: &str, arguments: &[&[&str]], body: &[u8]) -> Output {
    run(&[&["send", "--to", to], &arguments.concat()[..]].concat(), body)
}

/// Returns the verdict on a request that a target got.
fn verdict(provider: &str, secret: &str, request: &Request) -> Value {
    let row = json!({
        "provider": provider, "secret": secret, "method": request.method, "now": null,
        "url": format!("https://h.test{}", request.target), "headers": request.headers,
        "body_base64": base64(&request.body),
    });
    lines(&run(&["check", "-"], row.to_string().as_bytes()))[0]["verdict"].clone()
}

#[test]
fn a_body_is_signed_and_posted() {
    let target = Target::with_status(202);
    let body = b"{ \"a\":\t1.10 }\n";
    let output =
        send(&format!("{}/hook?t=7", target.url()), &[&GITHUB, &["--event-type", "push"]], body);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let [request] = &target.requests()[..] else { panic!() };
    assert_eq!((&*request.method, &*request.target), ("POST", "/hook?t=7"));
    assert_eq!(request.body, body);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-github-event"), Some("push"));
    assert_eq!(verdict("github", "secret", request), "valid");
    let shown = text(&output.stdout);
    let id = request.header("x-github-delivery").unwrap();
    assert!(
        shown.starts_with("202  ") && shown.ends_with(&format!(" ms  standard input, ID {id}\n")),
        "{shown}"
    );
    assert_eq!(text(&output.stderr), "");
}

/// By default, the signed URL is that of the receiver.
#[test]
fn schemes_that_sign_the_url_sign_that_of_the_receiver_or_of_an_option() {
    let target = Target::with_status(200);
    let twilio = ["--scheme", "twilio", "--secret", "secret"];
    let to = format!("{}/hook?t=7", target.url());
    let public = "https://hooks.example.test/other";
    for (arguments, signed) in
        [(&[][..], to.clone()), (&["--url", public], format!("{public}?t=7"))]
    {
        send(&to, &[&twilio, arguments], b"From=1");
        let request = target.requests().pop().unwrap();
        assert_eq!(request.target, "/hook?t=7");
        let row = json!({
            "provider": "twilio", "secret": "secret", "url": signed, "headers": request.headers,
            "body_base64": base64(&request.body),
        });
        let checked = lines(&run(&["check", "-"], row.to_string().as_bytes()));
        assert_eq!(checked[0]["verdict"], "valid", "{signed}");
    }
}

#[test]
fn files_are_sent_in_turn_and_each_request_has_its_own_id() {
    let target = Target::with_status(200);
    let folder = Folder::new("send");
    let [one, two] =
        [("one", "{\"id\":\"evt_1\", \"n\":1.0}"), ("two", "{\"id\":\"evt_1\", \"n\":2.0}")].map(
            |(name, body)| {
                let path = folder.path().join(name);
                fs::write(&path, body).unwrap();
                path.to_str().unwrap().to_owned()
            },
        );
    let files = [&*one, &*two];
    let sent = |arguments: &[&str]| {
        let before = target.requests().len();
        let output = send(&target.url(), &[&files, &STRIPE, arguments], b"");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let requests = target.requests().split_off(before);
        for request in &requests {
            assert_eq!(verdict("stripe", "whsec_x", request), "valid");
        }
        requests.iter().map(|request| text(&request.body)).collect::<Vec<_>>()
    };
    let bodies = sent(&["--times", "2"]);
    let ends: Vec<_> = bodies.iter().map(|body| body.split_once(", ").unwrap().1).collect();
    let (first, second) = ("\"n\":1.0}", "\"n\":2.0}");
    assert_eq!(ends, [first, second, first, second]);
    assert_eq!(bodies.iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(sent(&[]).len(), 2);
    let same = sent(&["--times", "3", "--id", "evt_9"]);
    assert_eq!(same.len(), 6);
    assert!(same.iter().all(|body| body.starts_with("{\"id\":\"evt_9\", ")), "{same:?}");
    // A single body is sent as it is.
    let output = send(&target.url(), &[&[&one], &STRIPE], b"");
    assert_eq!(text(&target.requests().pop().unwrap().body), "{\"id\":\"evt_1\", \"n\":1.0}");
    assert!(text(&output.stdout).ends_with(&format!(" ms  {one}\n")));
}

#[test]
fn ids_in_headers_differ_too() {
    let target = Target::with_status(200);
    let output =
        send(&target.url(), &[&GITHUB, &["--times", "10", "--concurrency", "3", "--json"]], b"{}");
    let ids: BTreeSet<_> = target
        .requests()
        .iter()
        .map(|it| it.header("x-github-delivery").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 10);
    let lines = lines(&output);
    assert_eq!(lines.len(), 10);
    let told: BTreeSet<_> =
        lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ids);
    assert!(lines.iter().all(|line| line["status"] == 200 && line["file"] == "standard input"));
}

#[test]
fn a_long_run_ends_with_a_summary_by_status() {
    let count = AtomicUsize::new(0);
    let target = Target::new(move |_| match count.fetch_add(1, SeqCst) {
        number if number % 10 == 9 => "HTTP/1.1 503 X\r\ncontent-length: 2\r\n\r\nno".into(),
        40 => "nonsense\r\n\r\n".into(),
        _ => "HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n".into(),
    });
    let arguments = ["--times", "100", "--concurrency", "4"];
    let output = send(&target.url(), &[&GITHUB, &arguments], b"{}");
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    let lines: Vec<Vec<_>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines[0][0], lines[0][1]), ("100", "requests"), "{shown}");
    assert_eq!(lines[1], ["status", "responses", "p50", "p90", "p99", "max"]);
    let counts: Vec<_> = lines[2..5].iter().map(|line| (line[0], line[1])).collect();
    assert_eq!(counts, [("200", "89"), ("503", "10"), ("all", "99")], "{shown}");
    assert!(lines[5].starts_with(&["no", "response:", "1,"]), "{shown}");
    assert_eq!(lines.len(), 6);
    assert_eq!(text(&output.stderr), "", "no progress bar, and no error");

    let target = Target::with_status(204);
    let output = send(&target.url(), &[&GITHUB, &["--times", "30", "--json"]], b"{}");
    assert_eq!(output.status.code(), Some(0));
    let lines = crate::lines(&output);
    assert_eq!(lines.len(), 31);
    let summary = &lines[30]["summary"];
    assert_eq!((&summary["requests"], &summary["accepted"]), (&json!(30), &json!(30)));
    assert_eq!(
        (&summary["statuses"][0]["status"], &summary["statuses"][0]["count"]),
        (&json!(204), &json!(30))
    );
    let times = ["p50_ms", "p90_ms", "p99_ms", "max_ms"];
    let times: Vec<_> = times.iter().map(|name| summary["all"][name].as_f64().unwrap()).collect();
    assert!(times.is_sorted() && times[0] > 0.0, "{times:?}");
}

#[test]
fn as_many_requests_are_in_progress_as_the_option_says() {
    static WAITING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
    let target = Target::new(|_| {
        let (count, changed) = &WAITING;
        let mut count = count.lock().unwrap();
        *count += 1;
        changed.notify_all();
        // Each group of four requests has to be here at the same time.
        let all = count.div_ceil(4) * 4;
        let (count, late) =
            changed.wait_timeout_while(count, PATIENCE, |count| *count < all).unwrap();
        drop(count);
        let status = if late.timed_out() { 500 } else { 200 };
        format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")
    });
    let arguments = ["--times", "20", "--concurrency", "4", "--timeout", "600"];
    let output = send(&target.url(), &[&GITHUB, &arguments], b"{}");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn a_rate_is_not_exceeded() {
    let target = Target::with_status(200);
    let started = Instant::now();
    let arguments = ["--times", "11", "--concurrency", "8", "--rate", "20"];
    let output = send(&target.url(), &[&GITHUB, &arguments], b"{}");
    assert_eq!(output.status.code(), Some(0));
    // A slow machine takes longer, but no machine takes less.
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
}

/// Sends a signal to a process.
fn interrupt(id: u32) {
    let sent = Command::new("kill").args(["-INT", &id.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn ctrl_c_ends_a_run_with_its_summary() {
    let count = AtomicUsize::new(0);
    let target = Target::new(move |_| {
        if count.fetch_add(1, SeqCst) >= 20 {
            thread::sleep(PATIENCE);
        }
        "HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n".into()
    });
    // It reads the 21st request, and does not respond.
    let mut child = command();
    let folder = Folder::new("send");
    let body = folder.path().join("body");
    fs::write(&body, "{}").unwrap();
    child.args(["send", "--to", &target.url(), "--times", "1000", "--timeout", "600"]).args(GITHUB);
    let child = child.arg(&body).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while target.requests().len() < 21 {
        assert!(Instant::now() < deadline, "no 21st request within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
    interrupt(child.id());
    let output = child.wait_with_output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{shown}");
    assert!(shown.starts_with("20 of 1000 requests in "), "{shown}");
    assert!(shown.contains("\n200             20  "), "{shown}");
}

#[test]
fn a_terminal_shows_the_progress_and_a_pipe_does_not() {
    let target = Target::with_status(200);
    let program = command();
    let path = program.get_program().to_str().unwrap();
    let line = format!(
        "echo '{{}}' | {path} send --to {} --times 30 --rate 20 {} >/dev/null",
        target.url(),
        GITHUB.join(" ")
    );
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]).stdin(Stdio::null());
    integration_tests::in_folder(&mut script);
    let shown = output(script);
    assert!(shown.status.success(), "{}", text(&shown.stdout));
    let shown = text(&shown.stdout);
    assert!(shown.contains(" of 30, ") && shown.contains("[#"), "{shown:?}");
    // It is gone at the end.
    assert!(shown.trim_end().ends_with("\r\u{1b}[K"), "{shown:?}");
}

#[test]
fn a_run_without_a_receiver_fails() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = format!("http://{gone}");
    let one = send(&to, &[&GITHUB], b"{}");
    assert_eq!(one.status.code(), Some(1));
    assert!(text(&one.stdout).starts_with("---"), "{}", text(&one.stdout));
    let many = send(&to, &[&GITHUB, &["--times", "50"]], b"{}");
    assert_eq!(many.status.code(), Some(1));
    assert!(text(&many.stdout).contains("\nno response: 50, "), "{}", text(&many.stdout));
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    let target = Target::with_status(200);
    for (arguments, body, said) in [
        (&["--scheme", "discord", "--secret", KEY][..], "{}", "only the sender has"),
        (&["--scheme", "github"], "{}", "no secret"),
        (&["--scheme", "stripe", "--secret", "x", "--event-type", "a"], "{}", "--event-type"),
        (&["--scheme", "adyen", "--secret", "00"], "no JSON", "body"),
        (&["--scheme", "stripe", "--secret", "x", "--id", "y"], "no JSON", "has no place for /id"),
        (&["--scheme", "github", "--secret", "x", "--rate", "0"], "", "not a number from 0.001"),
        (&["--scheme", "github", "--secret", "x", "--times", "0"], "", "--times"),
        (&["--scheme", "github", "--secret", "x", "/no/such"], "", "/no/such: "),
    ] {
        let output = send(&target.url(), &[arguments], body.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
    assert!(target.requests().is_empty());
}

/// The public key of RFC 8032 §7.1, test 1.
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
