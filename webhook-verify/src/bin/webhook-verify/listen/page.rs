//! The page that shows the deliveries.

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{Either, Full};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    arrived::Source,
    fixture::Fixtures,
    guard::{Guard, protect, random},
    hidden::Hidden,
    history::List,
    listener::{Class, Delivered, Facts, Listener},
    places::{Place, Places},
    record::file_name,
    sender::Sender,
};
use crate::{Failure, outgoing::Outgoing};

const PAGE: &str = include_str!("page.html");
/// The maximum number of connections of browsers at a time.
const MAX_CONNECTIONS: usize = 64;
/// The maximum number of rows in a response.
const MAX_ROWS: usize = 500;
/// The longest start of a body that the page shows, in bytes.
const MAX_SHOWN: usize = 256 * 1024;
/// The shortest time between two messages about new deliveries.
const PAUSE: Duration = Duration::from_millis(100);
/// A message after this time finds out whether the browser is gone.
const IDLE: Duration = Duration::from_secs(15);

pub(super) struct Page {
    listener: Arc<Listener>,
    fixtures: Arc<Fixtures>,
    guard: Guard,
    /// The address that senders use.
    listen: SocketAddr,
    /// The first line of the output, as JSON.
    about: Value,
    /// A random text by which a browser notices that the command was restarted.
    run: String,
}

type PageResponse = Response<Either<Full<Bytes>, Messages>>;

impl Page {
    pub(super) fn new(
        listener: Arc<Listener>,
        fixtures: Arc<Fixtures>,
        address: SocketAddr,
        listen: SocketAddr,
        about: Value,
    ) -> Result<Self, Failure> {
        let guard = Guard::new(address)?;
        Ok(Self { listener, fixtures, guard, listen, about, run: random()? })
    }

    pub(super) async fn serve(self, socket: TcpListener) {
        let page = Arc::new(self);
        let places = Places::new(MAX_CONNECTIONS);
        loop {
            let Ok((stream, place)) = places.accept(&socket).await else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (page, place) = (Arc::clone(&page), Arc::new(place));
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let (page, place) = (Arc::clone(&page), Arc::clone(&place));
                    async move { Ok::<_, Infallible>(page.respond_at(&place, request).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                let _ = place.serve(connection, pending::<()>()).await;
            });
        }
    }

    async fn respond_at(&self, place: &Place, request: Request<Incoming>) -> PageResponse {
        place.begin();
        let mut response = self.respond(request).await;
        // Messages have no end, after which the connection would wait.
        if let Either::Left(_) = response.body() {
            place.end(&mut response);
        }
        response
    }

