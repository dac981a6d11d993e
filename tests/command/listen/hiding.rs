//! Secrets, tokens and signatures are neither recorded nor shown.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use integration_tests::Folder;
use serde_json::Value;

use super::{Listening, Sent, Target, signed};
use crate::run;

const KEY: &str = "a-key-of-github";
const STANDARD_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const GITLAB: &str = "hunter2-pass";
const PIPEFORCE: &str = "pipetok-ABCDEFGH12345678";
const ADYEN: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const SHA1: &str = "sha1=0123456789abcdef0123456789abcdef01234567";
const ITEMS: [&str; 2] = [
    "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=",
    "zoqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=",
];
const SENDERS: [(&str, &str); 6] = [
    ("github", KEY),
    ("gitea", KEY),
    ("standard-webhooks", STANDARD_KEY),
    ("gitlab", GITLAB),
    ("pipeforce-token", PIPEFORCE),
    ("adyen", ADYEN),
];

fn post(target: &str, headers: &[(&str, &str)], body: &str) -> Sent {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sent {
        method: "POST".into(),
        target: target.into(),
        headers: headers.iter().map(own).collect(),
        body: body.into(),
    }
}

/// Returns the signature header's value.
fn mac(sent: &Sent, header: &str) -> String {
    let mut headers = sent.headers.iter();
    headers.find(|(name, _)| name.eq_ignore_ascii_case(header)).unwrap().1.clone()
}

