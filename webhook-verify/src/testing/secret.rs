use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    error::ConfigError,
    scheme::{Algorithm, KeyForm, Scheme},
};

/// Returns a random 32-byte secret in the form that `scheme` expects, for a sender whose secret you
/// choose.
///
/// # Errors
///
/// [`ConfigError::Option`] if the scheme needs the sender's public key instead, or if the operating
/// system provides no random bytes.
pub fn random_secret(scheme: &Scheme) -> Result<String, ConfigError> {
    if !scheme.algorithm().is_symmetric() {
        return Err(ConfigError::option("secret", "the scheme needs the sender's public key"));
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| ConfigError::option("secret", error.to_string()))?;
    if scheme.algorithm() == Algorithm::Basic {
        return Ok(format!("user:{}", STANDARD.encode(bytes)));
    }
    Ok(match scheme.key_form() {
        KeyForm::Whsec => format!("whsec_{}", STANDARD.encode(bytes)),
        KeyForm::Base64 => STANDARD.encode(bytes),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Verifier;

    #[test]
    fn every_scheme_with_a_shared_secret_takes_it() {
        for scheme in Scheme::presets() {
            let secret = random_secret(scheme);
            assert_eq!(secret.is_ok(), scheme.algorithm().is_symmetric());
            let Ok(secret) = secret else { continue };
            assert_ne!(random_secret(scheme).unwrap(), secret);
            let verifier = Verifier::builder(scheme.clone())
                .secret(secret)
                .public_url("https://hooks.example.test/");
            let parameters = scheme.parameters();
            let verifier =
                parameters.fold(verifier, |verifier, name| verifier.parameter(name, "x"));
            let needs = scheme.algorithm().is_jwt() && !cfg!(feature = "jwt");
            assert_eq!(verifier.build().is_ok(), !needs, "{}", scheme.name());
        }
    }
}
