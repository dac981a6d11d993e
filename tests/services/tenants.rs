//! A service whose tenants are in a database. Each tenant has its own path and secrets.

use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode};
use sqlx::SqlitePool;
use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};
use webhook_verify_axum::{
    Idempotency, Receiver, RequestHead, RouterExt as _, Secret, SqliteStore, Tenant, TenantCache,
    Verified, Verifier, scheme,
};

type Error = Box<dyn std::error::Error + Send + Sync>;
/// Work that the handlers hand over.
type Jobs = UnboundedSender<String>;

async fn on_push(State(jobs): State<Jobs>, Verified(delivery): Verified) -> StatusCode {
    let _ = jobs.send(format!("push to {}", delivery.namespace().unwrap_or_default()));
    StatusCode::NO_CONTENT
}

fn name_of(head: &RequestHead<'_>) -> Option<String> {
    Some(head.path().strip_prefix("/hooks/")?.to_owned())
}

async fn look_up(pool: SqlitePool, name: String) -> Result<Option<Tenant>, Error> {
    let secret: Option<String> = sqlx::query_scalar("SELECT secret FROM tenant WHERE name = ?")
        .bind(&name)
        .fetch_optional(&pool)
        .await?;
    Ok(match secret {
        Some(secret) => Some(Tenant::new(name, [Secret::new(secret)?])),
        None => None,
    })
}

async fn app(jobs: Jobs, database: &str) -> Result<(Router, TenantCache), Error> {
    let pool = SqlitePool::connect(database).await?;
    let store = SqliteStore::connect(database).await?;
    let cache = TenantCache::new(10_000, Duration::from_secs(60));
    let tenants = cache.by_head(name_of, move |name| look_up(pool.clone(), name));
    let receiver = Receiver::builder(Verifier::builder(scheme::GITHUB))
        .tenants(tenants)
        .idempotency(Idempotency::new(store, "github"))
        .build()?;
    Ok((Router::new().webhook("/hooks/{tenant}", receiver, on_push).with_state(jobs), cache))
}

async fn serve(jobs: Jobs) -> Result<(), Error> {
    let (app, _) = app(jobs, "sqlite://service.db").await?;
    Ok(axum::serve(TcpListener::bind("127.0.0.1:3000").await?, app).await?)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use integration_tests::Folder;
    use sqlx::SqlitePool;
    use tokio::sync::mpsc;
    use webhook_verify_axum::{scheme, testing::Signer};

    use crate::{forged, send};

    #[tokio::test]
    async fn handles_each_delivery_of_a_tenant_once() {
        let folder = Folder::new("services");
        let database = format!("sqlite://{}/service.db", folder.path().display());
        let pool = SqlitePool::connect(&format!("{database}?mode=rwc")).await.unwrap();
        sqlx::query("CREATE TABLE tenant (name TEXT PRIMARY KEY, secret TEXT NOT NULL)")
            .execute(&pool)
            .await
            .unwrap();
        for name in ["acme", "globex"] {
            let insert = sqlx::query("INSERT INTO tenant VALUES (?, ?)");
            insert.bind(name).bind(format!("secret of {name}")).execute(&pool).await.unwrap();
        }
        let (jobs, mut handled) = mpsc::unbounded_channel();
        let (app, cache) = super::app(jobs, &database).await.unwrap();
        let sign = |secret_of: &str, path: &str| {
            let signer = Signer::new(scheme::GITHUB, format!("secret of {secret_of}")).unwrap();
            signer.target(path).sign("{}").unwrap()
        };

        for name in ["acme", "globex"] {
            let signed = sign(name, &format!("/hooks/{name}"));
            assert_eq!(send(&app, signed.clone()).await, StatusCode::NO_CONTENT);
            assert_eq!(send(&app, signed.clone()).await, StatusCode::NO_CONTENT);
            assert_eq!(handled.try_recv(), Ok(format!("push to {name}")));
            assert_eq!(send(&app, forged(signed)).await, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(send(&app, sign("acme", "/hooks/globex")).await, StatusCode::UNAUTHORIZED);
        assert_eq!(send(&app, sign("acme", "/hooks/initech")).await, StatusCode::UNAUTHORIZED);

        // The cache keeps the tenant until `forget` removes it.
        sqlx::query("DELETE FROM tenant").execute(&pool).await.unwrap();
        assert_eq!(send(&app, sign("acme", "/hooks/acme")).await, StatusCode::NO_CONTENT);
        cache.forget("acme");
        assert_eq!(send(&app, sign("acme", "/hooks/acme")).await, StatusCode::UNAUTHORIZED);
        assert!(handled.is_empty());
    }
}
