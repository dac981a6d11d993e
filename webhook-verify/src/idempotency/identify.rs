use std::time::Duration;

use super::{
    ClaimKey, ClaimRequest, Fingerprint, Idempotency, OnMismatch, Owner, StoreError,
    key::Kind,
    settings::{CUSTOM, DAY, IdentitySource, QUARTER, WEEK},
};
use crate::{
    Delivery, Scheme,
    scheme::{Field, Identity},
};

impl Idempotency {
    /// What to ask of the store for `delivery`. `None`: it has no identity and runs without a claim.
    pub(crate) fn request(&self, delivery: &Delivery) -> Result<Option<ClaimRequest>, StoreError> {
        let identity = match &self.identity {
            IdentitySource::Scheme => delivery.scheme.identity,
            IdentitySource::Fixed(identity) => *identity,
            IdentitySource::Custom(identify) => {
                let Some(bytes) = identify(delivery) else {
                    return Ok(None);
                };
                let key = self.key(delivery, Kind::Custom, &bytes);
                let fingerprint = self.fingerprint(delivery);
                return self.ask(delivery, key, fingerprint, CUSTOM).map(Some);
            }
        };
        let (key, fingerprint, identity) = match identity {
            Identity::None => return Ok(None),
            Identity::BodyDigest => self.by_digest(delivery, Kind::BodyDigest),
            Identity::SignedContent => match delivery.content_digest.as_deref() {
                Some(content) => (
                    self.key(delivery, Kind::SignedContent, content),
                    self.fingerprint(delivery),
                    identity,
                ),
                None => self.by_digest(delivery, Kind::SignedContent),
            },
            Identity::SignedId => match delivery.signed_id() {
                Some(id) => {
                    let kind = match delivery.scheme.id {
                        Some(Field::Header(_)) => Kind::SignedId,
                        _ => Kind::BodyId,
                    };
                    (
                        self.key(delivery, kind, id.as_bytes()),
                        self.fingerprint(delivery),
                        identity,
                    )
                }
                None => {
                    tracing::warn!(
                        target: "webhook_verify",
                        scheme = delivery.scheme.name(),
                        endpoint = &*self.endpoint,
                        "verified body has no id: it is recognised by its digest"
                    );
                    self.by_digest(delivery, Kind::BodyDigest)
                }
            },
        };
        self.ask(delivery, key, fingerprint, identity).map(Some)
    }

    /// One digest is both what recognises the body and what tells it from others.
    fn by_digest(&self, delivery: &Delivery, kind: Kind) -> (ClaimKey, Fingerprint, Identity) {
        let digest = delivery.body_digest();
        let key = self.key(delivery, kind, &digest);
        (key, Fingerprint(digest), Identity::BodyDigest)
    }

    /// The body is only hashed for it where somebody wants to know.
    fn fingerprint(&self, delivery: &Delivery) -> Fingerprint {
        match self.on_mismatch {
            OnMismatch::Ignore => Fingerprint::UNKNOWN,
            OnMismatch::Report | OnMismatch::Reject => Fingerprint(delivery.body_digest()),
        }
    }

    fn key(&self, delivery: &Delivery, kind: Kind, identity: &[u8]) -> ClaimKey {
        let tenant = delivery.namespace().unwrap_or_default();
        ClaimKey::new([&self.namespace, tenant, &self.endpoint], kind, identity)
    }

    fn ask(
        &self,
        delivery: &Delivery,
        key: ClaimKey,
        fingerprint: Fingerprint,
        identity: Identity,
    ) -> Result<ClaimRequest, StoreError> {
        Ok(ClaimRequest {
            key,
            owner: Owner::random()?,
            fingerprint,
            lease: self.lease,
            ttl: self.ttl_of(identity, &delivery.scheme),
            lapsed: self.lapsed,
        })
    }

    pub(super) fn ttl_of(&self, identity: Identity, scheme: &Scheme) -> Duration {
        let horizon = scheme.hints().retry_horizon.unwrap_or_default();
        self.ttl.unwrap_or(match identity {
            // Some senders retry for a month.
            Identity::SignedId => WEEK.max(horizon + DAY),
            Identity::BodyDigest | Identity::SignedContent | Identity::None => QUARTER,
        })
    }
}
