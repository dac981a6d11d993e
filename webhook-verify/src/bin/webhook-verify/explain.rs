use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use webhook_verify::{
    RequestHead, Scheme,
    explain::{Cause, Explainer, Explanation},
};

use crate::{
    Failure, errors,
    files::{self, MAX_BODY},
    input::{self, Input},
    options::{SchemeOptions, SecretOptions},
    recorded::target_of,
    terminal::{Shown, ShownJson},
    values::moment,
};

/// The maximum number of headers that are listed.
const MAX_HEADERS: usize = 12;

/// Explains why a request is refused, and how to fix it
///
/// FILE contains a raw HTTP request, the output of `curl -v` or `curl --trace`, a curl command, a
/// HAR file or entry, or rows of `check`. A row brings its own scheme, secret and time; options take
/// precedence.
///
/// Prints no secret, no signature and no byte of the body. Exits with 1 if a request is not valid,
/// and with 2 on errors.
#[derive(Args)]
pub(crate) struct Explain {
    /// The request; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    scheme: SchemeOptions,
    #[command(flatten)]
    secret: SecretOptions,
    /// The URL that the sender was given, for schemes that sign it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The time at which the request arrived, in Unix seconds or RFC 3339; the default is now
    #[arg(long, value_name = "TIME", value_parser = moment, allow_negative_numbers = true)]
    now: Option<Duration>,
    /// A file with the body, for an input without it, such as the output of `curl -v`
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Print one JSON object for each request, with verdict, cause, fix and detail
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let mut inputs = input::read(&files::read_or_stdin(&self.file, MAX_BODY)?)?;
        if let Some(path) = &self.body {
            let body = files::read(path, MAX_BODY)?;
            for input in &mut inputs {
                (input.body, input.note) = (Ok(body.clone()), None);
            }
        }
        let secret = self.secret.bytes()?;
        let bodies: Vec<_> =
            inputs.iter().filter_map(|input| input.body.clone().ok().map(Bytes::from)).collect();
        let (mut out, mut is_valid) = (io::stdout().lock(), true);
        for (at, input) in inputs.iter().enumerate() {
            let name = input.row.as_ref().map_or("", |row| &row.name);
            let explained = self.explain(input, secret.as_deref(), &bodies);
            if at > 0 && !self.json {
                writeln!(out)?;
            }
            match explained {
                Ok((scheme, explanation)) => {
                    is_valid &= explanation.cause() == Cause::Valid;
                    if self.json {
                        let object = as_json(&explanation);
                        writeln!(out, "{}", ShownJson(&named(object, name, inputs.len())))?;
                    } else {
                        print(&mut out, input, &scheme, &explanation, name)?;
                    }
                    if let Some(note) = input.note.filter(|_| explanation.cause() != Cause::Valid) {
                        eprintln!("note: {note}");
                    }
                }
                Err(failure) if inputs.len() == 1 => return Err(failure),
                // The other requests of the input are explained all the same.
                Err(failure) => {
                    is_valid = false;
                    let failure = errors::text(&*failure);
                    if self.json {
                        let object = json!({
                            "verdict": "invalid_configuration", "cause": Cause::NoMatch.code(),
                            "fix": failure, "detail": "the request was not verified",
                        });
                        writeln!(out, "{}", ShownJson(&named(object, name, inputs.len())))?;
                    } else {
                        writeln!(out, "request {}: {}", at + 1, Shown(&failure))?;
                    }
                }
            }
        }
        out.flush()?;
        Ok(if is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn scheme_of(&self, input: &Input) -> Result<Scheme, Failure> {
        let row = input.row.as_deref();
        let provider = row.map(|row| row.provider.as_str());
        let scheme = self.scheme.scheme_or(provider, row.and_then(|row| row.header.as_deref()))?;
        let form = row.and_then(|row| row.key_form(scheme.key_form()));
        Ok(form.map_or(scheme.clone(), |form| scheme.with_key_form(form)))
    }

    fn explain(
        &self,
        input: &Input,
        secret: Option<&[u8]>,
        bodies: &[Bytes],
    ) -> Result<(Scheme, Explanation), Failure> {
        let scheme = self.scheme_of(input)?;
        let body = input.body.as_ref().map_err(|&reason| reason)?;
        let row = input.row.as_deref();
        let mut explainer = Explainer::new(scheme.clone());
        let default = SecretOptions::default_bytes();
        match (secret, row) {
            (Some(secret), _) => explainer = explainer.secret(secret),
            (None, Some(row)) if !row.secrets.is_empty() => {
                for secret in &row.secrets {
                    explainer = explainer.secret(secret.as_str());
                }
            }
            (None, _) => {
                const NONE: &str = "no secret: set --secret, --secret-file, --secret-env or the \
                                    variable WEBHOOK_SECRET";
                explainer = explainer.secret(default.ok_or(NONE)?);
            }
        }
        let of_row = row.into_iter().flat_map(|row| &row.parameters);
        let of_row = of_row.map(|(name, value)| (&**name, &**value));
        for (name, value) in of_row.chain(self.scheme.parameters()) {
            explainer = explainer.parameter(name, value);
        }
        let url = self.url.as_deref().or(input.url.as_deref());
        if let Some(url) = url {
            explainer = explainer.public_url(url);
        }
        // A row without a time accepts any.
        explainer = match self.now.or(row.and_then(|row| row.now)) {
            Some(now) => explainer.at(now),
            None if row.is_some() => explainer.at_any_time(),
            None => explainer,
        };
        for other in bodies {
            explainer = explainer.other_body(other.clone());
        }
        // The request may have lost its query on its way, but the row may have none at all.
        let target = match row {
            Some(_) => input.target.as_str(),
            None => self
                .url
                .as_deref()
                .filter(|_| input.target == "/")
                .map_or(&*input.target, target_of),
        };
        let head = RequestHead::new(&input.headers).method(&input.method).target(target);
        let explanation = explainer.explain(head, body.clone())?;
        Ok((scheme, explanation))
    }
}

fn as_json(explanation: &Explanation) -> Value {
    json!({
        "verdict": explanation.verdict(),
        "cause": explanation.cause().code(),
        "fix": explanation.fix(),
        "detail": explanation.detail(),
    })
}

/// Adds the request's name if there are several requests.
fn named(mut object: Value, name: &str, count: usize) -> Value {
    if count > 1 {
        object["name"] = json!(name);
    }
    object
}

fn print(
    out: &mut impl Write,
    input: &Input,
    scheme: &Scheme,
    explanation: &Explanation,
    name: &str,
) -> io::Result<()> {
    let description = scheme.describe();
    if !name.is_empty() {
        writeln!(out, "name      {}", Shown(name))?;
    }
    writeln!(out, "scheme    {}: {}", description.name, description.algorithm)?;
    writeln!(out, "expects   {}", description.signatures.join(", or "))?;
    if !description.signed_content.is_empty() {
        writeln!(out, "signs     {}", description.signed_content.replace('\n', "\\n"))?;
    }
    let path = shown_path(&input.target);
    let len = input.body.as_ref().map_or(0, Vec::len);
    writeln!(out, "request   {} {}, body of {len} bytes", Shown(&input.method), Shown(&path))?;
    for (name, value) in input.headers.iter().take(MAX_HEADERS) {
        // A line of a body that follows the headers without a blank line may look like a header.
        let name = if is_token(name) { name } else { "(no header name)" };
        writeln!(out, "          {} ({} bytes)", Shown(name), value.len())?;
    }
    let more = input.headers.len().saturating_sub(MAX_HEADERS);
    if more > 0 {
        writeln!(out, "          and {more} more headers")?;
    }
    writeln!(out, "verdict   {}", explanation.verdict())?;
    if explanation.cause() != Cause::Valid {
        writeln!(out, "cause     {}", explanation.cause())?;
        writeln!(out, "detail    {}", Shown(explanation.detail()))?;
        writeln!(out, "fix       {}", Shown(explanation.fix()))?;
        writeln!(out, "why       {}", explanation.cause().usual_reason())?;
    }
    Ok(())
}

/// Returns the path of a target without what may be a secret: parameters, and a user's password.
fn shown_path(target: &str) -> String {
    let path = target.split(['?', ';', '#']).next().unwrap_or_default();
    let (mut shown, mut before) = (Vec::new(), None);
    for (at, segment) in path.split('/').enumerate() {
        // An authority is the first segment, or follows `//`.
        let is_authority = at != 1 && before.is_none_or(str::is_empty);
        let start = segment.rfind('@').filter(|_| is_authority).map_or(0, |at| at + 1);
        shown.push(&segment[start..]);
        before = Some(segment);
    }
    shown.join("/")
}

/// Returns whether a text is a token (RFC 9110 §5.6.2), as names of headers are.
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::{is_token, shown_path};

    #[test]
    fn a_shown_path_has_no_credentials() {
        for (target, path) in [
            ("/hook?token=1", "/hook"),
            ("/hook;token=1/x", "/hook"),
            ("//user:pass@host/hook", "//host/hook"),
            ("/a//user:p@ss@host", "/a//host"),
            ("http://user:pass@host/", "http://host/"),
            ("user:pass@host:443", "host:443"),
            ("/@scope/a@b", "/@scope/a@b"),
            ("*", "*"),
        ] {
            assert_eq!(shown_path(target), path);
        }
    }

    #[test]
    fn names_of_headers_are_tokens() {
        assert!(is_token("X-Hub-Signature-256") && is_token("a_b.c"));
        for text in ["", "{\"card\"", "a b", "ü", "a\u{1b}"] {
            assert!(!is_token(text), "{text}");
        }
    }
}
