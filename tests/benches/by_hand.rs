//! Verification and deduplication without this crate, as a careful developer would write them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The maximum length of a body, in bytes.
pub(crate) const LIMIT: usize = 1 << 20;
const TOLERANCE: u64 = 5 * 60;

/// Verifies and deduplicates Standard Webhooks.
#[derive(Clone)]
pub(crate) struct Deduplication {
    prepared: Hmac<Sha256>,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
}

#[derive(Clone, Copy)]
enum Seen {
    InProgress,
    Completed(u16),
}

/// The decision about a request.
pub(crate) enum Admission {
    /// Runs the handler. Then call [`Deduplication::complete`] with the ID.
    Run(String),
    /// Responds with this status.
    Respond(u16),
}

impl Deduplication {
    /// Creates it from a secret in base64.
    pub(crate) fn new(secret: &str) -> Self {
        let key = STANDARD.decode(secret).expect("a secret in base64");
        let prepared = Hmac::new_from_slice(&key).expect("a key of any length");
        Self { prepared, seen: Arc::default() }
    }

    /// Decides about a request. `header` returns the value of a header.
    pub(crate) fn admit<'a>(
        &self,
        header: impl Fn(&'static str) -> Option<&'a str>,
        body: &[u8],
    ) -> Admission {
        let Some(id) = self.verified_id(header, body) else {
            return Admission::Respond(401);
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.entry(id.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(Seen::InProgress);
                Admission::Run(id.to_owned())
            }
            Entry::Occupied(entry) => Admission::Respond(match *entry.get() {
                Seen::InProgress => 503,
                Seen::Completed(status) => status,
            }),
        }
    }

    /// Stores the status of a handler that succeeded, and forgets the ID of one that failed.
    pub(crate) fn complete(&self, id: String, status: u16) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if (200..300).contains(&status) {
            seen.insert(id, Seen::Completed(status));
        } else {
            seen.remove(&id);
        }
    }

    fn verified_id<'a>(
        &self,
        header: impl Fn(&'static str) -> Option<&'a str>,
        body: &[u8],
    ) -> Option<&'a str> {
        let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        if timestamp.parse::<u64>().ok()?.abs_diff(now) > TOLERANCE {
            return None;
        }
        let mut mac = self.prepared.clone();
        for part in [id, ".", timestamp, "."] {
            mac.update(part.as_bytes());
        }
        mac.update(body);
        let matches = |signature: &str| {
            let tag = signature.strip_prefix("v1,").map(|tag| STANDARD.decode(tag));
            matches!(tag, Some(Ok(tag)) if mac.clone().verify_slice(&tag).is_ok())
        };
        header("webhook-signature")?.split(' ').any(matches).then_some(id)
    }
}

/// The middleware for axum.
pub(crate) async fn deduplicate(
    State(deduplication): State<Deduplication>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let header = |name| parts.headers.get(name)?.to_str().ok();
    let id = match deduplication.admit(header, &body) {
        Admission::Run(id) => id,
        Admission::Respond(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return status.into_response();
        }
    };
    // The handler also ends if the client disconnects.
    let handled = tokio::spawn(async move {
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        deduplication.complete(id, response.status().as_u16());
        response
    });
    handled.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
