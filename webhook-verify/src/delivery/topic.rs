/// Returns whether an event key, such as `sales.lead.created`, matches an AMQP topic pattern.
///
/// Key and pattern consist of words separated by dots. In the pattern, `*` matches exactly one
/// word, and `#` matches any number of words, including none. Any other word matches only itself,
/// in the same case; this includes words such as `lead*`. An empty text has no words.
///
/// ```
/// use webhook_verify::event::matches_topic;
///
/// assert!(matches_topic("sales.*", "sales.lead"));
/// assert!(matches_topic("sales.#", "sales.lead.created"));
/// assert!(matches_topic("sales.#", "sales"));
/// assert!(matches_topic("*.lead.#.now", "sales.lead.now"));
///
/// assert!(!matches_topic("sales.*", "sales"));
/// assert!(!matches_topic("sales.*", "sales.lead.created"));
/// assert!(!matches_topic("sales.#", "salesforce.lead"));
/// assert!(!matches_topic("sales.lead", "sales.Lead"));
/// ```
///
/// The number of steps is at most the product of both numbers of words.
///
/// The rules are those of [AMQP 0-9-1](https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf),
/// §3.1.3.3, as [RabbitMQ](https://www.rabbitmq.com/tutorials/tutorial-five-python) implements
/// them.
#[must_use]
pub fn matches_topic(pattern: &str, key: &str) -> bool {
    let (mut pattern, mut key) = (words(pattern), words(key));
    // The pattern after the last `#`, and the position in the key where it was tried. Earlier `#`s
    // need no retry: the words before the last one are matched as early as possible, and a later
    // match would only leave less of the key.
    let mut retry = None;
    loop {
        match (pattern.next(), key.clone().next()) {
            (Some("#"), _) => retry = Some((pattern.clone(), key.clone())),
            (Some(word), Some(given)) if word == "*" || word == given => {
                key.next();
            }
            (None, None) => return true,
            _ => {
                let Some((after, from)) = &mut retry else {
                    return false;
                };
                // Let the last `#` match one more word.
                if from.next().is_none() {
                    return false;
                }
                (pattern, key) = (after.clone(), from.clone());
            }
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split('.').filter(move |_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::matches_topic;

    /// Includes the examples of RabbitMQ's tutorial and test suites.
    #[test]
    fn documented_patterns() {
        for (pattern, matching, others) in [
            (
                "*.orange.*",
                vec!["quick.orange.rabbit", "lazy.orange.elephant"],
                vec!["quick.orange", "orange", "quick.orange.new.rabbit"],
            ),
            (
                "*.*.rabbit",
                vec!["quick.orange.rabbit"],
                vec!["lazy.rabbit", "quick.orange.male.rabbit"],
            ),
            (
                "lazy.#",
                vec!["lazy", "lazy.brown.fox", "lazy.orange.new.rabbit"],
                vec!["", "quick.lazy", "lazyness"],
            ),
            ("#", vec!["", "a", "a.b", "a..b", "."], vec![]),
            ("*", vec!["a", "#", "*"], vec!["", "a.b", "."]),
            ("", vec![""], vec!["a", "."]),
            ("a.#.b", vec!["a.b", "a.c.b", "a.b.b", "a.c.d.b"], vec!["a", "b", "a.b.c", "ab"]),
            ("#.#", vec!["", "a", "a.b"], vec![]),
            ("*.#", vec!["a", "a.b"], vec![""]),
            ("#.*", vec!["a", "a.b"], vec![""]),
            ("a.*.#", vec!["a.b", "a.b.c"], vec!["a", "b.a"]),
            ("a*", vec!["a*"], vec!["ab", "a"]),
            ("a.#b", vec!["a.#b"], vec!["a.b", "a.c.b"]),
            ("a..b", vec!["a..b"], vec!["a.b"]),
            ("a.*.b", vec!["a..b"], vec!["a.b"]),
            ("sales.lead", vec!["sales.lead"], vec!["sales.Lead", "sales.lead.", ".sales.lead"]),
        ] {
            for key in matching {
                assert!(matches_topic(pattern, key), "{pattern} {key}");
            }
            for key in others {
                assert!(!matches_topic(pattern, key), "{pattern} {key}");
            }
        }
    }

    /// States the rules, in exponential time.
    fn naive(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], _) => (0..=key.len()).any(|taken| naive(rest, &key[taken..])),
            ([word, rest @ ..], [given, key @ ..]) => {
                (*word == "*" || word == given) && naive(rest, key)
            }
            _ => false,
        }
    }

    /// Tests all patterns of up to four words (five if THOROUGH is set) with all keys of up to
    /// five.
    #[test]
    fn every_short_pattern_matches_what_the_rules_say() {
        let all = |words: &[&'static str], max: u32| {
            let mut all = vec![vec![]];
            let mut last = all.clone();
            for _ in 0..max {
                let longer = last.iter().flat_map(|text: &Vec<&str>| {
                    words.iter().map(|word| [text.as_slice(), &[*word]].concat())
                });
                last = longer.collect();
                all.extend(last.iter().cloned());
            }
            all
        };
        let keys = all(&["a", "b", "c"], 5);
        let mut matching = 0;
        let words = if std::env::var_os("THOROUGH").is_some() { 5 } else { 4 };
        for pattern in all(&["a", "b", "*", "#"], words) {
            for key in &keys {
                let expected = naive(&pattern, key);
                let (pattern, key) = (pattern.join("."), key.join("."));
                assert_eq!(matches_topic(&pattern, &key), expected, "{pattern} {key}");
                matching += usize::from(expected);
            }
        }
        assert!(matching > 10_000, "{matching}");
    }

    #[test]
    fn no_pattern_takes_exponential_time() {
        let key = "a.".repeat(2_000) + "a";
        for pattern in [
            "#.".repeat(1_000) + "b",
            "#.a.".repeat(1_000) + "b",
            "#.*.".repeat(1_000) + "b",
            "#.a.a.*.a.".repeat(200) + "b",
        ] {
            assert!(!matches_topic(&pattern, &key));
            assert!(matches_topic(&(pattern + ".#"), &(key.clone() + ".b")));
        }
    }
}
