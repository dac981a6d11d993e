//! Ids that no sender should send.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use webhook_verify::{
    MemoryStore,
    clock::{Clock as _, SystemClock},
    scheme,
};

use crate::common::*;

/// A request with a valid signature, whatever its id is made of.
fn standard_webhook(id: &[u8]) -> Vec<u8> {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap());
    let now = SystemClock.now().as_secs().to_string();
    let signed = [id, b".", now.as_bytes(), b".{}"].concat();
    let mac = Hmac::<Sha256>::new_from_slice(&key.unwrap()).unwrap();
    let signature = STANDARD.encode(mac.chain_update(signed).finalize().into_bytes());
    let head = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nconnection: close\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{signature}\r\nwebhook-id: "
    );
    [head.as_bytes(), id, b"\r\n\r\n{}"].concat()
}

/// Ids of any length and content: what is too long or no text is refused where it is signed in a header, and recognised by the
/// body's digest where it is in the body. Nothing of an id gets into a store but its digest.
#[tokio::test]
async fn ids_that_are_too_long_or_no_text() {
    each_framework(|framework| async move {
        let site = Site::on(
            framework,
            receiver(scheme::STANDARD_WEBHOOKS, MemoryStore::new()),
            answer(200),
        )
        .await;
        for (id, status) in [
            ("a".repeat(1024).into_bytes(), 200),
            ("a".repeat(1025).into_bytes(), 401),
            (b"\xff".to_vec(), 401),
        ] {
            let raw = standard_webhook(&id);
            assert_eq!(exchange(site.addr(), &raw).await.status, status, "{}", id.len());
        }
        assert_eq!(site.runs(), 1);

        let store = Arc::new(MemoryStore::new());
        let site = Site::on(
            framework,
            receiver(scheme::HOST_UK_DOCUMENTED, Arc::clone(&store)),
            answer(200),
        )
        .await;
        let long = "a".repeat(1025);
        let mut runs = 0;
        // The id, and whether another body with the same one is the same delivery.
        for (id, is_recognised) in [
            ("a".repeat(1024).as_str(), true),
            (&long, false),
            (r"\u0000", true),
            (r"\u0000' OR 1=1 --", true),
            (r"\ud800", false),
            ("\u{fffd}\u{202e}", true),
        ] {
            for (number, body) in [1, 1, 2].into_iter().enumerate() {
                let body = format!(r#"{{"id":"{id}","type":"x","data":{body}}}"#);
                let request = signed(scheme::HOST_UK_DOCUMENTED, body);
                let response = site.post(&request).await;
                let runs_now = number == 0 || number == 2 && !is_recognised;
                runs += usize::from(runs_now);
                assert_eq!((response.status, is_replay(&response)), (200, !runs_now));
            }
        }
        let broken = signed(scheme::HOST_UK_DOCUMENTED, b"{\"id\":\"\xff\"}".to_vec());
        for replayed in [false, true] {
            let response = site.post(&broken).await;
            assert_eq!((response.status, is_replay(&response)), (200, replayed));
        }
        assert_eq!(site.runs(), runs + 1);
        assert_eq!(store.len(), runs + 1);
    })
    .await;
}
