//! Tables: their names, and who creates them.

use super::*;

#[tokio::test]
async fn migrate_twice_and_keep_what_is_there() {
    let store = shared_store().await.0;
    let claim = request(1);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    store.migrate().await.unwrap();
    assert!(is_busy(store.claim_one(&again(&claim)).await.unwrap()));
}

#[tokio::test]
async fn names() {
    let pool = pool(PostgresServer::shared(), 2).await;
    execute(&pool, "CREATE SCHEMA IF NOT EXISTS \"Hooks\"").await;
    let longest = "x".repeat(48);
    for name in ["select", "Order", "Hooks.user", "_", &longest] {
        let store = PostgresStore::new(pool.clone()).table(name).unwrap();
        let missing = fails(store.claim_one(&request(1))).await;
        assert!(missing.contains("migrate"), "{missing}");
        store.migrate().await.unwrap();
        assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
        assert_eq!(store.purge(10).await.unwrap(), 0);
    }
    let columns = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'Hooks' AND table_name = 'user'";
    let count: i64 = sqlx::query_scalar(columns).fetch_one(&pool).await.unwrap();
    assert_eq!(count, 1);
    for name in
        ["", "a\"; DROP TABLE b; --", "a b", "a.b.c", "a\0", "é", "{index}", &"x".repeat(49)]
    {
        let error = PostgresStore::new(pool.clone()).table(name).unwrap_err();
        assert!(error.to_string().starts_with("table: "), "{error}");
    }
}

/// A table with other columns is an error at the start, and stays unchanged.
#[tokio::test]
async fn a_table_of_another_shape() {
    let pool = pool(PostgresServer::shared(), 2).await;
    let name = new_name();
    execute(&pool, format!("CREATE TABLE {name} (key text)")).await;
    let store = PostgresStore::new(pool).table(&name).unwrap();
    let other = fails(store.migrate()).await;
    assert!(other.contains("column"), "{other}");
    fails(store.claim_one(&request(1))).await;
}

/// A user without the right to create tables uses an existing one.
#[tokio::test]
async fn without_the_right_to_create() {
    let admin = pool(PostgresServer::shared(), 2).await;
    let name = store(admin.clone()).await.1;
    let user = format!("user_{name}");
    execute(
        &admin,
        format!(
            "CREATE ROLE {user} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {user}"
        ),
    )
    .await;
    let url = PostgresServer::shared().url().replace("postgres@", &format!("{user}@"));
    let refused = fails(PostgresStore::connect_with_table(&url, &new_name())).await;
    assert!(refused.contains("permission denied"), "{refused}");
    let store = PostgresStore::connect_with_table(&url, &name).await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
}
