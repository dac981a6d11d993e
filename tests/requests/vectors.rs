//! Every recorded request through the plain verify function, whole and in pieces, with the exact
//! reason.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use integration_tests::Vector;
use webhook_verify::{Scheme, Verifier, scheme::Algorithm};

fn verdict(vector: &Vector, verify: impl Fn(&Verifier) -> Result<(), String>) -> String {
    match vector.verifier() {
        Err(_) => "invalid_secret".into(),
        Ok(verifier) => verify(&verifier).err().unwrap_or_else(|| "valid".into()),
    }
}

fn judge_all(verify: impl Fn(&Verifier, &Vector) -> Result<(), String>) {
    let mut wrong = Vec::new();
    for vector in Vector::all() {
        let got = verdict(&vector, |verifier| verify(verifier, &vector));
        if got != vector.expect {
            wrong.push(format!(
                "{} {}: expected {}, got {got}",
                vector.scheme, vector.name, vector.expect
            ));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_preset_has_rows_of_every_kind() {
    let mut reasons: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for vector in Vector::of_senders() {
        reasons.entry(vector.scheme).or_default().insert(vector.expect);
    }
    for scheme in Scheme::presets() {
        let found = &reasons[scheme.name()];
        let needed: &[&str] = match scheme.algorithm() {
            Algorithm::Token | Algorithm::Basic => &["valid", "missing_token", "token_mismatch"],
            _ => &["valid", "signature_mismatch"],
        };
        let times: &[&str] = match scheme.tolerance() {
            Some(_) => &["timestamp_too_old", "timestamp_in_future"],
            None => &[],
        };
        for reason in needed.iter().chain(times) {
            assert!(found.contains(*reason), "{} has no row: {reason}", scheme.name());
        }
    }
}

#[test]
fn whole_bodies() {
    judge_all(|verifier, vector| {
        if vector.max_body.is_some_and(|limit| vector.body().len() > limit) {
            return Err("body_too_large".into()); // the plain function has no limit: its caller has the body already
        }
        let delivery = verifier
            .verify(vector.head(), vector.body())
            .map_err(|error| error.reason().to_owned())?;
        assert!(delivery.was_in_form() || *delivery.body() == vector.body());
        Ok(())
    });
}

#[test]
fn bodies_in_pieces_of_every_small_size() {
    for size in [1, 2, 7, 63, 64, 65] {
        judge_all(|verifier, vector| {
            let limit = vector.max_body.unwrap_or(1 << 20);
            let mut incoming =
                verifier.begin(vector.head(), limit).map_err(|error| error.reason().to_owned())?;
            for chunk in vector.body().chunks(size) {
                incoming.update(Bytes::copy_from_slice(chunk)).map_err(|_| "body_too_large")?;
            }
            let delivery = incoming.finish().map_err(|error| error.reason().to_owned())?;
            assert!(delivery.was_in_form() || *delivery.body() == vector.body());
            Ok(())
        });
    }
}
