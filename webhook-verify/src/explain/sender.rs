//! Requests of another sender.

use std::cmp::Reverse;

use super::{Finding, case::Case, cause::Cause};
use crate::{
    request::begins_with,
    scheme::{Place, Scheme, SignatureSource, Text},
};

/// The maximum number of presets to try.
const MAX_PRESETS: usize = 24;
/// The maximum number of headers to compare with the presets' headers.
const MAX_NAMES: usize = 100;
/// The maximum number of presets of the same form to name.
const MAX_SAME_FORM: usize = 3;
/// The maximum number of other senders to name.
const MAX_OTHERS: usize = 8;

/// Finds another preset under which the request is valid.
pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let scheme = case.scheme();
    let is_present = |place: &Place| match place {
        Place::Header(name) => case.head.header(name).is_some(),
        Place::HeaderPrefix(prefix) => has_prefixed(case, prefix),
        Place::Query(name) => case.head.single_query(name).is_some(),
        Place::Form(_) | Place::Pointer(_) => false,
    };
    let is_candidate = |preset: &&Scheme| {
        preset.name() != scheme.name() && preset.signatures.iter().any(|it| is_present(&it.place))
    };
    let mut presets: Vec<_> = Scheme::presets().filter(is_candidate).collect();
    sort_by_headers(case, &mut presets);
    let found = presets.into_iter().take(MAX_PRESETS).find(|preset| {
        // A token does not identify its sender, so a match under another token scheme means nothing.
        let is_token = preset.algorithm().is_token();
        (!is_token || !scheme.algorithm().is_token())
            // If the body is empty, a signature over the head alone does not identify the sender.
            && (!case.body.is_empty() || preset.signs_body())
            && case.holds_with(&case.with_scheme((*preset).clone()))
    })?;
    Some(named(found.name(), "the request is valid under that scheme"))
}

/// Recognizes another sender by its headers.
pub(super) fn by_headers(case: &Case<'_>) -> Option<Finding> {
    let mut names = Vec::new();
    case.head.visit(&mut |name, _| names.push(name));
    names.truncate(MAX_NAMES);
    let (header, sender) = case.scheme().other_sender(&names)?;
    let has_header = |preset: &&Scheme| {
        let is_it = |place: &Place| matches!(place, Place::Header(name) if name == header);
        preset.name() != sender && preset.signatures.iter().any(|it| is_it(&it.place))
    };
    let others: Vec<_> = Scheme::presets().filter(has_header).map(Scheme::name).collect();
    if others.is_empty() {
        return Some(named(
            sender,
            &format!("the request has the header `{header}`, which only this sender uses"),
        ));
    }
    let shown = others.iter().take(MAX_OTHERS).map(|name| format!("`{name}`"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    Some(Finding::new(
        Cause::OtherSender,
        format!("use the scheme of the sender, which is one of `{sender}`, {shown}"),
        format!("the request has the header `{header}`, which several other senders use"),
    ))
}

/// Returns the names of presets that read the head of the request, from the same place as the
/// scheme.
pub(super) fn of_same_form(case: &Case<'_>) -> Vec<&'static str> {
    let scheme = case.scheme();
    let is_own =
        |source: &SignatureSource| scheme.signatures.iter().any(|it| it.place == source.place);
    let is_candidate =
        |preset: &&Scheme| preset.name() != scheme.name() && preset.signatures.iter().any(is_own);
    let candidates = Scheme::presets().filter(is_candidate).take(MAX_PRESETS);
    let mut found: Vec<_> = candidates.filter(|it| case.reads_with((*it).clone())).collect();
    sort_by_headers(case, &mut found);
    found.into_iter().take(MAX_SAME_FORM).map(Scheme::name).collect()
}

/// Sorts presets so that the one that reads the most headers of the request comes first.
fn sort_by_headers(case: &Case<'_>, presets: &mut [&'static Scheme]) {
    presets.sort_by_cached_key(|preset| {
        let is_read = |name: &Text| case.head.header(name).is_some();
        Reverse(preset.header_names().filter(is_read).count())
    });
}

fn named(sender: &str, detail: &str) -> Finding {
    Finding::new(
        Cause::OtherSender,
        format!("use the scheme `{sender}`, or give each sender its own URL"),
        format!("the request is from `{sender}`: {detail}"),
    )
}

fn has_prefixed(case: &Case<'_>, prefix: &str) -> bool {
    let mut has = false;
    case.head.visit(&mut |name, _| {
        has |= begins_with(name, prefix);
    });
    has
}
