//! Receives one request: verifies it, passes it on, and reports the result.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::RETRY_AFTER, request::Parts};
use http_body_util::Full;
use serde::Serialize;
use webhook_verify::{
    Delivery, Rejection, RequestHead,
    adapter::{Admission, Answer},
    idempotency::ClaimKey,
};

use super::{
    arrived::{Arrived, Budget, Source, Tee, copied},
    explanation::{Notes, explain, with_notes},
    forward::{Forward, Forwarded},
    history::{First, History},
    lines::Lines,
    record::Recorder,
    sender::Sender,
};

/// The memory for bodies that are received at a time, in bytes, if no single one needs more.
const BUDGET: usize = 128 << 20;
/// The longest body of a refused request that is kept, in bytes, unless it is recorded.
const MAX_UNKNOWN: usize = 64 * 1024;
/// How long the rest of a refused body is read.
const REST: Duration = Duration::from_secs(10);
/// The maximum number of a delivery's events that are kept.
const MAX_EVENTS: usize = 100;

/// Receives the requests of all senders.
pub(super) struct Listener {
    pub(super) senders: Vec<Sender>,
    pub(super) forward: Option<Forward>,
    pub(super) recorder: Option<Recorder>,
    pub(super) history: History,
    pub(super) lines: Lines,
    /// The memory for bodies of all connections.
    pub(super) budget: Budget,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    /// It is authentic, and was accepted.
    Delivered,
    /// It is authentic, but the server that it was passed on to failed.
    Failed,
    Refused,
    Duplicate,
    Handshake,
}

/// A request, and what became of it.
pub(super) struct Delivered {
    /// The time since the Unix epoch.
    pub(super) at: Duration,
    pub(super) took: Duration,
    /// The index of its sender.
    pub(super) sender: Option<usize>,
    pub(super) arrived: Arrived,
    pub(super) class: Class,
    pub(super) status: u16,
    /// The code of the refusal, and its explanation.
    pub(super) refusal: Option<(&'static str, String)>,
    pub(super) facts: Option<Facts>,
    pub(super) attempt: Option<u64>,
    /// The idempotency key, if the delivery is completed.
    pub(super) key: Option<ClaimKey>,
    pub(super) duplicate_of: Option<First>,
    pub(super) forwarded: Option<Forwarded>,
    /// The number of the delivery that was sent again.
    pub(super) replay_of: Option<u64>,
}

/// Facts about a verified delivery.
pub(super) struct Facts {
    pub(super) event_type: Option<String>,
    pub(super) id: Option<String>,
    /// The type and ID of its events.
    pub(super) events: Vec<(Option<String>, Option<String>)>,
    pub(super) events_total: usize,
}

/// The verdict on a request.
struct Verdict {
    class: Class,
    response: Response<Full<Bytes>>,
    rejection: Option<Rejection>,
    facts: Option<Facts>,
    attempt: Option<u64>,
    key: Option<ClaimKey>,
    forwarded: Option<Forwarded>,
}

impl Listener {
    /// Returns the budget for the bodies of some senders. At least two of any size fit.
    pub(super) fn budget(senders: &[Sender]) -> Budget {
        let longest = senders.iter().map(|sender| sender.receiver.body_limit()).max();
        Budget::new(BUDGET.max(longest.unwrap_or_default().saturating_mul(2)))
    }

