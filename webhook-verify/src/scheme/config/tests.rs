use serde_json::{Map, Value, json};

use super::super::{
    BodyDigest, DigestPlace, Envelope, Field, Grammar, KeySource, Notes, Part, Place, Prefix,
    Scheme, SignatureSource, Text, TimeUnit, TimestampPlace, UrlDigest, UrlDigestForm,
    check::signs_content,
};
use crate::{clock::Tolerance, encoding::Encoding};

/// Returns the scheme as a file describes it. The builder can describe nothing that a file cannot.
fn written(scheme: &Scheme) -> Value {
    let signs = signs_content(scheme.algorithm);
    let hosts_of = |key: &KeySource| match key {
        KeySource::KeyId => json!({"token-id": true}),
        KeySource::Url { place, hosts } => {
            let (kind, name) = place_of(place);
            json!({kind: name, "hosts": hosts})
        }
    };
    let digest = |digest: &BodyDigest| {
        let (kind, name) = match &digest.place {
            DigestPlace::Query(name) => ("query", name),
            DigestPlace::Claim(name) => ("claim", name),
        };
        json!({
            kind: name,
            "encoding": digest.encoding.map(encoding),
            "or-query": digest.or_query,
            "optional": digest.optional,
        })
    };
    let url_digest = |digest: &UrlDigest| match digest.form {
        UrlDigestForm::Url => json!({"claim": digest.claim}),
        UrlDigestForm::CanonicalRequest => json!({"claim": digest.claim, "form": "atlassian"}),
    };
    let seconds = |time: std::time::Duration| time.as_secs();
    let row = json!({
        "name": scheme.name,
        "sender": scheme.sender,
        "documentation": scheme.documentation,
        "evidence": scheme.evidence.iter().map(kebab).collect::<Vec<_>>(),
        "algorithm": kebab(scheme.algorithm),
        "key": kebab(scheme.key_form),
        "api-key": scheme.api_key.then_some(true),
        "whsec-text": scheme.whsec_text.then_some(true),
        "key-source": scheme.key_source.as_ref().map(hosts_of),
        "signature": scheme.signatures.iter().map(signature).collect::<Vec<_>>(),
        "encoding": signs.then(|| encoding(scheme.encoding)),
        "signed-content": signs.then(|| contents(scheme)),
        "body-digest": scheme.body_digest.as_ref().map(digest),
        "url-digest": scheme.url_digest.as_ref().map(url_digest),
        "signed-bytes": scheme.signed_bytes.map(kebab),
        "timestamp": scheme.timestamp.as_ref().map(|source| {
            let (kind, name) = match &source.place {
                TimestampPlace::Header(name) => ("header", json!(name)),
                TimestampPlace::Pair(name) => ("pair", json!(name)),
                TimestampPlace::Pointer(name) => ("pointer", json!(name)),
                TimestampPlace::Form(name) => ("form", json!(name)),
                TimestampPlace::Claim(name) => ("claim", json!(name)),
                TimestampPlace::Before => ("before-signature", json!(true)),
            };
            json!({kind: name, "unit": unit(source.unit), "tolerance": tolerance(source.tolerance)})
        }),
        "issuer": scheme.issuer,
        "required-headers": map(&scheme.required_headers),
        "required-fields": map(&scheme.required_fields),
        "refused-fields": scheme.refused_fields,
        "parameter-fields": map(&scheme.parameter_fields),
        "required-claims": scheme.required_claims,
        "id": scheme.id.as_ref().map(|place| field(place, None)),
        "event-type": scheme.event_type.as_ref().map(|it| field(it, scheme.event_header.as_ref())),
        "events": events(scheme),
        "identity": kebab(scheme.identity),
        "identity-fields": scheme.identity_fields,
        "form-fields": map(&scheme.form_fields),
        "json-in-form": scheme.json_in_form.as_ref().map(|json| {
            json!({"field": json.field, "signed": kebab(json.signed)})
        }),
        "header-aliases": map(&scheme.header_aliases),
        "challenges": scheme.challenges.iter().map(|known| known.name()).collect::<Vec<_>>(),
        "retry-horizon": scheme.hints.retry_horizon.map(seconds),
        "body-limit": scheme.hints.body_limit,
        "time-budget": scheme.hints.time_budget.map(seconds),
    });
    let Value::Object(row) = row else { unreachable!() };
    row.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
}

