use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use integration_tests::{Connection, PATIENCE, Response, exchange, raw_request};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Listening, Target, signed, stripe};

const STRIPE: [&str; 4] = ["--scheme", "stripe", "--secret", "whsec_x"];

/// Sends a request to the page with these headers.
async fn request(
    listening: &Listening,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Response {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    exchange(listening.page.unwrap(), &raw_request(method, target, &headers, b"")).await
}

/// Returns the token of the page.
async fn token(listening: &Listening) -> String {
    let html = listening.get("/").await.text().to_owned();
    let (_, rest) = html.split_once("name=\"page-token\" content=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_has_no_external_parts_and_strict_headers() {
    let listening = Listening::start(&STRIPE);
    assert!(listening.page.unwrap().ip().is_loopback());
    let [one, other] = [listening.get("/").await, listening.get("/").await];
    let policy =
        |response: &Response| response.header("content-security-policy").unwrap().to_owned();
    let nonce = policy(&one)
        .split("script-src 'nonce-")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    assert!(!policy(&other).contains(&nonce), "each response has its own nonce");
    assert!(one.text().contains(&format!("<script nonce=\"{nonce}\">")));
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy(&one).contains(part), "{part}");
    }
    assert!(!policy(&one).contains("unsafe"), "{}", policy(&one));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(one.header(name), Some(value), "{name}");
    }
    assert_eq!(one.header("access-control-allow-origin"), None);
    for part in ["http://", "https://", "src=", "innerHTML", "{{"] {
        assert!(!one.text().contains(part), "{part}");
    }
}

