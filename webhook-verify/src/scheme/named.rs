//! Presets by name, and a suggestion for a mistyped one.

use std::str::FromStr;

use super::Scheme;
use crate::error::ConfigError;

/// Longer names are no typos, and comparing them costs time.
const MAX_LEN: usize = 64;

impl FromStr for Scheme {
    type Err = ConfigError;

    /// Returns the preset of this name, such as `github`, or an error that suggests the nearest.
    ///
    /// ```
    /// use webhook_verify::Scheme;
    ///
    /// let github: Scheme = "github".parse()?;
    ///
    /// let error = "strpie".parse::<Scheme>().unwrap_err();
    /// assert_eq!(error.to_string(), r#"unknown scheme "strpie": did you mean stripe?"#);
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::preset(name).ok_or_else(|| ConfigError::UnknownScheme {
            name: name.to_owned(),
            similar: similar(name),
        })
    }
}

/// Returns the first preset that starts with `name`, or the one that differs least from it, by at
/// most a third of its letters.
fn similar(name: &str) -> Option<&'static str> {
    let name = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    let letters: Vec<char> = name.chars().take(MAX_LEN + 1).collect();
    if !(2..=MAX_LEN).contains(&letters.len()) {
        return None;
    }
    let starting = || Scheme::preset_names().find(|preset| preset.starts_with(&name));
    let distances = Scheme::preset_names().map(|preset| (distance(&letters, preset), preset));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    match nearest? {
        (0, preset) => Some(preset),
        (distance, preset) => starting().or((distance <= letters.len() / 3).then_some(preset)),
    }
}

/// Counts the letters to insert, delete, replace or swap with a neighbor until `name` is `other`.
fn distance(name: &[char], other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let (mut before, mut above) = (Vec::new(), (0..=other.len()).collect::<Vec<_>>());
    for (i, letter) in name.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other_letter) in other.iter().enumerate() {
            let replaced = above[j] + usize::from(letter != other_letter);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == other[j - 1] && name[i - 1] == *other_letter {
                let two_rows_up: &Vec<usize> = &before;
                least = least.min(two_rows_up[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_gets_the_nearest_preset() {
        for (name, expected) in [
            ("strpie", Some("stripe")),
            ("Stripe", Some("stripe")),
            (" stripe\n", Some("stripe")),
            ("strip", Some("stripe")),
            ("gihtub", Some("github")),
            ("gthub", Some("github")),
            ("git-hub", Some("github")),
            ("shoppify", Some("shopify")),
            ("standard", Some("standard-webhooks")),
            ("standard_webhooks", Some("standard-webhooks")),
            ("standardwebhooks", Some("standard-webhooks")),
            ("mautik", Some("mautic")),
            ("nobody", None),
            ("acme-corporation", None),
            ("x", None),
            ("", None),
            ("ä", None),
        ] {
            assert_eq!(similar(name), expected, "{name:?}");
        }
        assert_eq!(similar(&"stripe".repeat(1_000_000)), None);
    }

    #[test]
    fn every_preset_is_found_by_its_name() {
        for preset in Scheme::presets() {
            let parsed: Scheme = preset.name().parse().unwrap();
            assert_eq!(parsed.name(), preset.name());
        }
    }

    #[test]
    fn distances_are_those_of_the_fewest_changes() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "abd", 1),
            ("abc", "xabc", 1),
            ("kitten", "sitting", 3),
        ] {
            let letters: Vec<char> = a.chars().collect();
            assert_eq!(distance(&letters, b), expected, "{a} {b}");
        }
    }
}
