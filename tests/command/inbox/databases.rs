//! Databases that have the inbox, and those that do not.

use std::{fs, net::TcpListener, process::Stdio};

use integration_tests::{Folder, PATIENCE, PostgresServer, run_sql};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use sqlx::postgres::PgListener;
use webhook_verify::{PostgresStore, SqliteStore, inbox::InboxStore};

use super::{Site, event, fill, intake};
use crate::{command, lines, run, text};

#[tokio::test]
async fn a_mistyped_inbox_is_noticed() {
    for site in Site::both().await {
        fill(&site).await;
        let output = run(&["inbox", "list", "--database", &site.url], b"");
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains("no inbox: set --endpoint to its name (mautic, orders)"), "{said}");
        let place = ["inbox", "list", "--json", "--database", &site.url, "--endpoint", "mautci"];
        let output = run(&place, b"");
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""));
        let said = text(&output.stderr);
        assert!(said.contains("is in the inbox mautci; they are in mautic, orders"), "{said}");
    }
}

#[tokio::test]
async fn the_url_can_be_in_the_environment_and_the_table_has_another_name() {
    let [sqlite, postgres] = Site::both().await;
    let events = || intake("mautic", &["crm"], vec![event(1, b"{}")]);
    let store = SqliteStore::connect_with_table(&sqlite.url, "hooks").await.unwrap();
    InboxStore::insert(&store, &events()).await.unwrap();
    run_sql(&postgres.url, "CREATE SCHEMA app").await;
    let store = PostgresStore::connect_with_table(&postgres.url, "app.hooks").await.unwrap();
    InboxStore::insert(&store, &events()).await.unwrap();
    for (site, table) in [(sqlite, "hooks"), (postgres, "app.hooks")] {
        let stats = |table: &str| {
            let place = ["inbox", "stats", "--endpoint", "mautic", "--json", "--table", table];
            command().args(place).env("DATABASE_URL", &site.url).output().unwrap()
        };
        assert_eq!(lines(&stats(table))[0]["waiting"], 1);
        for (table, said) in [
            ("webhook_claim", "no inbox in this database: there is no table webhook_inbox"),
            ("other.hooks", "no inbox in this database: there is no table other.hooks_inbox"),
            ("a\" b", "--table: not a name"),
        ] {
            let output = stats(table);
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        }
    }
    let none = run(&["inbox", "stats"], b"");
    assert!(text(&none.stderr).contains("set --database or the variable DATABASE_URL"));
}

#[tokio::test]
async fn no_table_is_created() {
    let site = Site::sqlite();
    let folder = site.folder.as_ref().unwrap().path();
    let file = folder.join("inbox.db");
    let verbs = [
        &["stats"][..],
        &["list"],
        &["show", "1"],
        &["retry", "--all"],
        &["discard", "--all"],
        &["purge", "--keep-bodies", "0s"],
    ];
    for verb in verbs {
        for parameters in ["", "?mode=rwc"] {
            let url = format!("{}{parameters}", site.url);
            let place = ["inbox", "--database", &url, "--endpoint", "mautic"];
            let output = run(&[&place, verb].concat(), b"");
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output.stderr).contains("inbox.db: No such file"));
            assert!(!file.exists());
        }
    }
    run_sql(&format!("{}?mode=rwc", site.url), "CREATE TABLE other (a)").await;
    let before = fs::read(&file).unwrap();
    for verb in verbs {
        let output = site.verb(verb);
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains("no inbox in this database: there is no table webhook"), "{said}");
    }
    // Not even the journal mode changes.
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    fs::write(&file, "not a database".repeat(100)).unwrap();
    let said = text(&site.verb(&["stats"]).stderr);
    assert!(said.contains("file is not a database"), "{said}");

    let site = Site::postgres().await;
    for verb in verbs {
        let output = site.verb(verb);
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains("no inbox in this database: there is no table webhook"), "{said}");
    }
    // It would fail if there were tables.
    run_sql(&site.url, "DROP SCHEMA public RESTRICT").await;
}