#[tokio::test]
async fn other_sites_are_refused() {
    let listening = Listening::start(&STRIPE);
    listening.send(&stripe("evt_1")).await;
    let own = listening.page.unwrap().to_string();
    let origin = format!("http://{own}");
    let local = format!("localhost:{}", listening.page.unwrap().port());
    let local_origin = format!("http://{local}");
    let token = token(&listening).await;
    let get = |headers: Vec<(&'static str, String)>| headers;
    for (headers, status) in [
        (get(vec![("Host", own.clone())]), 200),
        (get(vec![("Host", local.clone())]), 200),
        (get(vec![("Host", own.clone()), ("Sec-Fetch-Site", "same-origin".into())]), 200),
        (get(vec![("Host", own.clone()), ("Sec-Fetch-Site", "none".into())]), 200),
        (get(vec![("Host", "evil.test".into())]), 403),
        (get(vec![("Host", format!("evil.test:{}", listening.page.unwrap().port()))]), 403),
        (get(vec![("Host", own.clone()), ("Host", "evil.test".into())]), 403),
        (get(vec![("Host", own.clone()), ("Origin", "http://evil.test".into())]), 403),
        (get(vec![("Host", own.clone()), ("Origin", "null".into())]), 403),
        (get(vec![("Host", own.clone()), ("Origin", local_origin)]), 403),
        (get(vec![("Host", own.clone()), ("Sec-Fetch-Site", "cross-site".into())]), 403),
        (get(vec![("Host", own.clone()), ("Sec-Fetch-Site", "same-site".into())]), 403),
    ] {
        let borrowed: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        for target in
            ["/rows?list=all&from=0&count=9", "/deliveries/1/details", "/deliveries/1/body"]
        {
            let response = request(&listening, "GET", target, &borrowed).await;
            assert_eq!(response.status, status, "{target} {headers:?}");
            assert_eq!(response.header("access-control-allow-origin"), None);
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
            if status == 403 {
                assert!(!response.text().contains("invoice"), "{}", response.text());
            }
        }
        // A state-changing request needs the token as well.
        let replay = "/deliveries/1/replay";
        let refused = request(&listening, "POST", replay, &borrowed).await;
        assert_eq!(refused.status, 403, "{headers:?}");
        for (token, accepted) in [(&*token, status), ("", 403), ("wrong", 403)] {
            let with_token = [&borrowed[..], &[("X-Page-Token", token)]].concat();
            let response = request(&listening, "POST", replay, &with_token).await;
            assert_eq!(response.status, accepted, "{headers:?} {token}");
        }
    }
    // A link on another site may open the page, which changes nothing.
    let link = [("Host", &*own), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    assert_eq!(request(&listening, "GET", "/", &link).await.status, 200);
    assert_eq!(request(&listening, "GET", "/deliveries/1/body", &link).await.status, 403);
    // The page's port takes no deliveries, and the port for deliveries has no page.
    let delivery = [("Host", &*own), ("Origin", &*origin)];
    assert_eq!(request(&listening, "GET", "/stripe", &delivery).await.status, 404);
    let no_page = exchange(listening.addr, &raw_request("GET", "/", &[], b"")).await;
    assert_eq!(no_page.status, 401);
}

#[tokio::test]
async fn a_delivery_is_shown_without_its_secret_and_its_signature() {
    let secret = "a-token-that-is-secret";
    let listening = Listening::start(&["--scheme", "gitlab", "--secret", secret]);
    let body = format!(r#"{{"object_kind":"push","echo":"{secret}"}}"#);
    listening.send(&signed("gitlab", secret, &format!("/?token={secret}"), body)).await;
    let listening_to_stripe = Listening::start(&STRIPE);
    let delivery = stripe("evt_1");
    let signature = delivery.headers[0].1.split("v1=").nth(1).unwrap().to_owned();
    listening_to_stripe.send(&delivery).await;
    for (listening, hidden) in [(&listening, secret), (&listening_to_stripe, &*signature)] {
        let details = listening.json("/deliveries/1/details").await;
        assert_eq!(details["summary"]["class"], "delivered");
        assert_eq!(details["can_sign"], hidden != secret);
        for target in
            ["/", "/rows?list=all&from=0&count=9", "/deliveries/1/details", "/deliveries/1/body"]
        {
            let response = listening.get(target).await;
            assert_eq!(response.status, 200);
            assert!(!response.text().contains(hidden), "{target}: {}", response.text());
        }
        let fixture = listening.get("/deliveries/1/fixture").await;
        assert!(!fixture.text().contains(hidden), "{}", fixture.text());
    }
    let curl = listening.get("/deliveries/1/curl").await;
    assert!(!curl.text().contains(secret) && curl.text().contains("$WEBHOOK_SECRET"));
}

#[tokio::test]
async fn a_hostile_body_is_data_and_is_never_interpreted() {
    let listening = Listening::start(&STRIPE);
    let body = "{\"id\":\"<script>alert(1)</script>\",\"type\":\"<img src=x onerror=alert(1)>\"}";
    listening.send(&signed("stripe", "whsec_x", "/", body)).await;
    let raw = listening.get("/deliveries/1/body").await;
    assert_eq!(raw.text(), body);
    assert_eq!(raw.header("content-type"), Some("application/octet-stream"));
    assert!(raw.header("content-disposition").unwrap().starts_with("attachment"));
    let details = listening.get("/deliveries/1/details").await;
    assert_eq!(details.header("content-type"), Some("application/json"));
    let details: Value = serde_json::from_slice(&details.body).unwrap();
    assert_eq!(details["body"]["text"], body);

    listening.send(&signed("stripe", "whsec_x", "/", vec![0xff; 10_000])).await;
    let details = listening.json("/deliveries/2/details").await;
    assert_eq!(details["body"]["bytes"], 10_000);
    assert_eq!(details["body"]["base64"].as_str().unwrap().len(), 5464);
    // The page gets only the start of a long line.
    let long = format!("{{\"id\":\"1\",\"long\":\"{}\"}}", "ü".repeat(200_000));
    listening.send(&signed("stripe", "whsec_x", "/", long.clone())).await;
    let details = listening.json("/deliveries/3/details").await;
    assert_eq!(details["body"]["is_cut"], true);
    let shown = details["body"]["text"].as_str().unwrap();
    assert!(long.starts_with(shown) && (200_000..=262_144).contains(&shown.len()));
    assert_eq!(listening.get("/deliveries/3/body").await.text(), long);
}

/// Any program of this machine can connect.
#[tokio::test]
async fn silent_connections_do_not_block_the_page() {
    let listening = Listening::start(&["--scheme", "stripe", "--secret", "whsec_x"]);
    let mut silent = Vec::new();
    // Several times as many as there may be.
    let opening = async {
        for _ in 0..400 {
            silent.push(Connection::open(listening.page.unwrap()).await);
        }
        listening.get("/about").await
    };
    let about = timeout(PATIENCE, opening).await.expect("a response of the page in time");
    assert_eq!(about.status, 200);
    assert_eq!(silent[0].response().await, None);
    // The last ones still wait, and are served.
    let request = format!("GET /about HTTP/1.1\r\nhost: {}\r\n\r\n", listening.page.unwrap());
    for number in [380, 399] {
        silent[number].send(request.as_bytes()).await;
        let response = silent[number].response().await;
        assert_eq!(response.map(|it| it.status), Some(200), "{number}");
    }
}

#[tokio::test]
async fn a_replay_goes_through_the_receiver() {
    let target = Target::start(b"HTTP/1.1 202 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok");
    let listening = Listening::start(&[&STRIPE[..], &["--forward", &target.url]].concat());
    let delivery = stripe("evt_1");
    listening.send(&delivery).await;
    let first = target.next();
    listening.next();
    let own = listening.page.unwrap().to_string();
    let token = token(&listening).await;
    let headers = [("Host", &*own), ("X-Page-Token", &*token)];
    let replay = request(&listening, "POST", "/deliveries/1/replay", &headers).await;
    assert_eq!((replay.status, replay.text()), (200, "{\"status\":202}"));
    let again = target.next();
    assert_eq!(again.1, first.1);
    let line = listening.next();
    assert_eq!((&line["class"], &line["replay_of"]), (&"duplicate".into(), &1.into()));

    let replay = request(&listening, "POST", "/deliveries/1/replay?sign", &headers).await;
    assert_eq!(replay.text(), "{\"status\":202}");
    assert_eq!(listening.next()["class"], "duplicate");
    assert_eq!(target.next().1, first.1);
    let details = listening.json("/deliveries/3/details").await;
    assert_eq!(details["forward"]["status"], 202);
    assert_eq!(details["forward"]["body"]["text"], "ok");
    assert_eq!(details["summary"]["duplicate_of"], 1);
    for missing in ["/deliveries/99/replay", "/deliveries/x/replay"] {
        assert_eq!(request(&listening, "POST", missing, &headers).await.status, 404);
    }
}

/// A connection to the messages of the page.
struct Messages(TcpStream, String);

impl Messages {
    fn open(listening: &Listening) -> Self {
        let page = listening.page.unwrap();
        let mut stream = TcpStream::connect(page).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /messages HTTP/1.1\r\nHost: {page}\r\n\r\n").unwrap();
        Self(stream, String::new())
    }

    /// Reads until a message with this text.
    fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.1.contains(text) {
            let read = self.0.read(&mut buffer).expect("a message");
            assert!(read > 0, "no {text} in {}", self.1);
            self.1 += std::str::from_utf8(&buffer[..read]).unwrap();
        }
    }
}

#[tokio::test]
async fn messages_announce_deliveries_until_the_browser_goes_away() {
    let listening = Listening::start(&STRIPE);
    let mut messages = Messages::open(&listening);
    messages.wait_for(r#""all":[1,1]"#);
    assert!(messages.1.contains("content-type: text/event-stream"), "{}", messages.1);
    listening.send(&stripe("evt_1")).await;
    messages.wait_for(r#""all":[1,2]"#);
    listening.send(&signed("stripe", "whsec_other", "/", "{}")).await;
    messages.wait_for(r#""refused":[0,1]"#);
    drop(messages);
    // More browsers than the page serves at once come and go.
    for _ in 0..200 {
        Messages::open(&listening).wait_for("data: ");
    }
    let rows = listening.json("/rows?list=refused&from=0&count=9").await;
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1);
    assert_eq!(rows["rows"][0]["number"], 2);
    for (query, status) in [
        ("list=none&from=0&count=1", 404),
        ("list=all&from=-1&count=1", 404),
        ("list=all&from=99999999999999&count=99999999", 200),
        ("", 404),
    ] {
        assert_eq!(listening.get(&format!("/rows?{query}")).await.status, status, "{query}");
    }
}

/// Many small deliveries take about as much memory as is planned for them: they do not keep the
/// buffers of their connections.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn small_deliveries_take_little_memory() {
    let listening = Listening::start(&STRIPE);
    let before = peak(&listening);
    let mut connection = Connection::open(listening.addr).await;
    for number in 0..4000 {
        let request = stripe(&format!("evt_{number}")).with_header("X-Own", &"a".repeat(100));
        connection.send(&request.raw()).await;
        assert_eq!(connection.response().await.unwrap().status, 204);
        listening.next();
    }
    let used = peak(&listening) - before;
    assert!(used < 4000 * 4, "{used} KiB");
}

/// The receiver, the page and the server share the bytes of a body.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_large_body_is_in_memory_once() {
    const LEN: usize = 16 << 20;
    let target = Target::start(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let arguments = ["--scheme", "github", "--secret", "s", "--forward", &target.url];
    let listening = Listening::start(&arguments);
    listening.send(&signed("github", "s", "/", "{}")).await;
    let before = peak(&listening);
    let response = listening.send(&signed("github", "s", "/", vec![b' '; LEN])).await;
    assert_eq!(response.status, 200);
    let used = peak(&listening) - before;
    assert!(used < 3 * LEN / 2 / 1024, "{used} KiB for {LEN} bytes");
}

/// Returns the largest size of the program so far, in KiB.
#[cfg(target_os = "linux")]
fn peak(listening: &Listening) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", listening.program.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Sends more than is kept. The oldest bodies are dropped, and their rows stay.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_bounded() {
    const COUNT: usize = 200;
    let listening = Listening::start(&STRIPE);
    let filler = "a".repeat(900 * 1024);
    for number in 0..COUNT {
        let body = json!({"id": number, "type": "big", "filler": filler});
        let response = listening.send(&signed("stripe", "whsec_x", "/", body.to_string())).await;
        assert_eq!(response.status, 204);
        listening.next();
    }
    let first = listening.json("/deliveries/1/details").await;
    assert_eq!((&first["summary"]["title"], &first["body"]), (&"big".into(), &Value::Null));
    assert_eq!(listening.get("/deliveries/1/body").await.status, 404);
    let last = listening.json(&format!("/deliveries/{COUNT}/details")).await;
    assert!(last["body"]["bytes"].as_u64().unwrap() > 900 * 1024);
    let peak = peak(&listening);
    assert!(peak < 150 * 1024, "{peak} KiB after {COUNT} bodies of 900 KiB");
}
