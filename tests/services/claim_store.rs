//! A service with its own claim store, in a map.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use axum::{Router, extract, http::StatusCode};
use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};
use webhook_verify_axum::{
    ConfigError, Idempotency, Receiver, RouterExt as _, Secret, Verified, Verifier,
    clock::{Clock, MonotonicClock},
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, OnLeaseExpiry,
        Owner, Settled, Step, StoreError,
    },
    scheme,
};

type Error = Box<dyn std::error::Error>;
/// Work that the handlers hand over.
type Jobs = UnboundedSender<String>;

struct MapStore<C> {
    clock: C,
    rows: Mutex<HashMap<ClaimKey, Row>>,
}

struct Row {
    owner: Owner,
    attempt: u64,
    fingerprint: Fingerprint,
    state: State,
    expires_at: Duration,
}

enum State {
    Held { until: Duration },
    Released,
    Completed { status: u16 },
}

impl<C: Clock> MapStore<C> {
    fn claim_one(&self, request: &ClaimRequest) -> ClaimOutcome {
        let (now, mut rows) = (self.clock.now(), self.rows.lock().unwrap());
        let (mut attempt, mut expires_at) = (1, now + request.ttl.max(request.lease));
        if let Some(row) = rows.get(&request.key) {
            let (is_live, is_owner) = (row.expires_at > now, row.owner == request.owner);
            let hold = request.on_lease_expiry == OnLeaseExpiry::Hold;
            match row.state {
                State::Completed { status } if is_live => {
                    return ClaimOutcome::Completed { status, fingerprint: row.fingerprint };
                }
                State::Held { until } if is_live && is_owner && until > now => {
                    return ClaimOutcome::Won { attempt: row.attempt };
                }
                State::Held { until } if is_live && (until > now || hold) => {
                    return ClaimOutcome::Busy { lease_left: until.saturating_sub(now) };
                }
                State::Released if is_live && is_owner => {
                    return ClaimOutcome::Busy { lease_left: Duration::ZERO };
                }
                State::Completed { .. } | State::Held { .. } | State::Released => {}
            }
            attempt = row.attempt + 1;
            expires_at = expires_at.max(row.expires_at);
        }
        let state = State::Held { until: now + request.lease };
        let (owner, fingerprint) = (request.owner, request.fingerprint);
        rows.insert(request.key, Row { owner, attempt, fingerprint, state, expires_at });
        ClaimOutcome::Won { attempt }
    }

    fn settle_one(&self, holder: &Holder, step: Step) -> Settled {
        let (now, mut rows) = (self.clock.now(), self.rows.lock().unwrap());
        let Some(row) = rows.get_mut(&holder.key).filter(|row| row.owner == holder.owner) else {
            return Settled::Superseded;
        };
        let (state, lifetime) = match (step, &row.state) {
            (Step::Complete { .. }, State::Completed { .. }) => return Settled::Applied,
            (Step::Complete { status, ttl }, _) => (State::Completed { status }, ttl),
            (Step::Release, State::Held { .. } | State::Released) => {
                (State::Released, Duration::ZERO)
            }
            (Step::Extend { lease }, State::Held { .. }) => {
                (State::Held { until: now + lease }, lease)
            }
            (Step::Release | Step::Extend { .. }, _) => return Settled::Superseded,
        };
        row.state = state;
        row.expires_at = row.expires_at.max(now + lifetime);
        Settled::Applied
    }
}

impl<C: Clock> ClaimStore for MapStore<C> {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        Ok(requests.iter().map(|request| self.claim_one(request)).collect())
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        Ok(holders.iter().map(|holder| self.settle_one(holder, step)).collect())
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        Ok(self.rows.lock().unwrap().remove(key).is_some())
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        let (now, mut rows) = (self.clock.now(), self.rows.lock().unwrap());
        Ok(rows.extract_if(|_, row| row.expires_at <= now).take(max).count())
    }
}

async fn on_push(
    extract::State(jobs): extract::State<Jobs>,
    Verified(delivery): Verified,
) -> StatusCode {
    let _ = jobs.send(format!("{} bytes", delivery.body().len()));
    StatusCode::NO_CONTENT
}

fn app(jobs: Jobs, secret: Secret, store: impl ClaimStore) -> Result<Router, ConfigError> {
    let receiver = Receiver::builder(Verifier::new(scheme::GITHUB, secret)?)
        .idempotency(Idempotency::new(store, "github"))
        .build()?;
    Ok(Router::new().webhook("/github", receiver, on_push).with_state(jobs))
}

async fn serve(jobs: Jobs) -> Result<(), Error> {
    let store = MapStore { clock: MonotonicClock::default(), rows: Mutex::default() };
    let app = app(jobs, Secret::from_env("GITHUB_SECRET")?, store)?;
    Ok(axum::serve(TcpListener::bind("127.0.0.1:3000").await?, app).await?)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use axum::http::StatusCode;
    use tokio::sync::mpsc;
    use webhook_verify_axum::{
        clock::MonotonicClock,
        scheme,
        testing::{Signer, conformance::Suite},
    };

    use super::MapStore;
    use crate::{forged, send};

    #[tokio::test]
    async fn the_store_conforms() {
        let now = Arc::new(Mutex::new(Duration::ZERO));
        let clock = Arc::clone(&now);
        let store = MapStore { clock: move || *clock.lock().unwrap(), rows: Mutex::default() };
        Suite::new(&store).run(async |time| *now.lock().unwrap() += time).await.unwrap();
    }

    #[tokio::test]
    async fn handles_each_delivery_once() {
        let signer = Signer::generate(scheme::GITHUB).unwrap().target("/github");
        let store = MapStore { clock: MonotonicClock::default(), rows: Mutex::default() };
        let (jobs, mut handled) = mpsc::unbounded_channel();
        let app = super::app(jobs, signer.secret().clone(), store).unwrap();

        let signed = signer.sign("{}").unwrap();
        assert_eq!(send(&app, signed.clone()).await, StatusCode::NO_CONTENT);
        assert_eq!(send(&app, signed.clone()).await, StatusCode::NO_CONTENT);
        assert_eq!(handled.try_recv().as_deref(), Ok("2 bytes"));
        assert_eq!(send(&app, forged(signed)).await, StatusCode::UNAUTHORIZED);
        assert!(handled.is_empty());
    }
}
