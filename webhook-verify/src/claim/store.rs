use std::{error, fmt, future::Future, sync::Arc, time::Duration};

use super::ClaimKey;
use crate::error::fmt_source;

/// Stores claims. Each method is one atomic step, judged by the store's own clock.
///
/// The [module's documentation](crate::idempotency) lists the states and what each call does to
/// them. An expired record is claimed like an absent one, although its attempt may continue to
/// count. Implementations write plain `async fn`s.
///
/// The receiver gives up a call that does not return in time. The call may still take effect later,
/// so it must be harmless after the calls that follow it. Above all, [`extend`](Self::extend) must
/// not revive a released or completed claim.
///
/// # Under load
///
/// A store that queues claims should bound its queue: it returns [`StoreError::overloaded`] for a
/// claim that it could not answer within the request's [`limit`](ClaimRequest::limit). Otherwise it
/// serves callers that have given up, and goodput collapses.
pub trait ClaimStore: Send + Sync + 'static {
    /// Claims a key if it is absent, expired or released, or if its lease has [expired](Lapsed),
    /// and increments the record's attempt.
    ///
    /// The owner that already holds a live lease is granted it again, with the same attempt. The
    /// owner that released it is not: the receiver gave that call up before, and it arrives late.
    fn claim(
        &self,
        request: &ClaimRequest,
    ) -> impl Future<Output = Result<ClaimOutcome, StoreError>> + Send;

    /// Completes the holder's claim with the handler's status, and keeps the record for `ttl` from
    /// now on. A second completion changes nothing.
    fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Releases the holder's claim: the next claim wins at once, with the next attempt. A second
    /// release changes nothing. A completed claim stays completed, and the result is
    /// [`Settled::Superseded`].
    fn release(&self, holder: &Holder) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Renews the holder's lease to `lease` from now on. A released or completed claim stays as it
    /// is, and the result is [`Settled::Superseded`].
    fn extend(
        &self,
        holder: &Holder,
        lease: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Claims several keys as [`claim`](Self::claim) does, in one round trip, if the store can.
    /// Each key occurs once. The call fails as a whole; after an error, some claims may have been
    /// granted.
    fn claim_all(
        &self,
        requests: &[ClaimRequest],
    ) -> impl Future<Output = Result<Vec<ClaimOutcome>, StoreError>> + Send {
        async move {
            let mut outcomes = Vec::with_capacity(requests.len());
            for request in requests {
                let outcome = self.claim(request).await;
                outcomes.push(outcome.map_err(|error| match outcomes.is_empty() {
                    true => error,
                    false => error.in_part(),
                })?);
            }
            Ok(outcomes)
        }
    }

    /// Renews several leases as [`extend`](Self::extend) does, in one round trip, if the store can.
    /// Each key occurs once. The call fails as a whole; after an error, some leases may have been
    /// renewed.
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

    /// Releases several claims as [`release`](Self::release) does, in one round trip, if the store
    /// can. Each key occurs once. The call fails as a whole; after an error, some claims may have
    /// been released.
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

    /// Completes several claims with one status as [`complete`](Self::complete) does, in one round
    /// trip, if the store can. Each key occurs once. The call fails as a whole; after an error,
    /// some claims may have been completed.
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

    /// Deletes the record of a key, whoever holds it, and returns whether there was one. The next
    /// delivery with this key runs as if it were the first.
    fn forget(&self, key: &ClaimKey) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Returns whether claims are served from this process's own memory. A receiver then needs no
    /// cache of completed claims in front of the store.
    fn is_in_process(&self) -> bool {
        false
    }

    /// Deletes up to `most` expired records and returns how many were deleted. Claims do not depend
    /// on it. A store that deletes expired records by itself has nothing to do.
    fn purge(&self, most: usize) -> impl Future<Output = Result<usize, StoreError>> + Send {
        let _ = most;
        async { Ok(0) }
    }
}

/// Decides what happens to a claim whose lease has expired because its holder has died or is stuck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lapsed {
    /// The next delivery takes over.
    #[default]
    TakeOver,
    /// The claim is held until it expires or is [forgotten](ClaimStore::forget), for handlers that
    /// should rather not run at all than twice. Its deliveries count as in progress. A claim that
    /// the store grants after its release was requested is held as well, although no handler runs;
    /// a store that stalls in between may do so.
    Hold,
}

