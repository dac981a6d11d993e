use std::{
    error, fmt,
    future::{Future, ready},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::{ClaimKey, StoredResponse};
use crate::error::fmt_source;

/// Stores claims. Each request and each holder's step is atomic, judged by the store's own clock.
///
/// The [module's documentation](crate::idempotency) lists the states and what each call does to
/// them. An expired record is claimed like an absent one, although its attempt may continue to
/// count. Implementations write plain `async fn`s.
///
/// # Batches
///
/// [`claim`](Self::claim) and [`settle`](Self::settle) take any number of keys, each at most once,
/// and return one result for each, in the same order. A store handles them in one round trip, if it
/// can. A call fails as a whole; after an error, it may have taken effect for some keys.
///
/// # Late calls
///
/// The receiver gives up a call that does not return in time. The call may still take effect later,
/// so it must be harmless after the calls that follow it. Above all, [`Step::Extend`] must not
/// revive a released or completed claim.
///
/// # Under load
///
/// A store that queues claims should bound its queue: it returns [`StoreError::overloaded`] for
/// claims that it could not answer within the requests' [`limit`](ClaimRequest::limit). Otherwise
/// it serves callers that have given up, and goodput collapses.
///
/// # Example
///
/// A complete store, in the memory of one process. It passes the conformance suite of the `testing`
/// module, which lists what it checks.
///
/// ```
/// use std::{collections::HashMap, sync::Mutex, time::Duration};
/// use webhook_verify::{
///     clock::Clock,
///     idempotency::{
///         ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, OnLeaseExpiry,
///         Owner, Settled, Step, StoreError,
///     },
/// };
///
/// struct MapStore<C> {
///     clock: C,
///     rows: Mutex<HashMap<ClaimKey, Row>>,
/// }
///
/// struct Row {
///     owner: Owner,
///     attempt: u64,
///     fingerprint: Fingerprint,
///     /// `None` once the claim is released.
///     lease_until: Option<Duration>,
///     /// The status, once the claim is completed.
///     completed: Option<u16>,
///     expires_at: Duration,
/// }
///
/// impl<C: Clock> MapStore<C> {
///     fn claim_one(&self, request: &ClaimRequest) -> ClaimOutcome {
///         let (now, mut rows) = (self.clock.now(), self.rows.lock().unwrap());
///         let mut attempt = 1;
///         let mut expires_at = now + request.ttl.max(request.lease);
///         if let Some(row) = rows.get(&request.key) {
///             if row.expires_at > now {
///                 if let Some(status) = row.completed {
///                     return ClaimOutcome::Completed { status, fingerprint: row.fingerprint };
///                 }
///                 let is_owner = row.owner == request.owner;
///                 let is_held = request.on_lease_expiry == OnLeaseExpiry::Hold;
///                 match row.lease_until {
///                     // The receiver repeats a claim whose result it did not get.
///                     Some(until) if until > now && is_owner => {
///                         return ClaimOutcome::Won { attempt: row.attempt };
///                     }
///                     Some(until) if until > now || is_held => {
///                         return ClaimOutcome::Busy { lease_left: until.saturating_sub(now) };
///                     }
///                     // A claim that arrives after its own release was given up before.
///                     None if is_owner => {
///                         return ClaimOutcome::Busy { lease_left: Duration::ZERO };
///                     }
///                     Some(_) | None => {}
///                 }
///             }
///             attempt = row.attempt + 1;
///             expires_at = expires_at.max(row.expires_at);
///         }
///         rows.insert(request.key, Row {
///             owner: request.owner,
///             attempt,
///             fingerprint: request.fingerprint,
///             lease_until: Some(now + request.lease),
///             completed: None,
///             expires_at,
///         });
///         ClaimOutcome::Won { attempt }
///     }
///
///     fn settle_one(&self, holder: &Holder, step: Step) -> Settled {
///         let (now, mut rows) = (self.clock.now(), self.rows.lock().unwrap());
///         let row = match rows.get_mut(&holder.key) {
///             Some(row) if row.owner == holder.owner => row,
///             _ => return Settled::Superseded,
///         };
///         match (step, row.completed, row.lease_until) {
///             (Step::Complete { status, ttl }, None, _) => {
///                 row.completed = Some(status);
///                 row.expires_at = row.expires_at.max(now + ttl);
///             }
///             (Step::Complete { .. }, Some(_), _) => {}
///             (Step::Release, None, _) => row.lease_until = None,
///             (Step::Extend { lease }, None, Some(_)) => {
///                 row.lease_until = Some(now + lease);
///                 row.expires_at = row.expires_at.max(now + lease);
///             }
///             _ => return Settled::Superseded,
///         }
///         Settled::Applied
///     }
/// }
///
/// impl<C: Clock> ClaimStore for MapStore<C> {
///     async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
///         Ok(requests.iter().map(|request| self.claim_one(request)).collect())
///     }
///
///     async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
///         Ok(holders.iter().map(|holder| self.settle_one(holder, step)).collect())
///     }
///
///     async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
///         Ok(self.rows.lock().unwrap().remove(key).is_some())
///     }
///
///     async fn purge(&self, max: usize) -> Result<usize, StoreError> {
///         let (now, mut rows) = (self.clock.now(), self.rows.lock().unwrap());
///         let expired = rows.iter().filter(|(_, row)| row.expires_at <= now);
///         let expired: Vec<_> = expired.map(|(key, _)| *key).take(max).collect();
///         expired.iter().for_each(|key| drop(rows.remove(key)));
///         Ok(expired.len())
///     }
/// }
/// #
/// # #[cfg(feature = "testing")]
/// # {
/// # use webhook_verify::testing::conformance::{Failures, Suite};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop {
/// #         let poll = future.as_mut().poll(&mut context);
/// #         if let std::task::Poll::Ready(output) = poll { return output }
/// #     }
/// # }
/// # let now = std::sync::Arc::new(Mutex::new(Duration::ZERO));
/// # let clock = std::sync::Arc::clone(&now);
/// # let clock = move || *clock.lock().unwrap();
/// # let store = MapStore { clock, rows: Mutex::default() };
/// # block_on(Suite::new(&store).run(async |time| *now.lock().unwrap() += time)).unwrap();
/// # }
/// ```
pub trait ClaimStore: Send + Sync + 'static {
    /// Claims each key if it is absent, expired or released, or if its lease has
    /// [expired](OnLeaseExpiry), and increments the record's attempt. The record then holds the
    /// request's owner and fingerprint. It expires after the request's `ttl`, or later if the
    /// replaced record did.
    ///
    /// The owner that already holds a live lease is granted it again, with the same attempt, and
    /// its lease is not renewed. The owner that released it is not granted it: the receiver gave
    /// that call up before, and it arrives late.
    fn claim(
        &self,
        requests: &[ClaimRequest],
    ) -> impl Future<Output = Result<Vec<ClaimOutcome>, StoreError>> + Send;

    /// Takes a step with the claim of each holder. A step of an owner that is not the record's
    /// changes nothing, and the result is then [`Settled::Superseded`]. The record's own owner may
    /// take it after the lease expired, as long as nobody took over.
    fn settle(
        &self,
        holders: &[Holder],
        step: Step,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Deletes the record of a key, even if it is held, and returns whether there was one. The next
    /// delivery with this key runs as if it were the first.
    fn forget(&self, key: &ClaimKey) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes up to `max` expired records and returns how many were deleted. Claims do not depend
    /// on it. A store that deletes expired records by itself returns 0.
    fn purge(&self, max: usize) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Completes a claim as [`Step::Complete`] does, and stores the handler's response for
    /// [`response`](Self::response), until the record expires or is deleted. If the owner has
    /// already completed the claim, for example in a transaction, the response is stored
    /// nevertheless.
    ///
    /// It is called only with [`Replay::Body`](crate::idempotency::Replay::Body). By default the
    /// response is not stored, and duplicates get an empty body.
    fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        let _ = response;
        let holder = *holder;
        async move {
            let settled = self.settle(&[holder], Step::Complete { status, ttl }).await?;
            settled.first().copied().ok_or_else(|| StoreError::new("no result for a holder"))
        }
    }

    /// Returns the response that the owner of a completed record stored with
    /// [`complete_with`](Self::complete_with). `None` if there is no such record, or no response.
    ///
    /// The receiver waits up to `limit`.
    fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> impl Future<Output = Result<Option<StoredResponse>, StoreError>> + Send {
        let _ = (key, limit);
        ready(Ok(None))
    }

    /// Returns whether claims are served from this process's own memory. A receiver then needs no
    /// cache of completed claims in front of the store.
    fn is_in_process(&self) -> bool {
        false
    }
}

