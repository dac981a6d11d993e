//! The row on verification handshakes.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Map, Value, json};
use webhook_verify::{Receiver, RequestHead, adapter::Admission, testing::SignedRequest};

use super::{
    Session, Verdict,
    content::with_header,
    exchange::{Response, bare},
};
use crate::Failure;

/// The token that the receiver echoes or signs.
const TOKEN: &str = "probe-1f0c9a";
/// A token that a browser would take for markup.
const MARKUP: &str = "%3Cscript%3Eprobe%3C%2Fscript%3E";

/// A handshake as the sender makes it.
enum Handshake {
    /// In the query of a request with this method.
    Query(&'static str, String),
    Header(&'static str, &'static str),
    /// An unsigned form or JSON body.
    Body(&'static str, String),
    /// A signed body, and a header.
    Signed(Value, Option<(&'static str, &'static str)>),
    Empty(&'static str),
}

impl Session {
    pub(super) async fn challenges(&mut self) -> Result<Verdict, Failure> {
        let names = self.sender.scheme.describe().handshakes;
        let mut seen = Vec::new();
        for name in &names {
            let Some(handshake) = self.handshake(name) else { continue };
            let Some(request) = self.request(&handshake)? else { continue };
            let Some(expected) = self.expected(&request).await? else { continue };
            let outcome = self.send(&request).await;
            let is_right = |got: &Response| {
                // Slack also takes the challenge as plain text.
                let is_text = name == "slack" && got.body.trim_ascii() == TOKEN.as_bytes();
                got.is_success() && (is_text || has_all(&got.body, &expected))
            };
            if !outcome.response().is_some_and(is_right) {
                let part = if outcome.is_accepted() { ", without the right body" } else { "" };
                return Ok(Verdict::Fail(format!("{name}: {outcome}{part}")));
            }
            if let Some(reason) = self.misuse(&handshake).await? {
                return Ok(Verdict::Fail(format!("{name}: {reason}")));
            }
            seen.push(format!("{name} {outcome}"));
        }
        Ok(match (names.is_empty(), seen.is_empty()) {
            (true, _) => Verdict::NotApplicable("the sender has none".into()),
            (false, true) => Verdict::NotApplicable(
                "not tested, because a parameter is missing or the handshake sets the secret"
                    .into(),
            ),
            (false, false) => Verdict::Pass(seen.join(", ")),
        })
    }

    /// Returns the request of a handshake. There is none if a parameter is missing, if the
    /// handshake would replace the receiver's secret, or if the sender rarely makes it (Slack's
    /// `ssl_check`).
    fn handshake(&self, name: &str) -> Option<Handshake> {
        let form =
            |text: &str| Handshake::Body("application/x-www-form-urlencoded", text.to_owned());
        let query = |method, name: &str| Handshake::Query(method, format!("{name}={TOKEN}"));
        Some(match name {
            "slack" => Handshake::Signed(
                json!({ "challenge": TOKEN, "token": "probe", "type": "url_verification" }),
                None,
            ),
            "zoom" => Handshake::Signed(
                json!({ "event": "endpoint.url_validation", "payload": { "plainToken": TOKEN } }),
                None,
            ),
            "twitch" => Handshake::Signed(
                json!({ "challenge": TOKEN }),
                Some(("twitch-eventsub-message-type", "webhook_callback_verification")),
            ),
            "meta" => {
                let token = self.sender.parameter("verify_token")?;
                let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
                let query =
                    format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge={TOKEN}");
                Handshake::Query("GET", query)
            }
            "x" => query("GET", "crc_token"),
            "dropbox" => query("GET", "challenge"),
            "braintree" => query("GET", "bt_challenge"),
            "microsoft-graph" => query("POST", "validationToken"),
            "okta" => Handshake::Header("GET", "x-okta-verification-challenge"),
            "smartsheet" => Handshake::Header("POST", "smartsheet-hook-challenge"),
            "monday" => {
                Handshake::Body("application/json", json!({ "challenge": TOKEN }).to_string())
            }
            "woocommerce" => form("webhook_id=1"),
            "get-probe" => Handshake::Empty("GET"),
            "head-probe" => Handshake::Empty("HEAD"),
            _ => return None,
        })
    }

    fn request(&self, handshake: &Handshake) -> Result<Option<SignedRequest>, Failure> {
        let draft = self.sender.draft()?;
        let base = self.sender.sign(&draft)?;
        let target = &self.target.target;
        Ok(Some(match handshake {
            Handshake::Query(method, query) => {
                let mark = if target.contains('?') { '&' } else { '?' };
                bare(&base, method, &format!("{target}{mark}{query}"))
            }
            Handshake::Header(method, name) => {
                with_header(&bare(&base, method, target), name, TOKEN)
            }
            Handshake::Body(content_type, body) => {
                let mut request =
                    with_header(&bare(&base, "POST", target), "content-type", content_type);
                request.body = Bytes::from(body.clone());
                request
            }
            Handshake::Signed(body, header) => {
                let signed = self.sender.sign(&self.sender.draft_of(&body.to_string())?)?;
                match header {
                    Some((name, value)) => with_header(&signed, name, value),
                    None => signed,
                }
            }
            Handshake::Empty(method) => bare(&base, method, target),
        }))
    }

    /// Returns the body of the right response, or `None` if the scheme has none.
    async fn expected(&self, request: &SignedRequest) -> Result<Option<Bytes>, Failure> {
        let receiver = Receiver::builder(self.sender.verifier.clone()).timer(tokio::time::sleep);
        let Ok(receiver) = receiver.build() else { return Ok(None) };
        let head =
            RequestHead::new(&request.headers).method(&request.method).target(&request.target);
        let body = Full::new(request.body.clone()).into_data_stream();
        Ok(match receiver.admit::<_, Infallible>(&head, body).await {
            Ok(Admission::Answer(answer)) => Some(answer.body().clone()),
            Ok(Admission::Admitted(_)) | Err(_) => None,
        })
    }

    /// Returns what is wrong with the response to a handshake that is not the sender's.
    async fn misuse(&mut self, handshake: &Handshake) -> Result<Option<&'static str>, Failure> {
        match handshake {
            Handshake::Signed(body, header) => {
                let forged = self.sender.forge(&self.sender.draft_of(&body.to_string())?)?;
                let forged = match header {
                    Some((name, value)) => with_header(&forged, name, value),
                    None => forged,
                };
                let outcome = self.send_bad("forged handshake", &forged).await;
                Ok(outcome.is_accepted().then_some("accepted with a wrong signature"))
            }
            Handshake::Query(method, query) => {
                let hostile = Handshake::Query(method, query.replace(TOKEN, MARKUP));
                let Some(request) = self.request(&hostile)? else { return Ok(None) };
                let outcome = self.send_bad("handshake with markup", &request).await;
                let is_page = |response: &Response| {
                    let kind = response.header("content-type").unwrap_or("text/html");
                    let body = String::from_utf8_lossy(&response.body);
                    kind.contains("html") && body.contains("<script>")
                };
                let is_echoed = outcome.response().is_some_and(is_page);
                Ok(is_echoed.then_some("echoes markup as HTML"))
            }
            Handshake::Header(..) | Handshake::Body(..) | Handshake::Empty(_) => Ok(None),
        }
    }
}

/// Returns whether a body has all members of the expected JSON, or is the expected text.
fn has_all(got: &[u8], expected: &[u8]) -> bool {
    let members = |body| serde_json::from_slice::<Map<String, Value>>(body).ok();
    match members(expected) {
        Some(expected) => members(got)
            .is_some_and(|got| expected.iter().all(|(name, value)| got.get(name) == Some(value))),
        None => expected.is_empty() || got.trim_ascii() == expected.trim_ascii(),
    }
}
