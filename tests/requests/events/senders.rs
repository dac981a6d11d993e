//! Each preset splits the bodies of its sender into events.

use serde_json::Value;
use webhook_verify::{Event, Scheme, event::EventsError, scheme};

use super::{delivery, events_of, slices_of, texts};

/// The facts about an event, as text: type, ID, seconds, and its data; `*` if that is the whole
/// event.
type Row = [&'static str; 4];

fn rows(events: &[Event]) -> Vec<[String; 4]> {
    let text = |text: Option<std::borrow::Cow<'_, str>>| text.unwrap_or("-".into()).into_owned();
    let row = |event: &Event| {
        let time = event.time().map_or("-".into(), |time| time.as_secs_f64().to_string());
        let data = match event.data_bytes() {
            data if data == event.raw() => "*".into(),
            data => String::from_utf8(data.to_vec()).unwrap(),
        };
        [text(event.event_type()), text(event.id()), time, data]
    };
    events.iter().map(row).collect()
}

fn assert_brings(scheme: &Scheme, body: &str, expected: &[Row]) {
    let delivery = delivery(scheme, body);
    let events = events_of(&delivery).unwrap();
    slices_of(&delivery, &events);
    assert_eq!(rows(&events), expected, "{}", scheme.name());
}

#[test]
fn lists_come_apart_into_their_events() {
    assert_brings(
        &scheme::LINE,
        r#"{"destination":"U1","events":[
            {"type":"message","webhookEventId":"01FZ","timestamp":1795305600123,"message":{"id":"1"}},
            {"type":"unfollow","webhookEventId":"01FY","timestamp":1795305601000}]}"#,
        &[["message", "01FZ", "1795305600.123", "*"], ["unfollow", "01FY", "1795305601", "*"]],
    );
    // Sent to see whether anybody is there.
    assert_brings(&scheme::LINE, r#"{"destination":"U1","events":[]}"#, &[]);
    for hubspot in [scheme::HUBSPOT_V1, scheme::HUBSPOT_V3] {
        assert_brings(
            &hubspot,
            r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123},{"eventId":1,"subscriptionId":12346,"occurredAt":1564113600500,"subscriptionType":"deal.propertyChange","objectId":7}]"#,
            &[
                ["contact.creation", "1", "1564113600", "*"],
                ["deal.propertyChange", "1", "1564113600.5", "*"],
            ],
        );
    }
    assert_brings(
        &scheme::GOCARDLESS,
        r#"{"events":[{"id":"EV1","created_at":"2026-11-22T00:00:00.250Z","resource_type":"payments","action":"confirmed","links":{"payment":"PM1"}},{"id":"EV2","created_at":"2026-11-22T00:00:01Z","resource_type":"mandates"}],"meta":{"webhook_id":"WB1"}}"#,
        &[
            ["payments.confirmed", "EV1", "1795305600.25", "*"],
            // Half a type is none.
            ["-", "EV2", "1795305601", "*"],
        ],
    );
    assert_brings(
        &scheme::XERO,
        r#"{"events":[{"resourceId":"r1","eventDateUtc":"2017-06-21T01:15:39.902","eventType":"UPDATE","eventCategory":"CONTACT"}],"firstEventSequence":1,"lastEventSequence":1,"entropy":"S0m3"}"#,
        &[["CONTACT.UPDATE", "-", "-", "*"]],
    );
    assert_brings(
        &scheme::ASANA,
        r#"{"events":[{"user":{"gid":"1"},"resource":{"gid":"2","resource_type":"task"},"action":"changed","created_at":"2026-11-22T00:00:00.000Z"}]}"#,
        &[["task.changed", "-", "1795305600", "*"]],
    );
    assert_brings(
        &scheme::INTUIT,
        r#"[{"specversion":"1.0","id":"88cd52aa","type":"qbo.invoice.created.v1","time":"2026-11-22T00:00:00.500Z","intuitentityid":"95","data":{"a":1}},{"id":"88cd52ab","type":"qbo.bill.updated.v1","time":"2026-11-22T00:00:01Z"}]"#,
        &[
            ["qbo.invoice.created.v1", "88cd52aa", "1795305600.5", r#"{"a":1}"#],
            ["qbo.bill.updated.v1", "88cd52ab", "1795305601", "*"],
        ],
    );
    assert_brings(
        &scheme::SEGMENT,
        r#"[{"messageId":"m1","type":"track","timestamp":"2026-11-22T00:00:00.000Z"},{"type":"page"}]"#,
        &[["track", "m1", "1795305600", "*"], ["page", "-", "-", "*"]],
    );
    // Its beat of the heart.
    assert_brings(&scheme::ASANA, r#"{"events":[]}"#, &[]);
    assert_brings(
        &scheme::META,
        r#"{"object":"page","entry":[{"id":"1","time":1520383571,"changes":[]},{"id":"2","messaging":[{}]}]}"#,
        &[["page", "-", "-", "*"], ["page", "-", "-", "*"]],
    );
    assert_brings(
        &scheme::OKTA,
        r#"{"eventId":"e","data":{"events":[{"uuid":"u1","published":"2026-11-22T00:00:00.000Z","eventType":"user.session.start"},{"uuid":"u2","published":"2026-11-22T00:00:00.500Z","eventType":"user.session.end"}]}}"#,
        &[
            ["user.session.start", "u1", "1795305600", "*"],
            ["user.session.end", "u2", "1795305600.5", "*"],
        ],
    );
    assert_brings(
        &scheme::KLAVIYO,
        r#"{"data":[{"external_id":"x1","topic":"event:klaviyo.sent_sms","payload":{"data":{"type":"event"}}}],"meta":{"klaviyo_account_id":"a"}}"#,
        &[["event:klaviyo.sent_sms", "x1", "-", r#"{"data":{"type":"event"}}"#]],
    );
    // The items of the body come out as the signature was put into it.
    let graph = delivery(
        &scheme::MICROSOFT_GRAPH,
        r#"{"value":[{"changeType":"created","resource":"a"},{"changeType":"updated","resource":"b"}]}"#,
    );
    let types: Vec<_> =
        rows(&events_of(&graph).unwrap()).into_iter().map(|[event_type, ..]| event_type).collect();
    assert_eq!(types, ["created", "updated"]);
}

/// A scheme without fields for them gives events no type, ID or time.
#[test]
fn a_list_alone() {
    let plain = || Scheme::builder("plain").signature_header("x-sig");
    let list = plain().event_list("").build().unwrap();
    assert_brings(&list, r#"[{"type":"a","id":"b"}]"#, &[["-", "-", "-", "*"]]);
    let events = events_of(&delivery(&list, "[1]")).unwrap();
    assert!(events[0].matches("*") && !events[0].matches("a*") && !events[0].matches(""));

    let typed = plain().event_list("/list").event_type_pointer("/type");
    let body = r#"{"type":"all","list":[1,{"type":"a"}]}"#;
    let of_all = ["all", "-", "-", "*"];
    assert_brings(&typed.build().unwrap(), body, &[of_all, of_all]);
}

#[test]
fn adyens_item_is_its_event() {
    let delivery = delivery(
        &scheme::ADYEN,
        r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{},"amount":{"currency":"EUR","value":1130},"eventCode":"AUTHORISATION","eventDate":"2026-11-22T02:00:00+02:00","merchantAccountCode":"Shop","merchantReference":"order","pspReference":"7914073381342284","success":"true"}}]}"#,
    );
    let events = events_of(&delivery).unwrap();
    slices_of(&delivery, &events);
    let [[event_type, id, time, data]] = &rows(&events)[..] else {
        panic!("{events:?}");
    };
    assert_eq!([event_type, id, time], ["AUTHORISATION", "7914073381342284", "1795305600"]);
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["amount"]["value"], 1130);
}

