use bytes::Bytes;
use serde_json::{Value, json};

use super::{SignedRequest, Signer};
use crate::{
    error::ConfigError,
    scheme::{Envelope, Field, Scheme, Text, TimestampPlace},
};

impl Signer {
    /// Signs a sample delivery: a body like those of the scheme's sender, with a new random ID.
    ///
    /// The body has every field that the scheme's idempotency key needs, so two samples are
    /// different deliveries. To make a duplicate, send the same sample twice.
    ///
    /// The event type is [`event_type`](Self::event_type). By default, it is `push` for GitHub and
    /// `invoice.paid` for other senders. The signer writes it to the header or the field that the
    /// scheme defines. The samples for Mautic, Slack, Paystack, Mandrill, Twilio and FluentCRM have
    /// a fixed body, with its own event type.
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
    /// provides no random bytes. For example, `sign` returns one if the scheme signs the URL and
    /// there is no [`public_url`](Self::public_url).
    pub fn sample(&self) -> Result<SignedRequest, ConfigError> {
        let (signer, body) = self.unsigned_sample()?;
        signer.sign(body)
    }

    /// Returns the body of a [`sample`](Self::sample), and the signer with its ID and event type.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] if the body cannot be made.
    #[doc(hidden)]
    pub fn unsigned_sample(&self) -> Result<(Self, Bytes), ConfigError> {
        let number =
            getrandom::u32().map_err(|error| ConfigError::option("id", error.to_string()))?;
        let default = match self.scheme.name() {
            "github" | "github-sha1" => "push",
            _ => "invoice.paid",
        };
        let event_type = self.event_type.as_deref().unwrap_or(default);
        let signer = self.clone().id(format!("evt_example_{number}"));
        let body = body(&self.scheme, event_type, number)?;
        Ok((signer.event_type(event_type), body))
    }
}

/// Returns a body like those of the scheme's sender, with the fields that its key needs.
fn body(scheme: &Scheme, event_type: &str, number: u32) -> Result<Bytes, ConfigError> {
    let template = match scheme.name() {
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
        "twilio" | "twilio-sha256" => "From=%2B15551234567&Body=example+NUMBER",
        "fluentcrm-documented" => r#"{"event":"contact.created","data":{"contact":{"id":NUMBER}}}"#,
        _ if scheme.event_list_pointer().is_some() => "null",
        _ => r#"{"id":"evt_example_NUMBER","type":EVENT_TYPE,"data":{"id":NUMBER}}"#,
    };
    let body = template
        .replace("NUMBER", &number.to_string())
        .replace("EVENT_TYPE", &json!(event_type).to_string());
    let mut sample = SignedRequest {
        method: String::new(),
        target: String::new(),
        headers: Vec::new(),
        body: body.into(),
    };
    if scheme.reads_forms() {
        return Ok(sample.body);
    }
    let id = || Value::from(format!("evt_example_{number}"));
    if let Envelope::List(list) = &scheme.envelope {
        sample.put(&format!("{}/0", list.at), json!({"id": id(), "type": event_type}))?;
        for pointer in &*list.event_type {
            sample.put_if_absent(&format!("{}/0{pointer}", list.at), event_type.into())?;
        }
        for pointer in &*list.id {
            sample.put_if_absent(&format!("{}/0{pointer}", list.at), id())?;
        }
        if list.at.is_empty() {
            return Ok(sample.body);
        }
    }
    if let Some(Field::Pointer(pointer)) = &scheme.event_type {
        sample.put_if_absent(pointer, event_type.into())?;
    }
    let is_time = |pointer: &Text| {
        let time = scheme.timestamp.as_ref().map(|time| &time.place);
        matches!(time, Some(TimestampPlace::Pointer(time)) if time == pointer)
    };
    let fields = scheme.identity_fields.iter().filter(|pointer| !is_time(pointer));
    let body_id = match &scheme.id {
        Some(Field::Pointer(pointer)) => Some(pointer),
        Some(Field::Header(_) | Field::FirstKey) | None => None,
    };
    for pointer in body_id.into_iter().chain(fields) {
        sample.put_if_absent(pointer, id())?;
    }
    Ok(sample.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{claim::MemoryStore, receive::Idempotency, scheme::Identity, verify::Verifier};

    #[test]
    #[cfg(feature = "http")]
    fn every_sample_is_valid_and_has_the_key_of_its_scheme() {
        const URL: &str = "https://hooks.example.test/";
        let idempotency = Idempotency::new(MemoryStore::new(), "hook");
        let mut presets = 0;
        for scheme in Scheme::presets() {
            let name = scheme.name();
            // The features of some algorithms may be off.
            let Ok(mut signer) = Signer::generate(scheme.clone()) else { continue };
            signer = signer.public_url(URL);
            let secret = signer.secret().clone();
            let mut verifier = Verifier::builder(scheme.clone()).secret(secret).public_url(URL);
            for parameter in scheme.parameters() {
                verifier = verifier.parameter(parameter, "x");
                signer = signer.parameter(parameter, "x");
            }
            let verifier = verifier.build().unwrap();
            let mut keys = Vec::new();
            for _ in 0..2 {
                let signed = signer.sample().unwrap_or_else(|error| panic!("{name}: {error}"));
                let request = http::Request::<Bytes>::try_from(signed).unwrap();
                let (head, body) = request.into_parts();
                let delivery = verifier.verify(&head, body);
                let delivery = delivery.unwrap_or_else(|error| panic!("{name}: {error}"));
                if idempotency.events_to_claim(&delivery).unwrap().is_none() {
                    let claim = idempotency.request(&delivery).unwrap();
                    keys.push(claim.map(|claim| claim.key));
                }
            }
            let has_key = scheme.identity() != Identity::None;
            assert!(keys.iter().all(|key| key.is_some() == has_key), "{name}: {keys:?}");
            assert!(!has_key || keys.is_empty() || keys[0] != keys[1], "{name}");
            let delivery = signer.delivery(r#"{"type":"ping"}"#);
            assert!(delivery.is_ok(), "{name}: {delivery:?}");
            presets += 1;
        }
        let all =
            cfg!(all(feature = "ecdsa", feature = "ed25519", feature = "jwt", feature = "rsa"));
        assert!(!all || presets == Scheme::presets().count(), "{presets}");
    }
}
