//! For tests: signs requests the way a scheme's sender does, and puts claim stores to the test.

pub mod conformance;
mod curl;
mod sample;
mod secret;
mod signer;

pub use self::{
    curl::shell_quote,
    secret::random_secret,
    signer::{SignedRequest, Signer},
};
