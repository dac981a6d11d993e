//! Opens the database of an inbox, without creating or changing its tables.

use std::{path::Path, str::FromStr as _, time::Duration};

use clap::Args;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Error, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::SqliteConnectOptions,
};
use webhook_verify::{
    PostgresStore, SqliteStore,
    idempotency::StoreError,
    inbox::{Filter, Inbox, InboxStore as _},
};

use crate::{Failure, terminal::Shown};

/// The variable that holds the URL if no option does.
const URL_VARIABLE: &str = "DATABASE_URL";
/// The table of claims, unless an option names another one.
const CLAIMS: &str = "webhook_claim";
/// How long the command waits for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The place of an inbox.
#[derive(Args)]
pub(super) struct Location {
    /// The database: sqlite://FILE or postgres://USER@HOST/NAME; the default is the variable
    /// DATABASE_URL
    #[arg(long, value_name = "URL", global = true, help_heading = "Inbox")]
    database: Option<String>,
    /// The name of the inbox
    #[arg(long, value_name = "NAME", global = true, help_heading = "Inbox")]
    endpoint: Option<String>,
    /// The table of claims, if the service does not use webhook_claim
    #[arg(long, value_name = "NAME", global = true, help_heading = "Inbox")]
    table: Option<String>,
}

/// An inbox in its database.
pub(super) struct Database {
    pub(super) inbox: Inbox,
    pub(super) endpoint: String,
    /// The store, if it can announce changes to the workers of other processes.
    postgres: Option<PostgresStore>,
}

impl Location {
    pub(super) async fn open(&self) -> Result<Database, Failure> {
        let url = match &self.database {
            Some(url) => url.clone(),
            None => std::env::var(URL_VARIABLE)
                .map_err(|_| "no database: set --database or the variable DATABASE_URL")?,
        };
        if url.starts_with("sqlite:") {
            self.open_sqlite(&url).await
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            self.open_postgres(&url).await
        } else {
            // The text may contain a password.
            Err("the URL of the database begins with neither sqlite:// nor postgres://".into())
        }
    }

    async fn open_sqlite(&self, url: &str) -> Result<Database, Failure> {
        let table = InboxTable::new(self.table.as_deref())?;
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| format!("the URL of the database: {error}"))?
            .create_if_missing(false)
            .disable_statement_logging();
        let file = shown_file(options.get_filename());
        let opened = async {
            let found = std::fs::metadata(options.get_filename()).map_err(Error::Io)?;
            // A named pipe would wait for a writer.
            if !found.is_file() {
                return Err(Error::Io(std::io::Error::other("not a file")));
            }
            // The store's own connection would turn on WAL, in any database.
            let mut connection = options.clone().read_only(true).connect().await?;
            let names = sqlx::query_scalar(table.names()).fetch_all(&mut connection).await;
            connection.close().await?;
            names
        };
        let names: Vec<String> = opened.await.map_err(|error| match error {
            Error::Io(error) => format!("{file}: {error}"),
            error if text_of(&error).starts_with("no such table") => table.missing_in(&file),
            error => format!("{file}: {}", Shown(&text_of(&error))),
        })?;
        let endpoint = self.endpoint(&names)?;
        let store = SqliteStore::open(options).await.map_err(failed)?;
        let store = store.table(self.table.as_deref().unwrap_or(CLAIMS))?;
        Ok(Database { inbox: Inbox::new(store, &endpoint), endpoint, postgres: None })
    }

    async fn open_postgres(&self, url: &str) -> Result<Database, Failure> {
        let table = InboxTable::new(self.table.as_deref())?;
        // Otherwise part of the password would count as the host or the path.
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        if rest.find(['/', '?', '#']).is_some_and(|end| rest[end..].contains('@')) {
            return Err(
                "the URL of the database: write /, ?, # and @ in a user name or password as \
                        %2F, %3F, %23 and %40"
                    .into(),
            );
        }
        // Poolers do not know `extra_float_digits`, which sqlx sets by default.
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| format!("the URL of the database: {error}"))?
            .extra_float_digits(None)
            .disable_statement_logging();
        let opened = tokio::time::timeout(CONNECT, names_in(&options, &table));
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let names =
            opened.await.unwrap_or(Err(Error::PoolTimedOut)).map_err(|error| match error {
                Error::PoolTimedOut => {
                    format!("{server}: no answer within {} s", CONNECT.as_secs())
                }
                Error::Io(error) => format!("{server}: {error}"),
                // undefined_table, invalid_schema_name
                error if ["42P01", "3F000"].contains(&&*code_of(&error)) => {
                    table.missing_in(&server)
                }
                error => format!("{server}: {}", Shown(&text_of(&error))),
            })?;
        let endpoint = self.endpoint(&names)?;
        // Two, so that a call can reconnect while another one waits for a dead server.
        let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(CONNECT);
        let store = PostgresStore::new(pool.connect_lazy_with(options));
        let store = store.table(self.table.as_deref().unwrap_or(CLAIMS))?;
        let postgres = Some(store.clone());
        Ok(Database { inbox: Inbox::new(store, &endpoint), endpoint, postgres })
    }

    /// Returns the name of the inbox. Warns if no new event has it, because it may be mistyped.
    fn endpoint(&self, names: &[String]) -> Result<String, Failure> {
        let listed: Vec<_> = names.iter().map(|name| Shown(name).to_string()).collect();
        let listed = listed.join(", ");
        match &self.endpoint {
            Some(name) if names.is_empty() || names.contains(name) => Ok(name.clone()),
            Some(name) => {
                eprintln!(
                    "note: none of the newest {NEWEST} events is in the inbox {}; they are in \
                     {listed}",
                    Shown(name)
                );
                Ok(name.clone())
            }
            None if names.is_empty() => Err("no inbox: set --endpoint to its name".into()),
            None => Err(format!("no inbox: set --endpoint to its name ({listed})").into()),
        }
    }
}

