use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use integration_tests::PATIENCE;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

use super::{Listening, Target, signed, stripe};

const STRIPE: [&str; 5] = ["--scheme", "stripe", "--secret", "whsec_x", "--no-page"];

fn forwarding(to: &str, more: &[&str]) -> Listening {
    Listening::start(&[&STRIPE[..], &["--forward", to], more].concat())
}

#[tokio::test]
async fn the_exact_request_is_passed_on_and_the_response_comes_back() {
    let target = Target::start(
        b"HTTP/1.1 201 Made\r\nX-Own: yes\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
          Content-Type: text/plain\r\nContent-Length: 6\r\n\r\n\x00thanks"
            .split_last()
            .map(|(_, response)| response)
            .unwrap(),
    );
    let listening = forwarding(&target.url, &[]);
    // Bytes that are no text, line ends of both kinds, and a NUL.
    let body = [b"{\"id\":\"evt_1\",\r\n\t\"x\":\"\xff\xfe\x00\" }\n".to_vec(), vec![0x80; 70_000]]
        .concat();
    let mut request = signed("stripe", "whsec_x", "/hook%20s/a?b=c%2F&b=&&%zz", body.clone());
    for (name, value) in
        [("X-Twice", "one"), ("X-Twice", "  two  words"), ("Connection", "X-Mine"), ("X-Mine", "1")]
    {
        request = request.with_header(name, value);
    }
    let response = listening.send(&request).await;
    assert_eq!((response.status, &response.body[..]), (201, &b"\0thank"[..]));
    assert_eq!(response.header("x-own"), Some("yes"));
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(response.header("x-hop"), None);

    let (head, got) = target.next();
    assert!(got == body, "{} bytes of {}", got.len(), body.len());
    assert!(head.starts_with("POST /hook%20s/a?b=c%2F&b=&&%zz HTTP/1.1\r\n"), "{head}");
    let signature = &request.headers.iter().find(|(name, _)| name == "stripe-signature").unwrap().1;
    assert!(head.contains(&format!("stripe-signature: {signature}\r\n")), "{head}");
    let one = head.find("x-twice: one\r\n").unwrap();
    assert!(one < head.find("x-twice: two  words\r\n").unwrap(), "{head}");
    assert!(!head.contains("x-mine"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", target.url.trim_start_matches("http://"))));
    let line = listening.next();
    assert_eq!((&line["status"], &line["forward"]["status"]), (&201.into(), &201.into()));
}

#[tokio::test]
async fn duplicates_are_passed_on_and_refused_requests_are_not() {
    let target = Target::start(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let listening = forwarding(&format!("{}/own?k=1", target.url), &[]);
    let delivery = signed("stripe", "whsec_x", "/a?b=c&k=2", r#"{"id":"evt_1"}"#);
    for class in ["delivered", "duplicate"] {
        let response = listening.send(&delivery).await;
        assert_eq!((response.status, response.text()), (200, "ok"));
        assert_eq!(listening.next()["class"], class);
        let (head, _) = target.next();
        assert!(head.starts_with("POST /own?k=1&b=c HTTP/1.1\r\n"), "{head}");
    }
    let forged = signed("stripe", "whsec_y", "/", "{}");
    assert_eq!(listening.send(&forged).await.status, 401);
    assert_eq!(listening.next()["class"], "refused");
    assert!(target.is_idle());
}

#[tokio::test]
async fn a_failure_of_the_server_allows_another_attempt() {
    let target = Target::start(b"HTTP/1.1 500 Broken\r\nContent-Length: 4\r\n\r\noops");
    let listening = forwarding(&target.url, &[]);
    for attempt in [1, 2] {
        let response = listening.send(&stripe("evt_1")).await;
        assert_eq!((response.status, response.text()), (500, "oops"));
        let line = listening.next();
        assert_eq!((&line["class"], &line["attempt"]), (&"failed".into(), &attempt.into()));
    }
}

#[tokio::test]
async fn a_server_that_is_down_or_hangs_is_a_bad_gateway() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listening = forwarding(&format!("http://{dead}"), &[]);
    assert_eq!(listening.send(&stripe("evt_1")).await.status, 502);
    let line = listening.next();
    let error = line["forward"]["error"].as_str().unwrap().to_lowercase();
    assert!(error.contains("refused"), "{error}");
    assert_eq!(line["class"], "failed");

    let silent = Target::start(b"");
    let listening = forwarding(&silent.url, &["--forward-timeout", "1"]);
    assert_eq!(listening.send(&stripe("evt_1")).await.status, 504);
    let error = listening.next()["forward"]["error"].as_str().unwrap().to_owned();
    assert_eq!(error, "no response within 1 s");
    silent.next();

    let broken = Target::start(b"not HTTP at all\r\n\r\n");
    let listening = forwarding(&broken.url, &[]);
    assert_eq!(listening.send(&stripe("evt_1")).await.status, 502);
}

/// On a machine that stands still, a connection may close too late.
#[tokio::test]
async fn a_request_is_forwarded_again_if_a_reused_connection_closes() {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let target = crate::target::Target::closing_reused();
        let listening = forwarding(&target.url(), &[]);
        let mut delivered = 0;
        for number in 0..20 {
            let response = listening.send(&stripe(&format!("evt_{number}"))).await;
            delivered += usize::from(response.status == 200);
            let class = if response.status == 200 { "delivered" } else { "failed" };
            assert_eq!(listening.next()["class"], class);
        }
        if delivered == 20 {
            let requests = target.requests();
            assert_eq!(requests.iter().filter(|request| request.number == 1).count(), 20);
            return;
        }
        assert!(Instant::now() < deadline, "only {delivered} of 20 requests were forwarded");
    }
}

/// The request ends, and its line is printed, although the sender is gone.
#[tokio::test]
async fn a_sender_that_disconnects_does_not_stop_a_request() {
    let target = Target::start(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let listening = forwarding(&target.url, &[]);
    let hold = target.hold().await;
    let mut sender = TcpStream::connect(listening.addr).await.unwrap();
    sender.write_all(&stripe("evt_1").raw()).await.unwrap();
    target.next();
    // A reset, which ends the connection at once.
    sender.set_zero_linger().unwrap();
    drop(sender);
    sleep(Duration::from_millis(200)).await;
    drop(hold);
    assert_eq!(listening.next()["status"], 200);
}

/// The query of a request may be its token.
#[tokio::test]
async fn no_query_is_printed() {
    let target = Target::start(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let listening = forwarding(&target.url, &[]);
    let request = signed("stripe", "whsec_x", "/a?token=hush", r#"{"id":"evt_1"}"#);
    listening.send(&request).await;
    let line = listening.line();
    assert!(line.contains(&format!("{}/a\"", target.url)), "{line}");
    assert!(!line.contains("hush"), "{line}");
    assert!(target.next().0.starts_with("POST /a?token=hush "));
}
