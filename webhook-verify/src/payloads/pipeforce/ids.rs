use std::{error, fmt};

/// The number of bytes of a token that its trace IDs contain.
const TOKEN_END: usize = 6;

/// The IDs of one call. The receiver chooses them: callers send no IDs, so a retry cannot be
/// distinguished from a second call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    pub(super) trace_id: String,
    pub(super) correlation_id: String,
}

impl Ids {
    /// Returns random IDs: a trace ID such as `6936bd:` and seven random hex digits, and a UUID as
    /// the correlation ID. The trace ID begins with the last six bytes of a token that is longer
    /// than twelve bytes, unless these bytes begin inside a character.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] if the operating system provides no random bytes.
    pub fn random(token: &str) -> Result<Self, NoRandomness> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
        let random = format!("{:08x}", u32::from_be_bytes(bytes));
        let end = token.len().saturating_sub(TOKEN_END);
        let end = token.get(end..).filter(|_| token.len() > 2 * TOKEN_END);
        Ok(Self {
            trace_id: format!("{}:{}", end.unwrap_or_default(), &random[1..]),
            correlation_id: random_uuid()?,
        })
    }

    /// Returns these IDs.
    pub fn new(trace_id: impl Into<String>, correlation_id: impl Into<String>) -> Self {
        Self { trace_id: trace_id.into(), correlation_id: correlation_id.into() }
    }

    /// Returns the ID that the call has in logs.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }
}

/// Returns a random UUID (version 4), as webhooks and calls have.
///
/// # Errors
///
/// [`NoRandomness`] if the operating system provides no random bytes.
pub fn random_uuid() -> Result<String, NoRandomness> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    // Set the version and the variant (RFC 9562 §5.4).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    Ok(parts.join("-"))
}

/// The operating system provided no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no random bytes")
    }
}

impl error::Error for NoRandomness {}
