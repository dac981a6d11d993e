//! Measures what it costs to split a body into events, compared to serde_json reading the outermost
//! level of the body, which any splitter has to do. The bound is 1.3 times that. The events are
//! slices of the body, so no byte is copied.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails says nothing")]

mod harness;

use std::{collections::BTreeMap, hint::black_box};

use harness::{Table, each};
use integration_tests::Vector;
use serde_json::value::RawValue;
use webhook_verify::{Delivery, Scheme, Verifier, scheme, testing::Signer};

const ROUNDS: usize = 101;
/// Iterations of a round, for a body of ten events.
const ITERATIONS: u32 = 200;

type ByType<T> = BTreeMap<&'static str, T>;

fn main() {
    for count in [1, 10, 1000] {
        mautic(count);
    }
    for count in [10, 1000] {
        sendgrid(count);
    }
}

/// So many events of two types, out of a recorded batch.
fn mautic(count: usize) {
    let recorded = Vector::of_the_four_systems();
    let is_batch = |vector: &&Vector| vector.name == "queued_batch_two_types_newest_first";
    let batch = recorded.iter().find(is_batch).unwrap();
    let verified = batch.verifier().unwrap();
    let events = verified.verify(batch.head(), batch.body()).unwrap().batch().unwrap();
    let texts = |event_type: &str, count: usize| {
        let of_type = events.iter().filter(|event| event.matches(event_type));
        let texts: Vec<_> = of_type.map(|event| event.raw().as_ref()).collect();
        texts.iter().copied().cycle().take(count).collect::<Vec<_>>().join(&b","[..])
    };
    let mut body = Vec::new();
    for (event_type, count) in
        [("mautic.lead_post_save_new", count - count / 2), ("mautic.lead_points_change", count / 2)]
    {
        let start = if body.is_empty() { '{' } else { ',' };
        body.extend(format!("{start}\"{event_type}\":[").bytes());
        body.extend(texts(event_type, count));
        body.push(b']');
    }
    body.push(b'}');
    let body: &'static [u8] = body.leak();

    let mut table = table("Mautic", count, body);
    table.reference(
        "serde_json, types",
        each(|| serde_json::from_slice::<ByType<&RawValue>>(black_box(body)).unwrap()),
    );
    ours(&mut table, scheme::MAUTIC, body, count);
    table.reference(
        "serde_json, types and their events",
        each(|| serde_json::from_slice::<ByType<Vec<&RawValue>>>(black_box(body)).unwrap()),
    );
    ours(&mut table, scheme::MAUTIC, body, count);
    table.run();
}

/// Events as SendGrid has them, by a scheme that has no private key.
fn sendgrid(count: usize) {
    let event = |n: usize| {
        format!(
            r#"{{"email":"zoe{n}@mail.example.test","timestamp":{},"smtp-id":"<14c5d75ce93.dfd.{n}@ismtpd-555>","event":"delivered","category":["newsletter","november"],"sg_event_id":"ZGVsaXZlcmVkLTAtMTIzNDU2NzgtYWJjZGVmZ2g{n}","sg_message_id":"14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.{n}","response":"250 OK","attempt":"1"}}"#,
            1_795_305_600 + n
        )
    };
    let events: Vec<_> = (0..count).map(event).collect();
    let body: &'static [u8] = format!("[{}]\r\n", events.join(",\r\n")).leak().as_bytes();
    let list = Scheme::builder("list").signature_header("x-sig").event_list("");
    let list = list.listed_event_type(["/event"]).listed_event_id(["/sg_event_id"]);

    let mut table = table("SendGrid", count, body);
    table.reference(
        "serde_json",
        each(|| serde_json::from_slice::<Vec<&RawValue>>(black_box(body)).unwrap()),
    );
    ours(&mut table, list.build().unwrap(), body, count);
    table.run();
}

fn table<'a>(sender: &str, count: usize, body: &[u8]) -> Table<'a> {
    let iterations = (ITERATIONS * 10 / count as u32).clamp(2, 1000);
    let title = format!("{sender}, {count} events, {} bytes", body.len());
    Table::new(title, ROUNDS, iterations)
}

fn ours(table: &mut Table<'_>, scheme: Scheme, body: &'static [u8], count: usize) {
    let signed = Signer::new(scheme.clone(), "a secret").unwrap().sign(body).unwrap();
    let verifier = Verifier::new(scheme, "a secret").unwrap();
    let delivery: Delivery = verifier.verify(&signed.headers, signed.body.clone()).unwrap();
    assert_eq!(delivery.events().unwrap().len(), count);
    table.case("ours", each(move || black_box(&delivery).events().unwrap()));
}
