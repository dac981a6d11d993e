//! The subscribers of messages. Here each is a line on stdout; in a service, a queue or a task.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use webhook_verify::event::{Part, matches_topic};

pub(crate) struct Subscribers(Vec<String>);

impl Subscribers {
    pub(crate) fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Sends a message to the subscribers of its event key.
    pub(crate) fn publish(&self, event_key: &str, message: &Value, files: &[Part]) {
        let files: Vec<_> = files.iter().map(file).collect();
        for pattern in self.0.iter().filter(|pattern| matches_topic(pattern, event_key)) {
            let line = json!({ "subscriber": pattern, "message": message, "files": files });
            println!("{line}");
        }
    }
}

/// The name is a label: a file that is to be kept is given a name of one's own.
fn file(part: &Part) -> Value {
    json!({
        "name": part.safe_name(),
        "contentType": part.content_type(),
        "content": STANDARD.encode(part.bytes()),
    })
}
