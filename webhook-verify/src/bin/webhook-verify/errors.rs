//! Errors of the library in the words of the command.

use std::error::Error;

use webhook_verify::ConfigError;

/// Returns the text of an error. That of a [`ConfigError`] names options of the command in place of
/// the library's methods.
pub(crate) fn text(error: &(dyn Error + 'static)) -> String {
    text_with(error, option_of)
}

/// Returns the text of an error about a recorded request, which has its values in fields.
pub(crate) fn text_of_row(error: &(dyn Error + 'static)) -> String {
    text_with(error, |method| match method {
        "id" => "--new-id",
        "parameter" => "`parameters`",
        other => option_of(other),
    })
}

fn text_with(error: &(dyn Error + 'static), name_of: fn(&str) -> &str) -> String {
    let config = error.downcast_ref::<ConfigError>();
    config.map_or_else(|| error.to_string(), |error| config_text(error, name_of))
}

fn config_text(error: &ConfigError, name_of: fn(&str) -> &str) -> String {
    match error {
        ConfigError::About { subject, error } => {
            format!("{subject}: {}", config_text(error, name_of))
        }
        // The command takes no such secret, so the remedy is the one in the reason.
        ConfigError::SuspectSecret { reason } => format!("secret: {reason}"),
        ConfigError::Option { option, reason } => format!("{}: {reason}", name_of(option)),
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
