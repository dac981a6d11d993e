//! Lookups of keys by their names.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{admit, is_unavailable};
use crate::{
    error::VerifyError,
    key::Secret,
    receive::{Admission, Receiver, Rejection},
    request::RequestHead,
    scheme::{self, Scheme},
    verify::Verifier,
};

fn is_admitted(admission: &Result<Admission, Rejection>) -> bool {
    matches!(admission, Ok(Admission::Admitted(_)))
}

#[track_caller]
fn is_refused(admission: &Result<Admission, Rejection>, reason: VerifyError) {
    match admission {
        Err(Rejection::NotAuthentic(error)) => assert_eq!(*error, reason),
        other => panic!("{other:?}"),
    }
}

/// The result of a lookup.
#[derive(Clone, Copy)]
enum Reply {
    Key(&'static str),
    Nothing,
    Error,
    Silence,
    Panic,
}

/// Returns a receiver, and the names that it looks up.
fn receiver(scheme: Scheme, found: Reply) -> (Receiver, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::<Mutex<Vec<String>>>::default();
    let names = Arc::clone(&calls);
    let verifier = Verifier::builder(scheme)
        .parameter("webhook_id", "wh1")
        .parameter("topic_arn", "arn")
        .clock(|| Duration::from_secs(1_800_000_000));
    let look_up = move |name: &str| {
        names.lock().unwrap().push(name.to_owned());
        async move {
            match found {
                Reply::Key(text) => Ok(Some(Secret::new(text)?)),
                Reply::Nothing => Ok(None),
                Reply::Error => Err("no connection".into()),
                Reply::Silence => pending().await,
                Reply::Panic => panic!("on purpose"),
            }
        }
    };
    (Receiver::builder(verifier).key_lookup(look_up).build().unwrap(), calls)
}

#[cfg(feature = "rsa")]
mod certificates {
    use super::*;
    use crate::scheme::{Identity, KeySource, Place};

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIDATCCAemgAwIBAgIUd/Jq/xs+XMwd8v7XJj8QoAK7LrYwDQYJKoZIhvcNAQEL\n\
BQAwDzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQwOTE4NDFaGA8yMTI2MTAzMTA5\n\
MTg0MVowDzENMAsGA1UEAwwEdGVzdDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCC\n\
AQoCggEBALL2iuwj7j0i+V1nGgid1s2h+I6t7dwDguK5jBHllZHdIxqsWhytC9/r\n\
obFYI6/057iz+CnpG9YY8KnuUr6THhNmHIHIiduY8Jw0SRWefKGHWn8O75r/hSol\n\
aG2Vt7KWg7bfYohP5PQHzSkoGg+QcD5asVIdi3aECw4rvuU6RluwlATOcnl27qGR\n\
LIHuC1qoc4f2snEfPkQkv4bT6No8hNLTMh/ziCMZ1oVwKyP+lSroyuJlhhiCa44L\n\
dCdfNgNlV+HUw2OhtiJIwA8SWtWj7Oyri+bN7CxQgp2Wdc6GHjmaqlqvvCa8Mxei\n\
FMdOGTsSJd7AZ8BY1MC2jOUYvfs7DakCAwEAAaNTMFEwHQYDVR0OBBYEFBhZSSIf\n\
dxL9Jgdw9VjkdW7FGSWbMB8GA1UdIwQYMBaAFBhZSSIfdxL9Jgdw9VjkdW7FGSWb\n\
MA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAIRmOq7yE6aRyEQw\n\
Iej1AGrSkt87WCGNpLIUNjXYvsaP14AehMWcnp3bxW40nCzPet/MNYzZY0R2jima\n\
UMj1p5IwydDLJ60Jbw965qaWKP5pmzWksv5rfwUikaKXqI1dKhqv8kysfluu2/qs\n\
qlm/UydtKMQ+/lxUWZjuzwHMBTlZF69BzGFsaNOogQyybZwEJLBMAPeg4rKir+mH\n\
k0zPfmNN/eFtS9VIxbGVinov3hJhWyZwU5Ltp67iW1etNGhisb1HMsPpTvuzM11X\n\
AT9teAJlwA7j2IGdZCA7hJXWObg8iYHVeJ6DbxOrh/qviN1p5jceHMv8hkkhcGz/\n\
j7DN3OU=\n\
-----END CERTIFICATE-----\n";
    const PAYPAL: &str = "es9BUhmAfIQ1uAMI3amfhfuIlkbQKYUB3GdCcDURVy+8GG8wxrSv8TGL9YSpeiyaZeNhpKa6dBvN8j4lvzobF9T+2Rp9Ji/lzC1b\
        zZrWYrjRH/DIBja76g8GX4hcsMW+EmNausc/lF18yDZeUk2SVNtfvpMY+IzJIR8TGVg+7KkM7GKJIhq/HgNCXzc6ySoEhJz5VVKt\
        u5oORJ8zyLcpjCjHPJ7m6qP7qTPlz8x1WiZ+I03P28aiY7VTlP4/xqytTTVQ1QTD0zV2fanUcMUgK5D64MVfqYmaRkvg2NYK6QVO\
        EGevtK8UXlbBqPg1BBaFRcbghNLHWed1zR2RIExGfg==";
    const SNS: &str = "VAr44WuywLHLFZTWEuSx9wpxCfwrNvyBJY6Hhzd2FjHlQ2K0yLeEQUmZsp6qYd2JcfNYyusKD8LLMFfDeCdYpPmz6q1o237JptP3\
        KuU24rXXs1Lld1NoAFcU93oKDqvarSI25tR206wUyw8teGqUaDEoJuPwt5f1yA9rGN9SSUnjglUjULBI4ZZlB4pQ9tFrVykt0VFU\
        Wl0aTClI3j9dFQQa8RT1DeuqegL5H2LUS4AmZ2aKWeK2poHziL8SFmi2jZmrVhVBxASiaZp1sZKk1GGs47z50OEEG2MsI1Hhjk+0\
        8Pk724S1K80kLQf/seyYHxgDqqORos1ivlVjaFysSw==";
    const BODY: &str = r#"{"event_type":"a"}"#;
    const ADDRESS: &str = "https://api.paypal.com/v1/notifications/certs/CERT-1";