/// A step that a holder takes with its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store has to handle every step")]
pub enum Step {
    /// Completes the claim with the handler's status. The record expires `ttl` from now on, or
    /// later if it already did. A second completion changes nothing, and is applied.
    Complete {
        /// The handler's status.
        status: u16,
        /// How long duplicates are recognized.
        ttl: Duration,
    },
    /// Releases the claim: the next claim wins at once, with the next attempt. A second release
    /// changes nothing, and is applied. A completed claim stays completed, and the result is
    /// [`Settled::Superseded`].
    Release,
    /// Renews the lease to `lease` from now on. A released or completed claim stays as it is, and
    /// the result is [`Settled::Superseded`].
    Extend {
        /// The new lease.
        lease: Duration,
    },
}

/// Decides what happens to a claim whose lease has expired because its holder has died or is stuck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLeaseExpiry {
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
    pub on_lease_expiry: OnLeaseExpiry,
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
            on_lease_expiry: OnLeaseExpiry::TakeOver,
            limit: Duration::from_secs(60),
        }
    }

    /// Returns the same request with another rule for expired leases.
    #[must_use]
    pub fn on_lease_expiry(self, on_lease_expiry: OnLeaseExpiry) -> Self {
        Self { on_lease_expiry, ..self }
    }

    /// Returns the same request with another [`limit`](Self::limit).
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// Returns the holder of the claim, if this request is granted.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { key: self.key, owner: self.owner, limit: self.limit }
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

