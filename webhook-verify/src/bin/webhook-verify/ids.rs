//! New delivery IDs.

use serde_json::Value;
use webhook_verify::Scheme;

use crate::Failure;

/// Returns a random ID. It is a number if the ID in the body is one, and otherwise a UUID.
pub(crate) fn new_id(scheme: &Scheme, body: &[u8]) -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    let number = u128::from_ne_bytes(bytes);
    let is_number = pointer(scheme).is_some_and(|pointer| {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        body.is_some_and(|body| body.pointer(&pointer).is_some_and(Value::is_number))
    });
    if is_number {
        // JavaScript reads numbers below 2^53 exactly.
        return Ok((number >> 75).to_string());
    }
    // The bits of a random UUID's version and variant (RFC 9562 §5.4).
    let number = number & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{number:032x}");
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// Returns the JSON pointer to the ID, if it is in the body.
pub(crate) fn pointer(scheme: &Scheme) -> Option<String> {
    Some(scheme.describe().id?.strip_prefix("body ")?.to_owned())
}
