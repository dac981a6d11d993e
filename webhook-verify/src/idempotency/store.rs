use std::{error, fmt, future::Future, sync::Arc, time::Duration};

use super::ClaimKey;
use crate::error::fmt_source;

/// A place for claims. Each method is one atomic step, judged by the store's own clock.
///
/// The states and what each call does to them are in the [module's documentation](crate::idempotency). A record that
/// has expired is claimed like an absent one (its attempt may go on counting). Implementations write plain `async fn`s.
///
/// A call that got no answer in time is given up, and may take effect later all the same. So each call must be harmless
/// after the ones that follow it: [`extend`](Self::extend) above all must not bring a released or completed claim back.
pub trait ClaimStore: Send + Sync + 'static {
    /// Claims a key, if it is absent, expired, released, or its lease has [lapsed](Lapsed); counts the attempt up from what the
    /// record has. The owner that holds a live lease already is granted it again, with the same attempt. The owner that
    /// released it is not: that call was given up before, and comes late.
    fn claim(
        &self,
        request: &ClaimRequest,
    ) -> impl Future<Output = Result<ClaimOutcome, StoreError>> + Send;

    /// Completes the holder's claim with the handler's status, and keeps the record for `ttl` from now on. Completing
    /// again changes nothing.
    fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Gives the holder's claim back: the next claim wins at once, with the next attempt. Releasing again changes
    /// nothing; a completed claim stays so: [`Settled::Superseded`].
    fn release(&self, holder: &Holder) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Renews the holder's lease to `lease` from now on. A claim that was released or completed stays so:
    /// [`Settled::Superseded`].
    fn extend(
        &self,
        holder: &Holder,
        lease: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Claims several keys, of which none is there twice, as [`claim`](Self::claim) does each: in one round trip, where
    /// the store can. It is all of them or an error; after an error some may have been granted.
    fn claim_all(
        &self,
        requests: &[ClaimRequest],
    ) -> impl Future<Output = Result<Vec<ClaimOutcome>, StoreError>> + Send {
        async move {
            let mut outcomes = Vec::with_capacity(requests.len());
            for request in requests {
                outcomes.push(self.claim(request).await?);
            }
            Ok(outcomes)
        }
    }

    /// Renews several leases, of which no key is there twice, as [`extend`](Self::extend) does each: in one round trip,
    /// where the store can. It is all of them or an error; after an error some may have been renewed.
    fn extend_all(
        &self,
        holders: &[Holder],
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        async move {
            let mut settled = Vec::with_capacity(holders.len());
            for holder in holders {
                settled.push(self.extend(holder, lease).await?);
            }
            Ok(settled)
        }
    }

    /// Gives several claims back, of which no key is there twice, as [`release`](Self::release) does each: in one round
    /// trip, where the store can. It is all of them or an error; after an error some may have been given back.
    fn release_all(
        &self,
        holders: &[Holder],
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        async move {
            let mut settled = Vec::with_capacity(holders.len());
            for holder in holders {
                settled.push(self.release(holder).await?);
            }
            Ok(settled)
        }
    }

    /// Completes several claims with one status, of which no key is there twice, as [`complete`](Self::complete) does each: in
    /// one round trip, where the store can. It is all of them or an error; after an error some may have been completed.
    fn complete_all(
        &self,
        holders: &[Holder],
        status: u16,
        ttl: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        async move {
            let mut settled = Vec::with_capacity(holders.len());
            for holder in holders {
                settled.push(self.complete(holder, status, ttl).await?);
            }
            Ok(settled)
        }
    }

    /// Forgets what is known of a key, whoever holds it, so that the next delivery of this identity runs as if it were
    /// the first. Whether there was anything to forget.
    fn forget(&self, key: &ClaimKey) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether claims are answered from this process's own memory, so that a receiver has no use for a cache of completed
    /// ones before it.
    fn is_in_process(&self) -> bool {
        false
    }

    /// Clears away at most `most` records that have expired, and says how many it were. Claims do not depend on it. A
    /// store that clears them away by itself has nothing to do.
    fn purge(&self, most: usize) -> impl Future<Output = Result<usize, StoreError>> + Send {
        let _ = most;
        async { Ok(0) }
    }
}

