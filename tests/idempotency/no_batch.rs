//! Requests of senders of batches that are no batches.

use webhook_verify::{adapter::Admission, idempotency::MemoryStore, scheme};

use crate::common::*;

/// Each is one event: a retry is a duplicate, and another one is not.
#[tokio::test]
async fn an_object_in_place_of_a_list_is_claimed_as_one_event() {
    for scheme in [scheme::HUBSPOT_V1, scheme::LINE, scheme::ASANA] {
        let receiver = receiver(scheme.clone(), MemoryStore::new());
        for body in [r#"{"objectId":1}"#, r#"{"objectId":2}"#] {
            let request = signed(scheme.clone(), body);
            let admitted = admitted(&receiver, &request, never).await;
            let event = admitted.delivery().event().unwrap();
            assert_eq!(event.raw(), body);
            assert!(event.claim().is_some(), "{}", scheme.name());
            finish(admitted, 204).await.unwrap();
            assert_eq!(replayed(&receiver, &request, never).await, 204, "{}", scheme.name());
        }
    }
}

/// HubSpot's cards send signed GET requests. Nothing of their empty bodies tells them apart, so each
/// runs.
#[tokio::test]
async fn requests_without_a_body_are_never_duplicates() {
    for scheme in [scheme::HUBSPOT_V1, scheme::LINE, scheme::ASANA] {
        let receiver = receiver(scheme.clone(), MemoryStore::new());
        for target in ["/card?objectId=1", "/card?objectId=1", "/card?objectId=2"] {
            let request = signer(scheme.clone()).method("GET").target(target).sign("").unwrap();
            match admit(&receiver, &request, never).await.unwrap() {
                Admission::Admitted(admitted) => {
                    assert!(admitted.delivery().event().unwrap().raw().is_empty());
                    finish(admitted, 204).await.unwrap();
                }
                Admission::Answer(answer) => panic!("{}: {answer:?}", scheme.name()),
            }
        }
    }
}