/// The field is decoded once, and the events are slices of what comes out.
#[test]
fn mandrills_events_are_in_a_field_of_a_form() {
    let first = r#"{"event":"open","ts":1795305600,"msg":{"subject":"grüße & co = 100 %"}}"#;
    let second = r#"{"event":"click","ts":1795305601,"url":"https://a.test/?b=c&d=+e"}"#;
    let form = |fields: &[(&str, &str)]| -> String {
        let mut form = String::new();
        for (name, value) in fields {
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            form += &format!("&{name}={escaped}");
        }
        form.split_off(1)
    };
    let list = format!(" [{first} ,\t{second}]\n");
    let delivery_of = |fields: &[(&str, &str)]| delivery(&scheme::MANDRILL, form(fields));
    let two = delivery_of(&[("a", "b"), ("mandrill_events", &list)]);
    let events = events_of(&two).unwrap();
    assert_eq!(texts(&events), [first, second]);
    let between = events[1].raw().as_ptr() as usize - events[0].raw().as_ptr() as usize;
    assert_eq!(between, first.len() + 3, "not out of one buffer");
    assert_eq!(
        rows(&events),
        [["open", "-", "1795305600", "*"], ["click", "-", "1795305601", "*"]]
    );
    for (fields, error) in [
        (&[("events", "[]")][..], EventsError::Shape),
        (&[("mandrill_events", "[]"), ("mandrill_events", "[]")], EventsError::Shape),
        (&[("mandrill_events", "{}")], EventsError::Shape),
        (&[("mandrill_events", "")], EventsError::Syntax),
        (&[("mandrill_events", "[")], EventsError::Syntax),
        (&[("mandrill_events", "[]]")], EventsError::Syntax),
    ] {
        assert_eq!(events_of(&delivery_of(fields)).unwrap_err(), error, "{fields:?}");
    }
}