/// What becomes of a claim whose lease has lapsed: its holder has died, or stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lapsed {
    /// The next delivery takes it over.
    #[default]
    TakeOver,
    /// It is held until it expires or somebody [forgets](ClaimStore::forget) it, for handlers that must not run twice
    /// and would rather not run at all. Deliveries of it are answered as in flight. So is one that nobody runs, if a store
    /// grants a claim only after it was asked to give it back, as one may that stood still in between.
    Hold,
}

/// What a receiver asks of a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// The delivery.
    pub key: ClaimKey,
    /// Who asks; new for each request.
    pub owner: Owner,
    /// The digest of the body, to tell a retry from another body under the same id.
    pub fingerprint: Fingerprint,
    /// How long the claim holds unless it is extended.
    pub lease: Duration,
    /// How long the record lives at least; never shorter than the lease.
    pub ttl: Duration,
    /// Whether a lapsed claim may be taken over.
    pub lapsed: Lapsed,
}

impl ClaimRequest {
    /// A request for a store's tests. Receivers make theirs themselves.
    #[must_use]
    pub fn new(
        key: ClaimKey,
        owner: Owner,
        fingerprint: Fingerprint,
        lease: Duration,
        ttl: Duration,
    ) -> Self {
        Self {
            key,
            owner,
            fingerprint,
            lease,
            ttl: ttl.max(lease),
            lapsed: Lapsed::TakeOver,
        }
    }

    /// The same request with another rule for lapsed claims.
    #[must_use]
    pub fn lapsed(self, lapsed: Lapsed) -> Self {
        Self { lapsed, ..self }
    }

    /// The claim that this request makes, if it is granted.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder {
            key: self.key,
            owner: self.owner,
        }
    }
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimOutcome {
    /// The claim is granted.
    Won {
        /// The fencing number: 1, or one more than at the last grant.
        attempt: u64,
    },
    /// Somebody else holds a live lease.
    Busy {
        /// How long it holds from now.
        lease_left: Duration,
    },
    /// The delivery was completed before.
    Completed {
        /// The handler's status.
        status: u16,
        /// The body that was completed.
        fingerprint: Fingerprint,
    },
}

/// Whose claim a call is about: later calls count only while `owner` is the record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The delivery.
    pub key: ClaimKey,
    /// The owner that won it.
    pub owner: Owner,
}

/// Whether a holder's call took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Settled {
    /// It did.
    Applied,
    /// The record is another owner's by now, or gone. Nothing was changed.
    Superseded,
}

/// The owner of a claim: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub(crate) [u8; 16]);

impl Owner {
    /// A new owner.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the operating system has no randomness to give.
    pub fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(StoreError::new)?;
        Ok(Self(bytes))
    }

    /// The owner's bytes, for a store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(..)")
    }
}

/// The SHA-256 digest of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// For a body that nobody hashed: it is taken for any other.
    pub(crate) const UNKNOWN: Self = Self([0; 32]);

    pub(crate) fn may_be(self, other: Self) -> bool {
        self == other || self == Self::UNKNOWN || other == Self::UNKNOWN
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// A store could not answer. The delivery is then refused with 503, so that its sender tries again.
///
/// `source` says what failed; the alternate form of `Display`, `{:#}`, includes it.
#[derive(Clone, Debug)]
pub struct StoreError(Arc<dyn error::Error + Send + Sync>);

impl StoreError {
    /// Wraps what went wrong.
    pub fn new(source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self(Arc::from(source.into()))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claim store failed")?;
        fmt_source(self, f)
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.0)
    }
}
