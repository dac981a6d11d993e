//! Explains refusals. The library reports what it found as `hint` and `fix` in its log.

use std::{
    cell::RefCell,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use webhook_verify::{Rejection, idempotency::ClaimKey};

use crate::terminal::Shown;

tokio::task_local! {
    static NOTES: RefCell<Notes>;
}

/// Facts about a request that the receiver reports only to callbacks and to the log.
#[derive(Default)]
pub(super) struct Notes {
    /// The likely cause of the refusal.
    pub(super) hint: Option<String>,
    /// What to do about it.
    pub(super) fix: Option<String>,
    /// The key of the delivery, if it is a duplicate.
    pub(super) duplicate: Option<ClaimKey>,
}

/// Runs a future, and collects the notes about its request.
pub(super) async fn with_notes<F: Future>(future: F) -> (F::Output, Notes) {
    let noted = async {
        let output = future.await;
        (output, NOTES.with(RefCell::take))
    };
    NOTES.scope(RefCell::default(), noted).await
}

pub(super) fn note_duplicate(key: ClaimKey) {
    let _ = NOTES.try_with(|notes| notes.borrow_mut().duplicate = Some(key));
}

/// Explains a refusal in one sentence.
pub(super) fn explain(rejection: &Rejection, notes: &mut Notes) -> String {
    let reason = rejection.reason().replace('_', " ");
    match (notes.hint.take(), notes.fix.take()) {
        (Some(hint), Some(fix)) => format!("{reason}: {hint}: {fix}"),
        (Some(hint), None) => format!("{reason}: {hint}"),
        // The receiver explains a burst of refusals with one reason, and then one each second.
        (None, _) if matches!(rejection, Rejection::NotAuthentic(_)) => {
            format!("{reason}: not explained, because there were too many of these at once")
        }
        (None, _) => format!("{rejection:#}"),
    }
}

/// Takes the hints from the library's log, and prints its other warnings.
pub(super) struct Log(AtomicU64);

impl Log {
    pub(super) fn install() {
        // It is an error only if there is a subscriber already.
        let _ = tracing::subscriber::set_global_default(Self(AtomicU64::new(1)));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "webhook_verify" && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let in_request = NOTES.try_with(|notes| {
            if fields.hint.is_some() {
                let mut notes = notes.borrow_mut();
                (notes.hint, notes.fix) = (fields.hint.take(), fields.fix.take());
            }
        });
        if in_request.is_err() && *event.metadata().level() <= Level::WARN {
            eprintln!("warning: {}", Shown(&fields.message));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    hint: Option<String>,
    fix: Option<String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "hint" => self.hint = Some(value.to_owned()),
            "fix" => self.fix = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
