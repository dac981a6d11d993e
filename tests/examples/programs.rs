//! The examples as programs that a user runs and pastes into.

use std::{process::Stdio, time::Duration};

use futures_util::future::join_all;
use integration_tests::{Folder, is_replay, output, soon};
use sqlx::{Connection as _, SqliteConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use crate::running::{Running, example};

const SAMPLE: &str = r#"{"event":"charge.success","data":{"reference":"T1","amount":1999}}"#;

fn start(name: &str, folder: &Folder) -> Running {
    let mut command = example(name);
    command
        .current_dir(folder.path())
        .envs([("WEBHOOK_SECRET", "test"), ("LISTEN", "127.0.0.1:0")]);
    command.stderr(Stdio::piped());
    Running::spawn(command).unwrap()
}

#[tokio::test]
async fn receivers_handle_the_curl_line_once_and_refuse_a_changed_one() {
    for name in ["receiver_axum", "receiver_actix", "idempotent_transaction"] {
        let folder = Folder::new(name);
        let running = start(name, &folder);
        let first = running.paste(str::to_owned).await;
        assert_eq!((first.status, is_replay(&first)), (204, false), "{name}");
        let changed = running.paste(|body| body.replacen(':', ": ", 1)).await;
        assert_eq!(changed.status, 401, "{name}");
        let (curl, addr) = (running.lines.last().unwrap().clone(), running.addr);
        let lines = running.kill().0;
        assert_eq!(lines.len(), usize::from(name != "idempotent_transaction"), "{name}: {lines:?}");
        let mut running = start(name, &folder);
        running.lines.push(curl.replace(&addr.to_string(), &running.addr.to_string()));
        let again = running.paste(str::to_owned).await;
        assert_eq!((again.status, is_replay(&again)), (204, true), "{name}: after a restart");
        assert_eq!(running.kill().0, [""; 0], "{name}");
    }
}

#[tokio::test]
async fn the_axum_receiver_closes_connections_that_send_no_head() {
    let folder = Folder::new("slow-heads");
    let running = start("receiver_axum", &folder);
    let addr = running.addr;
    let closes = ["", "POST /mautic HTTP/1.1\r\nhost"].map(|start| async move {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.is_ok()
    });
    assert_eq!(soon("the end of both connections", join_all(closes)).await, [true; 2]);
    assert_eq!(running.paste(str::to_owned).await.status, 204);
}

#[tokio::test]
async fn a_payment_that_comes_64_times_at_once_is_booked_once() {
    let folder = Folder::new("payments");
    let running = start("idempotent_transaction", &folder);
    let url = format!("sqlite://{}", folder.path().join("payments.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let curl = running.lines.last().unwrap();
    assert!(curl.contains(SAMPLE), "{curl}");

    // A payment that cannot be booked is not acknowledged.
    let rename = "ALTER TABLE payment RENAME TO elsewhere";
    sqlx::query(rename).execute(&mut database).await.unwrap();
    assert_eq!(running.paste(str::to_owned).await.status, 503);
    let rename = "ALTER TABLE elsewhere RENAME TO payment";
    sqlx::query(rename).execute(&mut database).await.unwrap();

    let taken = || async {
        loop {
            match running.paste(str::to_owned).await.status {
                503 => sleep(Duration::from_millis(100)).await,
                status => return status,
            }
        }
    };
    let statuses = soon("responses other than 503", join_all((0..64).map(|_| taken()))).await;
    assert_eq!(statuses, [204; 64]);
    let rows = sqlx::query_as::<_, (String, i64)>("SELECT event, amount FROM payment");
    let rows = rows.fetch_all(&mut database).await.unwrap();
    assert_eq!(rows, [("T1".to_owned(), 1999)]);
}

#[test]
fn secrets_that_are_missing_or_empty_are_named() {
    for name in ["receiver_axum", "receiver_actix", "idempotent_transaction", "enqueue"] {
        let not_set = "set the environment variable WEBHOOK_SECRET";
        for (secret, named) in [(None, not_set), (Some(""), "secret: empty or blank")] {
            let folder = Folder::new(name);
            let mut command = example(name);
            command.current_dir(folder.path()).env_remove("WEBHOOK_SECRET");
            command.envs(secret.map(|secret| ("WEBHOOK_SECRET", secret)));
            let output = output(command);
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(!output.status.success(), "{name}: {secret:?}");
            assert!(error.contains(named), "{name}: {secret:?}: {error}");
        }
    }
}

#[test]
fn verify_accepts_a_request_and_refuses_a_changed_one() {
    let output = output(example("verify"));
    let printed = String::from_utf8(output.stdout).unwrap();
    let expected = "Some(\"post.created\") Some(\"evt_abc123\"): 70 bytes\n\
        changed: Err(\"signature_mismatch\")\n";
    assert_eq!((output.status.code(), &*printed), (Some(0), expected));
}
