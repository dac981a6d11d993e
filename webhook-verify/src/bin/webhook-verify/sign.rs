use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use webhook_verify::{Scheme, testing::Signer};

use crate::{
    Failure,
    options::{SchemeOptions, SecretOptions},
    recorded::target_of,
};

/// How a request is signed. `send` has the same options.
#[derive(Args)]
pub(crate) struct SignOptions {
    #[command(flatten)]
    scheme: SchemeOptions,
    #[command(flatten)]
    secret: SecretOptions,
    /// The event type, for schemes that have it in a header; by default there is no such header
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// The method
    #[arg(long, default_value = "POST")]
    method: String,
}

impl SignOptions {
    pub(crate) fn scheme(&self) -> Result<Scheme, Failure> {
        self.scheme.scheme()
    }

    /// Returns a signer of requests to `url`, which the sender was given, with its query.
    pub(crate) fn signer(&self, scheme: Scheme, url: &str) -> Result<Signer, Failure> {
        self.check_places(&scheme)?;
        let mut signer = Signer::new(scheme, self.secret.secret()?)?
            .method(&self.method)
            .target(target_of(url))
            .public_url(base_of(url));
        if let Some(event_type) = &self.event_type {
            signer = signer.event_type(event_type);
        }
        for (name, value) in self.scheme.parameters() {
            signer = signer.parameter(name, value);
        }
        Ok(signer)
    }

    /// Refuses an event type if the scheme has no header for it.
    fn check_places(&self, scheme: &Scheme) -> Result<(), Failure> {
        let place = scheme.describe().event_type.unwrap_or_else(|| "none".into());
        if self.event_type.is_some() && !place.starts_with("header ") {
            let name = scheme.name();
            let reason = "has no header for it (location of the event type";
            return Err(format!("--event-type: `{name}` {reason}: {place})").into());
        }
        Ok(())
    }
}

/// Refuses schemes whose signatures only the sender can make.
pub(crate) fn require_shared_secret(scheme: &Scheme) -> Result<(), String> {
    if scheme.algorithm().is_symmetric() {
        return Ok(());
    }
    let name = scheme.name();
    Err(format!("`{name}` signs with a private key, which only the sender has"))
}

/// Signs the body on standard input, and prints the headers that a sender of the scheme would send
///
/// A secret on the command line is visible in the list of processes and in the shell's history. Use
/// --secret-file, --secret-env or the variable WEBHOOK_SECRET to avoid that.
///
/// Some senders also put signed values into the body or the URL. Then standard error gets a line
/// with `body-base64: ` and the whole body in base64, or a line with `url: ` and the whole URL.
/// --curl prints the whole request.
///
/// If the sender puts the delivery ID or the event type into the body, they must be in the body
/// that you pass.
#[derive(Args)]
pub(crate) struct Sign {
    #[command(flatten)]
    options: SignOptions,
    /// The URL that the sender was given, with its query
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000/")]
    url: String,
    /// The time to sign, in Unix seconds; the default is now
    #[arg(long, value_name = "UNIX")]
    now: Option<u64>,
    /// The delivery ID, for schemes that have it in a header; the default is evt_1
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Compress the body with gzip, for schemes that define which bytes of such a body are signed
    #[arg(long)]
    gzip: bool,
    /// Print the whole request as a curl command for a POSIX shell
    ///
    /// A body that is not text, begins with @ or contains a NUL is encoded in base64: printf … |
    /// base64 -d | curl …
    #[arg(long)]
    curl: bool,
}

impl Sign {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let (base, target) = (base_of(&self.url), target_of(&self.url));
        let scheme = self.options.scheme()?;
        let mut signer = self.options.signer(scheme, &self.url)?;
        if let Some(now) = self.now {
            signer = signer.at(Duration::from_secs(now));
        }
        if let Some(id) = &self.id {
            signer = signer.id(id);
        }
        if self.gzip {
            signer = signer.gzip();
        }
        let mut body = Vec::new();
        io::stdin().read_to_end(&mut body)?;
        let body = Bytes::from(body);
        let signed = signer.sign(body.clone())?;

        let mut out = io::stdout().lock();
        if self.curl {
            writeln!(out, "{}", signed.curl(origin_of(base)))?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, value) in &signed.headers {
            writeln!(out, "{name}: {value}")?;
        }
        if signed.target != target {
            eprintln!("url: {}{}", origin_of(base), signed.target);
        }
        if signed.body != body {
            eprintln!("body-base64: {}", STANDARD.encode(&signed.body));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns a URL without its query.
fn base_of(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Returns a URL without its path.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}