impl Database {
    pub(super) async fn retry(&self, filter: &Filter) -> Result<usize, StoreError> {
        let retried = self.inbox.retry(filter).await?;
        self.announce().await;
        Ok(retried)
    }

    pub(super) async fn discard(&self, filter: &Filter) -> Result<usize, StoreError> {
        let discarded = self.inbox.discard(filter).await?;
        self.announce().await;
        Ok(discarded)
    }

    /// Wakes the workers of other processes. The inbox does so in the background, where this process
    /// may end before.
    async fn announce(&self) {
        if let Some(store) = &self.postgres {
            // Workers also look for due events at an interval.
            let _ = store.announce(&self.endpoint).await;
        }
    }
}

/// How many events [`InboxTable::names`] reads: few enough for a table without an index of names.
const NEWEST: usize = 1000;

/// The table of events.
struct InboxTable {
    /// The schema and the name. Both are plain names.
    parts: Vec<String>,
}

impl InboxTable {
    /// Returns the table of events that belongs to a table of claims.
    fn new(claims: Option<&str>) -> Result<Self, Failure> {
        let claims = claims.unwrap_or(CLAIMS);
        let is_plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let mut parts: Vec<_> = claims.split('.').map(str::to_owned).collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_plain(part)) {
            return Err("--table: not a name, nor a schema and a name with a dot between".into());
        }
        let name = parts.pop().unwrap_or_default();
        parts.push(if name == CLAIMS { "webhook_inbox".into() } else { format!("{name}_inbox") });
        Ok(Self { parts })
    }

    /// Returns the statement for the names of inboxes that recent events have.
    fn names(&self) -> AssertSqlSafe<String> {
        let quoted: Vec<_> = self.parts.iter().map(|part| format!("\"{part}\"")).collect();
        AssertSqlSafe(format!(
            "SELECT DISTINCT endpoint FROM (
               SELECT endpoint FROM {} ORDER BY number DESC LIMIT {NEWEST}
             ) newest ORDER BY endpoint",
            quoted.join(".")
        ))
    }

    fn missing_in(&self, place: &str) -> String {
        let name = self.parts.join(".");
        format!("{place}: no inbox in this database: there is no table {name}")
    }
}

/// Connects, and returns the names of inboxes that recent events have.
async fn names_in(options: &PgConnectOptions, table: &InboxTable) -> Result<Vec<String>, Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    // A pooler may give each transaction another connection, so no statement stays prepared.
    let mut transaction = connection.begin().await?;
    let names = sqlx::query_scalar(table.names()).persistent(false);
    let names = names.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(names)
}

/// Returns the path, unless it may be a URL of another database with a password.
fn shown_file(file: &Path) -> String {
    let file = file.display().to_string();
    if file.contains('@') { "the file".into() } else { Shown(&file).to_string() }
}

/// Returns the database's own message, without the introduction of sqlx.
fn text_of(error: &Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

fn code_of(error: &Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.unwrap_or_default().into_owned()
}

/// Returns the store's error without its introduction.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: StoreError) -> Failure {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    Shown(&cause.unwrap_or_else(|| error.to_string())).to_string().into()
}
