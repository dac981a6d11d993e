//! The subcommand `inbox`, on SQLite and on PostgreSQL.

mod databases;
mod verbs;

use std::{process::Output, time::Duration};

use integration_tests::{Folder, PATIENCE, PostgresServer, run_sql, unique};
use serde_json::Value;
use webhook_verify::{
    PostgresStore, SqliteStore,
    idempotency::{ClaimKey, Owner},
    inbox::{EntryHolder, InboxStore, Intake, LeaseRequest, NewEvent, StoredEvent, Verdict},
};

use crate::{lines, run, text};

const HOUR: Duration = Duration::from_secs(3600);

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