fn contents(scheme: &Scheme) -> Value {
    if scheme.version_contents.is_empty() {
        return json!(scheme.signed_content());
    }
    let content = |parts: &[Part]| parts.iter().map(ToString::to_string).collect::<String>();
    let Grammar::Pairs { keys, .. } = &scheme.signatures[0].grammar else {
        panic!("{} has no versions", scheme.name)
    };
    let first = keys[0].to_string();
    let mut contents = Map::from_iter([(first, json!(scheme.signed_content()))]);
    for (version, parts) in &*scheme.version_contents {
        contents.insert(version.to_string(), json!(content(parts)));
    }
    contents.into()
}

/// Turns `HmacSha256` into `hmac-sha256`.
fn kebab(variant: impl std::fmt::Debug) -> String {
    let mut name = String::new();
    for char in format!("{variant:?}").chars() {
        if char.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(char.to_ascii_lowercase());
    }
    name
}

fn encoding(encoding: Encoding) -> String {
    format!("{encoding:?}").to_ascii_lowercase()
}

fn unit(unit: TimeUnit) -> String {
    match unit {
        TimeUnit::Seconds => "s".into(),
        TimeUnit::Milliseconds => "ms".into(),
        TimeUnit::Rfc3339 | TimeUnit::Utc | TimeUnit::Rfc1123 => {
            format!("{unit:?}").to_ascii_lowercase()
        }
    }
}

fn tolerance(tolerance: Option<Tolerance>) -> Value {
    match tolerance {
        None => json!(false),
        Some(window) if window.past() == window.future() => json!(window.past().as_secs()),
        Some(window) => {
            json!({"past": window.past().as_secs(), "future": window.future().as_secs()})
        }
    }
}

fn map(pairs: &[(Text, Text)]) -> Map<String, Value> {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (name.to_string(), json!(value))).collect()
}

fn field(field: &Field, repeated_in: Option<&Text>) -> Value {
    let mut place = match field {
        Field::Header(name) => json!({"header": name}),
        Field::Pointer(pointer) => json!({"pointer": pointer}),
        Field::FirstKey => json!({"first-key": true}),
    };
    if let Some(header) = repeated_in {
        place["repeated-in"] = json!(header);
    }
    place
}

fn events(scheme: &Scheme) -> Value {
    let mut events = json!({
        "time": scheme.event_time.as_ref().map(|(pointer, _)| pointer),
        "unit": scheme.event_time.as_ref().map(|(_, at)| unit(*at)),
        "data": scheme.event_data,
        "test": scheme.test_field,
    });
    let pointers = |pointers: &[Text]| match pointers {
        [] => Value::Null,
        [pointer] => json!(pointer),
        pointers => json!(pointers),
    };
    match &scheme.envelope {
        Envelope::One => {}
        Envelope::ByType => events["by-type"] = json!(true),
        Envelope::List(list) => {
            events["list"] = json!(list.at);
            events["form"] = json!(list.form);
            events["type"] = pointers(&list.event_type);
            events["id"] = pointers(&list.id);
        }
    }
    events
}

fn place_of(place: &Place) -> (&'static str, &Text) {
    match place {
        Place::Header(name) => ("header", name),
        Place::HeaderPrefix(name) => ("header-prefix", name),
        Place::Query(name) => ("query", name),
        Place::Form(name) => ("form", name),
        Place::Pointer(name) => ("pointer", name),
    }
}

fn signature(source: &SignatureSource) -> Value {
    let (kind, name) = place_of(&source.place);
    let mut place = json!({kind: name, "several": source.several});
    match &source.grammar {
        Grammar::Plain(Prefix::Refused) => {}
        Grammar::Plain(Prefix::Required(prefix)) => place["prefix"] = json!(prefix),
        Grammar::Plain(Prefix::Optional(prefix)) => place["optional-prefix"] = json!(prefix),
        Grammar::Plain(Prefix::Scheme(name)) => place["authorization-scheme"] = json!(name),
        Grammar::Pairs { separator, groups, keys } => {
            place["pairs"] = json!({"separator": separator, "groups": groups, "keys": keys});
        }
        Grammar::AfterTimestamp { separator } => place["after-timestamp"] = json!(separator),
        Grammar::List { separator, version_separator, versions } => {
            place["versions"] = json!({
                "separator": separator,
                "version-separator": version_separator,
                "names": versions,
            });
        }
    }
    place
}

#[test]
fn every_preset_can_be_written_down_and_read_again() {
    for preset in Scheme::presets() {
        let mut expected = Scheme { notes: Notes::NONE, ..preset.clone() };
        // Maps are in an order of their own.
        expected.required_headers.to_mut().sort();
        let text = written(preset).to_string();
        let read: Scheme =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(format!("{read:?}"), format!("{expected:?}"), "{text}");
    }
}