    async fn respond(&self, request: Request<Incoming>) -> PageResponse {
        let (parts, _) = request.into_parts();
        let Ok(nonce) = random() else { return plain(StatusCode::INTERNAL_SERVER_ERROR, "") };
        let mut response = match self.guard.refuses(&parts) {
            Some(reason) => {
                // A stranger's browser must not hold a connection.
                let mut response = plain(StatusCode::FORBIDDEN, reason);
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
            None => self.route(&parts, &nonce).await,
        };
        protect(response.headers_mut(), &nonce);
        response
    }

    async fn route(&self, parts: &Parts, nonce: &str) -> PageResponse {
        let path: Vec<_> = parts.uri.path().split('/').skip(1).collect();
        let query = parts.uri.query().unwrap_or_default();
        let found = match (&parts.method, &path[..]) {
            (&Method::GET, [""]) => Some(self.html(nonce)),
            (&Method::GET, ["about"]) => Some(as_json(&self.about)),
            (&Method::GET, ["messages"]) => Some(self.messages()),
            (&Method::GET, ["rows"]) => self.rows(query),
            (&Method::GET, ["deliveries", number, what]) => self.delivery(number, what),
            (&Method::POST, ["deliveries", number, "replay"]) => {
                self.replay(number, query == "sign").await
            }
            _ => None,
        };
        found.unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "not found, or no longer kept"))
    }

    fn html(&self, nonce: &str) -> PageResponse {
        let html = PAGE.replace("{{nonce}}", nonce).replace("{{token}}", &self.guard.token);
        let html = html.replace("{{run}}", &self.run);
        response(StatusCode::OK, "text/html; charset=utf-8", html)
    }

    fn rows(&self, query: &str) -> Option<PageResponse> {
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let list = List::named(&value("list")?)?;
        let (from, count) = (value("from")?.parse().ok()?, value("count")?.parse().ok()?);
        let (from, rows) = self.listener.history.rows(list, from, MAX_ROWS.min(count));
        Some(as_json(&json!({"from": from, "rows": rows})))
    }

    fn delivery(&self, number: &str, what: &str) -> Option<PageResponse> {
        let number = number.parse().ok()?;
        let (summary, delivered) = self.listener.history.get(number)?;
        if what == "details" {
            let mut details = json!({"summary": summary});
            if let Some(delivered) = delivered {
                self.add_details(&mut details, &delivered);
            }
            return Some(as_json(&details));
        }
        let delivered = delivered?;
        let hidden = self.hidden(&delivered);
        match what {
            "body" => {
                let body = hidden.body(&delivered.arrived.body);
                Some(download(&format!("{number}.body"), body))
            }
            "response" => {
                let response = delivered.forwarded.as_ref()?.result.as_ref().ok()?;
                Some(download(&format!("{number}.response"), hidden.body(&response.body)))
            }
            "fixture" => {
                let sender = self.sender(&delivered)?;
                let row = self.fixtures.row(number, &delivered, &self.listener.senders)?;
                let name = file_name(number, delivered.at, sender.scheme.name());
                Some(download(&name, format!("{row:#}\n").into_bytes()))
            }
            "curl" => {
                let request = Outgoing::of(&delivered.arrived);
                let line = request.curl(&hidden, &format!("http://{}", self.listen))?;
                Some(response(StatusCode::OK, "text/plain; charset=utf-8", line))
            }
            _ => None,
        }
    }

    fn sender(&self, delivered: &Delivered) -> Option<&Sender> {
        delivered.sender.map(|at| &self.listener.senders[at])
    }

    fn hidden(&self, delivered: &Delivered) -> Hidden<'_> {
        Hidden::of(&self.listener.senders, delivered.sender, &delivered.arrived)
    }

    fn add_details(&self, details: &mut Value, delivered: &Delivered) {
        let (sender, arrived) = (self.sender(delivered), &delivered.arrived);
        let hidden = self.hidden(delivered);
        let facts = delivered.facts.as_ref();
        details["target"] = hidden.target(&arrived.target).into();
        details["headers"] = json!(hidden.headers(&arrived.headers));
        // A cut through a secret would show its start.
        let shown = start_of(hidden.body(&arrived.body));
        details["body"] = body_of(&shown, arrived.body.len());
        details["is_complete"] = arrived.is_complete.into();
        details["reason"] = json!(delivered.refusal.as_ref().map(|(code, _)| *code));
        details["explanation"] =
            json!(delivered.refusal.as_ref().map(|(_, text)| hidden.text(text)));
        let text = |text: &Option<String>| text.as_deref().map(|text| hidden.text(text));
        let event = |(kind, id): &_| (text(kind), text(id));
        let events = |facts: &Facts| facts.events.iter().map(event).collect::<Vec<_>>();
        details["id"] = json!(facts.and_then(|facts| text(&facts.id)));
        details["events"] = json!(facts.map(events));
        details["events_total"] = json!(facts.map(|facts| facts.events_total));
        details["can_save"] = sender.is_some().into();
        details["can_sign"] = (facts.is_some() && sender.is_some_and(Sender::can_sign)).into();
        details["has_secret"] = self.fixtures.with_secrets().into();
        if let Some(forwarded) = &delivered.forwarded {
            let ms = (forwarded.took.as_secs_f64() * 1e5).round() / 100.0;
            let url = hidden.text(&forwarded.url);
            details["forward"] = match &forwarded.result {
                Err(error) => {
                    json!({"url": url, "ms": ms, "error": hidden.text(error)})
                }
                Ok(response) => {
                    let body = start_of(hidden.body(&response.body));
                    json!({
                        "url": url,
                        "ms": ms,
                        "status": response.status.as_u16(),
                        "headers": hidden.headers(&response.headers),
                        "body": body_of(&body, response.body.len()),
                    })
                }
            };
        }
    }

    /// Sends a request through the receiver again, as it was or signed with the current time.
    async fn replay(&self, number: &str, sign: bool) -> Option<PageResponse> {
        let number = number.parse().ok()?;
        let (summary, delivered) = self.listener.history.get(number)?;
        let delivered = delivered?;
        let arrived = &delivered.arrived;
        let request = if sign && summary.class != Class::Refused {
            let sender = self.sender(&delivered)?;
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            Outgoing::of(arrived).signed(sender, &sender.secret, now)?.request().ok()?
        } else {
            arrived.request().ok()?
        };
        let request = request.map(|body| Source::Memory(Some(body)));
        let listener = Arc::clone(&self.listener);
        // A browser that goes away does not interrupt the request.
        let replay = tokio::spawn(async move { listener.receive(request, Some(number)).await });
        let status = replay.await.ok()?.status().as_u16();
        Some(as_json(&json!({"status": status})))
    }

    /// Returns messages about new deliveries, until the browser goes away.
    fn messages(&self) -> PageResponse {
        let (sender, messages) = mpsc::channel(1);
        let (listener, run) = (Arc::clone(&self.listener), self.run.clone());
        tokio::spawn(async move {
            let mut changes = listener.history.changes();
            loop {
                changes.mark_unchanged();
                let ranges = List::ALL.map(|(name, list)| {
                    let (begin, end) = listener.history.range(list);
                    (name.to_owned(), json!([begin, end]))
                });
                let lists = Value::Object(ranges.into_iter().collect());
                let message = json!({"run": run, "lists": lists});
                if sender.send(Bytes::from(format!("data: {message}\n\n"))).await.is_err() {
                    return;
                }
                sleep(PAUSE).await;
                while timeout(IDLE, changes.changed()).await.is_err() {
                    if sender.send(Bytes::from_static(b":\n\n")).await.is_err() {
                        return;
                    }
                }
            }
        });
        let mut response = Response::new(Either::Right(Messages(messages)));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

/// Server-sent events.
struct Messages(mpsc::Receiver<Bytes>);

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|message| message.map(|data| Ok(Frame::data(data))))
    }
}

fn start_of(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(MAX_SHOWN);
    body
}

/// Describes the start of a body. A body that is not text is in base64.
fn body_of(shown: &[u8], len: usize) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    // The cut may be within a character.
    let text = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && shown.len() >= MAX_SHOWN => {
            std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    let text = text.filter(|text| !text.contains('\0'));
    match text {
        Some(text) => json!({"text": text, "bytes": len, "is_cut": len > MAX_SHOWN}),
        None => {
            let start = &shown[..shown.len().min(4096)];
            json!({"base64": STANDARD.encode(start), "bytes": len, "is_cut": len > start.len()})
        }
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> PageResponse {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn plain(status: StatusCode, text: &'static str) -> PageResponse {
    response(status, "text/plain; charset=utf-8", text)
}

fn as_json(value: &Value) -> PageResponse {
    response(StatusCode::OK, "application/json", value.to_string())
}

/// Returns bytes that a browser saves, and does not interpret.
fn download(name: &str, body: Vec<u8>) -> PageResponse {
    let mut response = response(StatusCode::OK, "application/octet-stream", body);
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}
