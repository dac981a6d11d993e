use std::fmt;

use super::tenant::CallbackFuture;
use crate::key::Secret;

/// A secret from an unsigned handshake, with which the sender will sign its deliveries.
///
/// Anybody can send one, so accept it only while a set-up that you began is pending.
#[non_exhaustive]
pub struct Handshake {
    /// The secret.
    pub secret: Secret,
    target: String,
}

impl Handshake {
    pub(super) fn new(secret: Secret, target: String) -> Self {
        Self { secret, target }
    }

    /// Returns the path and query of the request, to distinguish set-ups.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the secret's text, to store it or to show it for the sender's set-up. Do not log it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        std::str::from_utf8(self.secret.expose()).unwrap_or_default()
    }
}

impl fmt::Debug for Handshake {
    /// Omits the target, whose query may contain a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// Accepts or refuses a handshake's secret.
pub(super) type OnHandshake = dyn Fn(Handshake) -> CallbackFuture<()> + Send + Sync;
