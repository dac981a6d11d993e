//! Runs each delivery once: claims, leases and the stores that hold them.
//!
//! A verified delivery is *claimed* before its handler runs. Whoever wins the claim holds a *lease*, renewed while the
//! handler runs; the lease is *completed* when the handler answers 2xx and *released* when it does not. A delivery that
//! is claimed elsewhere is answered 503 until its handler is done, and one that was completed is answered with the
//! stored status.
//!
//! ```text
//! absent or expired      --claim-->   in progress, attempt 1          => won
//! in progress            --claim-->   no change                       => busy (won again by the same owner)
//! lease lapsed, released --claim-->   in progress, attempt + 1        => won
//! completed              --claim-->   no change                       => completed
//! in progress, owner's   --extend-->  a new lease
//! in progress, owner's   --complete-> completed
//! in progress, owner's   --release--> released: the record stays, so that the attempt keeps counting
//! ```
//!
//! Two live claims for one key never exist, and a holder that was superseded changes nothing. What is promised is that
//! a handler runs *at least once, and not concurrently while the holder can renew its lease*: a process that dies after
//! the effect and before `complete` leaves the delivery to be run again, and one that stands still for longer than its
//! lease may wake up beside its successor. Handlers can pass [`Claim::fence`] and [`Claim::key`] on to what they call.
//!
//! Effects in the very database that holds the claims can be had *exactly once*: a handler that ends its transaction with
//! `PostgresStore::commit` or `SqliteStore::commit` (features `postgres` and `sqlite`) completes its claim in it.

mod key;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStore;
#[cfg(feature = "redis")]
pub use self::redis::{RedisConnect, RedisStore};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use self::sql::CommitError;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;
pub(crate) use self::store::DynClaimStore;
pub use self::{
    key::{Claim, ClaimKey},
    memory::MemoryStore,
    store::{
        ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, Lapsed, Owner, Settled,
        StoreError,
    },
};
use crate::{
    ConfigError, Delivery, Scheme, Verifier,
    scheme::{Field, Identity},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const QUARTER: Duration = Duration::from_secs(90 * 24 * 3600);

/// A custom identity lives as long as that of a signed id.
const CUSTOM: Identity = Identity::SignedId;

/// How deliveries are deduplicated: the store, and what is asked of it.
///
/// ```
/// use std::time::Duration;
/// use webhook_verify::{Idempotency, MemoryStore, Receiver, Verifier, scheme};
///
/// let verifier = Verifier::new(scheme::STRIPE, "whsec_example")?;
/// let receiver = Receiver::builder(verifier)
///     .idempotency(Idempotency::new(MemoryStore::new(), "stripe").lease(Duration::from_secs(30)))
///     .build()?;
/// # Ok::<(), webhook_verify::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Idempotency {
    pub(crate) store: Arc<dyn DynClaimStore>,
    endpoint: String,
    namespace: String,
    identity: IdentitySource,
    ttl: Option<Duration>,
    allow_short_ttl: bool,
    pub(crate) lease: Duration,
    pub(crate) claim_timeout: Duration,
    pub(crate) max_handler_time: Duration,
    pub(crate) in_flight_status: u16,
    lapsed: Lapsed,
}

#[derive(Clone)]
enum IdentitySource {
    Scheme,
    Fixed(Identity),
    Custom(Arc<Identify>),
}

type Identify = dyn Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync;

impl Idempotency {
    /// Claims in `store`, for the receiver named `endpoint`.
    ///
    /// The name keeps receivers that share a store apart: two senders, or two applications of one sender, may well use
    /// the same id. It is part of the key, so renaming it forgets what was completed.
    pub fn new(store: impl ClaimStore, endpoint: impl Into<String>) -> Self {
        Self {
            store: Arc::new(store),
            endpoint: endpoint.into(),
            namespace: String::new(),
            identity: IdentitySource::Scheme,
            ttl: None,
            allow_short_ttl: false,
            lease: Duration::from_secs(60),
            claim_timeout: Duration::from_secs(1),
            max_handler_time: HOUR / 4,
            in_flight_status: 503,
            lapsed: Lapsed::TakeOver,
        }
    }

