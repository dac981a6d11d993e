//! The page about a sender, generated from its scheme.

use std::{fmt, time::Duration};

use super::{Description, Evidence, Proof, SameBytes, Sent, SignedBytes};

/// Writes the page about the sender in Markdown.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {} (`{}`)\n", self.sender, self.name)?;
        let about = paragraphs(self.notes.about);
        if !about.is_empty() {
            writeln!(f, "{about}\n")?;
        }
        writeln!(f, "| | |\n|---|---|")?;
        for (name, text) in self.rows() {
            writeln!(f, "| {name} | {} |", text.replace('|', "\\|"))?;
        }
        match self.evidence[..] {
            // A scheme of the user's own.
            [] => {}
            [Evidence::Unproven] => writeln!(
                f,
                "\n**No primary source was found.** Check the preset before you rely on it."
            )?,
            _ => writeln!(f, "\nEvidence: {}.", self.evidence())?,
        }
        if !self.has_shared_secret {
            return writeln!(
                f,
                "\nOnly the sender has the private key, so the command cannot sign requests. Use the \
                 sender's test deliveries."
            );
        }
        writeln!(
            f,
            "\nTo sign a request for a receiver at `http://127.0.0.1:3000/`, in a clone of this repository:\n"
        )?;
        writeln!(f, "```sh")?;
        let body = if self.signed_content.contains("{form}") { "Body=example" } else { "{}" };
        writeln!(f, "printf '{body}' |")?;
        writeln!(f, "    cargo run -q -p webhook-verify --features cli -- sign \\")?;
        let scheme = match self.evidence[..] {
            [] => "--scheme-file FILE.toml".to_owned(),
            _ => format!("--scheme {}", self.name),
        };
        writeln!(f, "    {scheme} --secret \"$WEBHOOK_SECRET\" --curl")?;
        writeln!(f, "```")?;
        if self.needs_public_url {
            writeln!(
                f,
                "\nThe receiver's `public_url` must be that URL. `--url` signs for another one."
            )?;
        }
        Ok(())
    }
}