#[test]
fn one_event_has_its_time_and_its_data() {
    let at = "1795305600";
    for (scheme, body, expected) in [
        (
            scheme::STRIPE,
            r#"{"id":"evt_1","type":"charge.refunded","created":1795305600,"data":{"object":{"id":"ch_1"}}}"#,
            ["charge.refunded", "evt_1", at, r#"{"id":"ch_1"}"#],
        ),
        (
            scheme::SLACK,
            r#"{"type":"event_callback","event_id":"Ev1","event_time":1795305600,"event":{"type":"app_mention"}}"#,
            ["app_mention", "Ev1", at, r#"{"type":"app_mention"}"#],
        ),
        (
            scheme::STANDARD_WEBHOOKS,
            r#"{"type":"a.b","timestamp":"2026-11-22T01:00:00+01:00","data":[1]}"#,
            ["a.b", "evt_1", at, "[1]"],
        ),
        (
            scheme::CLERK,
            r#"{"type":"user.created","timestamp":1795305600500,"data":{},"object":"event"}"#,
            ["user.created", "evt_1", "1795305600.5", "{}"],
        ),
        (
            scheme::RESEND,
            r#"{"type":"email.sent","created_at":"2026-11-22T00:00:00.126Z","data":{}}"#,
            ["email.sent", "evt_1", "1795305600.126", "{}"],
        ),
        (
            scheme::OPENAI,
            r#"{"id":"e","object":"event","created_at":1795305600,"type":"response.completed","data":{"id":"resp_1"}}"#,
            ["response.completed", "evt_1", at, r#"{"id":"resp_1"}"#],
        ),
        (
            scheme::PADDLE,
            r#"{"event_id":"evt_2","event_type":"transaction.paid","occurred_at":"2026-11-22T00:00:00.000000Z","data":{}}"#,
            ["transaction.paid", "evt_2", at, "{}"],
        ),
        (
            scheme::ZOOM,
            r#"{"event":"meeting.started","event_ts":1795305600000,"payload":{"account_id":"a"}}"#,
            ["meeting.started", "-", at, r#"{"account_id":"a"}"#],
        ),
        (
            scheme::SQUARE,
            r#"{"event_id":"e","type":"payment.created","created_at":"2026-11-22T00:00:00Z","data":{"id":"p"}}"#,
            ["payment.created", "e", at, r#"{"id":"p"}"#],
        ),
        (
            scheme::BOX,
            r#"{"type":"webhook_event","id":"b","created_at":"2026-11-21T17:00:00-07:00","trigger":"FILE.UPLOADED","source":{"id":"f"}}"#,
            ["FILE.UPLOADED", "b", at, r#"{"id":"f"}"#],
        ),
        (
            scheme::REPLICATE,
            r#"{"id":"p1","created_at":"2026-11-22T00:00:00Z","status":"succeeded"}"#,
            ["succeeded", "evt_1", "-", "*"],
        ),
        (
            scheme::LITHIC,
            r#"{"event_type":"card.created","card_token":"c1"}"#,
            ["card.created", "evt_1", "-", "*"],
        ),
        (
            scheme::AUTH0,
            r#"{"id":"evt_2","type":"user.created","time":"2026-11-22T00:00:00Z","data":{"object":{"user_id":"u"}}}"#,
            ["user.created", "evt_2", at, r#"{"user_id":"u"}"#],
        ),
        (
            scheme::CHARGEBEE,
            r#"{"id":"ev","occurred_at":1795305600,"event_type":"customer_created","content":{}}"#,
            ["customer_created", "ev", at, "{}"],
        ),
        (
            scheme::JIRA,
            r#"{"timestamp":1795305600000,"webhookEvent":"jira:issue_updated"}"#,
            ["jira:issue_updated", "evt_1", at, "*"],
        ),
        // Its events come without data, too.
        (
            scheme::TWITCH,
            r#"{"subscription":{"status":"authorization_revoked"}}"#,
            ["-", "evt_1", "-", "*"],
        ),
        // Fractions of a second are no whole seconds, and no guess.
        (
            scheme::MAILGUN,
            r#"{"signature":{},"event-data":{"event":"opened","timestamp":1529006854.329574}}"#,
            ["opened", "evt_1", "-", r#"{"event":"opened","timestamp":1529006854.329574}"#],
        ),
    ] {
        assert_brings(&scheme, body, &[expected]);
    }
}

#[test]
fn the_two_that_document_their_bodies() {
    let body = r#"{"id":"evt_1","type":"post.created","created_at":"2026-11-22T00:00:00Z","data":{"test":true},"workspace_id":4}"#;
    for host_uk in
        [scheme::HOST_UK_CORE_API, scheme::HOST_UK_DOCUMENTED, scheme::HOST_UK_HOSTHUB_LEGACY]
    {
        assert_brings(
            &host_uk,
            body,
            &[["post.created", "evt_1", "1795305600", r#"{"test":true}"#]],
        );
        // That is in the documents alone.
        let is_documented = host_uk.name() == "host-uk-documented";
        assert_eq!(delivery(&host_uk, body).is_test(), is_documented, "{}", host_uk.name());
    }
    for (data, is_test) in [
        (r#"{"test":true,"message":"a"}"#, true),
        (r#"{"test":false}"#, false),
        (r#"{"test":null}"#, false),
        (r#"{"object":{"test":true}}"#, false),
        ("[]", false),
    ] {
        let body = format!(r#"{{"id":"e","type":"a","data":{data}}}"#);
        assert_eq!(delivery(&scheme::HOST_UK_DOCUMENTED, body).is_test(), is_test, "{data}");
    }
    assert_brings(
        &scheme::FLUENTCRM_DOCUMENTED,
        r#"{"event":"contact.created","timestamp":"2026-11-22T00:00:00Z","webhook_id":1,"data":{"contact":{"id":123}}}"#,
        &[["contact.created", "evt_1", "1795305600", r#"{"contact":{"id":123}}"#]],
    );
}

#[test]
fn mautics_values_are_lists_objects_or_anything() {
    for (body, expected) in [
        ("{}", &[][..]),
        (r#"{"a":[]}"#, &[]),
        (
            r#"{"a":[{},[],1,"x",null]}"#,
            &[["a", "{}"], ["a", "[]"], ["a", "1"], ["a", r#""x""#], ["a", "null"]],
        ),
        (r#"{"mautic.unknown":{"b":[1, 2]}}"#, &[["mautic.unknown", r#"{"b":[1, 2]}"#]]),
        (
            r#"{"a":"text","b":1.50,"c":null,"d":true}"#,
            &[["a", r#""text""#], ["b", "1.50"], ["c", "null"], ["d", "true"]],
        ),
        (r#"{"timestamp":"2026-11-22T00:00:00+00:00"}"#, &[]),
        (r#"{"timestamp":1795305600,"a":[1]}"#, &[["a", "1"]]),
        (r#"{"a":[1],"timestamp":null}"#, &[["a", "1"]]),
        (r#"{"time\u0073tamp":"x","\u0061":[ [ [ ] ] ]}"#, &[["a", "[ [ ] ]"]]),
        (
            r#"{"timestamps":[1],"Timestamp":[2],"":[3]}"#,
            &[["timestamps", "1"], ["Timestamp", "2"], ["", "3"]],
        ),
    ] {
        let delivery = delivery(&scheme::MAUTIC, body);
        let events = events_of(&delivery).unwrap();
        slices_of(&delivery, &events);
        let types = rows(&events).into_iter().map(|[event_type, ..]| event_type);
        let got: Vec<_> = types.zip(texts(&events)).map(<[String; 2]>::from).collect();
        assert_eq!(got, expected, "{body}");
        assert_eq!(
            delivery.is_test(),
            body.contains("time") && !body.contains("null") && !body.contains("timestamps"),
            "{body}"
        );
    }
    assert_brings(
        &scheme::MAUTIC,
        r#"{"a":[{"timestamp":"2026-11-22T01:00:00+01:00","x":1}],"timestamp":"2026-11-22T09:00:00+00:00"}"#,
        &[["a", "-", "1795305600", "*"]],
    );
}
