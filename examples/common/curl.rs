use std::{net::SocketAddr, time::Duration};

use webhook_verify::{ConfigError, testing::Signer};

use crate::Setup;

/// A `curl` line that sends one valid delivery to `addr`.
pub(crate) fn line(setup: &Setup, addr: SocketAddr) -> Result<String, ConfigError> {
    let scheme = setup.receiver.verifier().scheme();
    let mut signer = Signer::new(scheme.clone(), &setup.secrets[0])?.event_type("example.created");
    if let Some(now) = setup.flags.now {
        signer = signer.at(Duration::from_secs(now));
    }
    if let Some(url) = &setup.flags.public_url {
        signer = signer.public_url(url);
    }
    for (name, value) in &setup.flags.parameter {
        signer = signer.parameter(name, value);
    }
    Ok(signer.sample()?.curl(&format!("http://{addr}")))
}
