//! Rows on bodies, headers, paths and methods of requests.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use webhook_verify::testing::SignedRequest;

use super::{
    Session, Verdict,
    exchange::{Outcome, Response, bare},
    sender::{Place, padded},
};
use crate::Failure;

/// The length by which the body with a changed end is longer than others, in bytes.
const PADDING: usize = 64 * 1024;
/// Lengths of huge IDs, of which the first that the scheme allows is sent. Twice as many bytes are
/// the most that servers take in a header.
const HUGE: [usize; 3] = [4_000, 1_000, 250];

impl Session {
    pub(super) async fn changed_body(&mut self) -> Result<Verdict, Failure> {
        let signed = self.sender.locate(&self.sender.draft()?)?;
        let body = &signed.request.body;
        let is_signature = |at: &usize| signed.place == Place::Body && signed.range.contains(at);
        let positions = || (0..body.len()).rev().filter(|at| !is_signature(at));
        // A changed digit leaves JSON and forms what they are.
        let digits = positions().filter(|at| body[*at].is_ascii_digit());
        let letters = positions().filter(|at| body[*at].is_ascii_alphabetic());
        let changed = digits.chain(letters).map(|at| {
            let mut changed = body.to_vec();
            changed[at] = match changed[at] {
                b'1' => b'2',
                b'2'..=b'9' => changed[at] - 1,
                b'x' => b'y',
                b'0' => b'3',
                _ => b'x',
            };
            with_body(&signed.request, changed)
        });
        let changed = changed.take(1_000).find(|request| !self.sender.accepts(request));
        Ok(match changed {
            Some(request) => self.refuses("changed body", [request]).await,
            None => Verdict::NotApplicable("the signature does not cover the body".into()),
        })
    }

    pub(super) async fn changed_end(&mut self) -> Result<Verdict, Failure> {
        let mut draft = self.sender.draft()?;
        draft.body = padded(&draft.body, PADDING);
        let Ok(signed) = self.sender.sign(&draft) else {
            return Ok(Verdict::NotApplicable("the sender has no such body".into()));
        };
        // The last byte of the padding, and the last byte of all.
        let padding = signed.body.iter().rposition(|byte| *byte == b'x');
        let places = [padding, signed.body.len().checked_sub(1)];
        let requests = places.into_iter().flatten().map(|at| {
            let mut changed = signed.body.to_vec();
            changed[at] = b'y';
            with_body(&signed, changed)
        });
        let requests: Vec<_> = requests.collect();
        Ok(self.refuses("changed end", requests).await)
    }

    pub(super) async fn exact_bytes(&mut self) -> Result<Verdict, Failure> {
        let draft = self.sender.draft()?;
        let signed = self.sender.sign(&draft)?;
        let Ok(json @ Value::Object(_)) = serde_json::from_slice(&signed.body) else {
            return Ok(Verdict::NotApplicable("the body is not a JSON object".into()));
        };
        let pretty = Bytes::from(format!("{json:#}"));
        let rewritten = with_body(&signed, pretty.clone());
        let mut other = self.sender.draft()?;
        if let Ok(json) = serde_json::from_slice::<Value>(&other.body) {
            other.body = format!("{json:#}\n").into();
        }
        let other_signed = self.sender.sign(&other)?;
        if other_signed.body != other.body {
            return Ok(Verdict::NotApplicable("the sender writes the body in its own way".into()));
        }
        let taken = self.takes(&other_signed).await;
        if !matches!(taken, Verdict::Pass(_)) {
            return Ok(taken);
        }
        Ok(match self.refuses("rewritten body", [rewritten]).await {
            Verdict::Pass(refused) => {
                Verdict::Pass(format!("signed with spaces {}, rewritten {refused}", taken.seen()))
            }
            other => other,
        })
    }

    pub(super) async fn header_case(&mut self) -> Result<Verdict, Failure> {
        let mut request = self.sender.sign(&self.sender.draft()?)?;
        if request.headers.is_empty() {
            return Ok(Verdict::NotApplicable("the scheme has no header".into()));
        }
        for (name, _) in &mut request.headers {
            name.make_ascii_uppercase();
        }
        Ok(self.takes(&request).await)
    }

    pub(super) async fn content_type(&mut self) -> Result<Verdict, Failure> {
        const TYPES: [&str; 6] = [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=probe",
            "application/json; charset=utf-16",
            "application/octet-stream",
            "@@@",
        ];
        let forged = self.sender.forge(&self.sender.draft()?)?;
        let requests = TYPES.map(|value| with_header(&forged, "content-type", value));
        let verdict = self.refuses("other content type", requests).await;
        // The handler may refuse the type, but has to know what to do.
        let signed = self.sender.sign(&self.sender.draft()?)?;
        let signed = with_header(&signed, "content-type", "text/plain");
        if self.sender.accepts(&signed) {
            self.send_bad("signed text/plain", &signed).await;
        }
        Ok(verdict)
    }

