//! Bodies that are signed, and not what the scheme says.

use integration_tests::size;
use webhook_verify::{
    Scheme,
    event::EventsError::{self, Shape, Syntax, TooMany},
    scheme,
};

use super::{delivery, delivery_with, events_of, slices_of, texts};

fn listed() -> Scheme {
    let builder = Scheme::builder("list").signature_header("x-sig");
    builder.event_list("/events").build().unwrap()
}

fn refusal(scheme: &Scheme, body: impl Into<Vec<u8>>) -> EventsError {
    events_of(&delivery(scheme, body)).unwrap_err()
}

#[test]
fn a_refusal_says_what_is_wrong() {
    for (error, status, text) in [
        (Syntax, 400, "body is not JSON"),
        (Shape, 422, "JSON is not of the expected shape"),
        (TooMany { most: 7 }, 413, "too many events"),
    ] {
        assert_eq!((error.status(), error.public_message()), (status, text));
    }
}

#[test]
fn what_is_not_json_is_400() {
    for (body, in_list) in [
        (&b""[..], &b" "[..]),
        (b" \n", b"\t"),
        (b"{", b"{\"events\":["),
        (b"{\"a\":[1]", b"{\"events\":[1]"),
        (b"{\"a\":[1]}}", b"{\"events\":[1]}}"),
        (b"{\"a\":[1]} x", b"{\"events\":[1]} x"),
        (b"{\"a\":[1]}\0", b"{\"events\":[1]}\0"),
        (b"{\"a\":[1,]}", b"{\"events\":[1,]}"),
        (b"{\"a\":[1 2]}", b"{\"events\":[1 2]}"),
        (b"{\"a\":[1],}", b"{\"events\":[1],}"),
        (b"{a:[1]}", b"{events:[1]}"),
        (b"{'a':[1]}", b"{'events':[1]}"),
        (b"{\"a\":[01]}", b"{\"events\":[01]}"),
        (b"{\"a\":[1.]}", b"{\"events\":[+1]}"),
        (b"{\"a\":[NaN]}", b"{\"events\":[Infinity]}"),
        (b"{\"a\":[\"\n\"]}", b"{\"events\":[\"\t\"]}"),
        (b"{\"a\":[\"\\x\"]}", b"{\"events\":[\"\\u12\"]}"),
        (b"{\"a\":[\"\xff\"]}", b"{\"events\":[\"\xc3\x28\"]}"),
        (b"{\"a\":\"\xed\xa0\x80\"}", b"{\"events\":[{\"\xff\":1}]}"),
        (b"{\"a\":tru}", b"{\"events\":tru}"),
        (b"{\"a\":[1]/**/}", b"{\"events\":[1]/**/}"),
        // A mark of the byte order is no blank.
        (b"\xef\xbb\xbf{\"a\":[1]}", b"\xef\xbb\xbf{\"events\":[1]}"),
        (b"{\xef\xbb\xbf\"a\":[1]}", b"{\"events\":\xef\xbb\xbf[1]}"),
    ] {
        let text = String::from_utf8_lossy(body);
        assert_eq!(refusal(&scheme::MAUTIC, body), Syntax, "{text}");
        assert_eq!(refusal(&listed(), in_list), Syntax, "{}", String::from_utf8_lossy(in_list));
    }
}

