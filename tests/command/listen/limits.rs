//! Limits for senders, servers and readers.

use std::{
    io::{Write as _, pipe},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Connection, Folder, PATIENCE};

use super::{Listening, Target, signed, stripe};
use crate::{command, run, text};

const STRIPE: [&str; 5] = ["--scheme", "stripe", "--secret", "whsec_x", "--no-page"];

#[tokio::test]
async fn no_character_of_a_request_reaches_the_terminal_raw() {
    let listening = Listening::start(&STRIPE);
    let hostile = "a\u{9b}31m\u{202e}b\u{7f}";
    let body = format!(r#"{{"id":"evt_1","type":"{hostile}"}}"#);
    assert_eq!(listening.send(&signed("stripe", "whsec_x", "/", body)).await.status, 204);
    let line = listening.line();
    assert!(line.contains(r"a\u009b31m\u202eb\u007f"), "{line:?}");
    assert!(!line.contains(['\u{9b}', '\u{202e}', '\u{7f}']), "{line:?}");
}

#[test]
fn a_url_with_a_password_or_an_impossible_port_is_refused() {
    for (url, said) in [
        ("http://usr:hush@127.0.0.1:1/?apikey=hush", "without a user name and password"),
        ("http://127.0.0.1:99999/?apikey=hush", "with a port from 1 to 65535"),
        ("ftp://h/?apikey=hush", "begins with http:// or https://"),
    ] {
        let arguments = [&["listen", "--listen", "127.0.0.1:0", "--forward", url], &STRIPE[..]];
        let output = run(&arguments.concat(), b"");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said) && error.contains("--forward"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    let output = run(&["probe", "--scheme", "stripe", "http://127.0.0.1:99999/"], b"");
    assert!(text(&output.stderr).contains("with a port from 1 to 65535"));
}

#[test]
fn the_query_of_the_forward_url_is_not_printed() {
    let target = Target::start(b"");
    let to = format!("{}/own?apikey=hush", target.url);
    let mut command = command();
    command.args(["listen", "--listen", "127.0.0.1:0", "--forward", &to]).args(STRIPE);
    for more in [&[][..], &["--json"]] {
        command.args(more);
        let program = integration_tests::Program::spawn(&mut command);
        let mut lines = vec![program.line(Instant::now() + PATIENCE).unwrap()];
        if more.is_empty() {
            lines.push(program.line(Instant::now() + PATIENCE).unwrap());
        }
        let greeting = lines.join("\n");
        assert!(greeting.contains(&format!("{}/own", target.url)), "{greeting}");
        assert!(!greeting.contains("hush"), "{greeting}");
    }
}

#[tokio::test]
async fn requests_do_not_go_in_circles() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let (own, to) = (format!("127.0.0.1:{port}"), format!("http://{host}:{port}/x"));
        let arguments = [&["listen", "--listen", &own, "--forward", &to], &STRIPE[..]].concat();
        let mut command = command();
        let output = integration_tests::output({
            command.args(arguments);
            command
        });
        let error = text(&output.stderr);
        assert!(error.contains("--forward: the address of this receiver itself"), "{error}");
    }

    let target = Target::start(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let listening = Listening::start(&[&STRIPE[..], &["--forward", &target.url]].concat());
    let request = stripe("evt_1").with_header("Via", "1.1 tunnel");
    assert_eq!(listening.send(&request).await.status, 200);
    let (head, _) = target.next();
    assert!(head.contains("via: 1.1 tunnel\r\n"), "{head}");
    let own = head.lines().find(|line| line.starts_with("via: 1.1 webhook-verify-")).unwrap();
    listening.next();
    let via = format!("1.1 tunnel, {}, 1.1 other", own.trim_start_matches("via: "));
    let response = listening.send(&stripe("evt_2").with_header("Via", &via)).await;
    assert_eq!(response.status, 508);
    let line = listening.next();
    assert_eq!((&line["class"], &line["reason"]), (&"refused".into(), &"forward_loop".into()));
    assert!(target.is_idle());
}

fn terminate(process: &Child) {
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
}

/// Waits until the program ends, and returns its exit code.
fn code_of(mut process: Child) -> Option<i32> {
    let (ended, code) = mpsc::channel();
    let id = process.id().to_string();
    thread::spawn(move || ended.send(process.wait().unwrap().code()));
    code.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = std::process::Command::new("kill").args(["-KILL", &id]).status();
        panic!("the program does not end")
    })
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_does_not_read_cannot_keep_the_program_from_ending() {
    let (_reader, mut writer) = pipe().unwrap();
    // The whole buffer of a pipe, so that the first line waits.
    writer.write_all(&[b'x'; 64 * 1024]).unwrap();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = command();
    command.args(["listen", "--listen", &addr.to_string()]).args(STRIPE);
    let process = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(addr).is_err() {
        assert!(Instant::now() < deadline, "the program does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    terminate(&process);
    assert_eq!(code_of(process), Some(0));
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let target = Target::start(b"");
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = command();
    command.args(["listen", "--listen", &addr.to_string(), "--forward", &target.url]).args(STRIPE);
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut sender = loop {
        match TcpStream::connect(addr) {
            Ok(sender) => break sender,
            Err(_) => assert!(Instant::now() < deadline, "the program does not listen"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    sender.write_all(&stripe("evt_1").raw()).unwrap();
    target.next();
    terminate(&process);
    while TcpStream::connect(addr).is_ok() {
        assert!(Instant::now() < deadline, "the program does not stop listening");
        thread::sleep(Duration::from_millis(20));
    }
    terminate(&process);
    assert_eq!(code_of(process), Some(130));
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_no_database() {
    let folder = Folder::new("pipe");
    let path = folder.path().join("inbox.db");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut command = command();
    command.args(["inbox", "list", "--database", &format!("sqlite://{}", path.display())]);
    let output = integration_tests::output(command);
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("inbox.db: not a file"), "{error}");
}

/// As many connections as there may be wait for requests. The first one may have sent one before.
#[tokio::test]
async fn the_connection_that_has_waited_the_longest_makes_room() {
    for sends_first in [false, true] {
        let listening = Listening::start(&STRIPE);
        let request = stripe("evt_1").raw();
        let (start, rest) = request.split_at(9);
        let mut connections = Vec::new();
        for number in 0..256 {
            let mut connection = Connection::open(listening.addr).await;
            if number == 0 && sends_first {
                connection.send(&request).await;
                assert_eq!(connection.response().await.unwrap().status, 204);
            }
            connection.send(start).await;
            connections.push(connection);
        }
        assert_eq!(listening.send(&stripe("evt_2")).await.status, 204);
        assert_eq!(connections[0].response().await, None, "{sends_first}");
        // The others still wait, and are served.
        for number in [1, 255] {
            connections[number].send(rest).await;
            let response = connections[number].response().await;
            assert_eq!(response.map(|it| it.status), Some(204), "{number} {sends_first}");
        }
    }
}

/// The bodies have no end, so their memory is used while the connections are open.
#[tokio::test]
async fn bodies_of_strangers_share_a_limited_memory() {
    let listening = Listening::start(&["--scheme", "github", "--secret", "s", "--no-page"]);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-Hub-Signature-256: \
         sha256={}\r\nContent-Length: 20000001\r\n\r\n",
        "0".repeat(64)
    );
    let addr = listening.addr;
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let head = head.clone();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                // The receiver closes the connection of a body that it refuses.
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&vec![b'x'; 20_000_000]);
                stream
            })
        })
        .collect();
    let line = listening.next();
    assert_eq!((&line["status"], &line["reason"]), (&503.into(), &"busy".into()), "{line}");
    let senders: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    drop(senders);
}

