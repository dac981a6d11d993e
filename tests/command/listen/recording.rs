use std::{fs, path::Path};

use integration_tests::Folder;
use serde_json::Value;
use webhook_verify::{Scheme, testing::Signer};

use super::{Listening, Sent, signed, signed_by, stripe};
use crate::{body_of, command, lines, run, secret_of, text};

/// Returns the recorded rows in order, with the names of their files.
fn rows(folder: &Path) -> Vec<(String, Value)> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let row = |name: &String| {
        serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    names.iter().map(|name| (name.clone(), row(name))).collect()
}

/// Runs `check` on a recorded file, and returns the verdict.
fn check(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let output = run(&["check", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
    lines(&output)[0]["verdict"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_request_becomes_a_file_that_check_accepts_without_the_secret() {
    let folder = Folder::new("recorded");
    let folder = folder.path().join("new");
    let arguments = ["--scheme", "stripe", "--secret", "whsec_real", "--no-page", "--record"];
    let listening = Listening::start(&[&arguments[..], &[folder.to_str().unwrap()]].concat());
    let body = b"{\"id\":\"evt_1\", \"type\":\"a.b\"}\r\n\xff".to_vec();
    let genuine = signed("stripe", "whsec_real", "/x?y=1", body.clone());
    let genuine = genuine.with_header("X-Own", "kept");
    listening.send(&genuine).await;
    let name = listening.next()["recorded"].as_str().unwrap().to_owned();
    assert!(name.ends_with("Z-000001-stripe.json"), "{name}");
    let forged = signed("stripe", "whsec_other", "/", "{}");
    listening.send(&forged).await;
    listening.next();

    let rows = rows(&folder);
    assert_eq!(rows.len(), 2);
    assert_eq!(check(&folder, &rows[0].0), "valid");
    let row = &rows[0].1;
    assert_eq!(row["body_base64"], crate::base64(&body));
    assert_eq!((&row["target"], &row["expect"]), (&"/x?y=1".into(), &"valid".into()));
    assert!(row["headers"].as_array().unwrap().contains(&serde_json::json!(["x-own", "kept"])));
    assert_eq!(rows[1].1["expect"], check(&folder, &rows[1].0));
    let valid_signature = &genuine.headers[0].1;
    for (name, _) in &rows {
        let file = fs::read_to_string(folder.join(name)).unwrap();
        assert!(!file.contains("whsec_real"), "{name}");
        assert!(!file.contains(valid_signature), "{name}");
        assert!(!file.contains(&forged.headers[0].1), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

#[tokio::test]
async fn with_the_secrets_the_request_is_recorded_exactly() {
    let folder = Folder::new("recorded");
    let folder = folder.path();
    let arguments = ["--scheme", "stripe", "--secret", "whsec_real", "--no-page"];
    let more = ["--record-secrets", "--record", folder.to_str().unwrap()];
    let listening = Listening::start(&[&arguments[..], &more].concat());
    let genuine = signed("stripe", "whsec_real", "/", r#"{"id":"evt_1"}"#);
    listening.send(&genuine).await;
    listening.next();
    let rows = rows(folder);
    assert_eq!(rows[0].1["secret"], "whsec_real");
    let headers = rows[0].1["headers"].as_array().unwrap();
    assert!(headers.contains(&serde_json::json!([genuine.headers[0].0, genuine.headers[0].1])));
    assert_eq!(check(folder, &rows[0].0), "valid");
}

/// The files of senders with a shared secret are valid, and do not contain it.
#[tokio::test]
async fn fixtures_of_all_senders_are_valid() {
    let (mut failed, mut valid) = (Vec::new(), 0);
    for scheme in Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric()) {
        let name = scheme.name();
        let folder = Folder::new("recorded");
        let path = folder.path().to_str().unwrap();
        let secret = secret_of(scheme);
        let url = "https://a.test/hook";
        let mut arguments =
            vec!["--scheme", name, "--secret", secret, "--no-page", "--record", path];
        if scheme.describe().needs_public_url {
            arguments.extend(["--url", url]);
        }
        let of_handshakes = scheme.challenges().iter().filter_map(|it| it.parameter());
        let names = scheme.describe().parameters;
        let names: Vec<_> = names.iter().map(String::as_str).chain(of_handshakes).collect();
        let parameters: Vec<_> = names.iter().map(|name| format!("{name}=p")).collect();
        for parameter in &parameters {
            arguments.extend(["--parameter", parameter]);
        }
        let mut signer = Signer::new(scheme.clone(), secret).unwrap().target("/hook");
        signer = signer.public_url(url);
        for name in names {
            signer = signer.parameter(name, "p");
        }
        let request: Sent = signed_by(&signer, body_of(scheme).as_bytes());
        let listening = Listening::start(&arguments);
        let status = listening.send(&request).await.status;
        let line = listening.next();
        if status >= 300 {
            // The sender never sends such a body.
            eprintln!("{name}: not sent: {line}");
            continue;
        }
        let rows = rows(folder.path());
        let file = rows[0].1.to_string();
        if secret.len() > 8 && file.contains(secret) {
            failed.push(format!("{name}: the secret is in {file}"));
        }
        let verdict = check(folder.path(), &rows[0].0);
        if verdict != "valid" {
            failed.push(format!("{name}: {verdict}"));
        }
        valid += 1;
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(valid > 100, "{valid}");
}

/// The signature covers the compressed bytes of one sender, and the decoded ones of the other.
#[tokio::test]
async fn a_compressed_request_is_signed_again_unless_its_decoded_bytes_are_signed() {
    let folder = Folder::new("recorded");
    let acme =
        "name = \"acme\"\nsignature = { header = \"acme-mac\" }\nsigned-bytes = \"decoded\"\n";
    let scheme_file = folder.path().join("acme.toml");
    fs::write(&scheme_file, acme).unwrap();
    let acme: Scheme = toml::from_str(acme).unwrap();
    for (scheme, expect, note) in [
        (Scheme::preset("nylas").unwrap(), "valid", "signed again"),
        (
            acme,
            "missing_signature",
            "secrets and signatures are removed; it cannot be signed again",
        ),
    ] {
        let folder = folder.path().join(scheme.name());
        let arguments = ["--scheme-file", scheme_file.to_str().unwrap(), "--scheme", scheme.name()];
        let more = ["--secret", "a-key", "--no-page", "--record", folder.to_str().unwrap()];
        let listening = Listening::start(&[&arguments[..], &more].concat());
        let signer = Signer::new(scheme, "a-key").unwrap().gzip();
        assert_eq!(listening.send(&signed_by(&signer, r#"{"id":"1"}"#)).await.status, 204);
        listening.next();
        let row = &rows(&folder)[0].1;
        assert_eq!(row["expect"], expect);
        assert!(row["note"].as_str().unwrap().starts_with(note), "{}", row["note"]);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_does_not_lose_the_delivery() {
    let folder = Folder::new("recorded");
    let path = folder.path().join("gone");
    let arguments = ["--scheme", "stripe", "--secret", "whsec_x", "--no-page", "--record"];
    let listening = Listening::start(&[&arguments[..], &[path.to_str().unwrap()]].concat());
    fs::remove_dir(&path).unwrap();
    assert_eq!(listening.send(&stripe("evt_1")).await.status, 204);
    let line = listening.next();
    assert_eq!((&line["class"], &line["recorded"]), (&"delivered".into(), &Value::Null));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let arguments = ["listen", "--listen", "127.0.0.1:0", "--scheme", "stripe", "--secret", "s"];
    let output = run(&[&arguments[..], &["--record", file.to_str().unwrap()]].concat(), b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--record"), "{}", text(&output.stderr));
}

/// The limit for a file's size stands for a full disk.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_cannot_be_completed_is_removed() {
    let folder = Folder::new("recorded");
    let program = command();
    let mut limited = std::process::Command::new("sh");
    // Without the trap, the signal would end the program.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]);
    limited.arg(program.get_program());
    let arguments = ["--scheme", "stripe", "--secret", "whsec_x", "--no-page", "--record"];
    let arguments = [&arguments[..], &[folder.path().to_str().unwrap()]].concat();
    let mut listening = Listening::start_with(limited, &arguments);
    let large = || signed("stripe", "whsec_x", "/", vec![b'1'; 200_000]);
    for (request, is_recorded) in
        [(large(), false), (large(), false), (stripe("evt_1"), true), (large(), false)]
    {
        assert_eq!(listening.send(&request).await.status, 204);
        let name = listening.next()["recorded"].as_str().map(str::to_owned);
        assert_eq!(name.is_some(), is_recorded);
    }
    let rows = rows(folder.path());
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(check(folder.path(), &rows[0].0), "valid");
    let log = listening.program.kill().1;
    let errors: Vec<_> = log.lines().collect();
    assert_eq!(errors.len(), 2, "{log}");
    for (error, number) in errors.iter().zip(["-000001-", "-000004-"]) {
        assert!(error.starts_with("error: --record ") && error.contains(number), "{log}");
    }
}