    /// Receives a request, and returns the response to it.
    pub(super) async fn receive(
        &self,
        request: Request<Source>,
        replay_of: Option<u64>,
    ) -> Response<Full<Bytes>> {
        let (started, at) = (Instant::now(), SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
        let (parts, body) = request.into_parts();
        let index = self
            .senders
            .iter()
            .position(|sender| sender.path.as_deref().is_none_or(|path| path == parts.uri.path()));
        let limit = index.map_or(MAX_UNKNOWN, |at| self.senders[at].receiver.body_limit());
        let mut tee = Tee::new(body, limit, self.budget.clone());
        let is_loop = self.forward.as_ref().is_some_and(|it| it.has_sent(&parts.headers));
        let (verdict, mut notes) = match index.map(|at| &self.senders[at]) {
            _ if is_loop => (looped(), Notes::default()),
            Some(sender) => with_notes(self.judge(sender, &parts, &mut tee)).await,
            None => (unknown(), Notes::default()),
        };
        let is_busy = tee.is_refused();
        let verdict = if is_busy { busy() } else { verdict };
        if verdict.class == Class::Refused && self.recorder.is_none() {
            tee.cut(MAX_UNKNOWN);
        }
        tee.read_rest(REST).await;
        let Verdict { class, response, rejection, facts, attempt, key, forwarded } = verdict;
        let refusal = match &rejection {
            Some(rejection) => Some((rejection.reason(), explain(rejection, &mut notes))),
            None if is_busy => {
                let why = "the bodies that arrive at the same time are too large in total";
                Some(("busy", why.to_owned()))
            }
            None if is_loop => {
                let why = "this program itself passed the request on: --forward leads back to it";
                Some(("forward_loop", why.to_owned()))
            }
            None if index.is_none() => Some(("no_sender", self.paths())),
            None => None,
        };
        let delivered = Arc::new(Delivered {
            at,
            took: started.elapsed(),
            sender: index,
            arrived: arrived(&parts, &mut tee),
            class,
            status: response.status().as_u16(),
            refusal,
            facts,
            attempt,
            key,
            duplicate_of: notes.duplicate.and_then(|key| self.history.first(&key)),
            forwarded,
            replay_of,
        });
        let number = self.history.add(&delivered, &self.senders);
        let recorded = match &self.recorder {
            Some(recorder) => recorder.record(number, &delivered, &self.senders).await,
            None => None,
        };
        self.lines.print(self, number, &delivered, recorded.as_deref()).await;
        response
    }

    async fn judge(&self, sender: &Sender, parts: &Parts, tee: &mut Tee) -> Verdict {
        let received = match sender.receiver.receive(&RequestHead::from(parts), &mut *tee).await {
            Ok(received) => received,
            Err(rejection) => return refused(rejection),
        };
        let facts = received.delivery().map(Facts::of);
        let admitted = match received.admit().await {
            Ok(Admission::Admitted(admitted)) => admitted,
            Ok(Admission::Answer(answer)) => {
                let Some(facts) = facts else {
                    return Verdict::new(Class::Handshake, response_of(&answer));
                };
                // The server has to deal with duplicates itself, as it has to without this program.
                let forwarded = self.pass_on(parts, tee).await;
                let response = match &forwarded {
                    Some(forwarded) => forwarded.response(),
                    None => response_of(&answer),
                };
                let verdict = Verdict::new(Class::Duplicate, response);
                return Verdict { facts: Some(facts), forwarded, ..verdict };
            }
            Err(rejection) => return Verdict { facts, ..refused(rejection) },
        };
        let claim = admitted.delivery().claim().cloned();
        let attempt = claim.as_ref().map(|claim| claim.fencing_token());
        let handler = self.pass_on(parts, tee);
        let status_of = |forwarded: &Option<Forwarded>| {
            Some(forwarded.as_ref().map_or(204, |it| it.status().as_u16()))
        };
        let forwarded = match admitted.handle(handler, status_of).await {
            Ok(forwarded) => forwarded,
            Err(rejection) => return Verdict { facts, attempt, ..refused(rejection) },
        };
        let response = match &forwarded {
            Some(forwarded) => forwarded.response(),
            None => empty(StatusCode::NO_CONTENT),
        };
        let is_done = response.status().is_success();
        let class = if is_done { Class::Delivered } else { Class::Failed };
        let key = claim.filter(|_| is_done).map(|claim| claim.key());
        Verdict { facts, attempt, key, forwarded, ..Verdict::new(class, response) }
    }

    /// Passes a verified request on, if there is a server for it.
    async fn pass_on(&self, parts: &Parts, tee: &mut Tee) -> Option<Forwarded> {
        let forward = self.forward.as_ref()?;
        Some(forward.send(&arrived(parts, tee)).await)
    }

    /// Returns an explanation that names the senders' paths.
    fn paths(&self) -> String {
        let paths = self.senders.iter().filter_map(|sender| sender.path.as_deref());
        format!("no sender has this path: use {}", paths.collect::<Vec<_>>().join(", "))
    }
}

impl Verdict {
    fn new(class: Class, response: Response<Full<Bytes>>) -> Self {
        Self {
            class,
            response,
            rejection: None,
            facts: None,
            attempt: None,
            key: None,
            forwarded: None,
        }
    }
}

impl Facts {
    fn of(delivery: &Delivery) -> Self {
        let batch = delivery.batch().ok();
        let events = batch.iter().flat_map(|batch| batch.iter());
        let label = |event: &webhook_verify::Event| {
            (event.event_type().as_deref().map(cut), event.id().as_deref().map(cut))
        };
        Self {
            event_type: delivery.event_type().as_deref().map(cut),
            id: delivery.id().as_deref().map(cut),
            events: events.take(MAX_EVENTS).map(label).collect(),
            events_total: batch.as_ref().map_or(0, |batch| batch.len()),
        }
    }

    /// Returns the event type, or those of a batch.
    pub(super) fn title(&self) -> String {
        if let Some(event_type) = &self.event_type
            && self.events_total <= 1
        {
            return event_type.clone();
        }
        let mut types: Vec<_> =
            self.events.iter().filter_map(|(kind, _)| kind.as_deref()).collect();
        types.dedup();
        let others = types.len().saturating_sub(3);
        let named = types.into_iter().take(3).collect::<Vec<_>>().join(", ");
        let named = match (named.is_empty(), others) {
            (true, _) => "delivery".to_owned(),
            (false, 0) => named,
            (false, _) => format!("{named} …"),
        };
        match self.events_total {
            0 | 1 => named,
            total => format!("{named} ({total} events)"),
        }
    }
}

/// Truncates a text that a sender chose.
fn cut(text: &str) -> String {
    const MAX: usize = 200;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn arrived(parts: &Parts, tee: &mut Tee) -> Arrived {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Arrived {
        method: parts.method.to_string(),
        target: target.to_owned(),
        headers: copied(&parts.headers),
        is_complete: tee.is_complete(),
        body: tee.body(),
    }
}

fn refused(rejection: Rejection) -> Verdict {
    let response = response_of(&rejection.answer());
    Verdict { rejection: Some(rejection), ..Verdict::new(Class::Refused, response) }
}

fn unknown() -> Verdict {
    Verdict::new(Class::Refused, empty(StatusCode::NOT_FOUND))
}

fn busy() -> Verdict {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Verdict::new(Class::Refused, response)
}

fn looped() -> Verdict {
    Verdict::new(Class::Refused, empty(StatusCode::LOOP_DETECTED))
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn response_of(answer: &Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let response = response.body(Full::new(answer.body().clone()));
    response.unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}
