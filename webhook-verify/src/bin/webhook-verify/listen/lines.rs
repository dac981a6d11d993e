//! One line on standard output for each delivery.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    listener::{Class, Delivered, Listener},
    record::date,
};
use crate::terminal::{Shown, ShownJson};

/// The number of lines that wait for a slow reader. Then deliveries wait as well.
const WAITING: usize = 1024;
/// How long lines wait for a slow reader while the program ends.
const LAST: Duration = Duration::from_secs(1);

/// Prints lines, on a thread of its own: a terminal may stop at any time.
#[derive(Clone)]
pub(super) struct Lines {
    /// Lines, and `None` at the end.
    lines: mpsc::Sender<Option<String>>,
    /// Whether the program ends.
    stopped: watch::Receiver<bool>,
    json: bool,
    style: Style,
}

/// The end of the output.
pub(super) struct Output {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
    /// The error if standard output fails, for example because its reader is gone.
    pub(super) failed: oneshot::Receiver<io::Error>,
}

#[derive(Clone, Copy)]
struct Style {
    color: bool,
    utf8: bool,
}

impl Lines {
    pub(super) fn start(json: bool) -> (Self, Output) {
        let (lines, mut waiting) = mpsc::channel::<Option<String>>(WAITING);
        let (fail, failed) = oneshot::channel();
        let (stop, stopped) = watch::channel(false);
        let thread = thread::spawn(move || {
            while let Some(Some(line)) = waiting.blocking_recv() {
                let mut out = io::stdout().lock();
                if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
                    let _ = fail.send(error);
                    return;
                }
            }
        });
        let style = Style::of_terminal();
        (Self { lines, stopped, json, style }, Output { thread, stop, failed })
    }

    /// Prints a text as it is, or with `--json` the value.
    pub(super) async fn say(&self, text: &str, value: &Value) {
        let line = if self.json { ShownJson(value).to_string() } else { text.to_owned() };
        self.put(line).await;
    }

    /// Queues a line. If the queue is full, this waits, but not for long once the program ends.
    async fn put(&self, line: String) {
        let mut stopped = self.stopped.clone();
        let ended = async {
            let _ = stopped.wait_for(|it| *it).await;
            sleep(LAST).await;
        };
        tokio::select! {
            // Without a reader, the program ends.
            _ = self.lines.send(Some(line + "\n")) => {}
            () = ended => {}
        }
    }

    /// Prints the line of a delivery.
    pub(super) async fn print(
        &self,
        listener: &Listener,
        number: u64,
        delivered: &Delivered,
        recorded: Option<&str>,
    ) {
        let scheme = delivered.sender.map(|at| listener.senders[at].scheme.name());
        let line = match self.json {
            true => ShownJson(&json_line(number, delivered, scheme, recorded)).to_string(),
            false => {
                let named = scheme.filter(|_| listener.senders.len() > 1);
                self.style.line(delivered, named)
            }
        };
        self.put(line).await;
    }

    /// Prints a line about a connection that is not HTTP.
    pub(super) async fn broken(&self, error: &hyper::Error) {
        let at = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let text = format!("400 broken HTTP: {error}");
        let line = match self.json {
            true => {
                let error = error.to_string();
                let line = json!({"time": rfc3339(at), "class": "refused", "status": 400,
                    "reason": "broken_http", "explanation": error});
                ShownJson(&line).to_string()
            }
            false => self.style.with_mark(at, Class::Refused, &text),
        };
        self.put(line).await;
    }
}

impl Output {
    /// Makes lines wait no longer for a reader that does not read.
    pub(super) fn stop(&self) {
        let _ = self.stop.send(true);
    }

    /// Waits until all lines are printed, for at most [`LAST`].
    pub(super) async fn end(self, lines: Lines) {
        let printed = async {
            let _ = lines.lines.send(None).await;
            let _ = spawn_blocking(|| self.thread.join()).await;
        };
        let _ = timeout(LAST, printed).await;
    }
}