#[tokio::test]
async fn only_the_start_of_a_refused_body_is_kept() {
    let listening = Listening::start(&["--scheme", "github", "--secret", "s"]);
    for (secret, kept) in [("other", 64 * 1024), ("s", 100_000)] {
        listening.send(&signed("github", secret, "/", vec![b'1'; 100_000])).await;
        let number = listening.next()["number"].clone();
        let body = listening.get(&format!("/deliveries/{number}/body")).await.body;
        assert_eq!(body.len(), kept);
        let details = listening.json(&format!("/deliveries/{number}/details")).await;
        assert_eq!(details["is_complete"], kept == 100_000);
    }
}

#[tokio::test]
async fn the_start_of_a_large_response_is_passed_on() {
    const HEAD: &str = "HTTP/1.1 201 Made\r\nContent-Length: ";
    for (len, kept) in [(1 << 20, 1 << 20), ((1 << 20) + 1, 1 << 20)] {
        let response = format!("{HEAD}{len}\r\n\r\n{}", "x".repeat(len)).into_bytes();
        let target = Target::start(response.leak());
        let listening = Listening::start(&[&STRIPE[..], &["--forward", &target.url]].concat());
        let response = listening.send(&stripe("evt_1")).await;
        assert_eq!((response.status, response.body.len()), (201, kept));
        let line = listening.next();
        assert_eq!(line["class"], "delivered");
        assert_eq!(line["forward"]["truncated"] == true, kept < len, "{line}");
    }
}

#[tokio::test]
async fn a_server_that_switches_protocols_is_a_bad_gateway() {
    let target = Target::start(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    );
    let listening = Listening::start(&[&STRIPE[..], &["--forward", &target.url]].concat());
    assert_eq!(listening.send(&stripe("evt_1")).await.status, 502);
    let line = listening.next();
    assert_eq!(line["forward"]["error"], "the server wants to switch protocols (101)");
}
