//! What every preset must state, and what follows from it.

use std::collections::HashSet;

use super::super::{
    Evidence, Field, Identity, SameBytes, Scheme, Sent, TimestampSource, all_presets,
};

fn is_unproven(scheme: &Scheme) -> bool {
    scheme.evidence.contains(&Evidence::Unproven)
}

/// Returns whether a key contains the delivery ID in a header.
fn has_label(scheme: &Scheme) -> bool {
    matches!(scheme.id, Some(Field::Header(_)))
}

/// Checks all presets, and names all faults at once.
fn check_all(check: impl Fn(&Scheme, &mut dyn FnMut(bool, &str))) {
    let mut faults = Vec::new();
    for scheme in all_presets() {
        check(scheme, &mut |holds, what| {
            if !holds {
                faults.push(format!("{}: {what}", scheme.name));
            }
        });
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_preset_has_evidence_a_date_and_a_way_to_check_it_again() {
    check_all(|scheme, must| {
        let notes = &scheme.notes;
        must(!scheme.evidence.is_empty(), "no evidence");
        must(!is_unproven(scheme) || scheme.evidence.len() == 1, "proven and unproven");
        let date: Vec<_> = notes.checked.split('-').map(str::len).collect();
        must(date == [4, 2, 2] && notes.checked.starts_with("20"), "no date");
        for text in [notes.recheck, notes.secret_at] {
            must(!text.is_empty() && !text.ends_with('.'), "empty, or a sentence");
        }
    });
}

#[test]
fn a_part_of_a_request_is_kept_or_changed_by_a_retry() {
    check_all(|scheme, must| {
        let notes = &scheme.notes;
        let all: Vec<_> = notes.keeps.iter().chain(notes.changes).collect();
        let distinct: HashSet<_> = all.iter().map(|part| format!("{part:?}")).collect();
        must(all.len() == distinct.len(), "kept and changed");
        let is_silent = all.is_empty() && notes.schedule.is_empty();
        must(is_silent || !notes.source.is_empty(), "retries need a source");
        let is_known = notes.same_bytes != SameBytes::Unknown;
        must(!is_known || !notes.same_bytes_why.is_empty(), "same bytes need a reason");
    });
}

/// A true event is never swallowed: a key is a signed ID, or fields that stay the same, or a digest
/// where two events cannot have the same bytes or a header ID tells them apart. An ID of which it is
/// not known whether retries keep it can only make the key finer.
#[test]
fn every_key_follows_from_what_the_sender_does() {
    check_all(|scheme, must| {
        let notes = &scheme.notes;
        let changes = |part| notes.changes.contains(&part);
        match scheme.identity {
            Identity::None => {
                let is_useless = !scheme.signs_body() || changes(Sent::Id);
                must(!has_label(scheme) || is_useless, "each delivery has an ID");
            }
            Identity::SignedId => must(!changes(Sent::Id), "retries change the ID"),
            Identity::Fields => must(!scheme.identity_fields.is_empty(), "no fields"),
            // Each event has its own key, and only a request without events has a digest.
            Identity::Digest if scheme.recognises_events() => {
                let has_id = scheme.event_id_pointers().next().is_some();
                let never = notes.same_bytes == SameBytes::Never;
                let is_certain = has_id || never || has_label(scheme);
                must(is_certain, "two events could have one key");
                must(!has_id || !changes(Sent::Id), "which ID stays?");
            }
            Identity::Digest => {
                let is_certain = notes.same_bytes == SameBytes::Never || has_label(scheme);
                must(is_certain, "two events could have one key");
                must(!changes(Sent::Body), "no retry would be known");
                must(!has_label(scheme) || !changes(Sent::Id), "drop the ID");
            }
            Identity::BodyDigest | Identity::SignedContent => {
                must(false, "a key without the labels in headers");
            }
        }
        let needs_body = scheme.key_needs_body(scheme.identity);
        must(
            !needs_body || !changes(Sent::Body),
            "retries change the body, so their keys would differ",
        );
    });
}

/// A retry with the first timestamp must be in the window, or the notes state which ones are lost.
/// If nothing is known about the retries, they may have the first timestamp.
#[test]
fn every_time_window_fits_the_retries() {
    check_all(|scheme, must| {
        let notes = &scheme.notes;
        let Some(TimestampSource { tolerance: Some(window), .. }) = &scheme.timestamp else {
            must(notes.lost.is_empty(), "nothing is lost without a window");
            return;
        };
        let is_in_time = match scheme.hints.retry_horizon {
            Some(horizon) => horizon <= window.past(),
            None => notes.schedule.starts_with("none"),
        };
        let fits = is_in_time || notes.changes.contains(&Sent::Timestamp);
        must(fits == notes.lost.is_empty(), "the window and the horizon");
    });
}
