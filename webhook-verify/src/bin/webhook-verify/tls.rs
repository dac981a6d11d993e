//! TLS to receivers.

use std::io;

use hyper_rustls::ConfigBuilderExt as _;
use tokio_rustls::rustls::{ClientConfig, Error};

/// The reason why there are no settings of a TLS client.
pub(crate) const NO_CERTIFICATES: &str =
    "no CA certificates: install those of the system, or set SSL_CERT_FILE to a file of them";

/// Returns the settings of a TLS client that trusts the CA certificates of the system, or those of
/// the variables `SSL_CERT_FILE` and `SSL_CERT_DIR`. Returns `None` if there are none.
pub(crate) fn client_config() -> Option<ClientConfig> {
    let config = ClientConfig::builder().with_native_roots().ok()?;
    Some(config.with_no_client_auth())
}

/// Returns the reason why a handshake failed, with what may help.
pub(crate) fn reason(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(_)) => {
            format!("{error} (SSL_CERT_FILE names a file of CA certificates to trust)")
        }
        _ => format!("TLS: {error}"),
    }
}
