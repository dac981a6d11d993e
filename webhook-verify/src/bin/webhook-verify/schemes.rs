use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::json;
use webhook_verify::{Scheme, testing::shell_quote};

use crate::{Failure, scheme_file};

/// Lists all schemes, one per line, or describes one
///
/// The columns are the name, the sender, the algorithm, the place of the signature or token, the
/// events of a request, and the signed content (`-` if there is none, or if a token signs itself).
#[derive(Args)]
pub(crate) struct Schemes {
    /// The scheme to describe
    name: Option<String>,
    /// A TOML file with schemes of your own, which are listed in place of the presets
    #[arg(long, value_name = "FILE")]
    scheme_file: Option<PathBuf>,
    /// Print a JSON array with all details
    #[arg(long)]
    json: bool,
}

impl Schemes {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let mut out = io::stdout().lock();
        let own = self.scheme_file.as_deref().map(scheme_file::read).transpose()?;
        if let Some(name) = &self.name {
            let scheme: Scheme = match own {
                Some(own) => scheme_file::pick(own, Some(name))?,
                None => name.parse()?,
            };
            if self.json {
                writeln!(out, "{:#}", description(&scheme))?;
            } else {
                write!(out, "{}", self.page(&scheme)?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let listed: Vec<&Scheme> = match &own {
            Some(own) => own.iter().collect(),
            None => Scheme::presets().collect(),
        };
        if self.json {
            let schemes: Vec<_> = listed.into_iter().map(description).collect();
            writeln!(out, "{:#}", json!(schemes))?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<[String; 6]> = listed
            .into_iter()
            .map(|scheme| {
                let description = scheme.describe();
                [
                    scheme.name().to_owned(),
                    description.sender.clone(),
                    format!("{:?}", scheme.algorithm()),
                    description.signatures.join(", "),
                    description.events.clone(),
                    one_line(&description.signed_content),
                ]
            })
            .collect();
        let width = |column: usize| {
            let texts = rows.iter().map(|row| row[column].chars().count());
            texts.max().unwrap_or(0)
        };
        let [w0, w1, w2, w3, w4] = [0, 1, 2, 3, 4].map(width);
        for [name, sender, algorithm, places, brings, signed] in &rows {
            writeln!(
                out,
                "{name:w0$}  {sender:w1$}  {algorithm:w2$}  {places:w3$}  {brings:w4$}  {signed}"
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Schemes {
    /// Returns the page of a scheme. Its command for a scheme of a file has the file and its name.
    fn page(&self, scheme: &Scheme) -> io::Result<String> {
        let description = scheme.describe();
        let page = description.to_string();
        let Some(file) = &self.scheme_file else { return Ok(page) };
        let file = std::path::absolute(file)?;
        let (file, name) = (shell_quote(&file.to_string_lossy()), shell_quote(scheme.name()));
        let mut options = format!("--scheme-file {file} --scheme {name}");
        for name in &description.parameters {
            options += &format!(" --parameter {}", shell_quote(&format!("{name}=VALUE")));
        }
        Ok(page.replace("--scheme-file FILE.toml", &options))
    }
}

/// Returns the signed content on one line, because some schemes sign line breaks.
fn one_line(content: &str) -> String {
    if content.is_empty() { "-".to_owned() } else { content.replace('\n', "\\n") }
}

fn description(scheme: &Scheme) -> serde_json::Value {
    let description = scheme.describe();
    let hints = description.hints;
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
    let name_of = |value: &dyn std::fmt::Debug| format!("{value:?}");
    json!({
        "name": scheme.name(),
        "sender": description.sender,
        "documentation": description.documentation,
        "evidence": description.evidence.iter().map(|known| name_of(known)).collect::<Vec<_>>(),
        "algorithm": name_of(&scheme.algorithm()),
        "key_form": name_of(&scheme.key_form()),
        "encoding": name_of(&scheme.encoding()),
        "signature": description.signatures,
        "signed_content": description.signed_content,
        "signs_body": scheme.signs_body(),
        "timestamp": description.timestamp,
        "tolerance": scheme.tolerance().map(|tolerance| json!({
            "past": tolerance.past().as_secs(),
            "future": tolerance.future().as_secs(),
        })),
        "id": description.id,
        "id_is_signed": scheme.id_is_signed(),
        "event_type": description.event_type,
        "event_type_is_signed": scheme.event_type_is_signed(),
        "brings": description.events,
        "event_time": description.event_time,
        "event_data": description.event_data,
        "test_field": description.test_field,
        "identity": name_of(&scheme.identity()),
        "idempotency_key": description.idempotency_key,
        "key_fallback": description.key_fallback,
        "needs_public_url": description.needs_public_url,
        "parameters": description.parameters,
        "signed_bytes": description.signed_bytes.map(|bytes| name_of(&bytes)),
        "secret_at": description.notes.secret_at,
        "retry_schedule": description.notes.schedule,
        "checked": description.notes.checked,
        "recheck": description.notes.recheck,
        "challenges": scheme.challenges().iter().map(|known| known.name()).collect::<Vec<_>>(),
        "retry_horizon": seconds(hints.retry_horizon),
        "time_budget": seconds(hints.time_budget),
        "body_limit": hints.body_limit,
    })
}
