use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use webhook_verify::{
    RequestHead, Scheme, Verifier, VerifyError,
    scheme::{Algorithm, Encoding},
    testing::Signer,
};

use crate::{PUBLIC_URL, verifier_of};

/// A request for one preset that is right but for its signature, and bodies to send with it.
#[derive(Clone, Debug)]
pub struct Forged {
    headers: HeaderMap,
    target: String,
    body: String,
    /// The name of a field, if the body is a form.
    field: Option<String>,
    verifier: Verifier,
}

/// The member of a JSON body that is replaced by what makes the body large.
const FILLER: &str = "\"filler\":0";

/// What makes a JSON body large: a name, the text that is repeated, and the texts around it.
const JSON: [(&str, &str, &str, &str); 14] = [
    (
        "usual",
        "\"filler\":[0",
        r#",{"id":4711,"name":"some text","created":"2026-11-22T00:00:00+00:00","nested":{"a":true,"b":null,"amount":1999}}"#,
        "]",
    ),
    ("numbers", "\"filler\":[0", ",1", "]"),
    ("empty strings", "\"filler\":[0", ",\"\"", "]"),
    ("arrays", "\"filler\":[0", ",[]", "]"),
    ("objects", "\"filler\":[0", ",{}", "]"),
    ("nested keys", "\"filler\":{\"a\":0", ",\"a\":1", "}"),
    ("keys", "\"filler\":0", ",\"a\":1", ""),
    ("escapes", "\"filler\":\"", "\\n", "\""),
    ("other scripts", "\"filler\":\"", "ü", "\""),
    ("long keys", "\"filler\":0", ",\"\\u0061dditionalDatb\":1", ""),
    ("a signed text for Adyen", "\"merchantReference\":\"", "\\\"", "\""),
    ("the same in hexadecimal", "\"merchantReference\":\"", "\\u0061", "\""),
    ("a signed text for SNS", "\"Subject\":\"", "\\\"", "\""),
    ("the same in hexadecimal", "\"Subject\":\"", "\\u0061", "\""),
];

/// The same for forms.
const FORMS: [(&str, &str, &str, &str); 9] = [
    ("usual", "From=%2B15551234567&Body=", "some+text%2C+and+more.+", ""),
    ("JSON", "mandrill_events=", "%7B%22id%22%3A4711%2C%22name%22%3A%22some+text%22%7D%2C", ""),
    ("the same fields", "a=b", "&a=b", ""),
    ("empty fields", "a=b", "&", ""),
    ("escapes", "a=", "%41", ""),
    ("text", "a=", "some text, and more. ", ""),
    ("other scripts", "a=", "%C3%BC", ""),
    ("not UTF-8", "a=", "%FF", ""),
    ("a name", "", "%41", "=b"),
];

impl Forged {
    /// Returns a request with a signature by another key. The verifier's clock is the real one.
    pub fn new(scheme: &Scheme) -> Self {
        let description = scheme.describe();
        let has_form_token = scheme.name() == "pipeforce-token";
        let content = &description.signed_content;
        let signed_field = content.split_once("{form:").and_then(|(_, rest)| rest.split_once('}'));
        let is_form = has_form_token || signed_field.is_some() || content.contains("{form}");
        let field = is_form.then(|| signed_field.map_or("a", |(name, _)| name).to_owned());
        let skeleton = match &field {
            Some(field) => &format!("{field}=b"),
            None => skeleton(scheme),
        };
        let (headers, target, body) = if has_form_token {
            let form = ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned());
            (vec![form], "/".to_owned(), "token=another".to_owned())
        } else if scheme.algorithm().is_symmetric() {
            by_signer(scheme, skeleton)
        } else {
            by_hand(scheme, skeleton)
        };
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let verifier = verifier_of(scheme).build().unwrap();
        Self { headers, target, body, field, verifier }
    }

    /// Returns bodies of about `len` bytes, with names. The first is like the sender's.
    pub fn bodies(&self, len: usize) -> Vec<(&'static str, Bytes)> {
        let fillers = if self.field.is_some() { &FORMS[..] } else { &JSON[..] };
        let bodies = fillers.iter().map(|(name, start, text, end)| {
            let around = self.body.len() + start.len() + end.len();
            let filler = text.repeat(len.saturating_sub(around) / text.len());
            let filler = format!("{start}{filler}{end}");
            let body = match &self.field {
                Some(field) => {
                    let filler = filler.replace("a=", &format!("{field}="));
                    format!("{}&{filler}", self.body.replace(&format!("{field}=b"), ""))
                }
                None => self.body.replacen(FILLER, &filler, 1),
            };
            (*name, Bytes::from(body))
        });
        bodies.collect()
    }

    /// Verifies the request with this body, which must fail.
    pub fn judge(&self, body: Bytes) -> VerifyError {
        let head = RequestHead::new(&self.headers).target(&self.target);
        self.verifier.verify(head, body).unwrap_err()
    }
}

