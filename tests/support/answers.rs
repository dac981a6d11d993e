//! Responses to duplicates.

use crate::Response;

/// Returns whether the response is the stored one of an earlier run.
pub fn is_replay(response: &Response) -> bool {
    response.header("idempotent-replayed") == Some("true")
}

/// Checks the response to a delivery that is in progress elsewhere.
pub fn assert_in_flight(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.text(), "delivery is being processed");
    let after: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
}

/// Checks the response to a delivery that was completed before.
pub fn assert_replay(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert!(is_replay(response), "{response:?}");
    assert!(response.body.is_empty(), "{response:?}");
}
