use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use http::HeaderValue;
use webhook_verify::{
    Scheme,
    clock::{Clock as _, SystemClock},
    scheme::Challenge,
    testing::{SignedRequest, Signer},
};

use crate::{
    Failure,
    files::{self, MAX_BODY},
    options::{SchemeOptions, SecretOptions},
    recorded::target_of,
    values::moment,
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
    pub(crate) fn signer(&self, scheme: &Scheme, url: &str) -> Result<Signer, Failure> {
        self.check_places(scheme)?;
        check_url(url)?;
        let signer = Signer::new(scheme.clone(), self.secret.secret()?)?;
        require_shared_secret(scheme)?;
        let mut signer =
            signer.method(&self.method).target(target_of(url)).public_url(base_of(url));
        if let Some(event_type) = &self.event_type {
            signer = signer.event_type(event_type);
        }
        for (name, value) in self.scheme.parameters() {
            signer = signer.parameter(name, value);
        }
        Ok(signer)
    }

    /// Refuses options that the scheme has no place for.
    fn check_places(&self, scheme: &Scheme) -> Result<(), Failure> {
        let (name, description) = (scheme.name(), scheme.describe());
        if let Some(event_type) = &self.event_type {
            check_header_value("--event-type", event_type)?;
            let place = description.event_type.unwrap_or_else(|| "none".into());
            if !place.starts_with("header ") {
                let reason = "has no header for it (location of the event type";
                return Err(format!("--event-type: `{name}` {reason}: {place})").into());
            }
        }
        // Handshakes are not signed, but the receiver has their parameters.
        let of_handshakes = scheme.challenges().iter().filter_map(Challenge::parameter);
        let parameters = description.parameters.iter().map(String::as_str);
        let known: Vec<&str> = parameters.chain(of_handshakes).collect();
        for (given, _) in self.scheme.parameters() {
            if !known.contains(&given) {
                let known = match known.join(", ") {
                    none if none.is_empty() => "no parameters".to_owned(),
                    names => format!("only {names}"),
                };
                return Err(format!("--parameter: `{name}` has {known}").into());
            }
        }
        Ok(())
    }
}

/// Refuses a value that a header cannot contain, or whose ends a receiver removes.
pub(crate) fn check_header_value(option: &str, value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err(format!("{option}: a header cannot contain line breaks or control characters"));
    }
    match value.trim() == value {
        true => Ok(()),
        false => Err(format!("{option}: remove the white space at its ends, as headers lose it")),
    }
}

/// Refuses an empty delivery ID if the scheme needs one.
pub(crate) fn check_id(
    id: &str,
    scheme: &Scheme,
    signer: &Signer,
    body: &Bytes,
) -> Result<(), String> {
    let can_sign = |id: &str| signer.clone().id(id).sign(body.clone()).is_ok();
    match id.is_empty() && !can_sign("") && can_sign("evt_1") {
        true => Err(format!("--id: empty, but `{}` needs a delivery ID", scheme.name())),
        false => Ok(()),
    }
}

/// Refuses a URL that no sender can have.
pub(crate) fn check_url(url: &str) -> Result<(), &'static str> {
    match url.contains(|it: char| it.is_whitespace() || it.is_control()) {
        true => Err("--url: a URL cannot contain white space or control characters"),
        false => Ok(()),
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
    /// The time to sign, in Unix seconds or RFC 3339; the default is now
    #[arg(long, value_name = "TIME", value_parser = moment, allow_negative_numbers = true)]
    now: Option<Duration>,
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
        let mut signer = self.options.signer(&scheme, &self.url)?;
        signer = signer.at(self.now.unwrap_or_else(|| SystemClock.now()));
        if self.gzip {
            check_compression(&scheme)?;
            signer = signer.gzip();
        }
        if let Some(id) = &self.id {
            check_header_value("--id", id)?;
            signer = signer.id(id);
        }
        let body = Bytes::from(files::read_or_stdin(Path::new("-"), MAX_BODY)?);
        if let Some(id) = &self.id {
            check_id(id, &scheme, &signer, &body)?;
        }
        let signed = signer.sign(body.clone())?;
        if let Some(id) = &self.id
            && is_same(&signed, &signer.id(format!("{id}0")).sign(body.clone())?)
        {
            let place = scheme.describe().id.unwrap_or_else(|| "none".into());
            let reason = "takes no ID from this option (location of the ID";
            return Err(format!("--id: `{}` {reason}: {place})", scheme.name()).into());
        }
        check_headers(&signed)?;

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

fn is_same(one: &SignedRequest, other: &SignedRequest) -> bool {
    one.headers == other.headers && one.target == other.target && one.body == other.body
}

/// Refuses compression if the scheme does not define which bytes are signed.
fn check_compression(scheme: &Scheme) -> Result<(), String> {
    match scheme.describe().signed_bytes {
        Some(_) => Ok(()),
        None => Err(format!(
            "--gzip: `{}` does not define which bytes of a compressed body are signed, so receivers \
             refuse such bodies (`signed-bytes` in a scheme file)",
            scheme.name()
        )),
    }
}

/// Refuses headers with line breaks and other control characters.
fn check_headers(request: &SignedRequest) -> Result<(), String> {
    let mut headers = request.headers.iter();
    match headers.find(|(_, value)| HeaderValue::from_bytes(value.as_bytes()).is_err()) {
        Some((name, _)) => Err(format!("the value of {name} has control characters")),
        None => Ok(()),
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
