//! Signed requests whose parts are cut elsewhere: the signed text is the same, so the signature
//! matches, and the request is refused all the same. `verify/one_meaning.rs` searches for more.

use std::time::Duration;

use integration_tests::{
    PUBLIC_URL,
    attacks::{NOW, hex, mac_with},
    secret_of, verifier_of,
};
use serde_json::{Value, json};
use webhook_verify::{
    RequestHead, Scheme, Verifier,
    testing::{SignedRequest, Signer},
};

const TIME: Duration = Duration::from_secs(NOW);

fn preset(name: &str) -> (Scheme, Verifier) {
    let scheme = Scheme::preset(name).unwrap();
    let verifier = verifier_of(&scheme).clock(|| TIME).build().unwrap();
    (scheme, verifier)
}

fn signer(scheme: &Scheme) -> Signer {
    Signer::new(scheme.clone(), secret_of(scheme)).unwrap().public_url(PUBLIC_URL).at(TIME)
}

fn accepts(verifier: &Verifier, request: &SignedRequest) -> bool {
    let head = RequestHead::new(&request.headers).method(&request.method).target(&request.target);
    verifier.verify(head, request.body.clone()).is_ok()
}

/// Returns all cuts of a text into two, three or more pieces.
fn cuts(text: &str, pieces: usize) -> Vec<Vec<String>> {
    if pieces == 1 {
        return vec![vec![text.to_owned()]];
    }
    let ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
    ends.flat_map(|end| {
        cuts(&text[end..], pieces - 1).into_iter().map(move |mut rest| {
            rest.insert(0, text[..end].to_owned());
            rest
        })
    })
    .collect()
}

fn with_body(request: &SignedRequest, body: &Value) -> SignedRequest {
    let mut request = request.clone();
    request.body = body.to_string().into();
    request
}

fn set(request: &mut SignedRequest, name: &str, value: &str) {
    let (_, old) = request.headers.iter_mut().find(|(known, _)| known == name).unwrap();
    value.clone_into(old);
}

