//! For tests: signs requests the way a scheme's sender does, and puts claim stores to the test.

pub mod conformance;
mod signer;

pub use self::signer::{SignedRequest, Signer};
