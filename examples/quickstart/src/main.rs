//! Receives webhooks on axum, remembers them in a SQLite file and prints a line for each delivery.
//! Run `cargo run -p quickstart`, then paste the `curl` line that it prints into another terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{collections::BTreeMap, env, error::Error, process, sync::Mutex, time::Duration};

use axum::{Extension, Router, http::StatusCode, middleware::map_response, response::Response};
use lexopt::{Arg::Long, ValueExt as _};
use serde_json::{Value, json};
use tracing_subscriber::{filter::Targets, fmt, prelude::*};
use webhook_verify::idempotency::{ClaimEvent, ClaimEventKind};
use webhook_verify::testing::{Signer, random_secret};
use webhook_verify::{Claim, ClaimKey, ConfigError, Delivery, Idempotency, Receiver, Rejection};
use webhook_verify::{Scheme, SqliteStore, Verifier, scheme::Identity};
use webhook_verify_axum::{Verified, WebhookLayer};

const HELP: &str = "Receives webhooks, runs each delivery once and prints a line for it.

  --scheme NAME   the sender, such as github, stripe or slack  [github]
  --secret TEXT   the secret that the sender signs with        [a random one]
  --listen ADDR   the address to listen on                     [127.0.0.1:3000]
  --db FILE       the SQLite file that remembers deliveries    [webhooks.db]
  --json          print JSON lines
  --help          print this text

RUST_LOG=debug shows the log of the library.";

/// Runs once for each verified delivery. Your work goes here; `delivery.body()` is what was sent.
/// After any status but 2xx, the sender retries and this runs again.
async fn on_delivery(Verified(delivery): Verified) -> (StatusCode, Extension<Delivery>) {
    (StatusCode::NO_CONTENT, Extension(delivery)) // The extension is for `report`.
}

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("error: {error}");
        process::exit(2);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let [mut name, mut addr, mut db] =
        ["github", "127.0.0.1:3000", "webhooks.db"].map(String::from);
    let (mut secret, mut options) = (None, lexopt::Parser::from_env());
    while let Some(option) = options.next()? {
        match option {
            Long("scheme") => name = options.value()?.string()?,
            Long("secret") => secret = Some(options.value()?.string()?),
            Long("listen") => addr = options.value()?.string()?,
            Long("db") => db = options.value()?.string()?,
            Long("json") => JSON.store(true, Relaxed),
            Long("help") => return Ok(println!("{HELP}")),
            option => return Err(option.unexpected().into()),
        }
    }
    if let Ok(filter) = env::var("RUST_LOG") {
        let log = fmt::layer().with_writer(io::stderr);
        let log = log.with_filter(filter.parse::<Targets>()?);
        tracing_subscriber::registry().with(log).init();
    }

    let scheme: Scheme = name.parse()?;
    let unfit = |error| format!("--scheme {name}: {error}");
    let secret = secret.map_or_else(|| random_secret(&scheme), Ok);
    let secret = secret.map_err(unfit)?;
    let verifier = Verifier::new(scheme.clone(), &*secret).map_err(unfit)?;
    let store = SqliteStore::connect(&format!("sqlite://{db}")).await;
    let store = store.map_err(|error| format!("--db {db}: {}", with_cause(&error)))?;
    store.migrate().await?;
    let mut idempotency = Idempotency::new(store, &*name).on_event(report_duplicate);
    if scheme.identity() == Identity::None {
        idempotency = idempotency.identity(Identity::None); // Each request is a new delivery.
    }
    let receiver = Receiver::builder(verifier).idempotency(idempotency);
    let app = Router::new()
        .fallback(on_delivery) // every path and method
        .layer(WebhookLayer::new(receiver.build()?))
        .layer(map_response(report));
    let listener = tokio::net::TcpListener::bind(&*addr).await;
    let listener = listener.map_err(|error| format!("--listen {addr}: {error}"))?;

    let url = format!("http://{}", listener.local_addr()?);
    let curl = Signer::new(scheme.clone(), &*secret)?.sample()?.curl(&url);
    let program = env::args().next().unwrap_or_default();
    let words = [
        &program, "--scheme", &name, "--listen", &addr, "--db", &db, "--secret", &secret,
    ];
    let restart = words.map(shell_quote).join(" ");
    let until = scheme
        .tolerance()
        .map(|tolerance| clock(now() + tolerance.past()));
    let until = until.map_or(String::new(), |time| format!(", until {time} UTC"));
    match JSON.load(Relaxed) {
        true => print_line(json!({"listening": url, "curl": curl, "restart": restart + " --json"})),
        false => print_line(format_args!(
            "\
Listening on {url}. To send a delivery, paste this line into another terminal{until}:

{curl}

The same line again is a duplicate, also after a restart. To restart with the same secret:

{restart}
"
        )),
    }
    Ok(axum::serve(listener, app).await?)
}

