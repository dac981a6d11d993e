use std::{error, fmt, pin::Pin};

use crate::key::Secret;

/// A secret that came in an unsigned request, for deliveries to be signed with.
///
/// Anybody can send one: take it only while a set-up is pending that you began.
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

    /// Path and query of the request, by which a set-up can be told from others.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The secret's text, to be stored, or shown to the user who has to enter it at the sender's. Keep it out of logs.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        std::str::from_utf8(self.secret.expose()).unwrap_or_default()
    }
}

impl fmt::Debug for Handshake {
    /// Without the target, whose query may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// Takes a secret.
pub(super) type OnHandshake = dyn Fn(Handshake) -> Taking + Send + Sync;

type Taking = Pin<Box<dyn Future<Output = Result<(), Box<dyn error::Error + Send + Sync>>> + Send>>;
