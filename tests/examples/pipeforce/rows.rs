//! The store by itself: what no caller gets to see.

use sha2::{Digest as _, Sha256};
use webhook_verify::payloads::pipeforce::PayloadType;

use super::store::{Settings, Store};

const SETTINGS: Settings<'_> =
    Settings { event_key: "a", payload_type: PayloadType::Raw, max_payload_length: 5 };

async fn id_of(store: &Store, uuid: &str) -> Option<i64> {
    let digest = Sha256::digest(uuid).into();
    let webhook = store.by_digest(&digest).await.unwrap()?;
    assert_eq!(webhook.uuid, uuid);
    assert_eq!(webhook.payload_type, PayloadType::Raw);
    Some(webhook.id)
}

/// A call that is under way keeps the id of its webhook.
#[tokio::test]
async fn ids_of_deleted_webhooks_are_not_used_again() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    store.insert("one", &SETTINGS).await.unwrap();
    let one = id_of(&store, "one").await.unwrap();
    store.delete("one").await.unwrap();
    assert_eq!(id_of(&store, "one").await, None);
    store.insert("two", &SETTINGS).await.unwrap();
    assert_ne!(id_of(&store, "two").await, Some(one));
    assert!(store.by_id(one).await.unwrap().is_none());
    assert!(store.insert("two", &SETTINGS).await.is_err());
}
