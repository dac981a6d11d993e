use serde_json::json;

use super::{SignedRequest, Signer};
use crate::{error::ConfigError, scheme::Scheme};

impl Signer {
    /// Signs a sample delivery: a body like those of the scheme's sender, with a new random ID. If
    /// the sender's deliveries have an event type, it is [`event_type`](Self::event_type).
    ///
    /// ```
    /// use webhook_verify::{Verifier, scheme, testing::Signer};
    ///
    /// let signed = Signer::new(scheme::STRIPE, "whsec_example")?.sample()?;
    ///
    /// let verifier = Verifier::new(scheme::STRIPE, "whsec_example")?;
    /// let delivery = verifier.verify(&signed.headers, signed.body.clone())?;
    /// assert_eq!(delivery.event_type().as_deref(), Some("invoice.paid"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] if [`sign`](Self::sign) returns one, or if the operating system
    /// provides no random bytes.
    pub fn sample(&self) -> Result<SignedRequest, ConfigError> {
        let number =
            getrandom::u32().map_err(|error| ConfigError::option("id", error.to_string()))?;
        let default = match self.scheme.name() {
            "github" | "github-sha1" => "push",
            _ => "invoice.paid",
        };
        let event_type = self.event_type.as_deref().unwrap_or(default);
        let signer = self.clone().id(format!("evt_example_{number}"));
        signer.event_type(event_type).sign(body(&self.scheme, event_type, number))
    }
}

/// Returns a body like those of the scheme's sender.
fn body(scheme: &Scheme, event_type: &str, number: u32) -> String {
    if let Some(pointer) = scheme.event_list_pointer() {
        let list = json!([{"id": format!("evt_example_{number}"), "type": event_type}]);
        let keys = pointer.rsplit('/').filter(|key| !key.is_empty());
        return keys.fold(list, |below, key| json!({ key: below })).to_string();
    }
    let body = match scheme.name() {
        "mautic" => {
            r#"{"mautic.lead_post_delete":[{"id":NUMBER,"contact":{"id":null},"timestamp":"2026-11-22T00:00:00+00:00"}]}"#
        }
        "slack" => {
            r#"{"type":"event_callback","event_id":"Ev0EXAMPLENUMBER","event":{"type":"app_mention"}}"#
        }
        "paystack" => {
            r#"{"event":"charge.success","data":{"id":NUMBER,"reference":"example-NUMBER","amount":1999}}"#
        }
        "mandrill" => {
            // [{"event":"example","_id":"…"}]
            "mandrill_events=%5B%7B%22event%22%3A%22example%22%2C%22_id%22%3A%22NUMBER%22%7D%5D"
        }
        "twilio" => "From=%2B15551234567&Body=example+NUMBER",
        "fluentcrm-documented" => r#"{"event":"contact.created","data":{"contact":{"id":NUMBER}}}"#,
        _ => r#"{"id":"evt_example_NUMBER","type":EVENT_TYPE,"data":{"id":1}}"#,
    };
    body.replace("NUMBER", &number.to_string())
        .replace("EVENT_TYPE", &json!(event_type).to_string())
}
