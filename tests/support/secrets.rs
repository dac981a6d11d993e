use webhook_verify::{
    Scheme, Verifier, VerifierBuilder,
    scheme::{Algorithm, KeyForm},
};

/// The URL that senders were given.
pub const PUBLIC_URL: &str = "https://hooks.example.test/hook";

const SPKI: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEu6sE2nsaR1uZBcj+KpB+ViXF9J5hmoJGmQI0WIP29MsuugLQKyKpSrufpnchE25WATAc5cqgIEHp/5CZnRmfUw==";
const RSA: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0H+ZBJsgdg/NQJTXQPJCfSrWseGz5aLJJ535pSUEOg6RT8\
    mSh/uoTsWcqQyyaH6xvlDWq77xLEV+Pm1N0HoRdpWJE9mqoDk88ahASF09gjpINiqyk05KnPu99aQvB1n1SPEebAsC\
    NmKES9+0PTswbidD3+vsS5dsD3nhfJpguYNWOAv9WQTd+TLp0RZ/iukVMIaPiZj+13Gmp6Wh52CUjD2dFrhjJ5+eOX\
    /m9ZznHiB52O9K/awrSa5sbFQssjxgrqM4yM9Tci3R6Z0SkG2tOgBoJapzuJqzZs8p7W2zBmZ1Dx1rpjcX2yTwoNXU\
    dZ0DLHO9hIUURrndFzLaz1Wq2wIDAQAB";
const JWK: &str = r#"{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"test","x":"u6sE2nsaR1uZBcj-KpB-ViXF9J5hmoJGmQI0WIP29Ms","y":"LroC0CsiqUq7n6Z3IRNuVgEwHOXKoCBB6f-QmZ0Zn1M"}"#;
const CERTIFICATE: &str = include_str!("../../webhook-verify/tests/certificate.pem");

/// Returns a secret or public key in the form that the scheme's sender uses. Nobody has the private
/// keys.
#[must_use]
pub fn secret_of(scheme: &Scheme) -> &'static str {
    match (scheme.algorithm(), scheme.key_form()) {
        (Algorithm::Basic, _) => "user:cGFzc3dvcmQ",
        // The key of RFC 8032 §7.1, test 1.
        (Algorithm::Ed25519, KeyForm::Hex) => {
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        }
        (Algorithm::Ed25519, _) => "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        (Algorithm::RsaSha256 | Algorithm::RsaSha1, KeyForm::Spki) => RSA,
        (_, KeyForm::Spki) => SPKI,
        (_, KeyForm::Jwk) => JWK,
        (_, KeyForm::Certificate) => CERTIFICATE,
        (_, KeyForm::Hex) => "00112233445566778899aabbccddeeff",
        (_, KeyForm::Whsec) => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ => "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
}

/// Returns a verifier for any scheme, with all parameters that it needs.
pub fn verifier_of(scheme: &Scheme) -> VerifierBuilder {
    Verifier::builder(scheme.clone())
        .secret(secret_of(scheme))
        .public_url(PUBLIC_URL)
        .parameter("webhook_id", "4JH86294D6297924G")
        .parameter("verify_token", "a verify token")
        .parameter("public_key", "a public key")
        .parameter("topic_arn", "arn:aws:sns:eu-west-1:123456789012:t")
}
