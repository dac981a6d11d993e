//! Reads bodies without the crate's code.

use serde_json::Value;

use super::rig::{Data, Seen, Told};

/// Returns the expected events of a request, by its sender's format.
pub(super) fn read(scheme: &str, headers: &[(String, String)], body: &[u8]) -> Seen {
    let json = || -> Value { serde_json::from_slice(body).unwrap() };
    let header = |wanted: &str| {
        let mut headers = headers.iter();
        let header = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        header.map(|(_, value)| value.clone())
    };
    let envelope = |event_type: &str, id: Option<String>, time: &str| {
        let whole = json();
        Told {
            event_type: whole[event_type].as_str().map(Into::into),
            id,
            seconds: whole[time].as_str().map(seconds),
            data: Data::Json(whole["data"].clone()),
            is_claimed: true,
        }
    };
    match scheme {
        "mautic" => Seen {
            is_test: json()["timestamp"].is_string(),
            events: by_type(&json(), std::str::from_utf8(body).unwrap()),
        },
        "host-uk-core-api" | "host-uk-documented" | "host-uk-hosthub-legacy" => {
            let id = json()["id"].as_str().map(Into::into);
            Seen {
                is_test: scheme == "host-uk-documented" && json()["data"]["test"] == true,
                events: vec![envelope("type", id, "created_at")],
            }
        }
        "fluentcrm-documented" => Seen {
            is_test: false,
            events: vec![envelope("event", header("x-fluentcrm-delivery"), "timestamp")],
        },
        "shared-header" | "pipeforce-token" => Seen {
            is_test: false,
            events: vec![Told {
                event_type: None,
                id: None,
                seconds: None,
                data: body.into(),
                is_claimed: false,
            }],
        },
        _ => panic!("{scheme}"),
    }
}

/// Mautic's lists, and objects in the place of lists, in the order of the text.
fn by_type(whole: &Value, text: &str) -> Vec<Told> {
    let members = whole.as_object().unwrap();
    let mut types: Vec<_> = members.keys().collect();
    types.sort_by_key(|key| text.find(&format!("\"{key}\":")).unwrap());
    let mut events = Vec::new();
    for event_type in types {
        let elements = match &members[event_type] {
            Value::Array(elements) => elements.clone(),
            element @ Value::Object(_) => vec![element.clone()],
            _ => continue,
        };
        events.extend(elements.into_iter().map(|element| Told {
            event_type: Some(event_type.clone()),
            id: None,
            seconds: element["timestamp"].as_str().map(seconds),
            data: Data::Json(element),
            is_claimed: true,
        }));
    }
    events
}

/// `2026-11-22T00:00:00+01:00`, or with `Z`.
fn seconds(text: &str) -> u64 {
    let number = |from: usize, to: usize| -> i64 { text[from..to].parse().unwrap() };
    // In years that begin in March, the day that leaps is the last.
    let (year, month) = match (number(0, 4), number(5, 7)) {
        (year, month @ ..=2) => (year - 1, month + 9),
        (year, month) => (year, month - 3),
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5;
    let days = days + number(8, 10) - 1 - 719_468;
    let mut seconds = ((days * 24 + number(11, 13)) * 60 + number(14, 16)) * 60 + number(17, 19);
    if &text[19..] != "Z" {
        let offset = (number(20, 22) * 60 + number(23, 25)) * 60;
        seconds -= match &text[19..20] {
            "+" => offset,
            _ => -offset,
        };
    }
    seconds.try_into().unwrap()
}

#[test]
fn times_are_read_by_hand() {
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T12:00:00+00:00", 1_709_208_000),
        ("2026-11-22T00:00:00+00:00", 1_795_305_600),
        ("2026-11-21T23:58:30+01:00", 1_795_301_910),
        ("2026-11-21T20:00:00-04:00", 1_795_305_600),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
}
