//! Receives webhooks on axum, remembers them in a SQLite file and prints a line for each delivery.
//! Run `cargo run -p quickstart`, then paste the `curl` line that it prints into another terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::{collections::BTreeMap, env, error::Error, process, time::UNIX_EPOCH};

use axum::{Router, http::StatusCode, middleware::map_response, response::Response};
use clap::Parser;
use serde_json::{Value, json};
use tracing_subscriber::{filter::Targets, fmt, prelude::*, registry};
use webhook_verify::idempotency::{ClaimEvent, ClaimEventKind, ClaimKey};
use webhook_verify::testing::{Signer, random_secret, shell_quote};
use webhook_verify::{Idempotency, Receiver, Rejection, Scheme, SqliteStore, Verifier};
use webhook_verify_axum::{Verified, WebhookLayer};

static OPTIONS: LazyLock<Options> = LazyLock::new(Options::parse);

/// Receives webhooks, runs each delivery once and prints a line for it. RUST_LOG=debug shows more
#[derive(Parser)]
struct Options {
    /// The sender, such as github, stripe or slack
    #[arg(long, default_value = "github")]
    scheme: String,
    /// The secret that the sender signs with; a random one by default
    #[arg(long, allow_hyphen_values = true)]
    secret: Option<String>,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: String,
    /// The SQLite file that remembers deliveries
    #[arg(long, default_value = "webhooks.db")]
    db: String,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Runs once for each delivery: your work goes here. Most senders retry after any status but 2xx.
async fn on_delivery(Verified(delivery): Verified) -> StatusCode {
    let (time, event_type) = (clock(0), delivery.event_type().unwrap_or("delivery".into()));
    let mut line = json!({"status": 204, "event_type": event_type, "id": delivery.id()});
    let mut text = format!("204 {}", event_type.escape_debug());
    if let Some(claim) = delivery.claim() {
        line["attempt"] = claim.fencing_token().into();
        text += &format!(" (attempt {})", claim.fencing_token());
        handled_at().insert(claim.key(), time.clone());
    }
    print(&time, ("32", "✔", "+"), &text, line);
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("error: {error}");
        process::exit(2);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (name, listen, db) = (&OPTIONS.scheme, &OPTIONS.listen, &OPTIONS.db);
    if let Ok(filter) = env::var("RUST_LOG") {
        let filter: Result<Targets, _> = filter.parse();
        let filter = filter.map_err(|error| format!("RUST_LOG: {error}"))?;
        let log = fmt::layer().with_writer(io::stderr);
        registry().with(log.with_filter(filter)).init();
    }
    let scheme: Scheme = name.parse()?;
    let unfit = |error: webhook_verify::ConfigError| format!("--scheme {name}: {}", error.kind());
    let random = || random_secret(&scheme).map_err(unfit);
    let secret = OPTIONS.secret.clone().map_or_else(random, Ok)?;
    let verifier = Verifier::new(scheme.clone(), &*secret).map_err(unfit)?;
    let store = SqliteStore::connect(&format!("sqlite://{db}")).await;
    let store = store.map_err(|error| format!("--db {db}: {error:#}"))?;
    let idempotency = Idempotency::new(store, name)
        .identity(scheme.identity()) // A batch of events is one delivery here.
        .on_event(on_claim_event);
    let receiver = Receiver::builder(verifier).idempotency(idempotency);
    let app = Router::new()
        .fallback(on_delivery) // This takes every path and method.
        .layer(WebhookLayer::new(receiver.build()?))
        .layer(map_response(on_response));
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| format!("--listen {listen}: {error}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let curl = Signer::new(scheme.clone(), &*secret)?.sample()?.curl(&url);
    let window = scheme.tolerance().map(|window| window.past().as_secs());
    let until = window.map(|seconds| format!(" before {} UTC", clock(seconds)));
    let program = env::args().next().unwrap_or_default();
    let [program, listen, db, secret] = [&*program, listen, db, &secret].map(shell_quote);
    let again = format!("{program} --scheme {name} --listen {listen} --db={db} --secret {secret}");
    let text = format!(
        "listening on {url}\n\nPaste this into another terminal{}, twice:\n\n{curl}\n\n\
         To restart with the same secret:\n\n{again}\n",
        until.unwrap_or_default()
    );
    let line = json!({"listening": url, "curl": curl, "restart": again + " --json"});
    print(&clock(0), ("32", "✔", "+"), &text, line);
    Ok(axum::serve(listener, app).await?)
}

/// Prints why a request was refused. The client does not learn it.
async fn on_response(response: Response) -> Response {
    if let Some(rejection) = response.extensions().get::<Rejection>() {
        let (status, reason) = (rejection.status(), format!("{rejection:#}"));
        let text = format!("{status} {reason}");
        let line = json!({"status": status, "reason": reason});
        print(&clock(0), ("31", "✘", "!"), &text, line);
    }
    response
}

/// Prints a line about a duplicate, which no handler sees.
fn on_claim_event(event: &ClaimEvent<'_>) {
    if let ClaimEventKind::Duplicate { status, .. } = event.kind {
        let first = handled_at().get(&event.key).cloned();
        let of = first.as_ref().map(|time| format!(" of {time}"));
        let text = format!("duplicate{}", of.unwrap_or_default());
        let line = json!({"status": status, "duplicate_of": first});
        print(&clock(0), ("33", "↺", "="), &text, line);
    }
}

/// Returns the times of handled deliveries. A service would look into its own records.
fn handled_at() -> MutexGuard<'static, BTreeMap<ClaimKey, String>> {
    static TIMES: Mutex<BTreeMap<ClaimKey, String>> = Mutex::new(BTreeMap::new());
    TIMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints `time`, a mark and `text`; with `--json`, `line` and the time.
fn print(time: &str, (color, mark, ascii): (&str, &str, &str), text: &str, mut line: Value) {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let utf8 = |name: String| name.to_lowercase().replace('-', "").contains("utf8");
    let mark = if locale.is_none_or(utf8) { mark } else { ascii };
    let is_dumb = set("NO_COLOR").is_some() || set("TERM").is_none_or(|name| name == "dumb");
    line["time"] = time.into();
    let _ = match is_dumb || !io::stdout().is_terminal() {
        _ if OPTIONS.json => writeln!(io::stdout(), "{line}"),
        true => writeln!(io::stdout(), "{time} {mark} {text}"),
        false => writeln!(io::stdout(), "{time} \x1b[{color}m{mark}\x1b[0m {text}"),
    };
}

/// Returns the UTC time of day in `wait` seconds.
fn clock(wait: u64) -> String {
    let s = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() + wait;
    format!("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60)
}
