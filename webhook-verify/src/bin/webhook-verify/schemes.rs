use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;
use webhook_verify::Scheme;

use crate::Failure;

/// Lists all schemes, one row each
///
/// The columns are: name, sender, algorithm, place of the signature or token, events of a request,
/// and signed content (`-` if nothing is signed, or if a token signs itself).
#[derive(Args)]
pub(crate) struct Schemes {
    /// Print a JSON array with all details
    #[arg(long)]
    json: bool,
}

impl Schemes {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let mut out = io::stdout().lock();
        if self.json {
            let schemes: Vec<_> = Scheme::presets().map(description).collect();
            writeln!(out, "{:#}", json!(schemes))?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<[String; 6]> = Scheme::presets()
            .map(|scheme| {
                [
                    scheme.name().to_owned(),
                    scheme.sender().to_owned(),
                    format!("{:?}", scheme.algorithm()),
                    places(scheme),
                    scheme.brings(),
                    signed_content(scheme),
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

fn places(scheme: &Scheme) -> String {
    scheme.signature_places().collect::<Vec<_>>().join(", ")
}

/// Returns the signed content on one line, because some schemes sign line breaks.
fn signed_content(scheme: &Scheme) -> String {
    let content = scheme.signed_content();
    if content.is_empty() { "-".to_owned() } else { content.replace('\n', "\\n") }
}

fn description(scheme: &Scheme) -> serde_json::Value {
    let hints = scheme.hints();
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
    let name_of = |value: &dyn std::fmt::Debug| format!("{value:?}");
    json!({
        "name": scheme.name(),
        "sender": scheme.sender(),
        "documentation": scheme.documentation(),
        "evidence": scheme.evidence().iter().map(|known| name_of(known)).collect::<Vec<_>>(),
        "algorithm": name_of(&scheme.algorithm()),
        "key_form": name_of(&scheme.key_form()),
        "encoding": name_of(&scheme.encoding()),
        "signature": scheme.signature_places().collect::<Vec<_>>(),
        "signed_content": scheme.signed_content(),
        "signs_body": scheme.signs_body(),
        "timestamp": scheme.timestamp_place(),
        "tolerance": scheme.tolerance().map(|tolerance| json!({
            "past": tolerance.past().as_secs(),
            "future": tolerance.future().as_secs(),
        })),
        "id": scheme.id_place(),
        "id_is_signed": scheme.id_is_signed(),
        "event_type": scheme.event_type_place(),
        "event_type_is_signed": scheme.event_type_is_signed(),
        "brings": scheme.brings(),
        "event_time": scheme.event_time_pointer(),
        "event_data": scheme.event_data_pointer(),
        "test_field": scheme.test_pointer(),
        "identity": name_of(&scheme.identity()),
        "challenges": scheme.challenges().iter().map(|known| known.name()).collect::<Vec<_>>(),
        "retry_horizon": seconds(hints.retry_horizon),
        "time_budget": seconds(hints.time_budget),
        "body_limit": hints.body_limit,
    })
}
