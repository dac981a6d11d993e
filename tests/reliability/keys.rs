//! Keys of claims, whatever names and ids are made of.

use futures_util::{FutureExt as _, stream};
use proptest::prelude::*;
use webhook_verify::{
    Admission, ClaimKey, Idempotency, MemoryStore, Receiver, RequestHead, Verifier, scheme,
    testing::Signer,
};

use crate::rig::SECRET;

/// The namespace, the endpoint's name and the sender's id.
type Parts = [String; 3];

/// Parts that are easily taken for others: of few letters, and cut out of one text at any two places.
fn parts() -> impl Strategy<Value = Parts> {
    ("[ab\0:/]{2,8}", any::<[prop::sample::Index; 2]>()).prop_map(|(text, cuts)| {
        let mut cuts = cuts.map(|cut| 1 + cut.index(text.len() - 1));
        cuts.sort_unstable();
        // An endpoint and an id have to be there.
        let part = |part: &str| {
            if part.is_empty() {
                "a".to_owned()
            } else {
                part.to_owned()
            }
        };
        [
            text[..cuts[0] - 1].to_owned(),
            part(&text[cuts[0] - 1..cuts[1]]),
            part(&text[cuts[1]..]),
        ]
    })
}

/// The key under which a receiver of this name claims this id.
fn key([namespace, endpoint, id]: &Parts) -> ClaimKey {
    let idempotency = Idempotency::new(MemoryStore::new(), endpoint.as_str());
    let receiver = Receiver::builder(Verifier::new(scheme::STRIPE, SECRET).unwrap())
        .idempotency(idempotency.namespace(namespace.as_str()))
        .build()
        .unwrap();
    let body = serde_json::json!({ "id": id }).to_string();
    let signed = Signer::new(scheme::STRIPE, SECRET)
        .unwrap()
        .sign(body)
        .unwrap();
    let head = RequestHead::new(&signed.headers);
    let body = stream::iter([Ok::<_, std::io::Error>(signed.body.clone())]);
    let admitting = receiver.admit(&head, body, |_| std::future::pending());
    // Memory answers at once.
    match admitting.now_or_never().unwrap().unwrap() {
        Admission::Admitted(admitted) => admitted.delivery().claim().unwrap().key(),
        Admission::Answer(answer) => panic!("{answer:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// B14, B20: the key is a function of the three, and no two of them have the same.
    #[test]
    fn b20_keys_are_injective(one in parts(), other in parts()) {
        prop_assert_eq!(key(&one), key(&one));
        prop_assert_eq!(one == other, key(&one) == key(&other), "{:?} and {:?}", one, other);
    }

    /// The same for two that are one text, cut at different places.
    #[test]
    fn b20_where_the_parts_are_cut_makes_a_difference(text in "[ab]{4,8}", at in 1..3_usize) {
        let cut = |at: usize| [text[..at].to_owned(), text[at..at + 1].to_owned(), text[at + 1..].to_owned()];
        prop_assert_ne!(key(&cut(at)), key(&cut(at - 1)));
        let [namespace, endpoint, id] = cut(at);
        prop_assume!(namespace != endpoint);
        prop_assert_ne!(key(&cut(at)), key(&[endpoint, namespace, id]));
    }
}
