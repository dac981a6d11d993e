//! The subcommand `inbox`, on SQLite and on PostgreSQL.

use std::{
    fs,
    net::TcpListener,
    process::{Output, Stdio},
    time::Duration,
};

use integration_tests::{Folder, PATIENCE, PostgresServer, age_inbox, run_sql, unique};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use sqlx::postgres::PgListener;
use webhook_verify::{
    PostgresStore, SqliteStore,
    idempotency::{ClaimKey, Owner},
    inbox::{EntryHolder, InboxStore, Intake, LeaseRequest, NewEvent, StoredEvent, Verdict},
};

use crate::{command, lines, run, text};

const HOUR: Duration = Duration::from_secs(3600);
/// What a terminal must not get.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b";
const ESCAPED: &str = r"a\u{1b}[2J\u{9b}31m\u{202e}b";

/// A database.
struct Site {
    url: String,
    /// That of an SQLite file.
    folder: Option<Folder>,
}

impl Site {
    fn sqlite() -> Self {
        let folder = Folder::new("command");
        let url = format!("sqlite://{}", folder.path().join("inbox.db").display());
        Self { url, folder: Some(folder) }
    }

    /// Creates an empty database in the shared server.
    async fn postgres() -> Self {
        let server = PostgresServer::until_shared().await;
        let name = unique("command").replace('-', "_");
        run_sql(&server.url(), format!("CREATE DATABASE {name}")).await;
        let url = format!("postgres://postgres@127.0.0.1:{}/{name}", server.port());
        Self { url, folder: None }
    }

    async fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres().await]
    }

    /// Creates the tables, and stores events.
    async fn fill(&self, with: impl AsyncFn(&dyn Fill)) {
        match self.url.starts_with("sqlite:") {
            true => with(&SqliteStore::connect(&self.url).await.unwrap()).await,
            false => with(&PostgresStore::connect(&self.url).await.unwrap()).await,
        }
    }

    /// Runs a verb on the inbox `mautic`.
    fn verb(&self, arguments: &[&str]) -> Output {
        let place = ["inbox", "--database", &self.url, "--endpoint", "mautic"];
        run(&[&place, arguments].concat(), b"")
    }

    /// Runs a verb that succeeds, and returns its JSON lines.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.verb(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        lines(&output)
    }

    /// Returns the event numbers, consumers and states that a list contains.
    fn listed(&self, arguments: &[&str]) -> Vec<(i64, String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rows = self.json(&[&["list"], arguments].concat());
        rows.iter()
            .map(|row| {
                (row["number"].as_i64().unwrap(), text(&row["consumer"]), text(&row["state"]))
            })
            .collect()
    }
}

/// A store, of either kind.
trait Fill {
    fn insert(&self, intake: Intake) -> Boxed<'_, ()>;
    fn settle(&self, consumer: &'static str, verdict: Option<Verdict>) -> Boxed<'_, i64>;
}

type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

impl<S: InboxStore> Fill for S {
    fn insert(&self, intake: Intake) -> Boxed<'_, ()> {
        Box::pin(async move {
            InboxStore::insert(self, &intake).await.unwrap();
        })
    }