/// A receiver's request for a claim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// The delivery.
    pub key: ClaimKey,
    /// The owner that asks; new for each request.
    pub owner: Owner,
    /// The digest of the body, to tell a retry from another body under the same ID.
    pub fingerprint: Fingerprint,
    /// How long the lease lasts unless it is extended.
    pub lease: Duration,
    /// The minimum lifetime of the record; never shorter than the lease.
    pub ttl: Duration,
    /// Whether another owner may take over after the lease expires.
    pub lapsed: Lapsed,
    /// How long the receiver waits for the outcome. A store that cannot answer in this time should
    /// return [`StoreError::overloaded`] at once.
    pub limit: Duration,
}

impl ClaimRequest {
    /// Returns a request for a store's tests, whose [`limit`](Self::limit) is a minute. Receivers
    /// make their own.
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
            limit: Duration::from_secs(60),
        }
    }

    /// Returns the same request with another rule for expired leases.
    #[must_use]
    pub fn lapsed(self, lapsed: Lapsed) -> Self {
        Self { lapsed, ..self }
    }

    /// Returns the same request with another [`limit`](Self::limit).
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self {
            limit,
            ..self.clone()
        }
    }

    /// Returns the holder of the claim, if this request is granted.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder {
            key: self.key,
            owner: self.owner,
            limit: self.limit,
        }
    }
}

/// The outcome of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimOutcome {
    /// The claim is granted.
    Won {
        /// The fencing token: 1, or one more than at the last grant.
        attempt: u64,
    },
    /// Another owner holds a live lease.
    Busy {
        /// How much longer the lease lasts.
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

/// Identifies a claim by its key and owner. Calls take effect only while `owner` is the record's.
/// Two holders are equal if their keys and owners are equal.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Holder {
    /// The delivery.
    pub key: ClaimKey,
    /// The owner that won it.
    pub owner: Owner,
    /// How long the receiver waits for the result of a call.
    pub limit: Duration,
}

impl PartialEq for Holder {
    fn eq(&self, other: &Self) -> bool {
        (self.key, self.owner) == (other.key, other.owner)
    }
}

impl Eq for Holder {}

/// Tells whether a holder's call took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Settled {
    /// The call took effect.
    Applied,
    /// Another owner has taken over, or the record is gone. Nothing was changed.
    Superseded,
}

/// The owner of a claim: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub(crate) [u8; 16]);

impl Owner {
    /// Returns a new random owner.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the operating system provides no random bytes.
    pub fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(StoreError::new)?;
        Ok(Self(bytes))
    }

    /// Returns the owner's bytes, for a store.
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
    /// Stands for a body that was not hashed. It matches any other.
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

/// A store failed or did not respond. By default the receiver then responds with 503, so that the
/// sender retries.
///
/// `source` says what failed; the alternate form of `Display`, `{:#}`, includes it.
#[derive(Clone, Debug)]
pub struct StoreError(Arc<dyn error::Error + Send + Sync>);

impl StoreError {
    /// Wraps the cause.
    pub fn new(source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self(Arc::from(source.into()))
    }

    /// Returns the error with which a store refuses a call that it could not answer in time.
    ///
    /// A store returns it only for a call that had no effect and never will have one. The receiver
    /// responds with 503 at once. It neither repeats the call nor releases the claim, since both
    /// would add to the load.
    #[must_use]
    pub fn overloaded() -> Self {
        Self(Arc::new(Overloaded))
    }

    /// Turns the error of one call into that of a series of which earlier calls took effect.
    pub(crate) fn in_part(self) -> Self {
        match self.is_overloaded() {
            true => Self::new("overloaded: only some of the claims were made"),
            false => self,
        }
    }

    /// Returns whether the store refused the call because it is overloaded.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.0.is::<Overloaded>()
    }
}

#[derive(Debug)]
struct Overloaded;

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("overloaded: too many calls are waiting for the store")
    }
}

impl error::Error for Overloaded {}

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
