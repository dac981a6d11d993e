use std::{collections::HashMap, time::Duration};

use sha2::{Digest as _, Sha256};

use super::{CUSTOM, DAY, Idempotency, IdentitySource, OnMismatch, QUARTER, WEEK};
use crate::{
    claim::{ClaimKey, ClaimRequest, Fingerprint, Owner, contain},
    delivery::{Batch, Delivery, Event},
    receive::Rejection,
    scheme::{Field, Identity, SameBytes, Scheme, Sent},
};

/// The source of an idempotency key. Different sources never produce the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A signed ID in a header.
    SignedId = 1,
    /// An ID in the signed body.
    BodyId = 2,
    /// The digest of the signed content, if that is a part of the body.
    SignedContent = 3,
    BodyDigest = 4,
    Custom = 5,
    /// The ID of one event of a delivery.
    EventId = 6,
    /// The type and the digest of an event.
    EventDigest = 7,
    /// The digest of the body or the signed content, with the delivery ID and event type in
    /// headers.
    Digest = 8,
    /// Fields of the body.
    Fields = 9,
    /// A custom key of one event of a delivery.
    CustomEvent = 10,
}

/// Returns whether a sender of lists sent a request without a body. All such requests are
/// identical.
fn is_without_list(delivery: &Delivery) -> bool {
    delivery.body.is_empty() && delivery.scheme.event_list_pointer().is_some()
}

/// Returns whether a delivery shares its digest with other events: the body is empty, and no header
/// has an ID. The digest does not contain the query, even if the query is signed.
fn is_without_content(delivery: &Delivery) -> bool {
    let has_id = !delivery.id.as_bytes().is_empty() || delivery.odd_labels.is_some();
    delivery.body.is_empty() && delivery.content_digest.is_none() && !has_id
}

/// Returns the digest of the body if only a part of the body is signed, and otherwise nothing.
///
/// Without the digest, an attacker who is faster than the sender could send the event with other
/// unsigned fields, and the genuine request would be a duplicate.
fn rest_of_body(delivery: &Delivery, identity: Identity) -> Vec<u8> {
    match delivery.scheme.key_needs_body(identity) {
        true => delivery.body_digest().to_vec(),
        false => Vec::new(),
    }
}

