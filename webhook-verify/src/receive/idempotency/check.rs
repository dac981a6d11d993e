use std::time::Duration;

use super::{CUSTOM, HOUR, Idempotency, IdentitySource, MINUTE, Replay};
use crate::{
    error::ConfigError,
    scheme::{Identity, Proof},
    verify::Verifier,
};

impl Idempotency {
    /// Checks that the settings are consistent, and sets up the cache.
    pub(crate) fn build(mut self, verifier: &Verifier) -> Result<Self, ConfigError> {
        self.has_window = verifier.tolerance().is_some();
        self.check(verifier)?;
        if matches!(self.identity, IdentitySource::Scheme)
            && verifier.scheme().identity() == Identity::None
            && !verifier.scheme().identifies_events()
        {
            tracing::warn!(
                target: "webhook_verify",
                scheme = verifier.scheme().name(),
                endpoint = &*self.keeper.endpoint,
                "the scheme defines no idempotency key, so duplicates run again: set `identity` or \
                 `identity_from`, or `Identity::None` to accept this"
            );
        }
        let (entries, keep) = self.cache;
        if entries > 0 {
            self.keeper_mut().set_cache(entries, keep);
        }
        Ok(self)
    }

    fn check(&self, verifier: &Verifier) -> Result<(), ConfigError> {
        let (keeper, scheme) = (&self.keeper, verifier.scheme());
        if keeper.endpoint.is_empty() {
            return Err(ConfigError::option("endpoint", "empty"));
        }
        if keeper.lease < Duration::from_secs(1) || keeper.lease > 24 * HOUR {
            return Err(ConfigError::option("lease", "not between 1 s and 24 h"));
        }
        if keeper.claim_timeout.is_zero() || keeper.claim_timeout > keeper.lease {
            return Err(ConfigError::option("claim_timeout", "zero, or longer than the lease"));
        }
        if keeper.max_handler_time < keeper.lease {
            return Err(ConfigError::option("max_handler_time", "shorter than the lease"));
        }
        if keeper.renewal().is_zero() || keeper.renewal() > keeper.lease / 2 {
            return Err(ConfigError::option("renew_every", "zero, or more than half of the lease"));
        }
        if !(1..=10).contains(&keeper.complete_tries) {
            return Err(ConfigError::option("complete_tries", "not between 1 and 10"));
        }
        if self.in_flight_wait > MINUTE / 2 {
            return Err(ConfigError::option(
                "in_flight_wait",
                "longer than 30 s: the sender would give up first",
            ));
        }
        if !(400..600).contains(&keeper.in_flight_status) {
            return Err(ConfigError::option(
                "in_flight_status",
                "not an error status, so the sender would not retry",
            ));
        }
        if let Some(limit) = self.replay.limit() {
            if !(1..=Replay::MAX_BODY).contains(&limit) {
                return Err(ConfigError::option("replay", "a body limit of zero, or over 64 KiB"));
            }
            let by_scheme =
                matches!(self.identity, IdentitySource::Scheme | IdentitySource::Events(_));
            if by_scheme && scheme.recognises_events() {
                return Err(ConfigError::option(
                    "replay",
                    "a body, but each event of a delivery has its own claim: set `identity`",
                ));
            }
        }
        match self.identity {
            IdentitySource::Events(_) if !scheme.recognises_events() => {
                return Err(ConfigError::option(
                    "event_identity_from",
                    "the scheme's requests do not contain several signed events",
                ));
            }
            IdentitySource::Fixed(Identity::Fields) if scheme.identity_fields.is_empty() => {
                return Err(ConfigError::option("identity", "the scheme has no identity fields"));
            }
            IdentitySource::Fixed(Identity::Digest)
                if !verifier.signs_body() && !scheme.identity_reads_content() =>
            {
                let problem = match scheme.proof() {
                    Proof::TokenOnly => {
                        "the scheme signs no content: use `identity_from` if a token is enough"
                    }
                    _ => "the scheme does not sign the whole body: use `identity_from`",
                };
                return Err(ConfigError::option("identity", problem));
            }
            IdentitySource::Fixed(Identity::SignedId) if !scheme.id_is_signed() => {
                return Err(ConfigError::option("identity", "the scheme's id is not signed"));
            }
            IdentitySource::Fixed(Identity::SignedContent) if !scheme.identity_reads_content() => {
                return Err(ConfigError::option(
                    "identity",
                    "the scheme does not use the signed content as the idempotency key",
                ));
            }
            IdentitySource::Fixed(Identity::BodyDigest) if !verifier.signs_body() => {
                return Err(ConfigError::option(
                    "identity",
                    "the scheme does not sign the body: use identity_from if a token is enough",
                ));
            }
            _ => {}
        }
        let window = verifier.tolerance().map_or(Duration::ZERO, |tolerance| {
            tolerance.past().saturating_add(tolerance.future())
        });
        let identity = match self.identity {
            IdentitySource::Scheme | IdentitySource::Events(_) => scheme.identity(),
            IdentitySource::Fixed(identity) => identity,
            IdentitySource::Custom(_) => CUSTOM,
        };
        let ttl = self.ttl_of(identity, scheme);
        if ttl > 3660 * 24 * HOUR {
            return Err(ConfigError::option("ttl", "longer than ten years"));
        }
        if ttl < keeper.lease {
            return Err(ConfigError::option("ttl", "shorter than the lease"));
        }
        let (entries, keep) = self.cache;
        if entries > 0 && (keep.is_zero() || keep > ttl) {
            return Err(ConfigError::option("completed_cache", "zero, or longer than ttl"));
        }
        if !self.allow_short_ttl && ttl < window.saturating_add(keeper.lease) {
            return Err(ConfigError::option(
                "ttl",
                "shorter than the past and future tolerance plus the lease",
            ));
        }
        if !self.allow_short_ttl && scheme.hints.retry_horizon.is_some_and(|horizon| ttl < horizon)
        {
            return Err(ConfigError::option(
                "ttl",
                "shorter than the time over which the sender retries",
            ));
        }
        Ok(())
    }
}
