//! The example `pipeforce` as a program, walked through as PIPEFORCE's documents do, and into what
//! can go wrong on the way.

mod calls;
mod commands;
mod hub;
mod multipart;

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use integration_tests::{Folder, exchange, in_folder, output, raw_request};
use serde_json::json;

use crate::running::{Running, example};
use hub::{ADMIN, DOCUMENTED, FORM, Headers, Hub, RECEIVE, json_of, origin};

/// Create, trigger by GET, POST, header, form and multipart, list, change, delete; and a restart
/// amidst.
#[tokio::test]
async fn the_documents_walk_through() {
    let mut hub = Hub::start(&[]);
    let made = hub.command_with("put", "eventKey=webhook.lead.created").await;
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")));
    let made = json_of(&made);
    let token = made["uuid"].as_str().unwrap().to_owned();
    hub.tokens.push(token.clone());
    assert_eq!(made["eventKey"], "webhook.lead.created");
    assert_eq!((token.len(), &token[14..15]), (36, "4"));
    let url = format!("http://{}/api/v3/webhook.receive?token={token}", hub.running().addr);
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
    let calls: [(&str, &str, Headers<'_>, &str, &str); 8] = [
        ("GET", &query, &[], "", ""),
        ("GET", &documented, &[], "", ""),
        ("POST", &query, &[json_type], r#"{"name":"Zoë"}"#, r#"{"name":"Zoë"}"#),
        ("POST", RECEIVE, &[header, json_type], "{}", "{}"),
        ("GET", RECEIVE, &[header], "", ""),
        ("POST", RECEIVE, &[FORM], &form, "name=Zo%C3%AB&a=b"),
        ("POST", &uuid, &[multipart], DOCUMENTED, DOCUMENTED),
        ("POST", RECEIVE, &[multipart, header], DOCUMENTED, DOCUMENTED),
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
        assert!(trace_id.starts_with(&format!("{}:", &token[30..])), "{trace_id}");
        assert!(log.contains(&format!("Webhook [{trace_id}]: OK")), "{log}");
        let files = message["files"].as_array().unwrap();
        let names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
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
    assert_eq!((gone.status, gone.text()), (401, "invalid webhook signature"));
    let gone = hub.command_with("get", &format!("uuid={token}")).await;
    assert_eq!((gone.status, gone.text()), (404, "no such webhook"));
    assert_eq!(json_of(&hub.command_with("get", "").await), json!([]));
    // As documented, nothing happens where there is none.
    assert_eq!(hub.command_with("delete", &format!("uuid={token}")).await.status, 204);

    let (messages, _) = hub.kill();
    let keys: Vec<_> = messages.iter().map(|message| &message["message"]["eventKey"]).collect();
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
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipeforce/walk.sh");
    let server = format!("http://{}", hub.running().addr);
    let mut walk = Command::new(script);
    let files = Folder::new("walk");
    walk.args([&server, ADMIN]).env("TMPDIR", files.path());
    in_folder(&mut walk);
    let walked = output(walk);
    let (stdout, stderr) =
        (String::from_utf8(walked.stdout).unwrap(), String::from_utf8(walked.stderr).unwrap());
    assert!(walked.status.success(), "{stdout}{stderr}");
    assert!(stdout.ends_with("walked\n"), "{stdout}");
    assert_eq!(hub.kill().0.len(), 9);
}

/// The commands that it prints at the start are complete, and the random token is that of the API.
#[tokio::test]
async fn what_it_prints_at_the_start_is_true() {
    let mut hub = Hub::start(&[]);
    let lines = hub.running().lines.join("\n");
    assert!(!lines.contains(ADMIN), "{lines}");
    hub.kill();
    let running = Running::spawn(hub.command()).unwrap();
    let lines = running.lines.join("\n");
    for command in ["put", "receive", "get", "delete"] {
        assert!(lines.contains(&format!("$API/webhook.{command}")), "{lines}");
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
        (vec!["--max-payload-length", "4194305"], "4194305 is not in 1..=4194304"),
        (vec!["--max-payload-length", "0"], "0 is not in 1..=4194304"),
        (vec!["--admin-token", ""], "secret: empty"),
        (vec!["--older", "--hide-unknown"], "cannot be used with"),
        (vec!["--listen", "nowhere"], "--listen"),
    ] {
        let mut command = hub.command();
        command.args(&flags);
        let output = output(command);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(error.contains(named), "{flags:?}: {error}");
    }
    let mut command = example("pipeforce");
    command.args(["--db", "sqlite:///no/such/folder/pipeforce.db"]);
    assert_eq!(output(command).status.code(), Some(2));
}