/// Prints a line about a response. The reason of a refusal is shown here and not to the client.
async fn report(response: Response) -> Response {
    let (status, parts) = (response.status().as_u16(), response.extensions());
    if let Some(rejection) = parts.get::<Rejection>() {
        let reason = with_cause(rejection);
        let text = format!("{status} {reason}");
        print('✘', &text, json!({"status": status, "reason": reason}));
    } else if let Some(delivery) = parts.get::<Delivery>() {
        let (what, id) = (delivery.event_type(), delivery.id());
        let mut text = format!("{status} {}", what.as_deref().unwrap_or("delivery"));
        let attempt = delivery.claim().map(|claim| {
            let mut handled = HANDLED.lock().unwrap_or_else(PoisonError::into_inner);
            handled.insert(claim.key(), now());
            text += &format!(" (attempt {})", claim.fence());
            claim.fence()
        });
        let line = json!({"status": status, "event_type": what, "id": id, "attempt": attempt});
        print('✔', &text, line);
    } else if !response.headers().contains_key("idempotent-replayed") {
        let line = json!({"status": status, "handshake": true});
        print('✔', &format!("{status} handshake"), line);
    }
    response
}

/// When this process handled each delivery, to tell of which one another is a duplicate.
static HANDLED: Mutex<BTreeMap<ClaimKey, Duration>> = Mutex::new(BTreeMap::new());

fn report_duplicate(event: &ClaimEvent<'_>) {
    if let ClaimEventKind::Duplicate { status, .. } = event.kind {
        let first = HANDLED
            .lock()
            .ok()
            .and_then(|handled| handled.get(&event.key).copied());
        let of = first.map_or("an earlier run".to_owned(), clock);
        let line = json!({"status": status, "duplicate_of": first.map(|time| time.as_secs())});
        print('↺', &format!("duplicate of {of}"), line);
    }
}

/// Prints the time, a mark and `text`; or with `--json`, the time and `line`.
fn print(mark: char, text: &str, mut line: Value) {
    if JSON.load(Relaxed) {
        line["time"] = now().as_secs().into();
        return print_line(line);
    }
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let is_utf8 = |name: String| name.to_lowercase().replace('-', "").contains("utf8");
    let (color, ascii) = match mark {
        '✔' => (32, '+'),
        '↺' => (33, '='),
        _ => (31, '!'),
    };
    let mark = if locale.is_none_or(is_utf8) {
        mark
    } else {
        ascii
    };
    let has_color = set("NO_COLOR").is_none() && set("TERM").is_some_and(|name| name != "dumb");
    let (on, off) = match has_color && io::stdout().is_terminal() {
        true => (format!("\x1b[{color}m"), "\x1b[0m"),
        false => (String::new(), ""),
    };
    print_line(format_args!(
        "{} {on}{mark}{off} {}",
        clock(now()),
        text.escape_debug()
    ));
}

fn print_line(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}"); // The reader may be gone.
}

fn with_cause(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn now() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

fn clock(time: Duration) -> String {
    let s = time.as_secs();
    format!("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60)
}