/// Computes a custom key. `callback` is the method that `identify` was passed to.
fn custom(
    callback: &'static str,
    identify: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Rejection> {
    contain(identify).ok_or(Rejection::CallbackPanicked { callback })
}

impl Idempotency {
    /// Returns the claim request for a delivery, or `None` if it has no idempotency key.
    pub(crate) fn request(&self, delivery: &Delivery) -> Result<Option<ClaimRequest>, Rejection> {
        let identity = match &self.identity {
            IdentitySource::Scheme | IdentitySource::Events(_) => delivery.scheme.identity,
            IdentitySource::Fixed(identity) => *identity,
            IdentitySource::Custom(identify) => {
                let bytes = custom("identity_from", || identify(delivery))?;
                let Some(bytes) = bytes else { return Ok(None) };
                let key = self.key(delivery, Kind::Custom, &bytes);
                let fingerprint = self.fingerprint(&delivery.body);
                let owner = Owner::random()?;
                return Ok(Some(self.claim_request(delivery, key, owner, fingerprint, CUSTOM)));
            }
        };
        let (key, fingerprint, identity) = match identity {
            Identity::None => return Ok(None),
            Identity::Digest if is_without_content(delivery) => return Ok(None),
            Identity::Digest => self.by_digest(delivery),
            Identity::BodyDigest => {
                let digest = delivery.body_digest();
                let key = self.key(delivery, Kind::BodyDigest, &digest);
                (key, Fingerprint(digest), identity)
            }
            Identity::SignedContent => match delivery.content_digest.as_deref() {
                Some(content) => (
                    self.key(delivery, Kind::SignedContent, content),
                    self.fingerprint(&delivery.body),
                    identity,
                ),
                None => self.by_digest(delivery),
            },
            Identity::Fields => match delivery.identity_fields() {
                Some(fields) => {
                    let rest = rest_of_body(delivery, identity);
                    let fields = [&fields[..], &delivery.type_label(), &rest].concat();
                    let key = self.key(delivery, Kind::Fields, &fields);
                    (key, self.fingerprint_of(delivery, identity), identity)
                }
                None => {
                    let problem = "verified body lacks a field of its key";
                    let Some(digest) = self.without_id(delivery, problem) else { return Ok(None) };
                    digest
                }
            },
            Identity::SignedId => match delivery.signed_id() {
                Some(id) => {
                    let kind = match delivery.scheme.id {
                        Some(Field::Header(_)) => Kind::SignedId,
                        _ => Kind::BodyId,
                    };
                    let rest = rest_of_body(delivery, identity);
                    let id = [&rest, &delivery.type_label(), id.as_bytes()].concat();
                    let fingerprint = self.fingerprint_of(delivery, identity);
                    (self.key(delivery, kind, &id), fingerprint, identity)
                }
                None => {
                    let problem = "verified body has no id";
                    let Some(digest) = self.without_id(delivery, problem) else { return Ok(None) };
                    digest
                }
            },
        };
        let owner = Owner::random()?;
        Ok(Some(self.claim_request(delivery, key, owner, fingerprint, identity)))
    }

    /// Returns whether a delivery of several events has one key.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn joins_events(&self, scheme: &Scheme) -> bool {
        scheme.sends_batches()
            && match self.identity {
                IdentitySource::Custom(_) => true,
                IdentitySource::Fixed(identity) => identity != Identity::None,
                IdentitySource::Scheme | IdentitySource::Events(_) => {
                    !scheme.recognises_events() && scheme.identity != Identity::None
                }
            }
    }

    /// Returns the events to claim one by one, if the sender may put several into one request and
    /// all of their bytes are signed. `None` if the delivery is claimed as a whole: also if it has
    /// no events or cannot be split, because its handler may still use it.
    pub(crate) fn events_to_claim(&self, delivery: &Delivery) -> Result<Option<Batch>, Rejection> {
        let by_scheme = matches!(self.identity, IdentitySource::Scheme | IdentitySource::Events(_));
        let each = by_scheme && delivery.scheme.recognises_events() && !is_without_list(delivery);
        let Some(events) = each.then(|| delivery.batch().ok()).flatten() else { return Ok(None) };
        // Without a key of the scheme, the bytes of an event without an ID may repeat.
        if delivery.scheme.identity == Identity::None {
            for event in &events {
                if self.custom_key(event)?.is_some() || event.identity().is_some() {
                    continue;
                }
                if delivery.scheme.identifies_events() {
                    self.warn(
                        delivery,
                        "verified event has no id",
                        "its delivery has no idempotency key",
                    );
                }
                return Ok(None);
            }
        }
        Ok((!events.is_empty()).then_some(events))
    }

    /// Returns the claim requests for events of `delivery`, all by one owner. If an ID occurs
    /// twice, so does its key.
    ///
    /// The key of an event without an ID consists of its type, its bytes and the delivery ID, if
    /// there is one. It does not depend on the other events, so the sender may regroup them.
    /// Identical events of one delivery get different keys.
    pub(crate) fn requests(
        &self,
        delivery: &Delivery,
        events: &[Event],
    ) -> Result<Vec<ClaimRequest>, Rejection> {
        let owner = Owner::random()?;
        let scheme = &delivery.scheme;
        let of_type = match scheme.identity {
            // The signed bytes alone.
            Identity::BodyDigest | Identity::SignedContent => Vec::new(),
            Identity::SignedId | Identity::Fields | Identity::Digest | Identity::None => {
                delivery.type_label()
            }
        };
        // The delivery ID distinguishes its events from identical events in other deliveries.
        let of_delivery = match scheme.identity {
            Identity::SignedId => {
                let id = delivery.signed_id().unwrap_or_default();
                [&of_type[..], id.as_bytes()].concat()
            }
            Identity::Digest => delivery.labels(),
            Identity::Fields | Identity::BodyDigest | Identity::SignedContent | Identity::None => {
                of_type.clone()
            }
        };
        let mut times = HashMap::new();
        let mut requests = Vec::with_capacity(events.len());
        let mut without_id = 0;
        for event in events {
            let id = match self.custom_key(event)? {
                Some(id) => Some((Kind::CustomEvent, id)),
                None => {
                    let id = event.identity();
                    id.map(|id| (Kind::EventId, [&id[..], &of_type].concat()))
                }
            };
            let (kind, parts, fingerprint, identity) = match id {
                Some((kind, id)) => (kind, id, self.fingerprint(event.raw()), Identity::SignedId),
                None => {
                    without_id += 1;
                    let digest = Sha256::digest(event.raw());
                    let event_type = event.signed_type().unwrap_or_default();
                    let event_type = Sha256::digest(event_type.as_bytes());
                    let fingerprint = Fingerprint(digest.into());
                    let parts = [&event_type[..], &digest, &of_delivery].concat();
                    (Kind::EventDigest, parts, fingerprint, Identity::BodyDigest)
                }
            };
            let key = |time: u64| {
                let identity = [&time.to_be_bytes(), &parts[..]].concat();
                self.key(delivery, kind, &identity)
            };
            let key = match (kind, key(0)) {
                (Kind::EventDigest, first) => {
                    let times = times.entry(first).or_insert(0);
                    *times += 1;
                    if *times == 1 { first } else { key(*times - 1) }
                }
                (_, by_id) => by_id,
            };
            requests.push(self.claim_request(delivery, key, owner, fingerprint, identity));
        }
        if without_id > 0
            && scheme.event_id_pointers().next().is_some()
            && let Some(suppressed) = self.keeper.admit_line("events_without_id")
        {
            tracing::warn!(
                target: "webhook_verify",
                scheme = scheme.name(),
                endpoint = &*self.keeper.endpoint,
                events = without_id,
                suppressed,
                "verified events have no id: their digests are the idempotency keys"
            );
        }
        Ok(requests)
    }

    /// Returns the custom key of an event, if it has one.
    fn custom_key(&self, event: &Event) -> Result<Option<Vec<u8>>, Rejection> {
        match &self.identity {
            IdentitySource::Events(identify) => custom("event_identity_from", || identify(event)),
            IdentitySource::Scheme | IdentitySource::Fixed(_) | IdentitySource::Custom(_) => {
                Ok(None)
            }
        }
    }

    /// Returns the key of [`Identity::Digest`].
    fn by_digest(&self, delivery: &Delivery) -> (ClaimKey, Fingerprint, Identity) {
        let (digest, fingerprint) = match delivery.content_digest.as_deref() {
            Some(content) => (*content, self.fingerprint(&delivery.body)),
            None => {
                let digest = delivery.body_digest();
                (digest, Fingerprint(digest))
            }
        };
        let rest = rest_of_body(delivery, Identity::Digest);
        let identity = [&digest[..], &delivery.labels(), &rest].concat();
        (self.key(delivery, Kind::Digest, &identity), fingerprint, Identity::Digest)
    }

    /// Returns the key of a delivery that lacks what the scheme's key is made of: its digest, if two
    /// events of the sender cannot have the same bytes, or none.
    fn without_id(
        &self,
        delivery: &Delivery,
        problem: &'static str,
    ) -> Option<(ClaimKey, Fingerprint, Identity)> {
        let scheme = &delivery.scheme;
        let is_certain = scheme.notes.same_bytes == SameBytes::Never
            && scheme.signs_body()
            && !is_without_content(delivery);
        let consequence = match is_certain {
            true => "its digest is the idempotency key",
            false => "it has no idempotency key",
        };
        self.warn(delivery, problem, consequence);
        is_certain.then(|| self.by_digest(delivery))
    }

    fn warn(&self, delivery: &Delivery, problem: &'static str, consequence: &str) {
        let Some(suppressed) = self.keeper.admit_line(problem) else { return };
        tracing::warn!(
            target: "webhook_verify",
            scheme = delivery.scheme.name(),
            endpoint = &*self.keeper.endpoint,
            suppressed,
            "{problem}: {consequence}"
        );
    }

    /// Returns the body's fingerprint, as exact as the policy needs it.
    fn fingerprint(&self, body: &[u8]) -> Fingerprint {
        match self.on_mismatch {
            OnMismatch::Ignore => Fingerprint::UNKNOWN,
            OnMismatch::Report => Fingerprint::checksum(body),
            OnMismatch::Reject => Fingerprint::digest(body),
        }
    }

    /// Returns the fingerprint of a delivery whose key is the scheme's ID or fields. If the sender
    /// changes the body in retries, another body is not reported.
    fn fingerprint_of(&self, delivery: &Delivery, identity: Identity) -> Fingerprint {
        let changes = delivery.scheme.notes.changes.contains(&Sent::Body);
        let is_expected = identity == Identity::Fields || changes;
        match self.on_mismatch {
            OnMismatch::Report if is_expected => Fingerprint::UNKNOWN,
            OnMismatch::Report | OnMismatch::Reject | OnMismatch::Ignore => {
                self.fingerprint(&delivery.body)
            }
        }
    }

    fn key(&self, delivery: &Delivery, kind: Kind, identity: &[u8]) -> ClaimKey {
        let tenant = delivery.namespace().unwrap_or_default();
        ClaimKey::new([&self.namespace, tenant, &self.keeper.endpoint], kind as u8, identity)
    }

    fn claim_request(
        &self,
        delivery: &Delivery,
        key: ClaimKey,
        owner: Owner,
        fingerprint: Fingerprint,
        identity: Identity,
    ) -> ClaimRequest {
        ClaimRequest {
            key,
            owner,
            fingerprint,
            lease: self.keeper.lease,
            ttl: self.ttl_of(identity, &delivery.scheme),
            on_lease_expiry: self.on_lease_expiry,
            limit: self.keeper.call_limit(),
        }
    }

    pub(super) fn ttl_of(&self, identity: Identity, scheme: &Scheme) -> Duration {
        let default = match identity {
            // Without a window, a captured request stays valid.
            Identity::SignedId | Identity::Fields if self.has_window => WEEK,
            Identity::SignedId
            | Identity::Fields
            | Identity::Digest
            | Identity::BodyDigest
            | Identity::SignedContent
            | Identity::None => QUARTER,
        };
        // Some senders retry for a month.
        let horizon = scheme.hints.retry_horizon.unwrap_or_default();
        self.ttl.unwrap_or(default.max(horizon.saturating_add(DAY)))
    }
}
