//! Whatever is signed: no body makes it panic, and no event is lost, invented, or changed by a
//! byte.

use std::{collections::HashSet, fmt};

use integration_tests::size;
use proptest::prelude::*;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use webhook_verify::{Scheme, event::EventsError, scheme};

use super::{delivery, events_of, slices_of};

/// Lists at these places.
const LISTS: [&str; 5] = ["", "/events", "/a~1b/ü", "/events/1", "/0/events"];

fn list_at(pointer: &str) -> Scheme {
    let builder = Scheme::builder("list").signature_header("x-sig");
    let builder =
        builder.event_list(pointer).listed_event_type(["/type"]).listed_event_id(["/id", "/at"]);
    builder.build().unwrap()
}

/// The events of a body: types, where they are outside of the events, and bytes.
fn came_apart(scheme: &Scheme, body: &[u8]) -> Result<Vec<(String, String)>, EventsError> {
    let delivery = delivery(scheme, body);
    let events = events_of(&delivery)?;
    let texts = slices_of(&delivery, &events);
    let is_by_type = scheme.name() == "mautic";
    Ok(events
        .iter()
        .zip(texts)
        .map(|(event, text)| {
            let _ = (event.id(), event.time(), event.data::<serde_json::Value>());
            let event_type = event.event_type().unwrap_or_default();
            assert_eq!(
                event.matches(&event_type),
                event.event_type().is_some() || event_type == "*"
            );
            (if is_by_type { event_type.into() } else { String::new() }, text)
        })
        .collect())
}

/// The members of an object in order, as serde has them.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

type Read<'a> = Option<Vec<(String, &'a str)>>;

fn elements(raw: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The same by another way: each level is read by itself.
fn read_by_type(body: &str) -> Read<'_> {
    let Members(members) = serde_json::from_str(body).ok()?;
    let (mut events, mut names) = (Vec::new(), HashSet::new());
    for (name, value) in members {
        let value = value.get();
        if !names.insert(name.clone()) || name == "timestamp" && value.starts_with(['[', '{']) {
            return None;
        }
        match value.starts_with('[') {
            _ if name == "timestamp" => {}
            true => events.extend(elements(value)?.into_iter().map(|value| (name.clone(), value))),
            false => events.push((name, value)),
        }
    }
    Some(events)
}

/// No body, and an object without the list, are one event.
fn read_list<'a>(body: &'a str, pointer: &str) -> Read<'a> {
    let alone = Some(vec![(String::new(), body)]);
    if body.is_empty() {
        return alone;
    }
    let mut value: &RawValue = serde_json::from_str(body).ok()?;
    let alone = alone.filter(|_| value.get().starts_with('{'));
    if pointer.is_empty() && alone.is_some() {
        return alone;
    }
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if value.get().starts_with('{') {
            let Members(members) = serde_json::from_str(value.get()).ok()?;
            let mut found = members.into_iter().filter(|(name, _)| *name == token);
            let first = found.next();
            if found.next().is_some() {
                return None;
            }
            let Some((_, below)) = first else { return alone };
            value = below;
        } else {
            let list: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
            let Some(below) = token.parse().ok().and_then(|at: usize| list.get(at)) else {
                return alone;
            };
            value = below;
        }
    }
    let elements = elements(value.get())?.into_iter();
    Some(elements.map(|element| (String::new(), element)).collect())
}

fn assert_same(got: Result<Vec<(String, String)>, EventsError>, read: Read<'_>, body: &str) {
    match (got, read) {
        (Ok(got), Some(read)) => {
            let got: Vec<_> = got.iter().map(|(name, text)| (name.clone(), &**text)).collect();
            assert_eq!(got, read, "{body}");
        }
        (Err(_), None) => {}
        (got, read) => panic!("{got:?}, and the other way {read:?}: {body}"),
    }
}

/// Of all three kinds; held against the other way where the body is text.
fn assert_comes_apart_alike(body: &[u8]) {
    let text = std::str::from_utf8(body).ok();
    let by_type = came_apart(&scheme::MAUTIC, body);
    let whole = came_apart(&scheme::STRIPE, body).unwrap();
    assert_eq!(whole.len(), 1);
    if let Some(text) = text {
        assert_same(by_type, read_by_type(text), text);
        assert_eq!(whole[0].1, text);
    }
    for pointer in LISTS {
        let list = came_apart(&list_at(pointer), body);
        if let Some(text) = text {
            assert_same(list, read_list(text, pointer), text);
        }
    }
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

/// Any text, with any of its characters escaped in either case, as senders may.
fn string() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        3 => "[a-z.]",
        1 => "[ -~]",
        1 => any::<char>().prop_map(String::from),
        1 => Just("\"".to_owned()),
    ];
    let character = (character, 0..4_u8).prop_map(|(text, escape)| {
        let character = text.chars().next().unwrap();
        let units = |upper: bool| -> String {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            let unit = |unit: &u16| {
                if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") }
            };
            units.map(unit).collect()
        };
        match (escape, character) {
            (0, _) => units(true),
            (1, _) => units(false),
            (_, '/') => "\\/".into(),
            _ => {
                let json = serde_json::to_string(&character).unwrap();
                json[1..json.len() - 1].to_owned()
            }
        }
    });
    let text =
        prop::collection::vec(character, 0..6).prop_map(|parts| format!("\"{}\"", parts.concat()));
    let known = prop::sample::select(vec![
        "timestamp",
        "time\\u0073tamp",
        "events",
        "type",
        "id",
        "a\\/b",
        "a/b",
        "ü",
        "\\u00fc",
        "0",
    ]);
    prop_oneof![2 => text, 1 => known.prop_map(|name| format!("\"{name}\""))]
}

