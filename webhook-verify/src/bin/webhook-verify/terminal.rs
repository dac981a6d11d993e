//! Text from strangers on a terminal.

use std::fmt;

use serde_json::Value;

/// Displays a text from a request. Control characters, which a terminal may obey, and characters
/// that change the direction of the text appear as escapes.
pub(crate) struct Shown<'t>(pub(crate) &'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if char.is_control() || is_format(char) {
                write!(f, "{}", char.escape_default())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        Ok(())
    }
}

/// Displays JSON on one line. The characters that [`Shown`] escapes appear as JSON's own escapes.
pub(crate) struct ShownJson<'v>(pub(crate) &'v Value);

impl fmt::Display for ShownJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.to_string().chars() {
            if char.is_control() || is_format(char) {
                write!(f, "\\u{:04x}", u32::from(char))?;
            } else {
                write!(f, "{char}")?;
            }
        }
        Ok(())
    }
}

/// Returns whether a character is invisible or changes the direction of the text.
fn is_format(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::{Shown, ShownJson};

    #[test]
    fn a_terminal_obeys_no_request() {
        let hostile = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}b\u{feff}\u{7f}ü";
        let shown = Shown(hostile).to_string();
        assert!(shown.chars().all(|char| !char.is_control()), "{shown:?}");
        assert_eq!(shown, r"a\u{1b}[2J\u{9b}31m\r\n\u{202e}b\u{feff}\u{7f}ü");
    }

    #[test]
    fn escapes_of_json_keep_the_text() {
        let hostile = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}b\u{feff}\u{7f}ü\"\\";
        let shown = ShownJson(&hostile.into()).to_string();
        assert!(shown.chars().all(|char| !char.is_control()), "{shown:?}");
        assert!(shown.contains("\\u009b") && shown.contains("\\u202e"), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).ok().as_deref(), Some(hostile));
    }
}
