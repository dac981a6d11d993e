use std::{net::SocketAddr, time::Duration};

use webhook_verify::{ConfigError, testing::Signer};

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
    let signed = signer.sign(body(scheme.name(), number))?;
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
fn body(scheme: &str, number: u32) -> String {
    let body = match scheme {
        "mautic" => {
            r#"{"mautic.lead_post_delete":[{"id":NUMBER,"contact":{"id":null},"timestamp":"2026-11-22T00:00:00+00:00"}]}"#
        }
        "slack" => {
            r#"{"type":"event_callback","event_id":"Ev0EXAMPLENUMBER","event":{"type":"app_mention"}}"#
        }
        "paystack" => {
            r#"{"event":"charge.success","data":{"id":NUMBER,"reference":"example-NUMBER","amount":1999}}"#
        }
        "twilio" | "mandrill" => "From=%2B15551234567&Body=example+NUMBER",
        "fluentcrm-documented" => r#"{"event":"contact.created","data":{"contact":{"id":NUMBER}}}"#,
        _ => r#"{"id":"evt_example_NUMBER","type":"example.created","data":{"id":1}}"#,
    };
    body.replace("NUMBER", &number.to_string())
}

/// Quotes for a POSIX shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
