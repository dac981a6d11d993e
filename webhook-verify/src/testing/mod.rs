//! Signs requests as a scheme's sender does, and tests claim stores. For use in tests.

mod again;
pub mod conformance;
mod curl;
#[cfg(feature = "gzip")]
mod gzip;
mod private_key;
mod request;
mod sample;
mod secret;
mod signer;

use bytes::Bytes;

pub use self::{curl::shell_quote, request::SignedRequest, secret::random_secret, signer::Signer};
use crate::{delivery::Delivery, error::ConfigError, scheme::Scheme};

/// Returns a verified delivery with this body, for unit tests of handlers. For a delivery with an
/// ID or an event type in headers, use [`Signer::delivery`].
///
/// ```
/// use webhook_verify::{Delivery, scheme, testing};
///
/// async fn on_event(delivery: Delivery) -> usize {
///     delivery.body().len()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), webhook_verify::ConfigError> {
/// let delivery = testing::delivery(scheme::MAUTIC, "{}")?;
/// assert_eq!(on_event(delivery).await, 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ConfigError::Option`], for the reasons of [`Signer::generate`] and [`Signer::delivery`].
pub fn delivery(scheme: Scheme, body: impl Into<Bytes>) -> Result<Delivery, ConfigError> {
    Signer::generate(scheme)?.delivery(body)
}
