//! Signs requests as a scheme's sender does, and tests claim stores. For use in tests.

pub mod conformance;
mod curl;
#[cfg(feature = "gzip")]
mod gzip;
mod sample;
mod secret;
mod signer;

pub use self::{
    curl::shell_quote,
    secret::random_secret,
    signer::{SignedRequest, Signer},
};