impl Description {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let notes = &self.notes;
        let code = |text: &str| format!("`{}`", text.replace('\n', "\\n"));
        let place = |place: &Option<String>| place.as_deref().map_or("none".into(), code);
        let places: Vec<_> = self.signatures.iter().map(|place| code(place)).collect();
        let aliases = self.header_aliases.iter();
        let aliases: Vec<_> =
            aliases.map(|(name, alias)| format!("{} for {}", code(alias), code(name))).collect();
        let content = match self.signed_content.as_str() {
            "" => "nothing: the secret or token is sent itself".into(),
            content => code(content),
        };
        let window = match (&self.timestamp, self.tolerance) {
            (None, _) => "none".into(),
            (Some(_), None) => "none: the timestamp is signed, but not checked".into(),
            (Some(_), Some(window)) if window.past() == window.future() => {
                format!("{} before and after", time(window.past()))
            }
            (Some(_), Some(window)) => {
                format!("{} before, {} after", time(window.past()), time(window.future()))
            }
        };
        let reads = match &self.event_data {
            Some(pointer) => format!("{} of each event", code(pointer)),
            None => "the whole event".into(),
        };
        let mut needs: Vec<_> =
            self.parameters.iter().map(|name| format!("`.parameter(\"{name}\", …)`")).collect();
        if self.needs_public_url {
            needs.insert(0, "`.public_url(…)`, the URL that the sender calls".into());
        }
        let key = match &self.key_fallback {
            None => self.idempotency_key.clone(),
            Some(fallback) => format!("{}; if that is absent: {fallback}", self.idempotency_key),
        };
        let compressed = match self.signed_bytes {
            None if matches!(self.proof, Proof::Url | Proof::TokenOnly) => {
                "passed on as sent".into()
            }
            None => "refused".into(),
            Some(bytes) => {
                let signed = match bytes {
                    SignedBytes::AsSent => "compressed",
                    SignedBytes::Decoded => "decoded",
                };
                format!(
                    "the {signed} bytes are signed; enable the feature `gzip` (or `brotli` or \
                     `zstd`, if the sender uses these codings)"
                )
            }
        };
        let same_bytes = match notes.same_bytes {
            SameBytes::Never => format!("no: {}", notes.same_bytes_why),
            SameBytes::Possible => format!("yes: {}", notes.same_bytes_why),
            SameBytes::Unknown => NOT_DOCUMENTED.into(),
        };
        let horizon = self.hints.retry_horizon.map(|horizon| format!("up to {}", time(horizon)));
        let schedule = [Some(notes.schedule.to_owned()), horizon];
        let schedule: Vec<_> = schedule.into_iter().flatten().filter(|it| !it.is_empty()).collect();
        vec![
            ("Secret", or(notes.secret_at, NOT_DOCUMENTED)),
            ("The verifier also needs", or(&needs.join(", "), "nothing")),
            ("Signature", format!("{}; {}", places.join(", "), self.algorithm)),
            ("Signed content", content),
            ("Proof", proof(self.proof).to_owned()),
            ("Timestamp", place(&self.timestamp)),
            ("Time window", window),
            ("Delivery ID", place(&self.id)),
            ("Event type", place(&self.event_type)),
            ("Other header names", or(&aliases.join(", "), "none")),
            ("Compressed bodies", compressed),
            ("Events", self.events.clone()),
            ("`EventData<T>` reads", reads),
            ("Idempotency key", key),
            ("Can two events have the same body?", same_bytes),
            ("Retries", or(&schedule.join("; "), NOT_DOCUMENTED)),
            ("A retry keeps", or(&parts(notes.keeps), NOT_DOCUMENTED)),
            ("A retry changes", or(&parts(notes.changes), NOT_DOCUMENTED)),
            ("Retries that the time window refuses", self.late_retries()),
            ("Waits for a response", self.hints.time_budget.map_or(NOT_DOCUMENTED.into(), time)),
            ("Handshake", or(&self.handshakes.join(", "), "none")),
        ]
    }

    /// Describes the retries that the time window refuses, because they have the first timestamp.
    fn late_retries(&self) -> String {
        let is_window = self.timestamp.is_some() && self.tolerance.is_some();
        let is_known =
            self.hints.retry_horizon.is_some() || self.notes.changes.contains(&Sent::Timestamp);
        match self.notes.lost {
            "" if is_window && !is_known => NOT_DOCUMENTED.into(),
            "" => "none".into(),
            lost => lost.into(),
        }
    }

    fn evidence(&self) -> String {
        let words = self.evidence.iter().map(|evidence| match evidence {
            Evidence::Vector => "a published example was recomputed",
            Evidence::Source => "the sender's source was read or run",
            Evidence::Documentation => "the sender's documentation says so",
            Evidence::Unproven => "third parties say so",
        });
        let words: Vec<_> = words.collect();
        let page = format!("<{}>", self.documentation);
        let checked = match (self.notes.checked, self.notes.recheck) {
            ("", _) => String::new(),
            (date, how) => format!(". Checked on {date}; to check again: {how}"),
        };
        format!("{} ({page}){checked}", words.join(", "))
    }
}

/// The text of a row if the sender documents nothing about it.
const NOT_DOCUMENTED: &str = "not documented by the sender";

fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default.into() } else { text.into() }
}

/// Joins the lines of a doc comment into paragraphs, without links between items.
fn paragraphs(about: &str) -> String {
    let lines: Vec<_> = about.lines().map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    let paragraphs: Vec<_> = paragraphs.map(|lines| without_links(&lines.join(" "))).collect();
    paragraphs.join("\n\n")
}

/// Replaces links to items, such as ``[`GITHUB`](super::GITHUB)``, with their text.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`]") else { break };
        plain.push_str(before);
        plain.push_str(&format!("`{name}`"));
        rest = match after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

fn parts(parts: &[Sent]) -> String {
    let names = parts.iter().map(|part| match part {
        Sent::Body => "body",
        Sent::Id => "delivery ID",
        Sent::EventType => "event type",
        Sent::Timestamp => "timestamp",
        Sent::Signature => "signature",
    });
    names.collect::<Vec<_>>().join(", ")
}

fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Body | Proof::BodyDigest => "the whole body",
        Proof::Fields => "a part of the body",
        Proof::Url => "the URL, but not the body",
        Proof::TokenOnly => "the sender, but nothing of the request",
    }
}

fn time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 0 && seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        seconds if seconds > 0 && seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 && seconds > 600 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
