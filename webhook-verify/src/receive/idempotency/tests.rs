use super::{DAY, Idempotency, QUARTER};
use crate::{
    claim::MemoryStore,
    scheme::{Identity, Scheme},
    verify::Verifier,
};

/// A secret for every scheme with a shared secret.
const SECRET: &str = "00112233445566778899aabbccddeeff";

fn built(scheme: &Scheme, tolerance: bool) -> Option<Idempotency> {
    let builder = Verifier::builder(scheme.clone()).secret(SECRET);
    let builder = builder.public_url("https://hooks.example.test/hook");
    let builder =
        ["webhook_id", "verify_token", "topic_arn"].iter().fold(builder, |builder, name| {
            builder.parameter(*name, "arn:aws:sns:eu-west-1:123456789012:t")
        });
    let builder = if tolerance { builder } else { builder.tolerance(None) };
    let verifier = builder.build().ok()?;
    Some(Idempotency::new(MemoryStore::new(), "tests").build(&verifier).unwrap())
}

/// The record of every preset lives longer than its sender retries and longer than a captured
/// request is in its time window. Without a window, it lives 90 days.
#[test]
fn every_record_outlives_the_retries_and_the_window() {
    let (mut judged, mut others) = (0, 0);
    for scheme in Scheme::presets() {
        let mut idempotency = Idempotency::new(MemoryStore::new(), "tests");
        idempotency.has_window = scheme.tolerance().is_some();
        let horizon = scheme.hints.retry_horizon.unwrap_or_default();
        let window = scheme.tolerance().map(|window| window.past() + window.future());
        for identity in [scheme.identity, Identity::SignedId, Identity::BodyDigest] {
            let ttl = idempotency.ttl_of(identity, scheme);
            assert!(ttl >= horizon + DAY, "{}: the retries", scheme.name);
            match window {
                Some(window) => {
                    assert!(ttl >= window + idempotency.keeper.lease, "{}", scheme.name);
                }
                None => assert!(ttl >= QUARTER, "{}: no window", scheme.name),
            }
        }
        *if window.is_some() { &mut judged } else { &mut others } += 1;
    }
    assert!(judged > 40 && others > 40, "{judged} {others}");
}

/// The tolerance of the verifier counts, not that of the scheme.
#[test]
fn without_the_check_of_timestamps_records_live_longer() {
    let mut presets = 0;
    for scheme in Scheme::presets().filter(|scheme| scheme.tolerance().is_some()) {
        let (Some(checked), Some(unchecked)) = (built(scheme, true), built(scheme, false)) else {
            continue;
        };
        presets += 1;
        let of = |idempotency: &Idempotency| idempotency.ttl_of(Identity::SignedId, scheme);
        assert!(of(&checked) < QUARTER, "{}", scheme.name);
        assert_eq!(of(&unchecked), QUARTER, "{}", scheme.name);
    }
    assert!(presets > 20, "{presets}");
}