/// Square, HubSpot and Trello sign the URL and the body without text between them.
#[test]
fn a_url_and_a_body_are_not_cut_elsewhere() {
    let bodies = [r#"{"a":"}","b":[{"c":"?x=["}]}"#, "[{\"a\":1}]", "{}", "{\"a\":1}\n", ""];
    let targets =
        ["/hook", "/hook?", "/hook?a=1", "/hook?filter[a]=b", "/hook?a=1&b=]", "/hook?a=1}"];
    for name in ["square", "hubspot-v2", "hubspot-v3", "trello"] {
        let (scheme, verifier) = preset(name);
        for (body, target) in bodies.iter().flat_map(|body| targets.map(|target| (*body, target))) {
            let method = if body.is_empty() { "GET" } else { "POST" };
            let signed = signer(&scheme).method(method).target(target).sign(body).unwrap();
            // Text that could be the end of a body ends no URL of an empty one.
            let is_clear = !(body.is_empty() && target.ends_with(['}', ']'])) || name == "trello";
            assert_eq!(accepts(&verifier, &signed), is_clear, "{name} {target} {body}");
            let query = &target["/hook".len()..];
            let (text, is_last) = match name {
                "trello" => (format!("{body}{PUBLIC_URL}{query}"), true),
                _ => (format!("{query}{body}"), false),
            };
            let mut others = 0;
            for cut in cuts(&text, 2) {
                let (query, body) = match is_last {
                    true => (cut[1].strip_prefix(PUBLIC_URL), &cut[0]),
                    false => (Some(&*cut[0]), &cut[1]),
                };
                let Some(query) = query.filter(|it| it.is_empty() || it.starts_with('?')) else {
                    continue;
                };
                let mut other = signed.clone();
                other.target = format!("/hook{query}");
                other.body = body.clone().into();
                if (&other.target, &other.body) != (&signed.target, &signed.body) {
                    assert!(!accepts(&verifier, &other), "{name} {} {body}", other.target);
                    others += 1;
                }
            }
            assert!(others > 0 || is_last || query.is_empty(), "{name} {target} {body}");
        }
        // The cut of the report.
        let signed = signer(&scheme).target("/hook?a=1").sign(r#"{"id":"1"}"#).unwrap();
        let mut cut = signed.clone();
        cut.target.push('{');
        cut.body = signed.body.slice(1..);
        assert!(accepts(&verifier, &signed) && !accepts(&verifier, &cut), "{name}");
    }
}

/// Senders of a URL without a query may send any body.
#[test]
fn a_body_after_a_url_without_a_query_may_be_any_text() {
    for name in ["square", "hubspot-v2", "hubspot-v3"] {
        let (scheme, verifier) = preset(name);
        for (body, target, expected) in
            [("a=b", "/hook", true), ("a=b", "/hook?c", false), ("?a=b", "/hook", false)]
        {
            let signed = signer(&scheme).target(target).sign(body);
            let verdict = signed.is_ok_and(|signed| accepts(&verifier, &signed));
            assert_eq!(verdict, expected, "{name} {target} {body}");
        }
    }
}

/// Times next to a body, and next to an ID.
#[test]
fn a_time_and_a_body_are_not_cut_elsewhere() {
    let bodies =
        ["{}", "", "007", "2026-11-22T00:00:00Z{}", "Sun, 22 Nov 2026 00:00:00 GMT", "MT{}"];
    for (name, time, id, is_first) in [
        ("zendesk", "x-zendesk-webhook-signature-timestamp", None, true),
        ("klaviyo", "klaviyo-timestamp", None, false),
        ("box", "box-delivery-timestamp", None, false),
        ("twitch", "twitch-eventsub-message-timestamp", Some("twitch-eventsub-message-id"), true),
    ] {
        let (scheme, verifier) = preset(name);
        for body in bodies {
            let signed =
                signer(&scheme).id("e76c6bd4-55c9-4987-8304-da1588d8988b").sign(body).unwrap();
            assert!(accepts(&verifier, &signed), "{name} {body}");
            let value = |name: &str| {
                let mut headers = signed.headers.iter();
                headers.find(|(known, _)| known == name).unwrap().1.clone()
            };
            let mut parts = vec![value(time)];
            parts.extend(id.map(value));
            parts.reverse();
            parts.insert(if is_first { parts.len() } else { 0 }, body.to_owned());
            let original = parts.clone();
            for cut in cuts(&parts.concat(), parts.len()).into_iter().filter(|it| *it != original) {
                let mut other = signed.clone();
                let mut cut = cut.into_iter();
                if !is_first {
                    other.body = cut.next().unwrap().into();
                }
                for name in id.into_iter().chain([time]) {
                    set(&mut other, name, &cut.next().unwrap());
                }
                if is_first {
                    other.body = cut.next().unwrap().into();
                }
                assert!(
                    !accepts(&verifier, &other),
                    "{name}: {:?} {:?}",
                    other.headers,
                    other.body
                );
            }
        }
    }
}

/// Klaviyo signs the body and then a date, which may lack its weekday by RFC 2822.
#[test]
fn a_weekday_does_not_become_a_part_of_the_body() {
    let (scheme, verifier) = preset("klaviyo");
    let signed = signer(&scheme).sign("{}").unwrap();
    let mut cut = signed.clone();
    let (_, time) = signed.headers.iter().find(|(name, _)| name == "klaviyo-timestamp").unwrap();
    assert_eq!(time.len(), 29);
    let (day, rest) = time.split_at(5);
    set(&mut cut, "klaviyo-timestamp", rest);
    cut.body = format!("{{}}{day}").into();
    assert!(accepts(&verifier, &signed) && !accepts(&verifier, &cut));
    // Other dates are refused even if their sender signs them: they could be cut elsewhere.
    for date in [
        "22 Nov 2026 00:00:00 GMT",
        "Sun, 22 Nov 2026 00:00:00 +0100",
        "22 Nov 2026 00:00:00 (x) +000",
        "22 Nov 2026 00:00:00 +0000 ()",
    ] {
        let mut other = signed.clone();
        set(&mut other, "klaviyo-timestamp", date);
        let tag = mac_with(secret_of(&scheme).as_bytes(), &[b"{}", date.as_bytes()]);
        set(&mut other, "klaviyo-signature", &hex(&tag));
        assert!(!accepts(&verifier, &other), "{date}");
    }
}

/// Mailgun signs a time and a token, both in the body, without text between them.
#[test]
fn a_time_and_a_token_in_the_body_are_not_cut_elsewhere() {
    let (scheme, verifier) = preset("mailgun");
    let body = json!({ "signature": { "token": "0123456789abcdef" }, "event-data": {} });
    let signed = signer(&scheme).sign(body.to_string()).unwrap();
    assert!(accepts(&verifier, &signed));
    let body: Value = serde_json::from_slice(&signed.body).unwrap();
    let text = format!("{NOW}0123456789abcdef");
    for cut in cuts(&text, 2).into_iter().filter(|cut| cut[0].len() != 10) {
        let mut other = body.clone();
        other["signature"]["timestamp"] = cut[0].clone().into();
        other["signature"]["token"] = cut[1].clone().into();
        let request = with_body(&signed, &other);
        assert!(!accepts(&verifier, &request), "{cut:?}");
    }
}

/// Adyen joins fields with colons. One may contain some: which one depends on the kind of event.
#[test]
fn colons_in_fields_of_adyen_do_not_become_others() {
    const FIELDS: [&str; 8] = [
        "/pspReference",
        "/originalReference",
        "/merchantAccountCode",
        "/merchantReference",
        "/amount/value",
        "/amount/currency",
        "/eventCode",
        "/success",
    ];
    let (scheme, verifier) = preset("adyen");
    let body = |values: &[&str]| {
        let mut item = json!({ "amount": {}, "additionalData": {} });
        for (field, value) in FIELDS.iter().zip(values) {
            match field.strip_prefix("/amount/") {
                Some(name) => item["amount"][name] = json!(value),
                None => item[&field[1..]] = json!(value),
            }
        }
        json!({ "notificationItems": [{ "NotificationRequestItem": item }] })
    };
    let path = "/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature";
    for (values, is_valid) in [
        (["a:b.csv", "", "M", "ref", "1", "EUR", "REPORT_AVAILABLE", "true"], true),
        (["a", "", "M", "ref:1:2", "1", "EUR", "AUTHORISATION", "true"], true),
        (["a:b", "", "M", "ref", "1", "EUR", "AUTHORISATION", "true"], false),
        (["a", "", "M", "ref:1", "1", "EUR", "REPORT_AVAILABLE", "true"], false),
        (["a", "", "M", "x:REPORT_AVAILABLE", "1", "EUR", "CAPTURE", "true"], true),
    ] {
        let signed = signer(&scheme).sign(body(&values).to_string());
        assert_eq!(signed.is_ok(), is_valid, "{values:?}");
        let Ok(signed) = signed else { continue };
        assert!(accepts(&verifier, &signed), "{values:?}");
        let original: Value = serde_json::from_slice(&signed.body).unwrap();
        let text = values.join(":");
        let words: Vec<_> = text.split(':').collect();
        // Each way to make eight fields of more words.
        let spare = words.len() - FIELDS.len();
        for at in 0..FIELDS.len() {
            for first in 0..=spare {
                let mut fields: Vec<String> = Vec::new();
                let mut rest = words.iter();
                for index in 0..FIELDS.len() {
                    let more = match index {
                        _ if index == at => first,
                        _ if index == (at + 1) % FIELDS.len() => spare - first,
                        _ => 0,
                    };
                    let taken: Vec<_> = rest.by_ref().take(1 + more).copied().collect();
                    fields.push(taken.join(":"));
                }
                let fields: Vec<_> = fields.iter().map(|field| &**field).collect();
                assert_eq!(fields.join(":"), text);
                let mut other = body(&fields);
                *other
                    .pointer_mut("/notificationItems/0/NotificationRequestItem/additionalData")
                    .unwrap() = json!({ "hmacSignature": original.pointer(path).unwrap() });
                let request = with_body(&signed, &other);
                assert_eq!(accepts(&verifier, &request), fields == values, "{fields:?}");
            }
        }
    }
}

/// Contentful signs headers as `name:value;name:value`, with the list of their names among them.
#[test]
fn a_signed_header_does_not_become_another() {
    let (scheme, verifier) = preset("contentful");
    let list = "x-contentful-signed-headers";
    let time = "x-contentful-timestamp";
    let template = scheme.describe().signed_content;
    assert!(template.contains("{signed-headers:"), "{template}");
    // Signs a request with these headers.
    let sign = |headers: &[(&str, &str)]| {
        let own = Scheme::builder("own").signature_header("x-contentful-signature");
        let own = own.signed_content("{method}\n{path:escaped-twice}\n{header:all}\n{body}");
        let all: Vec<_> = headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let own = own.build().unwrap();
        let signer =
            Signer::new(own, secret_of(&scheme)).unwrap().target("/hook").id(all.join(";"));
        let mut signed = signer.sign("{}").unwrap();
        signed.headers.retain(|(name, _)| name != "all");
        signed.headers.extend(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        signed
    };
    let names = format!("x-a,{list},{time}");
    let now = format!("{NOW}000");
    let honest = sign(&[("x-a", "text; charset=utf-8"), (list, &names), (time, &now)]);
    assert!(accepts(&verifier, &honest));
    // A name that is none could contain others.
    for name in ["x-a;x-b", "x-b:2;x-c", "", "x b"] {
        let names = format!("{name},{list},{time}");
        let signed = sign(&[(name, ""), (list, &names), (time, &now)]);
        assert!(!accepts(&verifier, &signed), "{name:?}");
    }
    // With a value that its sender took from elsewhere, the header and the list can be cut.
    let inner = format!("1;{list}:x-a,{list},x-b,{time};x-b:2");
    let signed = sign(&[("x-a", &inner), (list, &names), (time, &now)]);
    assert!(!accepts(&verifier, &signed));
    let mut cut = signed.clone();
    set(&mut cut, "x-a", "1");
    set(&mut cut, list, &format!("x-a,{list},x-b,{time}"));
    cut.headers.push(("x-b".into(), format!("2;{list}:{names}")));
    assert!(!accepts(&verifier, &cut));
}
