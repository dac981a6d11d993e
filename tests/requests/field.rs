//! Requests made from public reports about senders, with the right verdict.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use webhook_verify::{RequestHead, Scheme, Verifier};

#[derive(Deserialize)]
struct Row {
    name: String,
    provider: Option<String>,
    /// A scheme that is no preset.
    scheme_toml: Option<String>,
    method: String,
    /// The URL that the sender was given.
    url: Option<String>,
    /// The target that the receiver sees, if a gateway changes it.
    target: Option<String>,
    headers: Vec<(String, String)>,
    body_base64: String,
    secret: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    now: u64,
    expect: String,
}

impl Row {
    fn scheme(&self) -> Scheme {
        match (&self.provider, &self.scheme_toml) {
            (Some(name), _) => Scheme::preset(name).unwrap(),
            (None, Some(text)) => {
                toml::from_str(text).unwrap_or_else(|e| panic!("{}: {e}", self.name))
            }
            (None, None) => panic!("{} has no scheme", self.name),
        }
    }

    fn is_valid(&self) -> bool {
        let now = Duration::from_secs(self.now);
        let mut builder = Verifier::builder(self.scheme()).secret(&self.secret).clock(move || now);
        for (name, value) in &self.parameters {
            builder = builder.parameter(name, value);
        }
        if let Some(url) = &self.url {
            builder = builder.public_url(url.split('?').next().unwrap());
        }
        let Ok(verifier) = builder.build() else { return false };
        let target = match (&self.target, &self.url) {
            (Some(target), _) => target.clone(),
            (None, Some(url)) => {
                let (_, rest) = url.split_once("://").unwrap();
                rest[rest.find('/').unwrap()..].to_owned()
            }
            (None, None) => "/".to_owned(),
        };
        let head = RequestHead::new(&self.headers).method(&self.method).target(&target);
        verifier.verify(head, STANDARD.decode(&self.body_base64).unwrap()).is_ok()
    }
}

fn judge_all(rows: &str, count: usize) {
    let rows: Vec<Row> = serde_json::from_str(rows).unwrap();
    assert_eq!(rows.len(), count);
    let is_wrong = |row: &&Row| row.is_valid() != (row.expect == "valid");
    let wrong: Vec<_> = rows.iter().filter(is_wrong).map(|row| &row.name).collect();
    assert!(wrong.is_empty(), "{} rows: {wrong:#?}", wrong.len());
}

#[test]
fn reported_requests_are_judged_as_their_senders_mean_them() {
    judge_all(include_str!("../vectors/field-cases.json"), 41);
}

#[test]
fn reported_senders_can_be_described_as_data() {
    judge_all(include_str!("../vectors/field-schemes.json"), 23);
}