    pub(super) async fn path(&mut self) -> Result<Verdict, Failure> {
        let forged = self.sender.forge(&self.sender.draft()?)?;
        let path = self.target.path().to_owned();
        let at = |path: &str| {
            let query = forged.target.split_once('?').map(|(_, query)| format!("?{query}"));
            let mut request = forged.clone();
            request.target = format!("{path}{}", query.unwrap_or_default());
            request
        };
        let elsewhere = self.send_bad("unknown path", &at("/webhook-verify-probe")).await;
        if elsewhere.is_accepted() {
            let reason = "the server accepts requests to any path";
            return Ok(Verdict::NotApplicable(reason.into()));
        }
        let mut variants = vec![format!("/{path}"), format!("{path}/"), format!("/.{path}")];
        let swapped = swap_case(&path);
        let escaped = path.char_indices().find(|(_, char)| char.is_ascii_alphabetic());
        let escaped = escaped.map(|(at, char)| {
            format!("{}%{:02x}{}", &path[..at], u32::from(char), &path[at + 1..])
        });
        variants.extend(escaped);
        variants.extend((swapped != path).then_some(swapped));
        let requests: Vec<_> = variants.iter().map(|path| at(path)).collect();
        Ok(self.refuses("other path", requests).await)
    }

    pub(super) async fn methods(&mut self) -> Result<Verdict, Failure> {
        let forged = self.sender.forge(&self.sender.draft()?)?;
        let handshakes = self.sender.scheme.describe().handshakes;
        let mut seen = Vec::new();
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"] {
            let is_handshake = |name: &String| *name == format!("{}-probe", method.to_lowercase());
            if handshakes.iter().any(is_handshake) {
                continue;
            }
            let empty = bare(&forged, method, &self.target.target);
            let mut full = forged.clone();
            method.clone_into(&mut full.method);
            let empty = self.send_bad(method, &empty).await;
            let full = self.send_bad(method, &full).await;
            seen.push(format!("{method} {empty}"));
            // A success may be a page, unless it is the response to a delivery.
            let is_handler = |got: &Response| {
                let fresh = self.fresh.as_ref();
                fresh.is_some_and(|fresh| got.status == fresh.status && got.body == fresh.body)
            };
            let runs =
                method == "GET" && empty.is_accepted() && empty.response().is_some_and(is_handler);
            let runs_forged = method != "OPTIONS" && full.is_accepted() && !empty.is_accepted();
            if runs || runs_forged {
                return Ok(Verdict::Fail(format!("accepted unverified: {method} {full}")));
            }
        }
        Ok(Verdict::Pass(seen.join(", ")))
    }

    pub(super) async fn compressed(&mut self) -> Result<Verdict, Failure> {
        if self.sender.scheme.signed_bytes().is_some() {
            return Ok(Verdict::NotApplicable("the sender compresses bodies".into()));
        }
        let signed = self.sender.sign(&self.sender.draft()?)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&signed.body)?;
        let mut request = with_header(&signed, "content-encoding", "gzip");
        let content_type = signed.missing_content_type();
        request.body = encoder.finish()?.into();
        if let Some(content_type) = content_type {
            request = with_header(&request, "content-type", content_type);
        }
        Ok(self.refuses("compressed body", [request]).await)
    }

    pub(super) async fn huge_id(&mut self) -> Result<Verdict, Failure> {
        let of_length = |length| {
            let huge = "x".repeat(length);
            let request = self.sender.sign(&self.sender.draft_with(&huge).ok()?).ok()?;
            Some((huge, request))
        };
        let Some((huge, request)) = HUGE.into_iter().find_map(of_length) else {
            return Ok(Verdict::NotApplicable("the scheme allows no huge ID".into()));
        };
        let in_header = request.headers.iter().any(|(_, value)| value.contains(&huge));
        let in_body = String::from_utf8_lossy(&request.body).contains(&huge);
        if !in_header && !in_body {
            return Ok(Verdict::NotApplicable("the delivery has no ID".into()));
        }
        let outcome = self.send(&request).await;
        Ok(match &outcome {
            Outcome::Response(response) if response.status < 500 => {
                Verdict::Pass(format!("{outcome} for {} characters", huge.len()))
            }
            Outcome::Response(_) => Verdict::Fail(format!("server error: {outcome}")),
            _ => Verdict::Fail(outcome.to_string()),
        })
    }
}

fn with_body(request: &SignedRequest, body: impl Into<Bytes>) -> SignedRequest {
    let mut request = request.clone();
    request.body = body.into();
    request
}

/// Returns the request with this header in place of another one of the name.
pub(super) fn with_header(request: &SignedRequest, name: &str, value: &str) -> SignedRequest {
    let mut request = request.clone();
    request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

fn swap_case(text: &str) -> String {
    let swap = |char: char| match char.is_ascii_lowercase() {
        true => char.to_ascii_uppercase(),
        false => char.to_ascii_lowercase(),
    };
    text.chars().map(swap).collect()
}