#[tokio::test]
async fn no_password_is_printed() {
    let server = PostgresServer::until_shared().await;
    let port = server.port();
    for url in [
        format!("postgres://nobody:hunter2@127.0.0.1:{port}/postgres"),
        format!("postgres://postgres:hunter2@127.0.0.1:{port}/nothing"),
        "postgres://postgres:hunter2@127.0.0.1:1/postgres".into(),
        "postgres://postgres:hunter2@no-such-host.invalid/postgres".into(),
        "postgres://postgres:hun@ter2/#x@127.0.0.1/postgres".into(),
        "postgres://postgres:x/hunter2@127.0.0.1/postgres".into(),
        "postgres://postgres:7/hunter2@127.0.0.1/postgres".into(),
        "postgres://postgres:7#hunter2@127.0.0.1/postgres".into(),
        "postgres://postgres@127.0.0.1:1/postgres?password=hunter2".into(),
        "postgres://127.0.0.1:1/postgres?user=postgres&password=hunter2".into(),
        "postgre://postgres:hunter2@127.0.0.1/postgres".into(),
        "mysql://root:hunter2@127.0.0.1/x".into(),
        "sqlite://postgres:hunter2@127.0.0.1/x".into(),
        "hunter2".into(),
    ] {
        for arguments in [
            &["stats", "--endpoint", "mautic", "--database", &url][..],
            &["discard", "--all", "--endpoint", "mautic", "--database", &url],
            // Without the option's name.
            &["stats", &url],
            &["show", &url],
            &[&url],
        ] {
            // An argument that is not a URL may be anything.
            if url == "hunter2" && !arguments.contains(&"--database") {
                continue;
            }
            let output = run(&[&["inbox"], arguments].concat(), b"");
            assert_eq!(output.status.code(), Some(2), "{url}");
            let said = text(&output.stderr);
            assert!(said.starts_with("error: ") && !said.contains("ter2"), "{url}: {said}");
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn help_is_printed_without_a_verb() {
    for arguments in [&["inbox"][..], &["inbox", "--help"], &["inbox", "stats", "--help"]] {
        let output = run(arguments, b"");
        let help = text(if arguments.len() == 1 { &output.stderr } else { &output.stdout });
        assert!(help.contains("postgres://USER@HOST/NAME"), "{help}");
    }
}

/// A worker of another process may wait for a minute before it looks again.
#[tokio::test]
async fn a_retry_wakes_the_workers_of_other_processes() {
    let site = Site::postgres().await;
    fill(&site).await;
    let mut listener = PgListener::connect(&site.url).await.unwrap();
    listener.listen("webhook_inbox").await.unwrap();
    for verb in ["retry", "discard"] {
        site.json(&[verb, "1"]);
        let notified = tokio::time::timeout(PATIENCE, listener.recv()).await;
        let notified = notified.expect("a notification after the command").unwrap();
        assert_eq!(notified.payload(), "mautic");
    }
}

#[tokio::test]
async fn a_server_may_require_tls() {
    let mut server = PostgresServer::until_started().await;
    let folder = Folder::new("tls");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    // The server writes the files, so that they are its own.
    for (name, contents) in [("cert", cert.pem()), ("key", signing_key.serialize_pem())] {
        let sql = format!(
            "CREATE TABLE {name} (line text);
             INSERT INTO {name} SELECT unnest(string_to_array('{contents}', E'\\n'));
             COPY {name} TO PROGRAM 'umask 077; cat > {name}.pem'"
        );
        run_sql(&server.url(), sql).await;
    }
    for setting in ["ssl_cert_file = 'cert.pem'", "ssl_key_file = 'key.pem'", "ssl = on"] {
        run_sql(&server.url(), format!("ALTER SYSTEM SET {setting}")).await;
    }
    let root = folder.path().join("root.pem");
    fs::write(&root, cert.pem()).unwrap();
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    let events = vec![event(1, b"{}")];
    InboxStore::insert(&store, &intake("mautic", &["crm"], events)).await.unwrap();
    server.restart();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), root.display());
    let place = ["inbox", "stats", "--endpoint", "mautic", "--json", "--database"];
    let output = run(&[&place, &[url.as_str()][..]].concat(), b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(lines(&output)[0]["waiting"], 1);
}

#[test]
fn a_silent_server_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://postgres@{}/postgres", silent.local_addr().unwrap());
    let output = run(&["inbox", "stats", "--endpoint", "mautic", "--database", &url], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no answer within 10 s"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_reader_may_close_the_pipe() {
    let site = Site::sqlite();
    site.fill(async |store| {
        let body = vec![b'x'; 1 << 20];
        store.insert(intake("mautic", &["crm"], vec![event(1, &body)])).await;
    })
    .await;
    let place = ["inbox", "show", "1", "--endpoint", "mautic", "--database", &site.url];
    let mut child =
        command().args(place).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}