/// JSON as it may be written, with blanks between all tokens.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        string(),
        prop::sample::select(vec![
            "null", "true", "false", "0", "-0", "1.50", "-12e+3", "1E-7", "[]", "{}"
        ])
        .prop_map(str::to_owned),
        "[1-9][0-9]{0,30}",
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let item = (blank(), inner, blank())
            .prop_map(|(before, value, after)| before + &value + &after)
            .boxed();
        let member = (blank(), string(), blank(), item.clone())
            .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
        prop_oneof![
            prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// A body as Mautic may write it, and what is in it.
fn batch() -> impl Strategy<Value = (String, Vec<(String, String)>)> {
    let list = prop::collection::vec((blank(), json(), blank()), 0..5);
    let value = prop_oneof![4 => list.prop_map(Ok), 1 => json().prop_map(Err)];
    let member = (blank(), string(), blank(), blank(), value, blank());
    let members = prop::collection::vec(member, 0..6);
    (members, blank(), blank()).prop_map(|(members, before, after)| {
        let (mut texts, mut events, mut names) = (Vec::new(), Vec::new(), HashSet::new());
        for (b1, name, b2, b3, value, b4) in members {
            let read: String = serde_json::from_str(&name).unwrap();
            if read == "timestamp" || !names.insert(read.clone()) {
                continue;
            }
            let value = match value {
                Ok(list) => {
                    let items =
                        list.iter().map(|(before, item, after)| format!("{before}{item}{after}"));
                    let items = items.collect::<Vec<_>>().join(",");
                    events.extend(list.into_iter().map(|(_, item, _)| (read.clone(), item)));
                    format!("[{items}]")
                }
                Err(one) if one.starts_with('[') => continue,
                Err(one) => {
                    events.push((read, one.clone()));
                    one
                }
            };
            texts.push(format!("{b1}{name}{b2}:{b3}{value}{b4}"));
        }
        (format!("{before}{{{}}}{after}", texts.join(",")), events)
    })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(size(128, 512)))]

    /// The expectation is what the body was made of.
    #[test]
    fn what_was_put_together_by_type_comes_apart((body, expected) in batch()) {
        prop_assert_eq!(came_apart(&scheme::MAUTIC, body.as_bytes()).unwrap(), expected, "{}", body);
    }

    #[test]
    fn what_was_listed_comes_apart(
        items in prop::collection::vec((blank(), json(), blank()), 0..8),
        around in prop::collection::vec(blank(), 4),
        (other, place) in (json(), 0..3_usize),
    ) {
        let list = items.iter().map(|(before, item, after)| format!("{before}{item}{after}"));
        let list = format!("[{}]", list.collect::<Vec<_>>().join(","));
        let [a, b, c, d] = &around[..] else { unreachable!() };
        let (pointer, body) = match place {
            0 => ("", format!("{a}{list}{b}")),
            1 => ("/events", format!(r#"{a}{{"event":{other}{b},"events"{c}:{list}{d}}}"#)),
            _ => ("/a~1b/ü", format!(r#"{{"a\/b":{a}{{"x":{other},"\u00fc"{b}:{c}{list}}},"ü":{other}{d}}}"#)),
        };
        let expected: Vec<_> = items.iter().map(|(_, item, _)| (String::new(), item.clone())).collect();
        prop_assert_eq!(came_apart(&list_at(pointer), body.as_bytes()).unwrap(), expected, "{}", body);
    }
}

proptest! {
    #![proptest_config(config(size(64, 256)))]

    /// Repeated keys, other shapes, lists in the wrong place: the other way says what is right.
    #[test]
    fn any_json_comes_apart_alike(body in json()) {
        assert_comes_apart_alike(body.as_bytes());
    }

    /// One byte changed, taken away or put in; or the end cut off.
    #[test]
    fn nearly_json_comes_apart_alike(
        (body, _) in batch(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[]:, \n0-eu\xff".to_vec())],
        change in 0..4_u8,
    ) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        match change {
            0 => body[at] = byte,
            1 => drop(body.remove(at)),
            2 => body.insert(at, byte),
            _ => body.truncate(at),
        }
        assert_comes_apart_alike(&body);
    }

    #[test]
    fn any_bytes_do_no_harm(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[\\[\\]{}\":,a-z0-9\\\\ ]{0,60}".prop_map(String::into_bytes),
    ]) {
        assert_comes_apart_alike(&body);
    }
}