impl Style {
    fn of_terminal() -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let is_utf8 = |name: String| name.to_lowercase().replace('-', "").contains("utf8");
        let is_dumb = set("NO_COLOR").is_some() || set("TERM").is_none_or(|name| name == "dumb");
        Self { color: io::stdout().is_terminal() && !is_dumb, utf8: locale.is_none_or(is_utf8) }
    }

    fn with_mark(self, at: Duration, class: Class, text: &str) -> String {
        let (color, mark, ascii) = match class {
            Class::Delivered | Class::Handshake => ("32", "✔", "+"),
            Class::Duplicate => ("33", "↺", "="),
            Class::Failed | Class::Refused => ("31", "✘", "!"),
        };
        let mark = if self.utf8 { mark } else { ascii };
        let time = time_of_day(at);
        match self.color {
            true => format!("{time} \x1b[{color}m{mark}\x1b[0m {text}"),
            false => format!("{time} {mark} {text}"),
        }
    }

    fn line(self, delivered: &Delivered, scheme: Option<&str>) -> String {
        let status = delivered.status;
        let scheme = scheme.map(|name| format!("{} ", Shown(name))).unwrap_or_default();
        let title = delivered.facts.as_ref().map(|facts| facts.title()).unwrap_or_default();
        let title = Shown(&title);
        let attempt = delivered.attempt.map(|attempt| format!(" (attempt {attempt})"));
        let attempt = attempt.unwrap_or_default();
        let mut text = match (delivered.class, &delivered.refusal) {
            (_, Some((_, explanation))) => format!("{status} {scheme}{}", Shown(explanation)),
            (Class::Handshake, None) => format!("{status} {scheme}verification handshake"),
            (Class::Duplicate, None) => {
                let of = delivered.duplicate_of.map(|first| time_of_day(first.at));
                let of = of.map(|time| format!(" of {time}")).unwrap_or_default();
                format!("{scheme}duplicate{of}: {status} {title}")
            }
            (Class::Delivered | Class::Failed | Class::Refused, None) => {
                format!("{status} {scheme}{title}{attempt}")
            }
        };
        if let Some(forwarded) = &delivered.forwarded {
            let url = Shown(&forwarded.url);
            let ms = forwarded.took.as_secs_f64() * 1e3;
            text += &match &forwarded.result {
                Ok(_) if self.utf8 => format!(" → {url} in {ms:.1} ms"),
                Ok(_) => format!(" -> {url} in {ms:.1} ms"),
                Err(error) => format!(": {url}: {}", Shown(error)),
            };
            if forwarded.is_cut() {
                text += ", only the first MiB of the response";
            }
        }
        if delivered.replay_of.is_some() {
            text += " [replay]";
        }
        self.with_mark(delivered.at, delivered.class, &text)
    }
}

fn json_line(
    number: u64,
    delivered: &Delivered,
    scheme: Option<&str>,
    recorded: Option<&str>,
) -> Value {
    let facts = delivered.facts.as_ref();
    let mut line = json!({
        "time": rfc3339(delivered.at),
        "number": number,
        "class": delivered.class,
        "status": delivered.status,
        "scheme": scheme,
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            line[name] = value;
        }
    };
    set("event_type", facts.and_then(|facts| facts.event_type.clone()).map(Value::from));
    set("id", facts.and_then(|facts| facts.id.clone()).map(Value::from));
    set("events", facts.map(|facts| facts.events_total.into()));
    set("attempt", delivered.attempt.map(Value::from));
    set("reason", delivered.refusal.as_ref().map(|(code, _)| (*code).into()));
    set("explanation", delivered.refusal.as_ref().map(|(_, text)| text.as_str().into()));
    set("duplicate_of", delivered.duplicate_of.map(|first| first.number.into()));
    set("duplicate_of_time", delivered.duplicate_of.map(|first| rfc3339(first.at).into()));
    set("replay_of", delivered.replay_of.map(Value::from));
    set("recorded", recorded.map(Value::from));
    if let Some(forwarded) = &delivered.forwarded {
        let ms = forwarded.took.as_secs_f64() * 1e3;
        line["forward"] = match &forwarded.result {
            Ok(response) => {
                json!({"url": forwarded.url, "ms": ms, "status": response.status.as_u16()})
            }
            Err(error) => json!({"url": forwarded.url, "ms": ms, "error": error}),
        };
        if forwarded.is_cut() {
            line["forward"]["truncated"] = true.into();
        }
    }
    line
}

fn rfc3339(at: Duration) -> String {
    date(at).format(&Rfc3339).unwrap_or_default()
}

/// Returns the UTC time of day.
fn time_of_day(at: Duration) -> String {
    let time = date(at);
    format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}
