//! Verifies requests.
#![deny(clippy::wildcard_enum_match_arm)]

mod candidates;
#[cfg(any(feature = "jwt", feature = "testing"))]
mod digests;
mod facts;
mod incoming;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "the generator treats most parts alike")]
mod one_meaning;
mod settings;
mod signed;
#[cfg(all(test, feature = "rsa", feature = "testing"))]
mod tests;
mod trial;
mod url;
mod verifier;

#[cfg(feature = "testing")]
pub(crate) use self::facts::{head_digests, sign};
use self::{
    facts::{HeadFacts, read, single},
    settings::Plan,
};
pub use self::{
    incoming::{BodyTooLarge, Incoming},
    verifier::{PreparedKey, Verifier, VerifierBuilder},
};
pub(crate) use self::{settings::Settings, trial::without_user};
