use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use webhook_verify::{ConfigError, Scheme, testing::Signer};

use crate::Setup;

/// A `curl` line that sends one valid delivery to `addr`.
pub(crate) fn line(setup: &Setup, addr: SocketAddr) -> Result<String, ConfigError> {
    let scheme = setup.receiver.verifier().scheme();
    // A new event at each start: the store may remember those of the last.
    let number = getrandom::u32().unwrap_or(1);
    let mut signer = Signer::new(scheme.clone(), &setup.secrets[0])?
        .id(format!("evt_example_{number}"))
        .event_type("example");
    if let Some(now) = setup.flags.now {
        signer = signer.at(Duration::from_secs(now));
    }
    if let Some(url) = &setup.flags.public_url {
        signer = signer.public_url(url);
    }
    for (name, value) in &setup.flags.parameter {
        signer = signer.parameter(name, value);
    }
    let signed = signer.sign(body(scheme, number))?;
    let mut line = format!(
        "curl -i {}",
        quote(&format!("http://{addr}{}", signed.target))
    );
    for (name, value) in &signed.headers {
        line += &format!(" -H {}", quote(&format!("{name}: {value}")));
    }
    if !signed
        .headers
        .iter()
        .any(|(name, _)| name == "content-type")
    {
        line += " -H 'content-type: application/json'";
    }
    Ok(line + " --data-binary " + &quote(&String::from_utf8_lossy(&signed.body)))
}

/// A body such as the sender's.
fn body(scheme: &Scheme, number: u32) -> String {
    if let Some(pointer) = scheme.event_list_pointer() {
        let list = json!([{"id": format!("evt_example_{number}"), "type": "example.created"}]);
        let keys = pointer.rsplit('/').filter(|key| !key.is_empty());
        return keys
            .fold(list, |below, key| json!({ key: below }))
            .to_string();
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
            // [{"event":"send","_id":"…","ts":…}]
            "mandrill_events=%5B%7B%22event%22%3A%22example%22%2C%22_id%22%3A%22NUMBER%22%7D%5D"
        }
        "twilio" => "From=%2B15551234567&Body=example+NUMBER",
        "fluentcrm-documented" => r#"{"event":"contact.created","data":{"contact":{"id":NUMBER}}}"#,
        _ => r#"{"id":"evt_example_NUMBER","type":"example.created","data":{"id":1}}"#,
    };
    body.replace("NUMBER", &number.to_string())
}

/// Quotes for a POSIX shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
