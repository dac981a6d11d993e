//! Responds to challenges.

use std::{error, sync::Arc};

use bytes::Bytes;
use futures_core::Stream;

use super::{
    Handshake, Received, Receiver, Rejection, Tenant,
    admitted::Outcome,
    challenge::{ChallengeRequest, MAX_UNSIGNED_BODY},
    receiver::read,
    secrets::Source,
    tenant::LookupFuture,
};
use crate::{
    error::VerifyError,
    key::{Key, Secret},
    scheme::Challenge,
};

impl Receiver {
    /// Returns the methods that a route to the receiver must accept: those of the sender's
    /// deliveries, and those of the verification handshakes that the receiver answers.
    ///
    /// Deliveries use `POST`. If the sender can sign a request without a body, they may also use
    /// `GET`. If the sender signs the method, they may also use `PUT`, `PATCH` and `DELETE`.
    #[must_use]
    pub fn methods(&self) -> Vec<&str> {
        let scheme = self.verifier().scheme();
        let mut methods = scheme.delivery_methods().to_vec();
        let answered = scheme.challenges.iter().filter(|challenge| self.answers(challenge));
        for method in answered.filter_map(|challenge| challenge.method.as_deref()) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods
    }

    /// Returns whether the receiver can respond to this challenge.
    pub(super) fn answers(&self, challenge: &Challenge) -> bool {
        let named = matches!(self.inner.source, Source::Named(_));
        let signs = self.verifier().scheme().algorithm.is_hmac() && !named;
        self.inner.challenges
            && (signs || !challenge.asks_for_mac())
            && (self.inner.on_handshake.is_some() || !challenge.is_handshake())
    }

    /// Reads the body of an unsigned request. Returns `None` if it is too long for a challenge.
    pub(super) async fn start_of<B, E>(&self, body: B) -> Result<Option<Vec<u8>>, Rejection>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
    {
        let limit = self.inner.body_limit.min(MAX_UNSIGNED_BODY);
        let mut start = Vec::new();
        let reading = read(body, |chunk| {
            if chunk.len() > limit - start.len() {
                return Err(limit.into());
            }
            start.extend_from_slice(&chunk);
            Ok(())
        });
        match self.timer().within(self.inner.body_timeout, reading).await {
            None => Err(Rejection::BodyTimeout),
            Some(Err(Rejection::BodyTooLarge(_))) => Ok(None),
            Some(read) => read.map(|()| Some(start)),
        }
    }

    pub(super) async fn answer(
        &self,
        request: ChallengeRequest,
        tenant: Option<LookupFuture<Tenant>>,
    ) -> Result<Received, Rejection> {
        let keys = match tenant {
            Some(resolving) => {
                let keys = self.keys_of(resolving, VerifyError::UnknownTenant);
                keys.await?.0
            }
            None => self.verifier().settings().keys(),
        };
        self.answer_with(request, &keys).await
    }

    /// Responds to a challenge. The callback has to accept the secret of a handshake first.
    pub(super) async fn answer_with(
        &self,
        request: ChallengeRequest,
        keys: &[Key],
    ) -> Result<Received, Rejection> {
        let scheme = self.verifier().scheme();
        let challenge = request.of(scheme);
        let answer = request.answer(self.verifier().settings(), keys.first());
        let answer = answer.ok_or(VerifyError::MissingSignature)?;
        if challenge.is_handshake() {
            let take = self.inner.on_handshake.as_ref();
            let take = take.ok_or(VerifyError::MissingSignature)?;
            let secret = Secret::new(request.token.as_bytes());
            let secret = secret.map_err(|error| Rejection::Secrets(Arc::new(error)))?;
            self.in_time(take(Handshake::new(secret, request.target))).await?;
        }
        // Anyone can send an unsigned challenge, so a flood of them must not fill the log.
        if let Some(suppressed) = self.inner.admit_line("challenge_answered") {
            tracing::info!(
                target: "webhook_verify",
                endpoint = &*self.inner.endpoint,
                scheme = scheme.name(),
                challenge = challenge.name(),
                suppressed,
                "challenge answered"
            );
        }
        let outcome = Outcome::Answer(Box::new(answer));
        Ok(Received { outcome, receiver: self.clone(), request: None, headers: Vec::new() })
    }
}
