//! The flags `--inbox` and `--workers` of the example receivers, and the lines that they print.

use integration_tests::{Folder, Response, assert_replay, exchange, raw_request};
use serde_json::{Value, json};
use webhook_verify::{scheme, testing::Signer};

use crate::running::{Running, example};

fn start(name: &str, folder: &Folder, flags: &[&str]) -> Running {
    let mut command = example(name);
    command
        .current_dir(folder.path())
        .envs([("WEBHOOK_SECRET", "test"), ("LISTEN", "127.0.0.1:0")])
        .args(flags);
    Running::spawn(command).unwrap()
}

/// Sends a batch of two events.
async fn post(running: &Running) -> Response {
    let body = r#"{"mautic.a":[{"id":1}],"mautic.b":[{"id":234}]}"#;
    let signer = Signer::new(scheme::MAUTIC, "test").unwrap();
    let request = signer.target("/mautic").sign(body).unwrap();
    let raw = raw_request("POST", "/mautic", &request.headers, &request.body);
    exchange(running.addr, &raw).await
}

#[tokio::test]
async fn without_an_inbox_the_handler_prints_its_lines() {
    for name in ["receiver_axum", "receiver_actix"] {
        for flags in [&[][..], &["--workers", "0"]] {
            let folder = Folder::new(name);
            let running = start(name, &folder, flags);
            assert_eq!(post(&running).await.status, 204, "{name} {flags:?}");
            let lines = running.kill().0;
            assert_eq!(lines, ["mautic.a: 8 bytes", "mautic.b: 10 bytes"], "{name} {flags:?}");
        }
    }
}

/// `--inbox` only stores events, for a worker of another process. `--workers` needs no other flag.
#[tokio::test]
async fn workers_imply_an_inbox_and_print_a_json_line_for_each_event() {
    for name in ["receiver_axum", "receiver_actix"] {
        let folder = Folder::new(name);
        let storing = start(name, &folder, &["--inbox"]);
        assert_eq!(post(&storing).await.status, 204, "{name}");
        let mut working = start(name, &folder, &["--workers", "2"]);
        working.until_printed(2);
        assert_replay(&post(&working).await, 204);
        let mut lines = working.end();
        lines.sort_by_key(|line| line["length"].as_u64());
        let keys: Vec<_> = lines.iter_mut().map(|line| line["key"].take()).collect();
        assert!(keys[0] != keys[1] && keys.iter().all(Value::is_string), "{name}: {keys:?}");
        let expected = [("mautic.a", 8), ("mautic.b", 10)].map(|(event_type, length)| {
            json!({
                "scheme": "mautic",
                "event_type": event_type,
                "id": null,
                "time": null,
                "key": null,
                "attempt": 1,
                "length": length,
            })
        });
        assert_eq!(lines, expected, "{name}");
        assert_eq!(storing.kill().0, [""; 0], "{name}");
    }
}
