//! Responses that are stored with completed claims: their table, and databases without it.

use integration_tests::{AnyStore, Calls as _, Folder, PostgresServer, age, fresh, unique};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use webhook_verify::{
    PostgresStore, SqliteStore,
    idempotency::{ClaimRequest, ClaimStore, Settled, StoredResponse},
};

use crate::common::*;

/// A database, and a store in it.
struct Database {
    url: String,
    table: String,
    store: AnyStore,
    _folder: Folder,
}

impl Database {
    /// Returns a file, and a table in the shared server.
    async fn all() -> [Self; 2] {
        let folder = Folder::new("responses");
        let file = format!("sqlite://{}/claims.db", folder.path().display());
        let server = PostgresServer::shared().url();
        let table = unique("claims").replace('-', "_");
        let in_file = SqliteStore::connect_with_table(&file, &table).await.unwrap();
        let in_server = PostgresStore::connect_with_table(&server, &table).await.unwrap();
        [
            Self {
                url: file,
                table: table.clone(),
                store: AnyStore::Sqlite(in_file),
                _folder: folder,
            },
            Self {
                url: server,
                table,
                store: AnyStore::Postgres(in_server),
                _folder: Folder::new("responses"),
            },
        ]
    }

    async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.replace("{table}", &self.table));
        if self.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// Returns the number of responses, expired or not.
    async fn responses(&self) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}_response", self.table));
        if self.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            return sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        }
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Opens the store again, as a newer version of a service does.
    async fn reconnect(&self) -> AnyStore {
        match self.store {
            AnyStore::Sqlite(_) => AnyStore::Sqlite(
                SqliteStore::connect_with_table(&self.url, &self.table).await.unwrap(),
            ),
            _ => AnyStore::Postgres(
                PostgresStore::connect_with_table(&self.url, &self.table).await.unwrap(),
            ),
        }
    }
}

fn response() -> StoredResponse {
    StoredResponse::new("text/xml", b"<Response/>").unwrap()
}

/// Claims a key and completes it with a response.
async fn complete(store: &AnyStore) -> ClaimRequest {
    let claim = fresh(HOUR, HOUR);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    let completed = store.complete_with(&claim.holder(), 200, HOUR, &response()).await;
    assert_eq!(completed.unwrap(), Settled::Applied);
    claim
}

async fn stored(store: &AnyStore, claim: &ClaimRequest) -> Option<StoredResponse> {
    store.response(&claim.key, HOUR).await.unwrap()
}

/// A response is deleted with its record. A completion without one writes no response.
#[tokio::test]
async fn responses_are_deleted() {
    for database in Database::all().await {
        let store = &database.store;
        let plain = fresh(HOUR, HOUR);
        assert_eq!(store.claim_one(&plain).await.unwrap(), won(1));
        assert_eq!(store.complete(&plain.holder(), 200, HOUR).await.unwrap(), Settled::Applied);
        assert_eq!(database.responses().await, 0);

        let [forgotten, purged] = [complete(store).await, complete(store).await];
        assert_eq!(database.responses().await, 2);
        assert!(store.forget(&forgotten.key).await.unwrap());
        assert_eq!(database.responses().await, 1);
        assert_eq!(stored(store, &forgotten).await, None);
        assert_eq!(stored(store, &purged).await, Some(response()));

        // Both expire at the same time.
        age(&database.url, &database.table, HOUR.as_millis() as i64).await;
        assert_eq!(stored(store, &purged).await, None);
        let expire = "UPDATE {table}_response
          SET expires_at = (SELECT c.expires_at FROM {table} c WHERE c.key = {table}_response.key)";
        database.execute(expire).await;
        assert_eq!(database.responses().await, 1);
        assert_eq!(store.purge(usize::MAX).await.unwrap(), 2);
        assert_eq!(database.responses().await, 0);
    }
}

/// A database of an earlier version has no table for responses. Claims work as before, and
/// completions are recorded without their responses, until `connect` or `migrate` creates it.
#[tokio::test]
async fn a_database_of_an_earlier_version() {
    for database in Database::all().await {
        let old = complete(&database.store).await;
        database.execute("DROP TABLE {table}_response").await;
        let store = &database.store;
        assert_eq!(stored(store, &old).await, None);
        let claim = complete(store).await;
        assert!(is_completed(store.claim_one(&again(&claim)).await.unwrap()));
        assert_eq!(stored(store, &claim).await, None);
        assert!(store.forget(&claim.key).await.unwrap());
        assert_eq!(store.purge(usize::MAX).await.unwrap(), 0);

        let newer = database.reconnect().await;
        assert!(is_completed(newer.claim_one(&again(&old)).await.unwrap()));
        let claim = complete(&newer).await;
        assert_eq!(stored(&newer, &claim).await, Some(response()));
        // The older process finds it as well.
        assert_eq!(stored(store, &claim).await, Some(response()));
        assert_eq!(stored(store, &complete(store).await).await, Some(response()));
    }
}

/// A table of another shape is an error at the start.
#[tokio::test]
async fn a_table_of_another_shape() {
    for database in Database::all().await {
        database.execute("DROP TABLE {table}_response").await;
        database.execute("CREATE TABLE {table}_response (key text)").await;
        let refused = match &database.store {
            AnyStore::Sqlite(store) => fails(store.migrate()).await,
            AnyStore::Postgres(store) => fails(store.migrate()).await,
            other => panic!("{other:?}"),
        };
        assert!(refused.contains("column"), "{refused}");
    }
}

/// A user who may use only the table for claims stores no responses.
#[tokio::test]
async fn without_the_right_to_the_table() {
    let [_, database] = Database::all().await;
    let user = format!("user_{}", database.table);
    for missing in [false, true] {
        if missing {
            database.execute("DROP TABLE {table}_response").await;
        } else {
            let rights = format!(
                "CREATE ROLE {user} LOGIN;
                 GRANT SELECT, INSERT, UPDATE, DELETE ON {{table}} TO {user}"
            );
            database.execute(&rights).await;
        }
        let url = database.url.replace("postgres@", &format!("{user}@"));
        let store = PostgresStore::connect_with_table(&url, &database.table).await.unwrap();
        let store = AnyStore::Postgres(store);
        let claim = complete(&store).await;
        assert!(is_completed(store.claim_one(&again(&claim)).await.unwrap()));
        assert_eq!(stored(&store, &claim).await, None);
        assert!(store.forget(&claim.key).await.unwrap());
        assert_eq!(store.purge(usize::MAX).await.unwrap(), 0);
    }
}
