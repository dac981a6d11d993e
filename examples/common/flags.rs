use std::{net::SocketAddr, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use webhook_verify::{
    ConfigError, Idempotency, Receiver, Scheme, Verifier, idempotency::ClaimStore,
    scheme::Identity, testing::random_secret,
};

use crate::{Behaviour, store};

/// Receives webhooks: verifies each, runs each of its events once, and prints one JSON line for it.
#[derive(Clone, Debug, Parser)]
#[non_exhaustive]
pub struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// The sender's scheme: a preset's name, or shared-header
    #[arg(long, value_name = "NAME", default_value = "mautic")]
    pub scheme: String,
    /// A secret that is live, the newest first; without one, a random secret is made and printed
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub secret: Vec<String>,
    /// The URL that the sender was given, for schemes that sign it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The longest body that is taken
    #[arg(long, value_name = "BYTES")]
    pub max_body: Option<usize>,
    /// The header that holds the secret, for the shared-header scheme
    #[arg(long, value_name = "NAME")]
    pub header: Option<String>,
    /// A value that the scheme asks for beside the secret, such as webhook_id=… for PayPal
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub parameter: Vec<(String, String)>,
    /// Stop the clock at this time, to replay recorded requests
    #[arg(long, value_name = "UNIX")]
    pub now: Option<u64>,
    /// Where claims are held: memory:, sqlite://FILE, postgres://… or redis://…
    #[arg(long, value_name = "URL", default_value = "sqlite://webhooks.db")]
    pub store: String,
    /// How long a claim outlives the process that holds it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub lease: u64,
    /// How long the handler takes for an event
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay: u64,
    /// Print a line when an event begins, too, and on each line the time in µs since 1970: what had begun in a process that
    /// died, and what ran beside what
    #[arg(long)]
    pub trace: bool,
    /// What the handler answers
    #[arg(long, value_name = "CODE", default_value_t = 204, value_parser = clap::value_parser!(u16).range(200..600))]
    pub status: u16,
}

/// What the flags come to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Setup {
    /// The flags.
    pub flags: Flags,
    /// Takes requests in.
    pub receiver: Receiver,
    /// The secrets that are live.
    pub secrets: Vec<String>,
    /// The one that was made because none was given.
    pub random_secret: Option<String>,
    /// What the handler does.
    pub behaviour: Behaviour,
}

impl Flags {
    /// Reads the command line; on a mistake, says which and ends the process.
    pub async fn read() -> Setup {
        Self::parse().set_up().await.unwrap_or_else(|error| {
            eprintln!("error: {error}");
            std::process::exit(2);
        })
    }

    /// The flags of a test, such as `["--scheme", "stripe"]`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] as [`set_up`](Self::set_up) has it.
    pub async fn of(args: &[&str]) -> Result<Setup, ConfigError> {
        let args = std::iter::once("test").chain(args.iter().copied());
        Self::try_parse_from(args)
            .map_err(|error| ConfigError::Option {
                option: "command line",
                reason: error.to_string(),
            })?
            .set_up()
            .await
    }

    /// Reads the command line, for an example whose flags have other defaults: `[("store", "sqlite://jobs.db")]`.
    #[must_use]
    pub fn with_defaults(defaults: &[(&'static str, &'static str)]) -> Self {
        let command = defaults.iter().fold(Self::command(), |command, &(flag, value)| {
            command.mut_arg(flag, |flag| flag.default_value(value))
        });
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Makes the receiver, and opens the store.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names what is wrong.
    pub async fn set_up(self) -> Result<Setup, ConfigError> {
        let verified = self.verifier()?;
        let idempotency = store::open(&self.store, &self.scheme).await?;
        self.build(verified, idempotency)
    }

    /// Makes the receiver, with claims in a store of the example's own.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names what is wrong.
    pub fn set_up_with(self, store: impl ClaimStore) -> Result<Setup, ConfigError> {
        let verified = self.verifier()?;
        let idempotency = Idempotency::new(store, &self.scheme);
        self.build(verified, idempotency)
    }

    /// The verifier, its secrets, and the one that was made if none was given.
    fn verifier(&self) -> Result<(Verifier, Vec<String>, Option<String>), ConfigError> {
        let option = |option, reason: &str| ConfigError::Option { option, reason: reason.into() };
        let scheme = match (self.scheme.as_str(), &self.header) {
            ("shared-header", Some(header)) => Scheme::shared_header(header)?,
            ("shared-header", None) => {
                return Err(option("--scheme", "shared-header needs --header"));
            }
            (_, Some(_)) => {
                return Err(option("--header", "only the shared-header scheme takes one"));
            }
            (name, None) => name.parse()?,
        };
        let random_secret = match (self.secret.is_empty(), scheme.algorithm().is_symmetric()) {
            (true, true) => Some(random_secret(&scheme)?),
            (true, false) => return Err(option("--secret", "the sender's public key is needed")),
            (false, _) => None,
        };
        let secrets: Vec<_> = self.secret.iter().chain(&random_secret).cloned().collect();

        let mut verifier = Verifier::builder(scheme);
        for secret in &secrets {
            verifier = verifier.secret(secret);
        }
        if let Some(now) = self.now {
            verifier = verifier.clock(move || Duration::from_secs(now));
        }
        if let Some(url) = &self.public_url {
            verifier = verifier.public_url(url);
        }
        for (name, value) in &self.parameter {
            verifier = verifier.parameter(name, value);
        }
        Ok((verifier.build()?, secrets, random_secret))
    }

    fn build(
        self,
        (verifier, secrets, random_secret): (Verifier, Vec<String>, Option<String>),
        idempotency: Idempotency,
    ) -> Result<Setup, ConfigError> {
        let mut idempotency = idempotency.lease(Duration::from_secs(self.lease));
        if verifier.scheme().identity() == Identity::None {
            // Nothing in such a request tells a retry from a second event.
            idempotency = idempotency.identity(Identity::None);
        }
        let mut receiver = Receiver::builder(verifier).idempotency(idempotency);
        if let Some(limit) = self.max_body {
            receiver = receiver.body_limit(limit);
        }
        Ok(Setup {
            receiver: receiver.build()?,
            secrets,
            random_secret,
            behaviour: Behaviour {
                delay: Duration::from_millis(self.delay),
                trace: self.trace,
                status: self.status,
            },
            flags: self,
        })
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