type Parts = (Vec<(String, String)>, String, String);

fn by_signer(scheme: &Scheme, skeleton: &str) -> Parts {
    let other = match scheme.algorithm() {
        Algorithm::Basic => "user:another",
        _ => "00112233445566778899aabbccddeef0",
    };
    let signer = Signer::new(scheme.clone(), other).unwrap().public_url(PUBLIC_URL);
    let signed = signer.sign(skeleton.to_owned()).unwrap();
    let body = String::from_utf8(signed.body.to_vec()).unwrap();
    (signed.headers, signed.target, body)
}

/// Returns a request with a signature of the right form, for schemes with public keys.
fn by_hand(scheme: &Scheme, skeleton: &str) -> Parts {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let description = scheme.describe();
    let (encode, signature): (fn(&[u8]) -> String, _) = match scheme.algorithm() {
        // The base point and a small number: only the hash shows that it is wrong.
        Algorithm::Ed25519 => {
            let point = [&[0x58][..], &[0x66; 31]].concat();
            (|it| encoded(it, Encoding::Base64), [&*point, &[7; 32]].concat())
        }
        Algorithm::EcdsaP256 => {
            let number = [&[2, 32][..], &[7; 32]].concat();
            (|it| encoded(it, Encoding::Base64), [&[48, 68][..], &number, &number].concat())
        }
        _ => (|it| encoded(it, Encoding::Base64), vec![7; 256]),
    };
    let text = match scheme.encoding() {
        Encoding::Hex => encoded(&signature, Encoding::Hex),
        _ => encode(&signature),
    };
    let text = if scheme.name() == "plaid" { token(now) } else { text };
    let mut headers = vec![
        ("webhook-id".to_owned(), "msg_1".to_owned()),
        ("paypal-cert-url".into(), "https://api.paypal.com/v1/notifications/certs/CERT-1".into()),
        ("paypal-transmission-id".into(), "8f1b-11e5".into()),
    ];
    let place = &description.signatures[0];
    if let Some((name, grammar)) =
        place.strip_prefix("header ").and_then(|place| place.split_once(": "))
    {
        // As many as are verified, where a header may have several.
        let value = match grammar.strip_suffix(" …") {
            Some(item) => [&*item.replace('…', &text); 3].join(" "),
            None => grammar.replace('…', &text),
        };
        headers.push((name.to_owned(), value));
    }
    if let Some(name) = description.timestamp.as_deref().and_then(|at| at.strip_prefix("header ")) {
        let is_date = scheme.name() == "paypal";
        headers.push((
            name.to_owned(),
            if is_date { "2026-11-22T00:00:00Z".into() } else { now.to_string() },
        ));
    }
    let version = if scheme.name() == "sns-v1" { "1" } else { "2" };
    let body = skeleton.replace("SIGNATURE", &text).replace("VERSION", version);
    (headers, "/".into(), body)
}

fn encoded(bytes: &[u8], encoding: Encoding) -> String {
    match encoding {
        Encoding::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => STANDARD.encode(bytes),
    }
}

fn token(now: u64) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = encode(r#"{"alg":"ES256","typ":"JWT","kid":"test"}"#);
    let claims = encode(&format!(r#"{{"iat":{now},"request_body_sha256":"00"}}"#));
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 64]))
}

/// Returns a body with the fields that verification reads.
fn skeleton(scheme: &Scheme) -> &'static str {
    match scheme.name() {
        "adyen" => {
            r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{},"amount":{"currency":"EUR","value":1130},"filler":0,"pspReference":"7914073381342284","eventCode":"AUTHORISATION","success":"true"}}]}"#
        }
        "sns" | "sns-v1" => {
            r#"{"Type":"Notification","MessageId":"22b80b92","filler":0,"TopicArn":"arn:aws:sns:eu-west-1:123456789012:t","Message":"text","Timestamp":"2026-11-22T00:00:00.000Z","SignatureVersion":"VERSION","Signature":"SIGNATURE","SigningCertURL":"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"}"#
        }
        "microsoft-graph" => r#"{"value":[{"filler":0}]}"#,
        "mailgun" => r#"{"event-data":{"event":"opened"},"signature":{"filler":0}}"#,
        _ => r#"{"id":"evt_1","type":"invoice.paid","filler":0}"#,
    }
}
