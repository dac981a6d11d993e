//! One line for each request that was sent.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    client::Response,
    terminal::{Shown, ShownJson},
};

/// The longest part of a response that a line shows, in characters.
const MAX_SHOWN: usize = 100;
/// The longest part of a response in JSON, in characters.
const MAX_JSON: usize = 1000;

/// The response, or the reason why there is none.
pub(crate) type Outcome = Result<Response, String>;

/// Returns a readable line: the status, the time and `label`, and why a request was not accepted.
pub(crate) fn line(label: &str, outcome: &Outcome) -> String {
    let label = Shown(label);
    match outcome {
        Ok(response) => {
            let took = milliseconds(response.took);
            let note = note(response).map(|note| format!(": {}", Shown(&note)));
            let status = response.status.as_u16();
            format!("{status}  {took:>9}  {label}{}", note.unwrap_or_default())
        }
        Err(reason) => format!("---  {:>9}  {label}: {}", "-", Shown(reason)),
    }
}

/// Returns a JSON line: `members`, and those of the response.
pub(crate) fn json_line(mut members: Map<String, Value>, outcome: &Outcome) -> String {
    match outcome {
        Ok(response) => {
            members.insert("status".into(), response.status.as_u16().into());
            let took = response.took.as_micros() as f64 / 1000.0;
            members.insert("ms".into(), took.into());
            members.insert("duplicate".into(), is_duplicate(response).into());
            members.insert("response".into(), beginning(response, MAX_JSON).into());
        }
        Err(reason) => {
            members.insert("status".into(), Value::Null);
            members.insert("error".into(), json!(reason));
        }
    }
    ShownJson(&members.into()).to_string()
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_micros() as f64 / 1000.0)
}

pub(crate) fn is_accepted(outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(|response| response.status.is_success())
}

/// Returns what the status alone does not say.
fn note(response: &Response) -> Option<String> {
    if response.status.is_success() {
        return is_duplicate(response).then(|| "duplicate".into());
    }
    if let Some(location) = response.headers.get("location") {
        let location = String::from_utf8_lossy(location.as_bytes());
        return Some(format!("redirects to {location}, not followed"));
    }
    let text = beginning(response, MAX_SHOWN);
    let line = text.trim().lines().next().unwrap_or_default();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Returns whether a receiver of this project has recognized a duplicate.
fn is_duplicate(response: &Response) -> bool {
    response.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

fn beginning(response: &Response, most: usize) -> String {
    // A character has at most four bytes.
    let bytes = &response.body[..response.body.len().min(4 * most)];
    String::from_utf8_lossy(bytes).chars().take(most).collect()
}
