//! Errors of the library in the words of the command.

use std::error::Error;

use webhook_verify::ConfigError;

/// Returns the text of an error. That of a [`ConfigError`] names options of the command in place of
/// the library's methods.
pub(crate) fn text(error: &(dyn Error + 'static)) -> String {
    error.downcast_ref::<ConfigError>().map_or_else(|| error.to_string(), config_text)
}

fn config_text(error: &ConfigError) -> String {
    match error {
        ConfigError::About { subject, error } => format!("{subject}: {}", config_text(error)),
        // The command takes no such secret, so the remedy is the one in the reason.
        ConfigError::SuspectSecret { reason } => format!("secret: {reason}"),
        ConfigError::Option { option, reason } => format!("{}: {reason}", option_of(option)),
        _ => error.to_string(),
    }
}

/// Returns the option that sets what a method of the library sets.
fn option_of(method: &str) -> &str {
    match method {
        "at" => "--now",
        "event_type" => "--event-type",
        "gzip" => "--gzip",
        "id" => "--id",
        "parameter" => "--parameter",
        "public_url" => "--url",
        other => other,
    }
}
