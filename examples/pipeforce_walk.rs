//! The example `pipeforce` as a program, walked through as PIPEFORCE's documents do, and into what can go wrong on the way.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

#[path = "pipeforce/tests/calls.rs"]
mod calls;
#[path = "pipeforce/tests/commands.rs"]
mod commands;
#[path = "pipeforce/tests/multipart.rs"]
mod multipart;
#[path = "support/running.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod running;

use std::{path::PathBuf, process::Command, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use integration_tests::{Response, exchange, raw_request, unique};
use serde_json::{Value, json};

use running::{Running, program};

const ADMIN: &str = "5b0f6f6c-the-admin-token";
const RECEIVE: &str = "/api/v3/command/webhook.receive";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The document's own request body, with its blanks behind boundaries and headers.
const DOCUMENTED: &str = "--boundary \r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"fileA.pdf\" \r\n\r\n\
    <CONTENT FILE fileA.pdf GOES HERE...>\r\n\
    --boundary \r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"fileB.pdf\" \r\n\r\n\
    <CONTENT FILE fileB.pdf GOES HERE...>\r\n\
    --boundary--\r\n";

/// The example with a file of its own, which is gone when it is.
struct Hub {
    running: Option<Running>,
    folder: PathBuf,
    /// The tokens that were made.
    tokens: Vec<String>,
}

impl Hub {
    fn start(flags: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(unique("pipeforce"));
        std::fs::create_dir(&folder).unwrap();
        let mut hub = Self {
            running: None,
            folder,
            tokens: Vec::new(),
        };
        hub.restart(flags);
        hub
    }

    /// Starts it on the file that is there.
    fn restart(&mut self, flags: &[&str]) {
        let mut command = self.command();
        command.args(["--admin-token", ADMIN]).args(flags);
        self.running = Some(Running::spawn(command).unwrap());
    }

    fn command(&self) -> Command {
        let mut command = program("pipeforce");
        let db = self.folder.join("pipeforce.db");
        command.args(["--db", &format!("sqlite://{}", db.display())]);
        command.stderr(Stdio::piped());
        command
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let raw = raw_request(method, target, &headers, body.as_ref());
        exchange(self.running().addr, &raw).await
    }

    /// A call with the token in a header.
    async fn call(&self, token: &str, content_type: &str, body: impl AsRef<[u8]>) -> Response {
        let headers = [("token", token), ("Content-Type", content_type)];
        self.send("POST", RECEIVE, &headers, body).await
    }

    /// A command of the API, with its parameters in a form.
    async fn command_with(&self, name: &str, form: &str) -> Response {
        let bearer = format!("Bearer {ADMIN}");
        let target = format!("/api/v3/command/webhook.{name}");
        let headers = [("Authorization", bearer.as_str()), FORM];
        self.send("POST", &target, &headers, form).await
    }

    /// Makes a webhook, and returns its token.
    async fn put(&mut self, form: &str) -> String {
        let made = self.command_with("put", form).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let token = json_of(&made)["uuid"].as_str().unwrap().to_owned();
        self.tokens.push(token.clone());
        token
    }

    /// Kills it, and gives the messages that it printed, and what it logged. No token is in either.
    fn kill(&mut self) -> (Vec<Value>, String) {
        let (messages, log) = self.running.take().unwrap().end_with_log();
        let printed: Vec<_> = messages.iter().map(decoded).collect();
        for token in self.tokens.iter().map(String::as_str).chain([ADMIN]) {
            assert!(!log.contains(token), "{log}");
            assert!(!log.contains(&token[..13]), "{log}");
            assert!(
                printed.iter().all(|text| !text.contains(token)),
                "{printed:?}"
            );
        }
        (messages, log)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.running = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn json_of(response: &Response) -> Value {
    assert_eq!(
        response.header("content-type"),
        Some("application/json"),
        "{response:?}"
    );
    serde_json::from_slice(&response.body).unwrap()
}

/// A message as text, and what is base64 in it beside.
fn decoded(message: &Value) -> String {
    let origin = [
        &message["message"]["payload"]["origin"],
        &message["message"]["origin"],
    ];
    let origin = origin
        .iter()
        .find_map(|origin| STANDARD.decode(origin.as_str()?).ok());
    format!(
        "{message} {}",
        String::from_utf8_lossy(&origin.unwrap_or_default())
    )
}

/// The payload of a message in the form since version 9.0.
fn origin(message: &Value) -> String {
    let origin = message["message"]["payload"]["origin"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(origin).unwrap()).unwrap()
}

/// Create, trigger by GET, POST, header, form and multipart, list, change, delete; and a restart amidst.
#[tokio::test]
async fn the_documents_walk_through() {
    let mut hub = Hub::start(&[]);
    let made = hub
        .command_with("put", "eventKey=webhook.lead.created")
        .await;
    assert_eq!(
        (made.status, made.header("cache-control")),
        (200, Some("no-store"))
    );
    let made = json_of(&made);
    let token = made["uuid"].as_str().unwrap().to_owned();
    hub.tokens.push(token.clone());
    assert_eq!(made["eventKey"], "webhook.lead.created");
    assert_eq!((token.len(), &token[14..15]), (36, "4"));
    let url = format!(
        "http://{}/api/v3/webhook.receive?token={token}",
        hub.running().addr
    );
    assert_eq!(made["webhookUrl"], url);
    assert_eq!(
        (&made["payloadType"], &made["maxPayloadLength"]),
        (&json!("base64"), &json!(512_000))
    );

    let query = format!("{RECEIVE}?token={token}");
    let documented = format!("/api/v3/webhook.receive?token={token}");
    let uuid = format!("{RECEIVE}?uuid={token}");
    let form = format!("name=Zo%C3%AB&token={token}&a=b");
    let header = ("token", token.as_str());
    let json_type = ("Content-Type", "application/json");
    let multipart = ("Content-Type", "multipart/form-data;boundary=\"boundary\" ");
    let calls: [(&str, &str, &[(&str, &str)], &str, &str); 8] = [
        ("GET", &query, &[], "", ""),
        ("GET", &documented, &[], "", ""),
        (
            "POST",
            &query,
            &[json_type],
            r#"{"name":"Zoë"}"#,
            r#"{"name":"Zoë"}"#,
        ),
        ("POST", RECEIVE, &[header, json_type], "{}", "{}"),
        ("GET", RECEIVE, &[header], "", ""),
        ("POST", RECEIVE, &[FORM], &form, "name=Zo%C3%AB&a=b"),
        ("POST", &uuid, &[multipart], DOCUMENTED, DOCUMENTED),
        (
            "POST",
            RECEIVE,
            &[multipart, header],
            DOCUMENTED,
            DOCUMENTED,
        ),
    ];
    let mut answers = Vec::new();
    for (method, target, headers, body, _) in calls {
        let response = hub.send(method, target, headers, body).await;
        assert_eq!(response.status, 200, "{target} {}", response.text());
        let answer = json_of(&response);
        assert_eq!(answer["status"], "running");
        assert_eq!(answer["statusCode"], 200);
        assert!(answer["created"].as_u64() > Some(1_700_000_000_000));
        answers.push(answer);
    }

    // It dies, and comes back with all that it had.
    let (messages, log) = hub.kill();
    assert_eq!(messages.len(), calls.len());
    for ((message, answer), call) in messages.iter().zip(&answers).zip(&calls) {
        let inner = &message["message"];
        assert_eq!(message["subscriber"], "#");
        assert_eq!(inner["eventKey"], "webhook.lead.created");
        assert_eq!(inner["correlationId"], answer["correlationId"]);
        assert_eq!(origin(message), call.4);
        let trace_id = inner["traceId"].as_str().unwrap();
        assert!(
            trace_id.starts_with(&format!("{}:", &token[30..])),
            "{trace_id}"
        );
        assert!(log.contains(&format!("Webhook [{trace_id}]: OK")), "{log}");
        let files = message["files"].as_array().unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|file| file["name"].as_str().unwrap())
            .collect();
        let expected: &[&str] = match call.4 == DOCUMENTED {
            true => &["fileA.pdf", "fileB.pdf"],
            false => &[],
        };
        assert_eq!(names, expected);
        for (file, letter) in files.iter().zip(["A", "B"]) {
            let content = STANDARD.encode(format!("<CONTENT FILE file{letter}.pdf GOES HERE...>"));
            assert_eq!(file["content"], content);
        }
    }
    hub.restart(&[]);

    let all = json_of(&hub.command_with("get", "").await);
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(all[0]["uuid"], token);
    let one = json_of(&hub.command_with("get", &format!("uuid={token}")).await);
    assert_eq!((&one, one["created"].is_u64()), (&all[0], true));

    let changed = format!("uuid={token}&eventKey=webhook.changed.key");
    let changed = json_of(&hub.command_with("put", &changed).await);
    assert_eq!(changed["uuid"], token);
    assert_eq!(changed["eventKey"], "webhook.changed.key");
    assert_eq!(changed["created"], one["created"]);
    assert_eq!(hub.send("GET", &query, &[], "").await.status, 200);

    let deleted = hub.command_with("delete", &format!("uuid={token}")).await;
    assert_eq!((deleted.status, deleted.text()), (204, ""));
    let gone = hub.send("GET", &query, &[], "").await;
    assert_eq!(
        (gone.status, gone.text()),
        (401, "invalid webhook signature")
    );
    let gone = hub.command_with("get", &format!("uuid={token}")).await;
    assert_eq!((gone.status, gone.text()), (404, "no such webhook"));
    assert_eq!(json_of(&hub.command_with("get", "").await), json!([]));
    // As documented, nothing happens where there is none.
    assert_eq!(
        hub.command_with("delete", &format!("uuid={token}"))
            .await
            .status,
        204
    );

    let (messages, _) = hub.kill();
    let keys: Vec<_> = messages
        .iter()
        .map(|message| &message["message"]["eventKey"])
        .collect();
    assert_eq!(keys, ["webhook.changed.key"]);
}

/// The same by curl, where there is one. What it does is covered above.
#[test]
fn the_script_walks_through() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("curl is not installed: the script is not run");
        return;
    }
    let mut hub = Hub::start(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/pipeforce/walk.sh");
    let server = format!("http://{}", hub.running().addr);
    let walked = Command::new(script)
        .args([&server, ADMIN])
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8(walked.stdout).unwrap(),
        String::from_utf8(walked.stderr).unwrap(),
    );
    assert!(walked.status.success(), "{stdout}{stderr}");
    assert!(stdout.ends_with("walked\n"), "{stdout}");
    assert_eq!(hub.kill().0.len(), 9);
}

