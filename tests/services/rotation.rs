//! A service whose secrets are replaced by an admin route on a private port, without a restart.

use axum::{Json, Router, extract::State, http::StatusCode, routing::put};
use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};
use webhook_verify_axum::{
    ConfigError, Idempotency, Receiver, RouterExt as _, Secret, SqliteStore, Verified, Verifier,
    scheme,
};

type Error = Box<dyn std::error::Error>;
/// Work that the handlers hand over.
type Jobs = UnboundedSender<String>;

async fn on_push(State(jobs): State<Jobs>, Verified(delivery): Verified) -> StatusCode {
    let _ = jobs.send(format!("verified by secret {}", delivery.secret_index()));
    StatusCode::NO_CONTENT
}

/// Takes the new secret first, and then the old one.
async fn on_secrets(
    State(verifier): State<Verifier>,
    Json(secrets): Json<Vec<String>>,
) -> Result<StatusCode, (StatusCode, String)> {
    match verifier.replace_secrets(secrets) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
    }
}

/// Returns the public routes and the private ones.
fn apps(jobs: Jobs, secret: Secret, store: SqliteStore) -> Result<(Router, Router), ConfigError> {
    let verifier = Verifier::new(scheme::GITHUB, secret)?;
    let receiver = Receiver::builder(verifier.clone())
        .idempotency(Idempotency::new(store, "github"))
        .build()?;
    let public = Router::new().webhook("/github", receiver, on_push).with_state(jobs);
    let private = Router::new().route("/secrets", put(on_secrets)).with_state(verifier);
    Ok((public, private))
}

async fn serve(jobs: Jobs) -> Result<(), Error> {
    let store = SqliteStore::connect("sqlite://webhooks.db").await?;
    let (public, private) = apps(jobs, Secret::from_env("GITHUB_SECRET")?, store)?;
    let public = axum::serve(TcpListener::bind("0.0.0.0:3000").await?, public);
    let private = axum::serve(TcpListener::bind("127.0.0.1:3001").await?, private);
    tokio::try_join!(public, private)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::Body,
        http::{Request, StatusCode},
    };
    use integration_tests::Folder;
    use tokio::sync::mpsc;
    use tower::ServiceExt as _;
    use webhook_verify_axum::{Secret, SqliteStore, scheme, testing::Signer};

    use crate::{forged, send};

    async fn put_secrets(app: &Router, secrets: &str) -> StatusCode {
        let request = Request::put("/secrets").header("content-type", "application/json");
        let request = request.body(Body::from(secrets.to_owned())).unwrap();
        app.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn replaces_secrets_without_a_restart() {
        let folder = Folder::new("services");
        let database = format!("sqlite://{}/webhooks.db", folder.path().display());
        let store = SqliteStore::connect(&database).await.unwrap();
        let (jobs, mut handled) = mpsc::unbounded_channel();
        let (public, private) = super::apps(jobs, Secret::new("old").unwrap(), store).unwrap();
        let sign = |secret: &str, id: &str| {
            let signer = Signer::new(scheme::GITHUB, secret).unwrap();
            signer.id(id).target("/github").sign("{}").unwrap()
        };

        let first = sign("old", "1");
        assert_eq!(send(&public, first.clone()).await, StatusCode::NO_CONTENT);
        assert_eq!(handled.try_recv().as_deref(), Ok("verified by secret 0"));
        assert_eq!(send(&public, sign("new", "2")).await, StatusCode::UNAUTHORIZED);

        // Both are live. A retry of the first delivery is still a duplicate.
        assert_eq!(put_secrets(&private, r#"["new", "old"]"#).await, StatusCode::NO_CONTENT);
        assert_eq!(send(&public, first).await, StatusCode::NO_CONTENT);
        assert!(handled.is_empty());
        for (secret, id, job) in
            [("new", "2", "verified by secret 0"), ("old", "3", "verified by secret 1")]
        {
            assert_eq!(send(&public, sign(secret, id)).await, StatusCode::NO_CONTENT);
            assert_eq!(handled.try_recv().as_deref(), Ok(job));
        }

        // A refused replacement leaves the live secrets as they are.
        assert_eq!(put_secrets(&private, r#"["newest "]"#).await, StatusCode::BAD_REQUEST);
        assert_eq!(put_secrets(&private, r#"["new"]"#).await, StatusCode::NO_CONTENT);
        assert_eq!(send(&public, sign("old", "4")).await, StatusCode::UNAUTHORIZED);
        assert_eq!(send(&public, forged(sign("new", "5"))).await, StatusCode::UNAUTHORIZED);
        assert_eq!(put_secrets(&public, r#"["forged"]"#).await, StatusCode::NOT_FOUND);
        assert!(handled.is_empty());
    }
}
