//! The receiver's command line.

use std::{error::Error, iter::chain, net::SocketAddr, time::Duration};

use clap::{Parser, value_parser};
use integration_tests::Framework;
use webhook_verify::{
    Idempotency, MemoryStore, PostgresStore, Receiver, RedisStore, Scheme, SqliteStore, Verifier,
    idempotency::StoreError,
    scheme::{Challenge, Identity},
    testing::random_secret,
};

use crate::effect::Delay;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Receives webhooks: verifies each, runs each of its events once, and prints a JSON line for it.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Flags {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
    /// The framework: axum or actix
    #[arg(long, value_name = "NAME", default_value = "axum", value_parser = ["axum", "actix"])]
    framework: String,
    /// The sender's scheme: a preset's name, or shared-header
    #[arg(long, value_name = "NAME", default_value = "mautic")]
    scheme: String,
    /// A live secret, the newest first; by default, a random one is printed
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    secret: Vec<String>,
    /// The URL that the sender was given, for schemes that sign it
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// The body limit
    #[arg(long, value_name = "BYTES")]
    max_body: Option<usize>,
    /// The header that holds the secret, for the shared-header scheme
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// A value that the scheme needs in addition to the secret, such as webhook_id=… for PayPal
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) parameter: Vec<(String, String)>,
    /// Stop the clock at this time, to replay recorded requests
    #[arg(long, value_name = "UNIX")]
    now: Option<u64>,
    /// The store of claims: memory:, sqlite://FILE, postgres://… or redis://…
    #[arg(long, value_name = "URL", default_value = "sqlite://webhooks.db")]
    pub(crate) store: String,
    /// The time after which another process takes over from one that died
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    lease: u64,
    /// The time that the handler takes for an event
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// Print a line when an event begins, too, and the time in µs since 1970 on each line
    #[arg(long)]
    pub(crate) trace: bool,
    /// The status that the handler returns
    #[arg(long, value_name = "CODE", default_value_t = 204, value_parser = value_parser!(u16).range(200..600))]
    pub(crate) status: u16,
    /// Commit a row of the table effect with each claim, and take the delay before or within the
    /// transaction
    #[arg(long, value_name = "DELAY")]
    pub(crate) effect: Option<Delay>,
}

/// The receiver that the flags describe.
pub(crate) struct Setup {
    pub(crate) flags: Flags,
    pub(crate) receiver: Receiver,
    /// The live secrets.
    pub(crate) secrets: Vec<String>,
    /// The secret that was generated because the flags have none.
    pub(crate) random_secret: Option<String>,
}

impl Flags {
    /// Reads the command line, and ends the process if it is wrong.
    pub(crate) fn read() -> Self {
        Self::parse()
    }

    pub(crate) fn framework(&self) -> Framework {
        if self.framework == "axum" { Framework::Axum } else { Framework::Actix }
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay)
    }

    pub(crate) fn now(&self) -> Option<Duration> {
        self.now.map(Duration::from_secs)
    }

    /// Builds the receiver, and opens the store.
    pub(crate) async fn set_up(self) -> Outcome<Setup> {
        let scheme = self.scheme()?;
        let random_secret = match (self.secret.is_empty(), scheme.algorithm().is_symmetric()) {
            (true, true) => Some(random_secret(&scheme)?),
            (true, false) => return Err("--secret: the sender's public key is needed".into()),
            (false, _) => None,
        };
        let secrets: Vec<_> = chain(&self.secret, &random_secret).cloned().collect();
        let mut verifier = Verifier::builder(scheme);
        for secret in &secrets {
            verifier = verifier.secret(secret);
        }
        if let Some(now) = self.now() {
            verifier = verifier.clock(move || now);
        }
        if let Some(url) = &self.public_url {
            verifier = verifier.public_url(url);
        }
        for (name, value) in &self.parameter {
            verifier = verifier.parameter(name, value);
        }
        let verifier = verifier.build()?;

        let idempotency = self.open().await?.lease(Duration::from_secs(self.lease));
        let idempotency = match verifier.scheme().identity() {
            // No part of such a request distinguishes a retry from a second event.
            Identity::None => idempotency.identity(Identity::None),
            _ => idempotency,
        };
        let is_given = |name: &str| self.parameter.iter().any(|(given, _)| given == name);
        let needed = |challenge: &Challenge| challenge.parameter().is_none_or(is_given);
        let has_all = verifier.scheme().challenges().iter().all(needed);
        let mut receiver = Receiver::builder(verifier).idempotency(idempotency);
        if !has_all {
            receiver = receiver.without_challenges();
        }
        if let Some(limit) = self.max_body {
            receiver = receiver.body_limit(limit);
        }
        Ok(Setup { receiver: receiver.build()?, flags: self, secrets, random_secret })
    }

    fn scheme(&self) -> Outcome<Scheme> {
        match (self.scheme.as_str(), &self.header) {
            ("shared-header", Some(header)) => Ok(Scheme::shared_header(header)?),
            ("shared-header", None) => Err("--scheme: shared-header needs --header".into()),
            (_, Some(_)) => Err("--header: only the shared-header scheme takes one".into()),
            (name, None) => Ok(name.parse::<Scheme>()?),
        }
    }

    async fn open(&self) -> Outcome<Idempotency> {
        let (url, endpoint) = (&self.store, &self.scheme);
        let failed = |error: StoreError| format!("--store: {error:#}");
        Ok(match url.split_once(':').ok_or("--store: not the URL of a store")?.0 {
            "memory" => Idempotency::new(MemoryStore::new(), endpoint),
            "sqlite" => {
                Idempotency::new(SqliteStore::connect(url).await.map_err(failed)?, endpoint)
            }
            "postgres" | "postgresql" => {
                Idempotency::new(PostgresStore::connect(url).await.map_err(failed)?, endpoint)
            }
            "redis" => Idempotency::new(RedisStore::connect(url).await.map_err(failed)?, endpoint),
            _ => return Err("--store: none of memory:, sqlite:, postgres: and redis:".into()),
        })
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
