//! Suggestions for mistyped names.

/// Returns the name that starts with `typed`, or the one that differs least from it, by at most a
/// third of its letters.
pub(crate) fn similar<'n>(
    typed: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let plain = |name: &str| name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    let typed = plain(typed);
    let length = typed.chars().count();
    // Longer names are no typos, and comparing them costs time.
    if !(2..=64).contains(&length) {
        return None;
    }
    let names: Vec<_> = names.into_iter().collect();
    let distance = |name: &&&str| strsim::osa_distance(&typed, &plain(name));
    let nearest = names.iter().min_by_key(distance).filter(|name| distance(name) <= length / 3);
    nearest.or_else(|| names.iter().find(|name| plain(name).starts_with(&typed))).copied()
}