/// A digest of a body: its SHA-256, or its length and CRC-32 if differences are only reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The last bytes of a checksum. Its first half is zero, which that of a SHA-256 never is.
    const CHECKSUM: [u8; 4] = *b"crc1";

    /// Returns the SHA-256 of a body.
    pub(crate) fn digest(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// Returns the length and the CRC-32 of a body, which take a small part of the time of a
    /// SHA-256. Another body may have the same checksum.
    pub(crate) fn checksum(body: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes[16..24].copy_from_slice(&(body.len() as u64).to_be_bytes());
        bytes[24..28].copy_from_slice(&crc32fast::hash(body).to_be_bytes());
        bytes[28..].copy_from_slice(&Self::CHECKSUM);
        Self(bytes)
    }

    fn is_checksum(self) -> bool {
        self.0[..16] == [0; 16] && self.0[28..] == Self::CHECKSUM
    }

    /// Stands for a body that was not hashed. It matches any other.
    pub(crate) const UNKNOWN: Self = Self([0; 32]);

    /// Returns whether both may be of the same body. Different kinds, as after a change of the
    /// policy, are not comparable.
    pub(crate) fn may_be(self, other: Self) -> bool {
        let is_unknown = self == Self::UNKNOWN || other == Self::UNKNOWN;
        self == other || is_unknown || self.is_checksum() != other.is_checksum()
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
/// `source` says what failed. The alternate form of `Display`, `{:#}`, includes it, and so does
/// `Debug`, because `unwrap` and a `main` that returns an error print `Debug`.
#[derive(Clone)]
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
        if self.is_overloaded() {
            Self::new("overloaded: only some of the claims were made")
        } else {
            self
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
        f.write_str("store failed")?;
        fmt_source(self, f)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn only_fingerprints_of_one_kind_are_compared() {
        let bodies: [&[u8]; 4] = [b"", b"a", b"b", b"ab"];
        for kind in [Fingerprint::digest, Fingerprint::checksum] {
            for (index, body) in bodies.iter().enumerate() {
                let same = bodies.map(|other| kind(body).may_be(kind(other)));
                assert_eq!(same, [0, 1, 2, 3].map(|other| other == index));
            }
        }
        for body in bodies {
            assert!(Fingerprint::digest(body).may_be(Fingerprint::checksum(b"another")));
            assert!(Fingerprint::checksum(b"another").may_be(Fingerprint::digest(body)));
            assert!(Fingerprint::UNKNOWN.may_be(Fingerprint::checksum(body)));
        }
    }
}