/// What it prints at the start can be pasted: all commands are there, and the random token is that of the API.
#[tokio::test]
async fn what_it_prints_at_the_start_is_true() {
    let mut hub = Hub::start(&[]);
    let lines = hub.running().lines.join("\n");
    assert!(!lines.contains(ADMIN), "{lines}");
    hub.kill();
    let running = Running::spawn(hub.command()).unwrap();
    let lines = running.lines.join("\n");
    for command in ["put", "receive", "get", "delete"] {
        assert!(
            lines.contains(&format!("$API/webhook.{command}")),
            "{lines}"
        );
    }
    let (_, bearer) = lines.split_once("Authorization: ").unwrap();
    let (bearer, _) = bearer.split_once('\'').unwrap();
    let headers = [("Authorization".to_owned(), bearer.to_owned())];
    let raw = raw_request("GET", "/api/v3/command/webhook.get", &headers, b"");
    assert_eq!(exchange(running.addr, &raw).await.status, 200);
}

#[test]
fn a_mistake_in_the_flags_is_named() {
    let hub = Hub::start(&[]);
    for (flags, named) in [
        (
            vec!["--max-payload-length", "4194305"],
            "4194305 is not in 1..=4194304",
        ),
        (vec!["--max-payload-length", "0"], "0 is not in 1..=4194304"),
        (vec!["--admin-token", ""], "secret: empty"),
        (vec!["--older", "--hide-unknown"], "cannot be used with"),
        (vec!["--listen", "nowhere"], "--listen"),
    ] {
        let output = hub.command().args(&flags).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(error.contains(named), "{flags:?}: {error}");
    }
    let output = program("pipeforce")
        .args(["--db", "sqlite:///no/such/folder/pipeforce.db"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