#[test]
fn another_shape_is_422() {
    for body in [
        "[]",
        "1",
        "null",
        r#""text""#,
        // Events of one type in two places: one of them is not the sender's.
        r#"{"a":[1],"a":[2]}"#,
        r#"{"a":[],"b":[],"a":1}"#,
        r#"{"a":[1],"\u0061":[2]}"#,
        r#"{"timestamp":"x","timestamp":"y"}"#,
        r#"{"timestamp":[]}"#,
        r#"{"timestamp":[{"a":1}]}"#,
        r#"{"timestamp":{}}"#,
        r#"{"time\u0073tamp" : [1]}"#,
    ] {
        assert_eq!(refusal(&scheme::MAUTIC, body), Shape, "{body}");
    }
    for body in [
        "[]",
        "1",
        r#""{}""#,
        r#"{"events":{}}"#,
        r#"{"events":null}"#,
        r#"{"events":"[]"}"#,
        r#"{"events":[1],"events":[2]}"#,
        r#"{"events":[1],"event\u0073":[2]}"#,
    ] {
        assert_eq!(refusal(&listed(), body), Shape, "{body}");
    }
    for body in ["1", "null", r#""{}""#] {
        assert_eq!(refusal(&scheme::HUBSPOT_V3, body), Shape, "{body}");
    }
    assert_eq!(refusal(&scheme::HUBSPOT_V3, r#"{"a":1"#), Syntax);
}

/// Half of a pair is no character. In a name it is refused; in an event it is the event's.
#[test]
fn lone_surrogates() {
    let half = [r"\ud83d", r"\udc0e", r"\ud83d\ud83d", r"\udc0e\ud83d"];
    for half in half {
        assert!(delivery(&scheme::MAUTIC, format!(r#"{{"{half}":[1]}}"#)).events().is_err());
        let event = format!(r#"{{"a":"{half}"}}"#);
        for (scheme, body) in [
            (scheme::MAUTIC, format!(r#"{{"a":[{event}]}}"#)),
            (listed(), format!(r#"{{"events":[{event}]}}"#)),
        ] {
            let events = events_of(&delivery(&scheme, body)).unwrap();
            assert_eq!(texts(&events), [&*event]);
            assert!(events[0].data::<serde_json::Value>().is_err());
        }
    }
}

#[test]
fn depth_is_no_danger() {
    for depth in [128, 10_000, size(30_000, 100_000)] {
        for (open, close) in [("[", "]"), (r#"{"type":"#, "}"), (r#"[{"a":"#, "}]")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for (scheme, body) in [
                (scheme::MAUTIC, format!(r#"{{"a":[{deep}]}}"#)),
                (scheme::MAUTIC, format!(r#"{{"a":[],"b":{{"c":{deep}}}}}"#)),
                (listed(), format!(r#"{{"x":{deep},"events":[{deep}]}}"#)),
                (scheme::LINE, format!(r#"{{"events":[{deep}]}}"#)),
                (scheme::STRIPE, deep.clone()),
            ] {
                let delivery = delivery(&scheme, body);
                let events = events_of(&delivery).unwrap();
                slices_of(&delivery, &events);
                assert_eq!(events.len(), 1);
                let _ =
                    (events[0].event_type(), events[0].id(), events[0].time(), delivery.is_test());
                // A tree of that depth would be one.
                assert!(events[0].data::<serde_json::Value>().is_err());
            }
            let cut = &deep[..deep.len() - 1];
            assert_eq!(refusal(&scheme::MAUTIC, format!(r#"{{"a":[{cut}]}}"#)), Syntax);
            assert_eq!(refusal(&listed(), format!(r#"{{"events":[{cut}]}}"#)), Syntax);
        }
        assert_eq!(refusal(&scheme::MAUTIC, "[".repeat(depth)), Shape);
        assert_eq!(refusal(&listed(), "[".repeat(depth)), Syntax);
    }
}

#[test]
fn there_may_be_so_many_and_no_more() {
    let ones = |count: usize| vec!["1"; count].join(",");
    let bodies = |count: usize| {
        let (half, more) = (count / 2, count - count / 2);
        let single = (0..count).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>();
        [
            (listed(), format!(r#"{{"events":[{}]}}"#, ones(count))),
            (scheme::HUBSPOT_V1, format!("[{}]", ones(count))),
            (scheme::MAUTIC, format!(r#"{{"a":[{}]}}"#, ones(count))),
            (scheme::MAUTIC, format!(r#"{{"a":[{}],"b":[{}]}}"#, ones(half), ones(more))),
            (scheme::MAUTIC, format!("{{{}}}", single.join(","))),
        ]
    };
    for (scheme, body) in bodies(10_000) {
        assert_eq!(events_of(&delivery(&scheme, body)).unwrap().len(), 10_000);
    }
    for count in [10_001, 100_000] {
        for (scheme, body) in bodies(count) {
            let error = refusal(&scheme, body);
            assert_eq!((error, error.status()), (TooMany { most: 10_000 }, 413));
        }
    }
    for count in [1, 2, 7] {
        for (scheme, body) in bodies(count) {
            let with = |most: usize| {
                let delivery = delivery_with(&scheme, &*body, |builder| builder.max_events(most));
                events_of(&delivery).map(|events| events.len())
            };
            assert_eq!(with(count), Ok(count), "{body}");
            assert_eq!(with(usize::MAX), Ok(count), "{body}");
            for most in [0, count - 1] {
                assert_eq!(with(most), Err(TooMany { most }), "{body}");
            }
        }
    }
    // There is room for none, and none is there.
    for (scheme, body) in
        [(listed(), r#"{"events":[]}"#), (scheme::MAUTIC, r#"{"a":[],"b":[],"timestamp":"x"}"#)]
    {
        let delivery = delivery_with(&scheme, body, |builder| builder.max_events(0));
        assert_eq!(events_of(&delivery).unwrap().len(), 0);
    }
    // Events beyond the limit are not parsed.
    let delivery =
        delivery_with(&listed(), r#"{"events":[1,2,{]"#, |builder| builder.max_events(1));
    assert_eq!(events_of(&delivery).unwrap_err(), TooMany { most: 1 });
}
