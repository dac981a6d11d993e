//! A receiver by hand, without the library. It is right, or has one fault.

use std::{
    collections::HashMap,
    io::Read as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::time::{sleep, timeout};

pub(crate) const SECRET: &str = "a secret of the probe's tests";
/// The body limit.
pub(crate) const LIMIT: usize = 256 * 1024;
/// The time limit for a body.
const BODY_TIME: Duration = Duration::from_secs(2);

/// A receiver's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Verifies nothing.
    NoVerification,
    /// A second secret is not configured, and hence empty.
    EmptySecret,
    /// The signature may be a prefix of the right one.
    Prefix,
    /// Ignores what follows the signature's length.
    ExtraBytes,
    /// Verifies only requests with a signature.
    UnsignedAllowed,
    /// Takes an empty signature for none, and verifies nothing then.
    EmptyAllowed,
    /// Does not verify big bodies.
    BigBodies,
    /// Verifies the parsed JSON, written anew.
    ParsedJson,
    /// The same, with spaces.
    SpacedJson,
    NoWindow,
    /// Checks only that a timestamp is not too old.
    PastOnly,
    /// Reads the first of several headers.
    FirstHeader,
    /// Reads the first of several signatures in a header.
    FirstSignature,
    /// Verifies only requests with a JSON content type.
    JsonOnly,
    /// The router ignores the case of a path, but the check of signatures does not.
    PathCase,
    /// `GET` runs the handler, unverified.
    GetRuns,
    /// The other methods run the handler, unverified.
    PutRuns,
    /// Decompresses bodies before it verifies.
    Decompresses,
    /// An ID does not fit the database.
    ShortIds,
    /// Duplicates are an error.
    Conflict,
    /// Records the ID before it verifies.
    RecordsForged,
    /// Records a delivery as done before the handler ran.
    RecordsFirst,
    NoLimit,
    /// The limit is for declared lengths only.
    DeclaredLimit,
    NoBodyTime,
    /// Compares byte by byte, slowly.
    SlowComparison,
    /// The response says which check failed.
    Reveals,
    /// A status of its own for one check.
    RevealsByStatus,
    /// Fails on a signature that is not hex.
    Crashes,
    /// Fails after it has cut a body off.
    Poisoned,
    /// Refuses everything after five requests.
    LimitsRate,
    /// Knows no handshake.
    NoHandshake,
    /// Responds to handshakes without verifying them.
    ForgedHandshake,
}

/// A receiver of Stripe's or Slack's webhooks.
pub(crate) struct Receiver {
    pub(crate) fault: Fault,
    pub(crate) slack: bool,
    pub(crate) refusal: StatusCode,
    /// The deliveries that are known, with whether they are done.
    known: Mutex<HashMap<String, bool>>,
    poisoned: AtomicBool,
    requests: AtomicUsize,
}

/// Why a request is refused.
type Reason = &'static str;

impl Receiver {
    pub(crate) fn new(fault: Fault, slack: bool, refusal: StatusCode) -> Self {
        Self {
            fault,
            slack,
            refusal,
            known: Mutex::default(),
            poisoned: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
        }
    }

    /// Serves on a free port. Returns the URL.
    pub(crate) async fn serve(self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = self.router();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        url
    }