    fn paypal<'a>(address: &'a str, signature: &'a str) -> Vec<(&'static str, &'a str)> {
        vec![
            ("PayPal-Transmission-Id", "e1"),
            ("PayPal-Transmission-Time", "2026-11-22T00:00:00Z"),
            ("PayPal-Transmission-Sig", signature),
            ("PayPal-Cert-Url", address),
        ]
    }

    fn sns(address: &str, signature: &str) -> String {
        format!(
            r#"{{"Type":"Notification","MessageId":"m1","TopicArn":"arn","Message":"hello",
            "Timestamp":"2026-11-22T00:00:00Z","SignatureVersion":"2",
            "Signature":"{signature}","SigningCertURL":"{address}"}}"#
        )
    }

    #[test]
    fn the_key_is_calls_for_by_its_name() {
        let (receiver, calls) = receiver(scheme::PAYPAL, Reply::Key(CERTIFICATE));
        let headers = paypal(ADDRESS, PAYPAL);
        assert!(is_admitted(&admit(&receiver, &RequestHead::new(&headers), BODY)));
        assert_eq!(*calls.lock().unwrap(), [ADDRESS]);
        let forged = admit(&receiver, &RequestHead::new(&headers), "{}");
        is_refused(&forged, VerifyError::SignatureMismatch);
    }

    #[test]
    fn nothing_is_calls_for_a_request_that_cannot_be_right() {
        let long = format!("{ADDRESS}{}", "1".repeat(1024));
        let (receiver, calls) = receiver(scheme::PAYPAL, Reply::Key(CERTIFICATE));
        for (address, signature, reason) in [
            (ADDRESS, "", VerifyError::MissingSignature),
            (ADDRESS, "*", VerifyError::MalformedSignature),
            ("", PAYPAL, VerifyError::UnknownKey),
            ("https://evil.test/c", PAYPAL, VerifyError::UnknownKeyHost),
            ("http://api.paypal.com/c", PAYPAL, VerifyError::UnknownKeyHost),
            ("https://api.paypal.com@evil.test/c", PAYPAL, VerifyError::UnknownKeyHost),
            (&long, PAYPAL, VerifyError::UnknownKeyHost),
        ] {
            let headers = paypal(address, signature);
            is_refused(&admit(&receiver, &RequestHead::new(&headers), BODY), reason);
        }
        let headers: [(&str, &str); 0] = [];
        let unsigned = admit(&receiver, &RequestHead::new(&headers), BODY);
        is_refused(&unsigned, VerifyError::MissingSignature);
        assert!(calls.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_not_found_is_refused_and_what_fails_is_not() {
        let headers = paypal(ADDRESS, PAYPAL);
        let admit = |found| {
            let (receiver, calls) = receiver(scheme::PAYPAL, found);
            let admission = admit(&receiver, &RequestHead::new(&headers), BODY);
            assert_eq!(calls.lock().unwrap().len(), 1);
            admission
        };
        is_refused(&admit(Reply::Nothing), VerifyError::UnknownKey);
        for found in [
            Reply::Error,
            Reply::Silence,
            Reply::Panic,
            Reply::Key("no certificate"),
            Reply::Key(" "),
        ] {
            is_unavailable(&admit(found));
        }
    }

    #[test]
    fn the_name_and_the_signature_may_be_in_the_body() {
        let address = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem";
        let (receiver, calls) = receiver(scheme::SNS, Reply::Key(CERTIFICATE));
        let headers = [("content-type", "text/plain")];
        let head = RequestHead::new(&headers);
        let storage = "https://sns.s3.amazonaws.com/1.pem";
        for (body, reason) in [
            (sns(address, ""), VerifyError::MissingSignature),
            (sns(address, "*"), VerifyError::MalformedSignature),
            (sns("", SNS), VerifyError::UnknownKeyHost),
            (sns(storage, SNS), VerifyError::UnknownKeyHost),
            (sns(address, SNS).replace("\"2\"", "\"1\""), VerifyError::UnsupportedVersion),
            ("{}".to_owned(), VerifyError::MissingSignature),
            ("{".to_owned(), VerifyError::MalformedBody),
        ] {
            is_refused(&admit(&receiver, &head, &body), reason);
        }
        assert!(calls.lock().unwrap().is_empty());
        assert!(is_admitted(&admit(&receiver, &head, &sns(address, SNS))));
        assert_eq!(*calls.lock().unwrap(), [address]);
        let forged = sns(address, SNS).replace("hello", "hallo");
        is_refused(&admit(&receiver, &head, &forged), VerifyError::SignatureMismatch);

        // The same without a receiver.
        let verifier = Verifier::builder(scheme::SNS)
            .parameter("topic_arn", "arn")
            .clock(|| Duration::from_secs(1_800_000_000))
            .build_without_secrets()
            .unwrap();
        let body = sns(address, SNS);
        let name = verifier.key_name(head, body.as_bytes());
        assert_eq!(name, Ok(Some(address.to_owned())));
        let refused = verifier.verify(head, body.clone()).map(|_| ());
        assert_eq!(refused, Err(VerifyError::SignatureMismatch));
        verifier.replace_secrets([Secret::new(CERTIFICATE).unwrap()]).unwrap();
        assert!(verifier.verify(head, body).is_ok());
        let name = verifier.key_name(head, sns(storage, SNS).as_bytes());
        assert_eq!(name, Err(VerifyError::UnknownKeyHost));
    }

    /// A custom scheme that signs the body.
    #[test]
    fn a_body_in_pieces_is_whole_when_the_key_is_calls_for() {
        let scheme = Scheme {
            signatures: scheme::PAYPAL.signatures,
            key_source: Some(KeySource::Url {
                place: Place::Pointer("/key".into()),
                hosts: vec!["keys.example.com".into()].into(),
            }),
            content: Scheme::BASE.content,
            timestamp: None,
            id: None,
            identity: Identity::BodyDigest,
            ..scheme::PAYPAL
        };
        let (receiver, calls) = receiver(scheme, Reply::Nothing);
        let headers = paypal("", PAYPAL);
        let text = r#"{"key":"https://keys.example.com/1"}"#;
        let refused = admit(&receiver, &RequestHead::new(&headers), text);
        is_refused(&refused, VerifyError::UnknownKey);
        assert_eq!(*calls.lock().unwrap(), ["https://keys.example.com/1"]);
    }
}

#[cfg(all(feature = "jwt", feature = "ecdsa"))]
mod tokens {
    use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::encoding::Encoding::{Base64Url, Hex};

    /// Returns a signed token for `body` with this key ID, and the public key.
    fn token(key_id: &str, body: &str) -> (String, String) {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let part = |from| Base64Url.encode(&point.as_bytes()[from..from + 32]);
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, part(1), part(33));
        let digest = Hex.encode(&Sha256::digest(body));
        let header = format!(r#"{{"alg":"ES256"{key_id}}}"#);
        let claims = format!(r#"{{"iat":1799999990,"request_body_sha256":"{digest}"}}"#);
        let signed = [header, claims].map(|part| Base64Url.encode(part.as_bytes()));
        let signed = signed.join(".");
        let signature: Signature = key.sign(signed.as_bytes());
        let signature = Base64Url.encode(&signature.to_bytes());
        (format!("{signed}.{signature}"), jwk)
    }

    #[test]
    fn the_key_of_a_token_is_calls_for_by_its_id() {
        let (good, jwk) = token(r#","kid":"k1""#, "{}");
        let (receiver, calls) = receiver(scheme::PLAID, Reply::Key(jwk.leak()));
        let admit = |token: &str, body| {
            let headers = [("Plaid-Verification", token)];
            admit(&receiver, &RequestHead::new(&headers), body)
        };
        assert!(is_admitted(&admit(&good, "{}")));
        assert_eq!(*calls.lock().unwrap(), ["k1"]);
        is_refused(&admit(&good, "[]"), VerifyError::SignatureMismatch);
        calls.lock().unwrap().clear();

        let (unnamed, _) = token("", "{}");
        is_refused(&admit(&unnamed, "{}"), VerifyError::UnknownKey);
        let (long, _) = token(&format!(r#","kid":"{}""#, "k".repeat(1025)), "{}");
        is_refused(&admit(&long, "{}"), VerifyError::UnknownKey);
        is_refused(&admit("", "{}"), VerifyError::MissingSignature);
        is_refused(&admit("a.b", "{}"), VerifyError::MalformedSignature);
        assert!(calls.lock().unwrap().is_empty());
    }

    #[test]
    fn a_token_of_an_unknown_key_is_refused_and_what_fails_is_not() {
        let (token, _) = token(r#","kid":"k1""#, "{}");
        let admit = |found| {
            let (receiver, _) = receiver(scheme::PLAID, found);
            let headers = [("Plaid-Verification", token.as_str())];
            admit(&receiver, &RequestHead::new(&headers), "{}")
        };
        is_refused(&admit(Reply::Nothing), VerifyError::UnknownKey);
        for found in [Reply::Error, Reply::Silence, Reply::Panic, Reply::Key("{}")] {
            is_unavailable(&admit(found));
        }
    }
}
