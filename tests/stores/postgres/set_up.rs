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

/// Creates a database user with these rights on a table. Returns its name and URL.
async fn user_with(admin: &PgPool, rights: &str, table: &str) -> (String, String) {
    let user = format!("user_{table}");
    let create = format!("CREATE ROLE {user} LOGIN; GRANT {rights} ON {table} TO {user}");
    execute(admin, create).await;
    let url = PostgresServer::shared().url().replace("postgres@", &format!("{user}@"));
    (user, url)
}

/// A user without the right to create tables uses an existing one.
#[tokio::test]
async fn without_the_right_to_create() {
    let admin = pool(PostgresServer::shared(), 2).await;
    let name = store(admin.clone()).await.1;
    let (_, url) = user_with(&admin, "SELECT, INSERT, UPDATE, DELETE", &name).await;
    let refused = fails(PostgresStore::connect_with_table(&url, &new_name())).await;
    assert!(refused.contains("permission denied"), "{refused}");
    let store = PostgresStore::connect_with_table(&url, &name).await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
}

/// If the database user lacks a privilege, the start fails, and the error names the privilege.
#[tokio::test]
async fn missing_rights() {
    let admin = pool(PostgresServer::shared(), 2).await;
    let name = store(admin.clone()).await.1;
    let (user, url) = user_with(&admin, "ALL", &name).await;
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        execute(&admin, format!("REVOKE {right} ON {name} FROM {user}")).await;
        let refused = fails(PostgresStore::connect_with_table(&url, &name)).await;
        let lacks = format!("table {name}: the database user lacks the right to {right}");
        assert_eq!(refused, lacks);
        execute(&admin, format!("GRANT {right} ON {name} TO {user}")).await;
    }
    PostgresStore::connect_with_table(&url, &name).await.unwrap();
    execute(&admin, "CREATE SCHEMA IF NOT EXISTS closed").await;
    let refused = fails(PostgresStore::connect_with_table(&url, "closed.claims")).await;
    assert!(refused.contains("permission denied for schema closed"), "{refused}");
}

/// Row-level security could hide a record, and its delivery would run twice. So it is an error at
/// the start, unless the database user is exempt.
#[tokio::test]
async fn row_level_security() {
    let admin = pool(PostgresServer::shared(), 2).await;
    let name = store(admin.clone()).await.1;
    let (user, url) = user_with(&admin, "ALL", &name).await;
    execute(
        &admin,
        format!(
            "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY all_rows ON {name} USING (true)"
        ),
    )
    .await;
    let refused = fails(PostgresStore::connect_with_table(&url, &name)).await;
    assert!(refused.starts_with(&format!("table {name}: row-level security")), "{refused}");
    execute(&admin, format!("ALTER ROLE {user} BYPASSRLS")).await;
    let store = PostgresStore::connect_with_table(&url, &name).await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
}

/// The table is created in the first schema of the `search_path`. Without a schema, that is an
/// error at the start.
#[tokio::test]
async fn search_paths() {
    let admin = pool(PostgresServer::shared(), 2).await;
    let schema = new_name();
    let url = format!("{}?options[search_path]={schema}", PostgresServer::shared().url());
    let refused = fails(PostgresStore::connect(&url)).await;
    assert!(refused.contains("no schema has been selected"), "{refused}");
    assert!(refused.contains("schema.webhook_claim"), "{refused}");
    let missing = fails(PostgresStore::connect_with_table(&url, "missing.claims")).await;
    assert!(missing.contains(r#"schema "missing" does not exist"#), "{missing}");
    execute(&admin, format!("CREATE SCHEMA {schema}")).await;
    let store = PostgresStore::connect(&url).await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    let count = format!("SELECT count(*) FROM {schema}.webhook_claim");
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&admin).await.unwrap();
    assert_eq!(count, 1);
}

/// If a part of the URL is wrong, the error names it, but never the password.
#[tokio::test]
async fn wrong_urls() {
    let admin = pool(PostgresServer::shared(), 2).await;
    let user = format!("user_{}", new_name());
    execute(&admin, format!("CREATE ROLE {user} NOLOGIN")).await;
    let right = PostgresServer::shared().url();
    let with_password = right.replace("postgres@", "postgres:hunter2@");
    PostgresStore::connect_with_table(&with_password, &new_name()).await.unwrap();
    let port = with_password.rsplit([':', '/']).nth(1).unwrap();
    for (part, wrong, named) in [
        ("scheme", with_password.replace("postgres://", "mysql://"), "postgres://"),
        ("host", with_password.replace("127.0.0.1", "nowhere.invalid"), "nowhere.invalid"),
        ("port", with_password.replace(port, "1"), "127.0.0.1:1/"),
        ("port", with_password.replace(port, "65536"), "port"),
        ("user", with_password.replace("postgres:hunter2", "nobody:hunter2"), "\"nobody\""),
        ("user", with_password.replace("postgres:hunter2", &format!("{user}:hunter2")), &user),
        ("database", format!("{with_password}_2"), "\"postgres_2\""),
        ("TLS", format!("{with_password}?sslmode=require"), "TLS"),
        ("option", format!("{with_password}?options[work_mem]=a"), "work_mem"),
    ] {
        let error = PostgresStore::connect(&wrong).await.unwrap_err();
        let text = format!("{error:#} {error:?}");
        assert!(text.contains(named), "{part}: {text}");
        assert!(!text.contains("hunter2"), "{part}: {text}");
    }
}
