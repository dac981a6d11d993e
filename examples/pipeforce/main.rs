//! An endpoint like PIPEFORCE's. A small API creates, lists, changes and deletes webhooks, each with
//! an event key and a token, in a SQLite file. Calls are passed on to the subscribers of their event
//! key.
//!
//! Run `cargo run --example pipeforce`, and paste what it prints, line by line.
//! `examples/pipeforce/walk.sh` does the same. `-- --help` lists the flags.
//!
//! A caller sends no ID and signs no time, so a retry cannot be distinguished from a second call:
//! both are passed on. The token proves who calls, not what is sent, so use TLS.

mod api;
mod receive;
mod store;
mod subscribers;

use std::{error::Error, net::SocketAddr, sync::Arc};

use axum::Router;
use clap::Parser;
use tracing_subscriber::EnvFilter;
use webhook_verify::payloads::pipeforce::random_uuid;

use self::{store::Store, subscribers::Subscribers};

/// Takes calls of webhooks as PIPEFORCE's `webhook.receive` does, and prints a message for each as
/// one JSON line.
#[derive(Debug, Parser)]
struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The SQLite file with the webhooks
    #[arg(long, value_name = "URL", default_value = "sqlite://pipeforce.db")]
    db: String,
    /// The bearer token of the API; by default, a random one is printed
    #[arg(long, value_name = "TEXT")]
    admin_token: Option<String>,
    /// The address by which callers reach this server. Default: where it listens
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The longest body of a call, in bytes: at most 4194304
    #[arg(long, value_name = "BYTES", default_value_t = 512_000, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    max_payload_length: u32,
    /// Answer calls with unknown tokens like others, so that no answer says which exist (how long
    /// it takes still may). What is wrong with a call is then in the log alone
    #[arg(long, conflicts_with = "older")]
    hide_unknown: bool,
    /// Messages and responses in the form before version 9.0. Those responses contain the end of
    /// the token, which shows that the token exists
    #[arg(long)]
    older: bool,
    /// Print the messages whose event key matches, such as sales.* or sales.#; may be given more
    /// than once
    #[arg(long, value_name = "PATTERN", default_value = "#")]
    subscribe: Vec<String>,
}

/// The state that the handlers share.
struct Hub {
    store: Store,
    subscribers: Subscribers,
    /// The address of this server, without a slash at its end.
    public_url: String,
    max_payload_length: u32,
    hide_unknown: bool,
    older: bool,
}

#[tokio::main]
async fn main() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if let Err(error) = serve(Flags::parse()).await {
        eprintln!("error: {error}");
        std::process::exit(2);
    }
}

async fn serve(flags: Flags) -> Result<(), Box<dyn Error>> {
    let admin_token = match &flags.admin_token {
        Some(token) => token.clone(),
        None => random_uuid()?,
    };
    let store = Store::open(&flags.db).await?;
    let listener = tokio::net::TcpListener::bind(flags.listen).await?;
    let addr = listener.local_addr()?;
    let public_url = flags.public_url.unwrap_or(format!("http://{addr}"));
    let hub = Arc::new(Hub {
        store,
        subscribers: Subscribers::new(flags.subscribe),
        public_url: public_url.trim_end_matches('/').to_owned(),
        max_payload_length: flags.max_payload_length,
        hide_unknown: flags.hide_unknown,
        older: flags.older,
    });
    let app = Router::new().merge(receive::routes(&hub)?).merge(api::routes(&hub, &admin_token)?);
    // A given token is known, so only a random one is printed.
    let shown = flags.admin_token.is_none().then_some(&*admin_token);
    announce(addr, &flags.db, shown);
    Ok(axum::serve(listener, app).await?)
}

/// Says where the server listens, and how to try it.
fn announce(addr: SocketAddr, db: &str, admin_token: Option<&str>) {
    println!("listening on http://{addr}");
    println!("webhooks are in {db}");
    let admin_token = admin_token.unwrap_or("<the admin token>");
    println!(
        r#"try it:
  API=http://{addr}/api/v3/command ADMIN='Authorization: Bearer {admin_token}'
  curl -H "$ADMIN" -d eventKey=webhook.lead.created "$API/webhook.put"
  TOKEN='<the uuid that it answered>'
  curl "$API/webhook.receive?token=$TOKEN"
  curl -H "token: $TOKEN" -H 'Content-Type: application/json' -d '{{"name":"Zoe"}}' "$API/webhook.receive"
  curl -d "token=$TOKEN" -d name=Zoe "$API/webhook.receive"
  curl -H "token: $TOKEN" -F file=@Cargo.toml "$API/webhook.receive"
  curl -H "$ADMIN" "$API/webhook.get"
  curl -H "$ADMIN" -d "uuid=$TOKEN" -d eventKey=webhook.changed.key "$API/webhook.put"
  curl -H "$ADMIN" -d "uuid=$TOKEN" "$API/webhook.delete"
messages follow, one on each line"#
    );
}
