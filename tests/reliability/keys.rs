//! Keys of claims, for any names and ids.

use futures_util::{FutureExt as _, stream};
use integration_tests::size;
use proptest::prelude::*;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, RequestHead, Verifier, adapter::Admission,
    idempotency::ClaimKey, scheme, testing::Signer,
};

use crate::rig::SECRET;

/// The namespace, the endpoint's name and the sender's id.
type Parts = [String; 3];

/// Returns two triples that are similar: of few letters, and cut out of one text at random places.
fn parts() -> impl Strategy<Value = [Parts; 2]> {
    let cuts = any::<[[prop::sample::Index; 2]; 2]>();
    ("[ab\0:/]{4,8}", cuts).prop_map(|(text, cuts)| {
        cuts.map(|cuts| {
            // An endpoint and an id must not be empty.
            let endpoint = cuts[0].index(text.len() - 1);
            let id = endpoint + 1 + cuts[1].index(text.len() - endpoint - 1);
            [&text[..endpoint], &text[endpoint..id], &text[id..]].map(str::to_owned)
        })
    })
}

/// Returns the key under which a receiver of this name claims this id.
fn key([namespace, endpoint, id]: &Parts) -> ClaimKey {
    let idempotency = Idempotency::new(MemoryStore::new(), endpoint.as_str());
    let receiver = Receiver::builder(Verifier::new(scheme::STRIPE, SECRET).unwrap())
        .timer(|_| std::future::pending())
        .idempotency(idempotency.namespace(namespace.as_str()))
        .build()
        .unwrap();
    let body = serde_json::json!({ "id": id }).to_string();
    let signed = Signer::new(scheme::STRIPE, SECRET).unwrap().sign(body).unwrap();
    let head = RequestHead::new(&signed.headers);
    let body = stream::iter([Ok::<_, std::io::Error>(signed.body.clone())]);
    let admitting = receiver.admit(&head, body);
    // The memory store responds at once.
    match admitting.now_or_never().unwrap().unwrap() {
        Admission::Admitted(admitted) => admitted.delivery().claim().unwrap().key(),
        Admission::Answer(answer) => panic!("{answer:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(size(500, 2000)) })]

    /// B14, B20: the key is a function of the three, and injective.
    #[test]
    fn b20_keys_are_injective([one, other] in parts()) {
        prop_assert_eq!(key(&one), key(&one));
        prop_assert_eq!(one == other, key(&one) == key(&other), "{:?} and {:?}", one, other);
    }
}