    pub(crate) fn router(self) -> Router {
        Router::new().fallback(receive).with_state(Arc::new(self))
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn refuse(&self, reason: Reason) -> Response {
        match self.fault {
            Fault::Reveals => (self.refusal, reason).into_response(),
            Fault::RevealsByStatus if reason == "stale" => {
                (StatusCode::FORBIDDEN, "invalid").into_response()
            }
            _ => (self.refusal, "invalid").into_response(),
        }
    }

    async fn read(&self, body: Body) -> Result<Vec<u8>, StatusCode> {
        let limit = match self.fault {
            Fault::NoLimit | Fault::DeclaredLimit => usize::MAX,
            _ => LIMIT,
        };
        let time = if self.has(Fault::NoBodyTime) { Duration::MAX } else { BODY_TIME };
        match timeout(time, to_bytes(body, limit)).await {
            Ok(Ok(body)) => Ok(body.to_vec()),
            Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => {
                self.poisoned.store(self.has(Fault::Poisoned), Ordering::SeqCst);
                Err(StatusCode::REQUEST_TIMEOUT)
            }
        }
    }

    async fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Reason> {
        let is_json = headers.get("content-type").is_some_and(|it| it == "application/json");
        let skips = self.has(Fault::NoVerification)
            || self.has(Fault::BigBodies) && body.len() > 16 * 1024
            || self.has(Fault::JsonOnly) && !is_json;
        if skips {
            return Ok(());
        }
        let name = if self.slack { "x-slack-signature" } else { "stripe-signature" };
        let values: Vec<_> = headers.get_all(name).iter().collect();
        let header = match &values[..] {
            [one] => one.to_str().unwrap(),
            [one, ..] if self.has(Fault::FirstHeader) => one.to_str().unwrap(),
            [] if self.has(Fault::UnsignedAllowed) => return Ok(()),
            [] if self.has(Fault::Prefix) => "",
            [] => return Err("no signature"),
            _ => return Err("two signatures"),
        };
        let (time, given) = self.parse(headers, header);
        let is_empty = given.iter().all(|signature| signature.is_empty());
        if is_empty && (self.has(Fault::EmptyAllowed) || self.has(Fault::Prefix)) {
            return Ok(());
        }
        let rebuilt = match serde_json::from_slice::<Value>(body) {
            Ok(json) if self.has(Fault::ParsedJson) => json.to_string().into_bytes(),
            // The bodies of the tests have no such characters in texts.
            Ok(json) if self.has(Fault::SpacedJson) => {
                json.to_string().replace(':', ": ").replace(',', ", ").into_bytes()
            }
            _ => body.to_vec(),
        };
        let mut is_right = false;
        for signature in given.iter().take(if self.has(Fault::FirstSignature) { 1 } else { 20 }) {
            is_right |= self.matches(signature, time, &rebuilt).await;
        }
        if !is_right {
            return Err("wrong signature");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let time: u64 = time.parse().map_err(|_| "no timestamp")?;
        let is_stale = now.saturating_sub(time) > 300;
        let is_early = time.saturating_sub(now) > 300;
        match self.fault {
            Fault::NoWindow => Ok(()),
            Fault::PastOnly if is_early => Ok(()),
            _ if is_stale || is_early => Err("stale"),
            _ => Ok(()),
        }
    }

    /// Returns the timestamp and the signatures.
    fn parse<'h>(&self, headers: &'h HeaderMap, header: &'h str) -> (&'h str, Vec<&'h str>) {
        if self.slack {
            let time = headers.get("x-slack-request-timestamp");
            let time = time.map_or("", |it| it.to_str().unwrap());
            return (time, vec![header.strip_prefix("v0=").unwrap_or("")]);
        }
        let pairs: Vec<_> = header.split(',').filter_map(|pair| pair.split_once('=')).collect();
        let all = |key| pairs.iter().filter(move |(name, _)| *name == key).map(|(_, value)| *value);
        (all("t").next().unwrap_or(""), all("v1").collect())
    }

    async fn matches(&self, given: &str, time: &str, body: &[u8]) -> bool {
        let right = self.mac(SECRET, time, body);
        let given = match self.fault {
            Fault::ExtraBytes => &given[..given.len().min(right.len())],
            Fault::EmptySecret if given == self.mac("", time, body) => return true,
            Fault::Prefix => return right.starts_with(given),
            Fault::SlowComparison => {
                for (one, two) in right.bytes().zip(given.bytes()) {
                    if one != two {
                        return false;
                    }
                    sleep(Duration::from_millis(5)).await;
                }
                given
            }
            Fault::Crashes if hex::decode(given).is_err() => panic!("not hex"),
            _ => given,
        };
        given == right
    }

    fn mac(&self, secret: &str, time: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        let start = if self.slack { format!("v0:{time}:") } else { format!("{time}.") };
        mac.update(start.as_bytes());
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    /// Handles a verified delivery.
    fn handle(&self, body: &[u8]) -> Response {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.slack && json["type"] == "url_verification" && !self.has(Fault::NoHandshake) {
            let challenge = json["challenge"].as_str().unwrap_or_default().to_owned();
            return ([("content-type", "text/plain")], challenge).into_response();
        }
        let Some(id) = json["id"].as_str().or(json["event_id"].as_str()) else {
            return (StatusCode::OK, "ok").into_response();
        };
        if self.has(Fault::ShortIds) && id.len() > 255 {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let mut known = self.known.lock().unwrap();
        if known.contains_key(id) {
            return match self.fault {
                Fault::Conflict => StatusCode::CONFLICT.into_response(),
                _ => (StatusCode::OK, "duplicate").into_response(),
            };
        }
        let fails = json["type"] == "failing";
        if !fails || self.has(Fault::RecordsFirst) {
            known.insert(id.to_owned(), true);
        }
        match fails {
            true => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            false => (StatusCode::OK, "ok").into_response(),
        }
    }
}

async fn receive(State(app): State<Arc<Receiver>>, request: Request) -> Response {
    // A panic closes the connection. Servers usually turn it into 500.
    let panics = tokio::spawn(respond(app, request)).await;
    panics.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn respond(app: Arc<Receiver>, request: Request) -> Response {
    if app.requests.fetch_add(1, Ordering::SeqCst) >= 5 && app.has(Fault::LimitsRate) {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let unchecked =
        path != "/hook" && app.has(Fault::PathCase) && path.eq_ignore_ascii_case("/hook");
    if path != "/hook" && !unchecked {
        return StatusCode::NOT_FOUND.into_response();
    }
    match head.method {
        Method::POST => {}
        Method::GET if app.has(Fault::GetRuns) => return (StatusCode::OK, "ok").into_response(),
        Method::PUT if app.has(Fault::PutRuns) => {
            return match app.read(body).await {
                Ok(body) if !body.is_empty() => (StatusCode::OK, "ok").into_response(),
                _ => StatusCode::BAD_REQUEST.into_response(),
            };
        }
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    let length = head.headers.get("content-length").map(|it| it.to_str().unwrap().parse().unwrap());
    if length.is_some_and(|length: usize| length > LIMIT) && !app.has(Fault::NoLimit) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let mut body = match app.read(body).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    if head.headers.contains_key("content-encoding") {
        if !app.has(Fault::Decompresses) {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
        }
        let mut decoded = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut decoded).unwrap();
        body = decoded;
    }
    if app.has(Fault::RecordsForged)
        && let Ok(json) = serde_json::from_slice::<Value>(&body)
        && app.verify(&head.headers, &body).await.is_err()
        && let Some(id) = json["id"].as_str()
    {
        app.known.lock().unwrap().insert(id.to_owned(), false);
    }
    let verified = app.verify(&head.headers, &body).await;
    let is_handshake =
        serde_json::from_slice::<Value>(&body).is_ok_and(|json| json["type"] == "url_verification");
    if let Err(reason) = verified
        && !unchecked
        && !(is_handshake && app.has(Fault::ForgedHandshake))
    {
        return app.refuse(reason);
    }
    if app.poisoned.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    app.handle(&body)
}
