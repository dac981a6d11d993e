//! Calls: who may, how much, and who gets what of them.

use serde_json::json;

use super::hub::{FORM, Headers, Hub, RECEIVE, json_of, origin};

const UNKNOWN: &str = "ba4825b6-6718-42f3-a400-ce08a16936bd";

#[tokio::test]
async fn calls_without_a_good_token_are_refused_alike() {
    let mut hub = Hub::start(&[]);
    let token = hub.put("eventKey=a").await;
    let other = hub.put("eventKey=b").await;
    let bad = token.replace(&token[..1], if token.starts_with('0') { "1" } else { "0" });
    let query = format!("{RECEIVE}?token={other}");
    let twice = format!("{RECEIVE}?token={token}&uuid={other}");
    let form = format!("token={other}");
    let header = ("token", token.as_str());
    let requests: [(&str, Headers<'_>, &str); 10] = [
        (RECEIVE, &[], ""),
        (RECEIVE, &[("token", "")], ""),
        (RECEIVE, &[("token", UNKNOWN)], ""),
        (RECEIVE, &[("token", &bad)], ""),
        (RECEIVE, &[("token", &token[..35])], ""),
        (RECEIVE, &[("token", &token.to_uppercase())], ""),
        (&query, &[header], ""),
        (&twice, &[], ""),
        (RECEIVE, &[header, FORM], &form),
        (RECEIVE, &[("Content-Type", "text/plain")], &form),
    ];
    for (target, headers, body) in requests {
        let refused = hub.send("POST", target, headers, body).await;
        assert_eq!((refused.status, refused.text()), (401, "invalid webhook signature"));
        assert_eq!(refused.header("www-authenticate"), Some("Webhook"));
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(hub.send(method, RECEIVE, &[header], "").await.status, 405);
    }
    assert_eq!(hub.kill().0.len(), 0);
}

/// Where unknown tokens are hidden, no answer tells whether there is such a webhook, and nothing is
/// handed on.
#[tokio::test]
async fn unknown_tokens_can_be_hidden() {
    let mut hub = Hub::start(&["--hide-unknown", "--max-payload-length", "1000"]);
    let token = hub.put("eventKey=a&maxPayloadLength=100&payloadType=raw").await;
    let multipart = "multipart/form-data; boundary=b";
    let mut handed_on = 0;
    for (content_type, body, status) in [
        ("application/json", b"{}".to_vec(), 200),
        ("application/json", vec![b' '; 101], 200),
        ("application/json", b"\xff".to_vec(), 200),
        (multipart, b"--b".to_vec(), 200),
        ("multipart/form-data", b"--b".to_vec(), 200),
        ("application/json", vec![b' '; 1001], 413),
    ] {
        let known = hub.call(&token, content_type, &body).await;
        let unknown = hub.call(UNKNOWN, content_type, &body).await;
        assert_eq!((known.status, unknown.status), (status, status), "{}", known.text());
        let headers_of = |response: &integration_tests::Response| {
            let headers = response.headers.iter();
            let headers = headers.filter(|(name, _)| name != "date");
            headers.cloned().collect::<Vec<_>>()
        };
        assert_eq!(headers_of(&known), headers_of(&unknown));
        if status == 200 {
            for answer in [json_of(&known), json_of(&unknown)] {
                assert_eq!(answer["correlationId"].as_str().unwrap().len(), 36);
                assert_eq!(
                    (&answer["status"], answer.as_object().unwrap().len()),
                    (&json!("running"), 4)
                );
            }
        }
        handed_on += usize::from(body == b"{}");
    }
    // A request without a token is refused openly.
    assert_eq!(hub.send("GET", RECEIVE, &[], "").await.status, 401);
    let (messages, log) = hub.kill();
    assert_eq!(messages.len(), handed_on);
    for reason in ["body too large", "payload is not text", "body is not multipart/form-data"] {
        assert!(log.contains(reason), "{log}");
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused() {
    let mut hub = Hub::start(&[]);
    let token = hub.put("eventKey=a").await;
    let small = hub.put("eventKey=b&maxPayloadLength=5").await;
    let call = async |token: &str, len| hub.call(token, "text/plain", vec![b'a'; len]).await;
    assert_eq!(call(&token, 512_000).await.status, 200);
    let refused = call(&token, 512_001).await;
    assert_eq!((refused.status, refused.text()), (413, "body too large"));
    assert_eq!(call(&small, 5).await.status, 200);
    let refused = call(&small, 6).await;
    assert_eq!((refused.status, refused.text()), (413, "body too large"));
    // Without a length before it, a body is cut off where the limit is.
    let mut raw = format!(
        "POST {RECEIVE} HTTP/1.1\r\nHost: h\r\ntoken: {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for _ in 0..129 {
        raw += &format!("1000\r\n{}\r\n", "a".repeat(4096));
    }
    let addr = hub.running().addr;
    assert_eq!(integration_tests::exchange(addr, raw.as_bytes()).await.status, 413);
    assert_eq!(hub.kill().0.len(), 2);

    hub.restart(&["--max-payload-length", "4194304"]);
    let body = vec![b'a'; 4_194_304];
    assert_eq!(hub.call(&token, "text/plain", &body).await.status, 413, "as it was made");
    let big = hub.put("eventKey=c").await;
    assert_eq!(hub.call(&big, "text/plain", &body).await.status, 200);
    let (messages, _) = hub.kill();
    assert_eq!(origin(&messages[0]).len(), body.len());
}

#[tokio::test]
async fn payloads_are_encoded_raw_or_left_out() {
    let mut hub = Hub::start(&[]);
    let raw = hub.put("eventKey=a&payloadType=raw").await;
    let ignore = hub.put("eventKey=b&payloadType=ignore").await;
    let body = r#"{"name":"Zoë"}"#;
    assert_eq!(hub.call(&raw, "application/json", body).await.status, 200);
    assert_eq!(hub.call(&ignore, "application/json", body).await.status, 200);
    let refused = hub.call(&raw, "image/png", b"\x89PNG").await;
    assert_eq!((refused.status, refused.text()), (422, "payload is not text"));
    let form = format!("a=1&token={raw}");
    assert_eq!(hub.send("POST", RECEIVE, &[FORM], &form).await.status, 200);
    // A change of the key leaves the rest as it was.
    assert_eq!(hub.put(&format!("eventKey=c&uuid={raw}")).await, raw);
    assert_eq!(hub.call(&raw, "application/json", body).await.status, 200);
    let (messages, _) = hub.kill();
    let payloads: Vec<_> = messages.iter().map(|message| &message["message"]["payload"]).collect();
    assert_eq!(payloads, [&json!(body), &json!(null), &json!("a=1"), &json!(body)]);
}

#[tokio::test]
async fn messages_and_answers_in_the_older_form() {
    let mut hub = Hub::start(&["--older"]);
    let token = hub.put("eventKey=webhook.lead.created").await;
    let answer = hub.call(&token, "application/json", "{}").await;
    assert_eq!(answer.status, 200);
    let answer = json_of(&answer);
    let trace_id = answer["traceId"].as_str().unwrap();
    assert_eq!(answer, json!({ "status": "OK", "traceId": trace_id }));
    assert!(trace_id.starts_with(&format!("{}:", &token[30..])), "{trace_id}");
    let (messages, _) = hub.kill();
    let expected =
        json!({ "eventKey": "webhook.lead.created", "traceId": trace_id, "origin": "e30=" });
    assert_eq!(messages[0]["message"], expected);
}

#[tokio::test]
async fn subscribers_get_what_their_patterns_match() {
    let mut hub =
        Hub::start(&["--subscribe", "sales.*", "--subscribe", "sales.#", "--subscribe", "*.lead"]);
    for key in ["sales", "sales.lead", "sales.lead.created", "support.lead", "support"] {
        let token = hub.put(&format!("eventKey={key}")).await;
        assert_eq!(hub.call(&token, "text/plain", "").await.status, 200);
    }
    let (messages, _) = hub.kill();
    let got: Vec<_> = messages
        .iter()
        .map(|message| {
            (
                message["subscriber"].as_str().unwrap(),
                message["message"]["eventKey"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            ("sales.#", "sales"),
            ("sales.*", "sales.lead"),
            ("sales.#", "sales.lead"),
            ("*.lead", "sales.lead"),
            ("sales.#", "sales.lead.created"),
            ("*.lead", "support.lead"),
        ]
    );
}

/// Nothing tells a retry from a second call.
#[tokio::test]
async fn a_call_that_is_sent_twice_is_handed_on_twice() {
    let mut hub = Hub::start(&[]);
    let token = hub.put("eventKey=a").await;
    let first = json_of(&hub.call(&token, "application/json", "{}").await);
    let second = json_of(&hub.call(&token, "application/json", "{}").await);
    assert_ne!(first["correlationId"], second["correlationId"]);
    assert_eq!(hub.kill().0.len(), 2);
}