    /// Leases the next entry, settles it unless it stays running, and returns its number.
    fn settle(&self, consumer: &'static str, verdict: Option<Verdict>) -> Boxed<'_, i64> {
        Box::pin(async move {
            let owner = Owner::random().unwrap();
            let request = LeaseRequest::new("mautic", consumer, owner, 1, HOUR);
            let number = self.lease(&request).await.unwrap().events[0].number;
            let holder = EntryHolder::new(number, consumer, owner);
            if let Some(verdict) = verdict {
                let settlement = [holder.settlement(verdict)];
                InboxStore::settle(self, &settlement, PATIENCE).await.unwrap();
            }
            number
        })
    }
}

fn key(number: u8) -> ClaimKey {
    ClaimKey::from([number; 32])
}

fn event(number: u8, body: &[u8]) -> StoredEvent {
    StoredEvent::new(key(number), "mautic", body.to_vec())
}

fn intake(endpoint: &str, consumers: &[&str], events: Vec<StoredEvent>) -> Intake {
    let events = events.into_iter().map(|event| NewEvent::new(event, HOUR)).collect();
    Intake::new(endpoint, consumers, events)
}

/// Three events for `crm` and `mail`. Of `crm`, the first is dead, the second done, and the third
/// running. Another inbox has an event as well.
async fn fill(site: &Site) {
    site.fill(async |store| {
        let mut first = event(1, b"{\"a\": 1}\n");
        first.event_type = Some("contact.created".into());
        first.headers = vec![("content-type".into(), "application/json".into())];
        let mut third = event(3, b"");
        third.namespace = Some("acme".into());
        let events = vec![first, event(2, b"\xff\x00\r\n"), third];
        store.insert(intake("mautic", &["crm", "mail"], events)).await;
        store.insert(intake("orders", &["crm"], vec![event(1, b"{}")])).await;
        let dead = Verdict::Dead { error: "no such contact".into() };
        assert_eq!(store.settle("crm", Some(dead)).await, 1);
        assert_eq!(store.settle("crm", Some(Verdict::Done)).await, 2);
        assert_eq!(store.settle("crm", None).await, 3);
    })
    .await;
}

#[tokio::test]
async fn entries_are_counted_and_listed() {
    for site in Site::both().await {
        fill(&site).await;
        let stats = site.json(&["stats"]);
        let counts =
            |row: &Value| ["waiting", "running", "dead"].map(|state| row[state].as_u64().unwrap());
        let [crm, mail] = &stats[..] else { panic!("{stats:?}") };
        assert_eq!((&crm["consumer"], counts(crm)), (&"crm".into(), [0, 1, 1]));
        assert_eq!((&mail["consumer"], counts(mail)), (&"mail".into(), [3, 0, 0]));
        assert!(mail["oldest_seconds"].is_u64());
        let table = text(&site.verb(&["stats"]).stdout);
        assert_eq!(table.lines().count(), 3);
        assert!(table.lines().next().unwrap().contains("WAITING"), "{table}");

        let all = [
            (1, "crm", "dead"),
            (1, "mail", "waiting"),
            (2, "crm", "done"),
            (2, "mail", "waiting"),
            (3, "crm", "running"),
            (3, "mail", "waiting"),
        ];
        for (arguments, expected) in [
            (&[][..], &[0, 1, 2, 3, 4, 5][..]),
            (&["--state", "dead"], &[0]),
            (&["--state", "running"], &[4]),
            (&["--state", "discarded"], &[]),
            (&["--consumer", "mail"], &[1, 3, 5]),
            (&["--event-type", "contact.created"], &[0, 1]),
            (&["--namespace", "acme", "--consumer", "crm"], &[4]),
            (&["--after", "2"], &[4, 5]),
            (&["--after", "-7", "--state", "done"], &[2]),
        ] {
            let expected = expected.iter().map(|&index| all[index]);
            let expected: Vec<_> =
                expected.map(|(n, consumer, state)| (n, consumer.into(), state.into())).collect();
            assert_eq!(site.listed(arguments), expected, "{} {arguments:?}", site.url);
        }
        let first = &site.json(&["list", "--limit", "1"])[0];
        assert_eq!(first["key"], key(1).to_string());
        assert_eq!(first["event_type"], "contact.created");
        assert_eq!(first["error"], "no such contact");
        assert_eq!((&first["attempts"], &first["bytes"]), (&1.into(), &9.into()));
        let table = text(&site.verb(&["list"]).stdout);
        assert_eq!(table.lines().count(), 7);
        assert!(table.contains("  dead  "), "{table}");
        assert!(table.contains("  contact.created  no such contact\n"), "{table}");
    }
}

#[tokio::test]
async fn a_list_has_each_entry_once_across_pages() {
    for site in Site::both().await {
        site.fill(async |store| {
            let events = (1..=25).map(|number| event(number, b"{}")).collect();
            store.insert(intake("mautic", &["a", "b", "c", "d", "e"], events)).await;
        })
        .await;
        let all = site.listed(&["--limit", "1000"]);
        assert_eq!(all.len(), 125);
        assert!(all.is_sorted());
        let mut distinct = all.clone();
        distinct.dedup();
        assert_eq!(distinct, all);

        let part = site.verb(&["list", "--limit", "18"]);
        assert_eq!(text(&part.stdout).lines().count(), 19);
        assert!(text(&part.stderr).contains("--after 3"), "{}", text(&part.stderr));
        assert_eq!(site.listed(&["--after", "3", "--limit", "1"]), all[15..16]);
        let exact = site.verb(&["list", "--limit", "125"]);
        assert_eq!(text(&exact.stderr), "");
    }
}

#[tokio::test]
async fn an_event_is_shown_with_its_entries_and_exact_body() {
    for site in Site::both().await {
        fill(&site).await;
        for name in ["1", &key(1).to_string()] {
            let shown = text(&site.verb(&["show", name]).stdout);
            for part in [
                format!("key: {}\n", key(1)).as_str(),
                "scheme: mautic\n",
                "event type: contact.created\n",
                "entry of crm: dead, attempts: 1, last error: no such contact\n",
                "entry of mail: waiting, attempts: 0, due at ",
                "  content-type: application/json\n",
                "body, 9 bytes:\n{\"a\": 1}\n",
            ] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
        }
        let raw = site.verb(&["show", "2", "--raw"]);
        assert_eq!(raw.stdout, b"\xff\x00\r\n");
        let shown = text(&site.verb(&["show", "2"]).stdout);
        assert!(shown.contains("not text"), "{shown}");
        let json = &site.json(&["show", "1"])[0];
        assert_eq!(json["body_base64"], "eyJhIjogMX0K");
        assert_eq!(json["headers"][0][1], "application/json");
        assert_eq!(json["entries"][0]["state"], "dead");
        assert_eq!(json["entries"][1]["consumer"], "mail");

        // The fourth event is that of another inbox, and the first one follows 0.
        for (name, said) in [
            ("4", "the inbox mautic has no event 4"),
            ("0", "the inbox mautic has no event 0"),
            ("-1", "unexpected argument '-1'"),
            (&key(9).to_string(), "has no event 0909"),
            ("one", "an event is named by its number"),
        ] {
            let output = site.verb(&["show", name]);
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        }
    }
}

#[tokio::test]
async fn selected_entries_are_retried_and_discarded() {
    for site in Site::both().await {
        fill(&site).await;
        let changed = |arguments: &[&str]| site.json(arguments)[0].clone();
        // Entries that run or are done do not count.
        assert_eq!(changed(&["retry", "1", "--consumer", "crm"])["retried"], 1);
        assert_eq!(site.listed(&["--consumer", "crm"])[0].2, "waiting");
        assert_eq!(changed(&["discard", "2", &key(3).to_string()])["discarded"], 2);
        assert_eq!(site.listed(&["--state", "discarded"]).len(), 2);
        let said = site.verb(&["retry", "--state", "waiting", "--event-type", "contact.created"]);
        assert_eq!(text(&said.stdout), "retried 2 entries\n");
        let said = site.verb(&["discard", "--consumer", "mail"]);
        assert_eq!(text(&said.stdout), "discarded 1 entry\n");
        assert_eq!(text(&site.verb(&["discard", "--all"]).stdout), "discarded 1 entry\n");
        assert_eq!(text(&site.verb(&["retry", "--all"]).stdout), "retried 0 entries\n");
        // The other inbox is unchanged.
        let place = ["inbox", "list", "--database", &site.url, "--endpoint", "orders", "--json"];
        assert_eq!(lines(&run(&place, b""))[0]["state"], "waiting");
    }
}

#[tokio::test]
async fn a_change_needs_a_selection() {
    for site in Site::both().await {
        fill(&site).await;
        let before = site.listed(&[]);
        for verb in ["retry", "discard"] {
            for (arguments, said) in [
                (&[][..], "no selection"),
                (&["--all", "--consumer", "mail"], "cannot be used with"),
                (&["--all", "1"], "cannot be used with"),
                (&["--state", "done"], "possible values: waiting, dead"),
                (&["1", "77"], "the inbox mautic has no event 77"),
                (&["1", "*"], "an event is named by its number"),
            ] {
                let output = site.verb(&[&[verb], arguments].concat());
                assert_eq!(output.status.code(), Some(2), "{arguments:?}");
                assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
            }
        }
        assert_eq!(site.listed(&[]), before);
    }
}

#[tokio::test]
async fn a_purge_deletes_what_need_not_be_kept() {
    for site in Site::both().await {
        fill(&site).await;
        site.json(&["discard", "2"]);
        let vague = site.verb(&["purge"]);
        assert_eq!(vague.status.code(), Some(2));
        assert!(text(&vague.stderr).contains("--keep-bodies"), "{}", text(&vague.stderr));
        for wrong in ["7", "d", "", "-1d", "1w", "9999999999d", "ü"] {
            let output = site.verb(&["purge", &format!("--keep-bodies={wrong}")]);
            assert_eq!(output.status.code(), Some(2), "{wrong}");
        }
        assert_eq!(site.json(&["purge", "--keep-bodies", "1d"])[0]["purged"], 0);
        assert_eq!(site.json(&["show", "2"])[0]["bytes"], 4);
        age_inbox(&site.url, "webhook_inbox", HOUR / 2).await;
        let said = text(&site.verb(&["purge", "--keep-bodies", "10m"]).stdout);
        assert_eq!(said, "purged 1 body or event\n");
        let shown = text(&site.verb(&["show", "2"]).stdout);
        assert!(shown.contains("deleted by a purge"), "{shown}");
        // The key expires after an hour.
        age_inbox(&site.url, "webhook_inbox", HOUR).await;
        assert_eq!(site.json(&["purge", "--keep-bodies", "0s"])[0]["purged"], 1);
        assert_eq!(site.verb(&["show", "2"]).status.code(), Some(2));
        assert_eq!(site.listed(&[]).len(), 4, "events that are not processed stay");
    }
}

#[tokio::test]
async fn a_terminal_obeys_no_event() {
    for site in Site::both().await {
        site.fill(async |store| {
            let mut event = event(1, format!("{HOSTILE}\n{HOSTILE}").as_bytes());
            event.event_type = Some(HOSTILE.into());
            event.id = Some(HOSTILE.into());
            event.scheme = HOSTILE.into();
            event.namespace = Some(HOSTILE.into());
            event.headers = vec![(HOSTILE.into(), HOSTILE.into())];
            store.insert(intake("mautic", &["crm", HOSTILE], vec![event.clone()])).await;
            store.insert(intake(HOSTILE, &["crm"], vec![event])).await;
            store.settle("crm", Some(Verdict::Dead { error: HOSTILE.into() })).await;
        })
        .await;
        let clean = |said: &[u8]| {
            let said = text(said);
            let is_clean = |char: char| char == '\n' || !(char.is_control() || char == '\u{202e}');
            assert!(said.chars().all(is_clean), "{said:?}");
            said
        };
        for arguments in [&["stats"][..], &["list"], &["show", "1"]] {
            let said = clean(&site.verb(arguments).stdout);
            assert!(said.contains(ESCAPED), "{said}");
            clean(&site.verb(&[arguments, &["--json"]].concat()).stdout);
        }
        assert_eq!(site.json(&["list", "--state", "dead"])[0]["error"], HOSTILE);
        let shown = clean(&site.verb(&["show", "1"]).stdout);
        assert!(shown.contains(&format!(":\n{ESCAPED}\n{ESCAPED}\n")), "{shown}");
        let unnamed = clean(&run(&["inbox", "stats", "--database", &site.url], b"").stderr);
        assert!(unnamed.contains(&format!("({ESCAPED}, mautic)")), "{unnamed}");
    }
}

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
        "postgre://postgres:hunter2@127.0.0.1/postgres".into(),
        "mysql://root:hunter2@127.0.0.1/x".into(),
        "sqlite://postgres:hunter2@127.0.0.1/x".into(),
        "hunter2".into(),
    ] {
        for verb in [&["stats"][..], &["discard", "--all"]] {
            let place = ["inbox", "--database", &url, "--endpoint", "mautic"];
            let output = run(&[&place, verb].concat(), b"");
            assert_eq!(output.status.code(), Some(2), "{url}");
            let said = text(&output.stderr);
            assert!(said.starts_with("error: ") && !said.contains("ter2"), "{url}: {said}");
            assert!(output.stdout.is_empty());
        }
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