    /// Keeps deployments apart that share a store. Default: empty. Tenants of one receiver are kept apart by their own:
    /// see [`Receiver::for_tenants`](crate::Receiver::for_tenants).
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// What a delivery is recognised by, instead of what the scheme says. For a scheme that says nothing (tokens),
    /// `Identity::None` states that every request is a delivery of its own.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = IdentitySource::Fixed(identity);
        self
    }

    /// Recognises a delivery by what `identify` makes of it; `None` runs it without a claim.
    ///
    /// Use the body of a scheme that signs it and nothing else: with an identity from an unsigned header, whoever
    /// captures one request can suppress another, or run the captured one again.
    pub fn identity_from(
        mut self,
        identify: impl Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.identity = IdentitySource::Custom(Arc::new(identify));
        self
    }

    /// How long a completed delivery is remembered. Default: 7 days where a signed id recognises it (and
    /// longer than its sender is known to retry), 90 days where a digest does.
    ///
    /// A retry that comes later runs again. So does a captured request, if its scheme has no timestamp: there the
    /// record should live as long as the secret.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Accepts a [`ttl`](Self::ttl) that is shorter than the sender's retries or the tolerance of its timestamps.
    pub fn allow_short_ttl(mut self) -> Self {
        self.allow_short_ttl = true;
        self
    }

    /// How long a claim outlives its holder. Default: 60 s, renewed every third of it while the handler runs.
    ///
    /// A holder that is stopped for longer (a paused machine, a blocked runtime) may wake up beside its successor: the
    /// handler then runs twice at once, and only the successor's outcome is recorded. See [`Claim::fence`].
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long the store may take for each call, and never more than a fifth of the lease. Default: 1 s. A claim that gets
    /// no answer is asked for once more, and then refused with 503.
    pub fn claim_timeout(mut self, timeout: Duration) -> Self {
        self.claim_timeout = timeout;
        self
    }

    /// For how long a handler's lease is renewed. Default: 15 min. A handler that takes longer goes on without it, and a
    /// retry may run beside it.
    pub fn max_handler_time(mut self, time: Duration) -> Self {
        self.max_handler_time = time;
        self
    }

    /// The status for a delivery that is in flight elsewhere. Default: 503, which every sender retries; many drop an
    /// event for good on 409 or any other 4xx.
    pub fn in_flight_status(mut self, status: u16) -> Self {
        self.in_flight_status = status;
        self
    }

    /// What becomes of a claim whose holder has died or stands still. Default: the next delivery takes it over.
    pub fn lapsed(mut self, lapsed: Lapsed) -> Self {
        self.lapsed = lapsed;
        self
    }

    /// How long one call of the store may take. Two of them and a third of the lease still fit into the lease, so that it
    /// does not lapse before it is first renewed.
    pub(crate) fn call_limit(&self) -> Duration {
        self.claim_timeout.min(self.lease / 5)
    }

    pub(crate) fn check(&self, verifier: &Verifier) -> Result<(), ConfigError> {
        let scheme = verifier.scheme();
        if self.endpoint.is_empty() {
            return Err(ConfigError::option("endpoint", "empty"));
        }
        if self.lease < Duration::from_secs(1) || self.lease > 24 * HOUR {
            return Err(ConfigError::option("lease", "not between 1 s and 24 h"));
        }
        if self.claim_timeout.is_zero() || self.claim_timeout > self.lease {
            return Err(ConfigError::option(
                "claim_timeout",
                "zero, or longer than the lease",
            ));
        }
        if self.max_handler_time < self.lease {
            return Err(ConfigError::option(
                "max_handler_time",
                "shorter than the lease",
            ));
        }
        if !(400..600).contains(&self.in_flight_status) {
            return Err(ConfigError::option(
                "in_flight_status",
                "not an error status, so the sender would not retry",
            ));
        }
        match self.identity {
            IdentitySource::Scheme if scheme.identity() == Identity::None => {
                return Err(ConfigError::option(
                    "identity",
                    "nothing tells the scheme's retries: use identity_from, or Identity::None",
                ));
            }
            IdentitySource::Fixed(Identity::SignedId) if !scheme.id_is_signed() => {
                return Err(ConfigError::option(
                    "identity",
                    "the scheme's id is not signed",
                ));
            }
            IdentitySource::Fixed(Identity::SignedContent)
                if scheme.identity() != Identity::SignedContent =>
            {
                return Err(ConfigError::option(
                    "identity",
                    "the scheme does not recognise deliveries by what is signed",
                ));
            }
            IdentitySource::Fixed(Identity::BodyDigest) if !verifier.signs_body() => {
                return Err(ConfigError::option(
                    "identity",
                    "the scheme does not sign the body; use identity_from if its token is proof enough",
                ));
            }
            _ => {}
        }
        let window = verifier.tolerance().map_or(Duration::ZERO, |tolerance| {
            tolerance.past().saturating_add(tolerance.future())
        });
        let identity = match self.identity {
            IdentitySource::Scheme => scheme.identity(),
            IdentitySource::Fixed(identity) => identity,
            IdentitySource::Custom(_) => CUSTOM,
        };
        let ttl = self.ttl_of(identity, scheme);
        if ttl > 3660 * 24 * HOUR {
            return Err(ConfigError::option("ttl", "longer than ten years"));
        }
        if ttl < self.lease {
            return Err(ConfigError::option("ttl", "shorter than the lease"));
        }
        if !self.allow_short_ttl && ttl < window.saturating_add(self.lease) {
            return Err(ConfigError::option(
                "ttl",
                "shorter than the tolerance on both sides and the lease together",
            ));
        }
        if !self.allow_short_ttl
            && scheme
                .hints()
                .retry_horizon
                .is_some_and(|horizon| ttl < horizon)
        {
            return Err(ConfigError::option(
                "ttl",
                "shorter than the time over which the sender retries",
            ));
        }
        Ok(())
    }

    fn ttl_of(&self, identity: Identity, scheme: &Scheme) -> Duration {
        let horizon = scheme.hints().retry_horizon.unwrap_or_default();
        self.ttl.unwrap_or(match identity {
            // Some senders retry for a month.
            Identity::SignedId => WEEK.max(horizon + DAY),
            Identity::BodyDigest | Identity::SignedContent | Identity::None => QUARTER,
        })
    }

    /// What to ask of the store for `delivery`. `None`: it has no identity and runs without a claim.
    pub(crate) fn request(&self, delivery: &Delivery) -> Result<Option<ClaimRequest>, StoreError> {
        let identity = match &self.identity {
            IdentitySource::Scheme => delivery.scheme.identity,
            IdentitySource::Fixed(identity) => *identity,
            IdentitySource::Custom(identify) => {
                let Some(bytes) = identify(delivery) else {
                    return Ok(None);
                };
                let key = self.key(delivery, key::Kind::Custom, &bytes);
                return self
                    .ask(delivery, key, delivery.body_digest(), CUSTOM)
                    .map(Some);
            }
        };
        if identity == Identity::None {
            return Ok(None);
        }
        let digest = delivery.body_digest();
        let (key, lives_as) = match identity {
            Identity::BodyDigest | Identity::None => {
                (self.key(delivery, key::Kind::BodyDigest, &digest), identity)
            }
            Identity::SignedContent => {
                let content = delivery.content_digest.as_deref().unwrap_or(&digest);
                (
                    self.key(delivery, key::Kind::SignedContent, content),
                    identity,
                )
            }
            Identity::SignedId => match delivery.signed_id() {
                Some(id) => {
                    let kind = match delivery.scheme.id {
                        Some(Field::Header(_)) => key::Kind::SignedId,
                        _ => key::Kind::BodyId,
                    };
                    (self.key(delivery, kind, id.as_bytes()), identity)
                }
                None => {
                    tracing::warn!(
                        target: "webhook_verify",
                        scheme = delivery.scheme.name(),
                        endpoint = self.endpoint,
                        "verified body has no id: it is recognised by its digest"
                    );
                    (
                        self.key(delivery, key::Kind::BodyDigest, &digest),
                        Identity::BodyDigest,
                    )
                }
            },
        };
        self.ask(delivery, key, digest, lives_as).map(Some)
    }

    fn key(&self, delivery: &Delivery, kind: key::Kind, identity: &[u8]) -> ClaimKey {
        let tenant = delivery.namespace().unwrap_or_default();
        ClaimKey::new([&self.namespace, tenant, &self.endpoint], kind, identity)
    }

    fn ask(
        &self,
        delivery: &Delivery,
        key: ClaimKey,
        digest: [u8; 32],
        identity: Identity,
    ) -> Result<ClaimRequest, StoreError> {
        Ok(ClaimRequest {
            key,
            owner: Owner::random()?,
            fingerprint: Fingerprint(digest),
            lease: self.lease,
            ttl: self.ttl_of(identity, &delivery.scheme),
            lapsed: self.lapsed,
        })
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("endpoint", &self.endpoint)
            .field("namespace", &self.namespace)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