/// Returns the requests, and the signatures in them.
fn requests() -> (Vec<Sent>, Vec<String>) {
    let body = r#"{"a":1}"#;
    let github = signed("github", KEY, "/github", body);
    let github_mac = mac(&github, "x-hub-signature-256");
    let gitea = signed("gitea", KEY, "/gitea", body);
    let gitea_mac = mac(&gitea, "x-gitea-signature");
    let encoded = signed("github", KEY, "/github", r#"{"a":2}"#);
    let encoded_mac = mac(&encoded, "x-hub-signature-256");
    let future = std::time::UNIX_EPOCH.elapsed().unwrap() + std::time::Duration::from_secs(3600);
    let standard = webhook_verify::Scheme::preset("standard-webhooks").unwrap();
    let standard = webhook_verify::testing::Signer::new(standard, STANDARD_KEY).unwrap();
    let early = super::signed_by(&standard.target("/standard-webhooks").at(future), body);
    let early_mac = mac(&early, "webhook-signature").split(',').nth(1).unwrap().to_owned();
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let token = ("X-Gitlab-Token", GITLAB);
    let basic = format!("Basic {}", STANDARD.encode(GITLAB));
    let items = ITEMS.map(|mac| {
        format!(r#"{{"NotificationRequestItem":{{"additionalData":{{"hmacSignature":"{mac}"}}}}}}"#)
    });
    let items = format!(r#"{{"notificationItems":[{}]}}"#, items.join(","));
    let requests = vec![
        // Other signature headers than the sender's own.
        github.with_header("X-Hub-Signature", SHA1),
        gitea.with_header("X-Gogs-Signature", &gitea_mac).with_header("X-Hub-Signature", SHA1),
        // A content coding.
        encoded.with_header("Content-Encoding", "identity"),
        // It becomes valid in an hour.
        early,
        // The token of another sender.
        post("/github", &[token, ("X-Other", GITLAB)], r#"{"hunter2-pass":1}"#),
        post("/github?token=hunter2%2Dpass", &[("Authorization", &basic)], &basic),
        // Other spellings.
        post(
            "/gitlab/%68unter2-pass?x=hunter2%2dpass&y=%68unter2%2Dpass",
            &[token, ("X-Gitlab-Event", "Push Hook")],
            r#"{"a":"hunter2-pass","b":"\u0068unter2\u002dpass"}"#,
        ),
        post("/gitlab", &[token], r#"{"b":"\u0068unter2\u002Dpass","c":"hunter2-pass"}"#),
        post("/pipeforce-token", &[form], "a=1&token=pipetok%2dABCDEFGH1234567%38"),
        post("/pipeforce-token?token=pipetok-ABCDEFGH1234567%38", &[], ""),
        // Paths without a sender.
        post("/gitlb", &[token, ("Cookie", "a=b"), ("X-Hub-Signature-256", &github_mac)], "{}"),
        post("/nowhere/hunter2-pass", &[("X-Foo", GITLAB)], r#"{"m":"hunter2-pass"}"#),
        // Each item has a signature.
        post("/adyen", &[], &items),
        // The body is cut.
        post("/adyen", &[], &items[..items.len() - 3]),
    ];
    let hex = |mac: &str| mac.split('=').next_back().unwrap().to_owned();
    let mut macs = vec![hex(&github_mac), gitea_mac, hex(&encoded_mac), early_mac, hex(SHA1)];
    macs.extend(ITEMS.map(str::to_owned));
    (requests, macs)
}

/// Undoes percent-encoding and the escapes of JSON that the requests contain.
fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    for (encoded, text) in [("%68", "h"), ("%2d", "-"), ("%2D", "-"), ("%38", "8")] {
        plain = plain.replace(encoded, text);
    }
    for (escaped, text) in [("\\u0068", "h"), ("\\u002d", "-"), ("\\u002D", "-")] {
        plain = plain.replace(&format!("\\{escaped}"), text).replace(escaped, text);
    }
    plain
}

/// Returns what a text reveals.
fn revealed(text: &str, macs: &[String]) -> Vec<String> {
    let mut hidden: Vec<_> = SENDERS.iter().map(|(_, secret)| (*secret).to_owned()).collect();
    hidden.push(STANDARD_KEY["whsec_".len()..].to_owned());
    hidden.push(STANDARD.encode(GITLAB));
    hidden.extend(macs.iter().cloned());
    let plain = plain(text);
    hidden.retain(|hidden| plain.contains(hidden));
    hidden
}

fn arguments() -> Vec<&'static str> {
    SENDERS.iter().flat_map(|(name, secret)| ["--scheme", name, "--secret", secret]).collect()
}

#[tokio::test]
async fn no_secret_and_no_signature_is_recorded() {
    let folder = Folder::new("recorded");
    let mut arguments = arguments();
    arguments.extend(["--no-page", "--record", folder.path().to_str().unwrap()]);
    let listening = Listening::start(&arguments);
    let (requests, macs) = requests();
    let mut verdicts = Vec::new();
    let mut found = Vec::new();
    for request in &requests {
        listening.send(request).await;
        let line = listening.next();
        let Some(name) = line["recorded"].as_str() else { continue };
        let path = folder.path().join(name);
        let file = fs::read_to_string(&path).unwrap();
        let row: Value = serde_json::from_str(&file).unwrap();
        let body = STANDARD.decode(row["body_base64"].as_str().unwrap()).unwrap();
        let texts = format!("{file}\n{}", String::from_utf8_lossy(&body));
        let revealed = revealed(&texts, &macs);
        if !revealed.is_empty() {
            found.push(format!("{name} {}: {revealed:?}", row["note"]));
        }
        let output = run(&["check", path.to_str().unwrap()], b"");
        assert_eq!(output.status.code(), Some(0), "{row:#}");
        let note = row["note"].as_str().unwrap().split(' ').next().unwrap();
        verdicts.push(format!("{} {} {note}", line["class"], row["expect"]).replace('"', ""));
    }
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(verdicts[0], "delivered valid signed");
    assert_eq!(verdicts[1], "delivered valid signed");
    assert_eq!(verdicts[2], "delivered valid signed");
    assert_eq!(verdicts[3..6], [(); 3].map(|()| "refused missing_signature secrets".to_owned()));
    assert_eq!(verdicts[6], "delivered valid a");
    assert_eq!(verdicts[7], "delivered valid a");
    assert!(verdicts.len() >= 10, "{verdicts:#?}");
}

#[tokio::test]
async fn no_secret_and_no_signature_is_shown() {
    let (requests, macs) = requests();
    let echo = format!(r#"{{"sig":"{}","token":"\u0068unter2-pass","key":"{KEY}"}}"#, macs[0]);
    let head = format!(
        "HTTP/1.1 200 OK\r\nX-Echo: {GITLAB}\r\nX-Token: {GITLAB}\r\nContent-Length: {}\r\n\r\n",
        echo.len(),
    );
    let answer: &'static [u8] = Box::leak((head + &echo).into_bytes().into_boxed_slice());
    let target = Target::start(answer);
    let mut arguments = arguments();
    arguments.extend(["--forward", &target.url]);
    let listening = Listening::start(&arguments);
    let mut found = Vec::new();
    let mut look = |target: &str, text: &str| {
        let mut revealed = revealed(text, &macs);
        // These are the starts of values that are shortened.
        revealed.extend(
            ["hunter", "pipeto"].into_iter().filter(|it| text.contains(it)).map(Into::into),
        );
        if !revealed.is_empty() {
            found.push(format!("{target}: {revealed:?}"));
        }
    };
    for (at, request) in requests.iter().enumerate() {
        listening.send(request).await;
        listening.next();
        for what in ["details", "body", "curl", "fixture", "response"] {
            let target = format!("/deliveries/{}/{what}", at + 1);
            let response = listening.get(&target).await;
            let mut text = String::from_utf8_lossy(&response.body).into_owned();
            if !String::from_utf8_lossy(&request.raw()).contains(&macs[0]) {
                // The server responds with the signature of another request.
                text = text.replace(&macs[0], "");
            }
            look(&target, &text);
            assert!(response.status == 200 || matches!(what, "fixture" | "response"), "{target}");
        }
    }
    for target in ["/", "/about", "/rows?list=all&from=0&count=99"] {
        look(target, listening.get(target).await.text());
    }
    assert!(found.is_empty(), "{found:#?}");
    let details = listening.json("/deliveries/11/details").await;
    let headers = details["headers"].as_array().unwrap();
    assert!(headers.contains(&serde_json::json!(["x-gitlab-token", "… (12 characters)"])));
    assert!(headers.contains(&serde_json::json!(["cookie", "… (3 characters)"])));
    let details = listening.json("/deliveries/1/details").await;
    assert_eq!(details["forward"]["body"]["text"].as_str().map(|it| it.contains('…')), Some(true));
}
