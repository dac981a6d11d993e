use std::{fs, net::TcpListener, process::Stdio, time::Instant};

use integration_tests::{Folder, PATIENCE, Program, exchange};
use webhook_verify::{Scheme, testing::Signer};

use super::{Listening, signed, signed_by, stripe};
use crate::{command, run, text};

#[tokio::test]
async fn a_delivery_a_duplicate_and_a_forged_request_are_told_apart() {
    let listening = Listening::start(&["--scheme", "stripe", "--secret", "whsec_x", "--no-page"]);
    assert!(listening.page.is_none());
    let delivery = stripe("evt_1");
    assert_eq!(listening.send(&delivery).await.status, 204);
    let first = listening.next();
    assert_eq!(first["class"], "delivered", "{first}");
    assert_eq!(first["event_type"], "invoice.paid");
    assert_eq!((&first["id"], &first["attempt"]), (&"evt_1".into(), &1.into()));

    let replayed = listening.send(&delivery).await;
    assert_eq!((replayed.status, replayed.header("idempotent-replayed")), (204, Some("true")));
    let duplicate = listening.next();
    assert_eq!(duplicate["class"], "duplicate");
    assert_eq!(duplicate["duplicate_of"], first["number"]);
    assert_eq!(duplicate["duplicate_of_time"], first["time"]);

    let forged = signed("stripe", "whsec_other", "/", r#"{"id":"evt_2"}"#);
    let refused = listening.send(&forged).await;
    assert_eq!((refused.status, refused.text()), (401, "invalid webhook signature"));
    let line = listening.next();
    assert_eq!(
        (&line["class"], &line["reason"]),
        (&"refused".into(), &"signature_mismatch".into())
    );
    let explanation = line["explanation"].as_str().unwrap();
    assert!(explanation.starts_with("signature mismatch: "), "{explanation}");
}

/// The likely cause comes from the library.
#[tokio::test]
async fn a_refusal_is_explained() {
    let listening = Listening::start(&["--scheme", "github", "--secret", "s", "--no-page"]);
    let mut changed = signed("github", "s", "/", "{\"a\": 1}");
    changed.body = b"{\"a\":1}".to_vec();
    listening.send(&changed).await;
    let explanation = listening.next()["explanation"].as_str().unwrap().to_owned();
    assert!(explanation.contains("before any JSON parser"), "{explanation}");
    let stripes = stripe("evt_1");
    listening.send(&stripes).await;
    let explanation = listening.next()["explanation"].as_str().unwrap().to_owned();
    assert!(explanation.contains("the request is from `stripe`"), "{explanation}");
    assert!(explanation.contains("use the scheme `stripe`"), "{explanation}");
}

#[tokio::test]
async fn a_handshake_is_answered() {
    let listening = Listening::start(&["--scheme", "slack", "--secret", "s", "--no-page"]);
    let body = r#"{"type":"url_verification","token":"t","challenge":"a challenge"}"#;
    let answer = listening.send(&signed("slack", "s", "/", body)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("a challenge"), "{}", answer.text());
    assert_eq!(listening.next()["class"], "handshake");
}

/// Reads the lines that a person sees.
#[tokio::test]
async fn a_line_is_readable_and_a_terminal_obeys_no_sender() {
    let mut command = command();
    command.args(["listen", "--listen", "127.0.0.1:0", "--no-page"]);
    command.args(["--scheme", "stripe", "--secret", "whsec_x"]).env_remove("LC_ALL");
    command.env("LC_ALL", "C.UTF-8");
    let program = Program::spawn(command.stdin(Stdio::null()));
    let line = || program.line(Instant::now() + PATIENCE).expect("a line");
    let greeting = line();
    let addr = greeting.strip_prefix("listening on http://").unwrap();
    let addr = addr.split(' ').next().unwrap().parse().unwrap();
    let delivery = stripe("evt_1");
    exchange(addr, &delivery.raw()).await;
    let first = line();
    assert!(first.ends_with(" ✔ 204 invoice.paid (attempt 1)"), "{first}");
    exchange(addr, &delivery.raw()).await;
    let (time, duplicate) = (&first[..8], line());
    assert!(duplicate.contains(&format!(" ↺ duplicate of {time}")), "{duplicate}");
    exchange(addr, &signed("stripe", "whsec_y", "/", "{}").raw()).await;
    let refused = line();
    assert!(refused.contains(" ✘ 401 signature mismatch: "), "{refused}");
    let hostile = r#"{"id":"evt_2","type":"\u001b[2J\u202e\u0007\nevil"}"#;
    exchange(addr, &signed("stripe", "whsec_x", "/", hostile).raw()).await;
    let shown = line();
    assert!(shown.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{shown:?}");
    assert!(shown.contains(r"\u{1b}[2J\u{202e}\u{7}\nevil"), "{shown}");
    exchange(addr, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").await;
    let broken = line();
    assert!(broken.contains("✘ 400 broken HTTP"), "{broken}");
}

#[tokio::test]
async fn each_of_several_senders_has_a_path_and_a_secret() {
    let listening = Listening::start(&[
        "--scheme",
        "stripe",
        "--secret",
        "whsec_x",
        "--scheme",
        "github",
        "--secret",
        "g",
        "--no-page",
    ]);
    for (scheme, secret, target, status) in [
        ("stripe", "whsec_x", "/stripe", 204),
        ("github", "g", "/github?a=b", 204),
        ("github", "whsec_x", "/github", 401),
        ("github", "g", "/stripe", 401),
        ("github", "g", "/", 404),
    ] {
        let request = signed(scheme, secret, target, r#"{"id":"1"}"#);
        assert_eq!(listening.send(&request).await.status, status, "{scheme} {secret} {target}");
        let line = listening.next();
        assert_eq!(line["status"], status);
        if status == 404 {
            let explanation = line["explanation"].as_str().unwrap();
            assert!(explanation.contains("/stripe, /github"), "{explanation}");
        }
    }
}

#[tokio::test]
async fn a_file_describes_senders_by_path() {
    let folder = Folder::new("listen");
    fs::write(folder.path().join("twilio.txt"), "tw\n").unwrap();
    let config = folder.path().join("senders.toml");
    let url = "https://example.test/hooks/sms";
    fs::write(
        &config,
        format!(
            "[\"/a\"]\nscheme = \"github\"\nsecret = \"g\"\n\n\
             [\"/sms\"]\nscheme = \"twilio\"\nsecret-file = \"twilio.txt\"\nurl = \"{url}\"\n"
        ),
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let listening = Listening::start(&["--config", config, "--no-page"]);
    assert_eq!(listening.send(&signed("github", "g", "/a", "{}")).await.status, 204);
    let twilio = Signer::new(Scheme::preset("twilio").unwrap(), "tw").unwrap();
    let twilio = signed_by(&twilio.target("/sms").public_url(url), "a=b");
    assert_eq!(listening.send(&twilio).await.status, 204);

    for (text_of_file, said) in [
        ("", "no table"),
        ("[\"/a\"]\nscheme = \"github\"\nsecret = \"hush\"\nsecrte = 1\n", "line 4: unknown field"),
        ("[\"/a\"]\nscheme = \"github\"\nsecret = \"hush", "line 3: "),
        ("[\"/a\"]\nscheme = \"github\"\n", "needs one of secret"),
        ("[a]\nscheme = \"github\"\nsecret = \"hush\"\n", "is not a path"),
        ("[\"/a\"]\nscheme = \"githbu\"\nsecret = \"hush\"\n", "github"),
        ("[\"/a\"]\nscheme = \"twilio\"\nsecret = \"hush\"\n", "/a: the sender signs the URL"),
    ] {
        fs::write(config, text_of_file).unwrap();
        let output = run(&["listen", "--config", config], b"");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn mistakes_in_options_are_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, said) in [
        (&["--scheme", "stripe", "--secret", "a", "--listen", &taken][..], "choose another"),
        (&["--scheme", "stripe", "--secret", "a", "--secret", "b"], "--secret: given twice"),
        (&["--scheme", "stripe"], "WEBHOOK_SECRET"),
        (&["--secret", "a"], "no sender"),
        (
            &["--scheme", "stripe", "--secret", "a", "--scheme", "stripe", "--secret", "b"],
            "/stripe",
        ),
        (&["--scheme", "stripe", "--secret", "a", "--page=192.0.2.1:80"], "loopback"),
        (&["--scheme", "stripe", "--secret", "a", "--forward", "8080"], "not a URL"),
        (&["--scheme", "strpie", "--secret", "a"], "stripe"),
        (&["--scheme", "twilio", "--secret", "a"], "--url"),
        (&["--scheme", "meta", "--secret", "a"], "--parameter verify_token=VALUE"),
    ] {
        let mut all = [&["listen"], arguments].concat();
        if !arguments.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let output = run(&all, b"");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {error}");
        assert!(error.contains(said), "{error}");
    }
}

/// A file in which the rest of a request is read, although its head is refused.
#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let listening = Listening::start(&["--scheme", "stripe", "--secret", "whsec_x", "--no-page"]);
    let request = signed("stripe", "whsec_x", "/", vec![b'a'; 50 << 20]);
    let mut connection = integration_tests::Connection::open(listening.addr).await;
    connection.send(&request.raw()).await;
    // The connection may be closed before the response is read.
    drop(connection.response().await);
    assert_eq!(listening.next()["reason"], "body_too_large");
    assert_eq!(listening.send(&stripe("evt_1")).await.status, 204);
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_it_with_success_and_a_closed_pipe_too() {
    use std::{io::Read as _, process::Command};
    for close_pipe in [false, true] {
        let mut command = command();
        command.args(["listen", "--listen", "127.0.0.1:0", "--no-page", "--json"]);
        command.args(["--scheme", "stripe", "--secret", "whsec_x"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut greeting = Vec::new();
        while greeting.last() != Some(&b'\n') {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            greeting.push(byte[0]);
        }
        let greeting: serde_json::Value = serde_json::from_slice(&greeting).unwrap();
        if close_pipe {
            drop(stdout);
            let addr = super::address(&greeting["listening"]).unwrap();
            exchange(addr, &stripe("evt_1").raw()).await;
        } else {
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        }
        assert!(child.wait().unwrap().success(), "closed pipe: {close_pipe}");
    }
}
