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

#[test]
fn every_preset_has_evidence_a_date_and_a_way_to_check_it_again() {
    for scheme in all_presets() {
        let (name, notes) = (&scheme.name, &scheme.notes);
        assert!(!scheme.evidence.is_empty(), "{name}");
        assert!(!is_unproven(scheme) || scheme.evidence.len() == 1, "{name}");
        let date: Vec<_> = notes.checked.split('-').map(str::len).collect();
        assert!(date == [4, 2, 2] && notes.checked.starts_with("20"), "{name}: {}", notes.checked);
        for (field, text) in [("recheck", notes.recheck), ("secret_at", notes.secret_at)] {
            assert!(!text.is_empty(), "{name}: {field}");
            assert!(!text.ends_with('.'), "{name}: {field} is no sentence");
        }
    }
}

#[test]
fn a_part_of_a_request_is_kept_or_changed_by_a_retry() {
    for scheme in all_presets() {
        let (name, notes) = (&scheme.name, &scheme.notes);
        let all: Vec<_> = notes.keeps.iter().chain(notes.changes).collect();
        let distinct: HashSet<_> = all.iter().map(|part| format!("{part:?}")).collect();
        assert_eq!(all.len(), distinct.len(), "{name}");
        let is_silent = all.is_empty() && notes.schedule.is_empty();
        assert!(is_silent || !notes.source.is_empty(), "{name}: retries need a source");
        assert!(
            !notes.same_bytes_why.is_empty() || notes.same_bytes == SameBytes::Unknown,
            "{name}"
        );
    }
}

/// A true event is never swallowed: a key is a signed ID, or fields that stay the same, or a digest
/// where two events cannot have the same bytes or a header ID tells them apart. An ID of which it is
/// not known whether retries keep it can only make the key finer.
#[test]
fn every_key_follows_from_what_the_sender_does() {
    for scheme in all_presets() {
        let (name, notes) = (&scheme.name, &scheme.notes);
        match scheme.identity {
            Identity::None => {}
            Identity::SignedId => assert!(!notes.changes.contains(&Sent::Id), "{name}"),
            Identity::Fields => assert!(!scheme.identity_fields.is_empty(), "{name}"),
            // Each event has its own key, and only a request without events has a digest.
            Identity::Digest if scheme.recognises_events() => {
                let has_id = scheme.event_id_pointers().next().is_some();
                let is_certain = has_id || notes.same_bytes == SameBytes::Never;
                assert!(is_certain, "{name}: two events could have one key");
                assert!(!has_id || !notes.changes.contains(&Sent::Id), "{name}: which ID stays?");
            }
            Identity::Digest => {
                let is_certain = notes.same_bytes == SameBytes::Never || has_label(scheme);
                assert!(is_certain, "{name}: two events could have one key");
                assert!(!notes.changes.contains(&Sent::Body), "{name}: no retry would be known");
                let changes_id = notes.changes.contains(&Sent::Id);
                assert!(!has_label(scheme) || !changes_id, "{name}: drop the id");
            }
            Identity::BodyDigest | Identity::SignedContent => {
                panic!("{name}: a key without the labels in headers")
            }
        }
    }
}

/// A retry with the first timestamp must be in the window, or the notes say which ones are lost.
#[test]
fn every_time_window_fits_the_retries() {
    for scheme in all_presets() {
        let (name, notes) = (&scheme.name, &scheme.notes);
        let Some(TimestampSource { tolerance: Some(window), .. }) = &scheme.timestamp else {
            assert!(notes.lost.is_empty(), "{name}: nothing is lost without a window");
            continue;
        };
        let horizon = scheme.hints.retry_horizon.unwrap_or_default();
        let fits = horizon <= window.past() || notes.changes.contains(&Sent::Timestamp);
        assert_eq!(fits, notes.lost.is_empty(), "{name}: {:?} and {horizon:?}", window.past());
    }
}
