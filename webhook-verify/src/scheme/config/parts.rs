//! The tables within a row. Each offers several ways to say where something is.

use serde::Deserialize;

use super::{
    super::{SchemeBuilder, SignedForm, TimeUnit},
    Mistake,
    values::{Pointers, Window},
};
use crate::encoding::Encoding;

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "where the signature is, or a list of such places"
)]
pub(super) struct Signature {
    header: Option<String>,
    header_prefix: Option<String>,
    query: Option<String>,
    form: Option<String>,
    pointer: Option<String>,
    prefix: Option<String>,
    optional_prefix: Option<String>,
    authorization_scheme: Option<String>,
    pairs: Option<Pairs>,
    versions: Option<Versions>,
    after_timestamp: Option<char>,
    several: Option<char>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a separator and keys")]
struct Pairs {
    separator: char,
    groups: Option<char>,
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "separators and the names of versions"
)]
struct Versions {
    separator: char,
    version_separator: char,
    names: Vec<String>,
}

impl Signature {
    pub(super) fn add(self, builder: SchemeBuilder) -> Result<SchemeBuilder, Mistake> {
        let places = [
            ("header", self.header.is_some()),
            ("header-prefix", self.header_prefix.is_some()),
            ("query", self.query.is_some()),
            ("form", self.form.is_some()),
            ("pointer", self.pointer.is_some()),
        ];
        let forms = [
            ("prefix", self.prefix.is_some()),
            ("optional-prefix", self.optional_prefix.is_some()),
            ("authorization-scheme", self.authorization_scheme.is_some()),
            ("pairs", self.pairs.is_some()),
            ("versions", self.versions.is_some()),
            ("after-timestamp", self.after_timestamp.is_some()),
        ];
        one_of("signature", &places)?;
        at_most_one_of("signature", &forms)?;
        Ok(builder
            .given(self.header, SchemeBuilder::signature_header)
            .given(self.header_prefix, SchemeBuilder::signature_header_prefix)
            .given(self.query, SchemeBuilder::signature_query)
            .given(self.form, SchemeBuilder::signature_form)
            .given(self.pointer, SchemeBuilder::signature_pointer)
            .given(self.prefix, SchemeBuilder::prefix)
            .given(self.optional_prefix, SchemeBuilder::optional_prefix)
            .given(self.authorization_scheme, SchemeBuilder::authorization_scheme)
            .given(self.pairs, |builder, Pairs { separator, groups, keys }| {
                let builder = builder.pairs(separator, keys);
                builder.given(groups, SchemeBuilder::pair_groups)
            })
            .given(self.after_timestamp, SchemeBuilder::after_timestamp)
            .given(self.several, SchemeBuilder::several)
            .given(self.versions, |builder, versions| {
                let Versions { separator, version_separator, names } = versions;
                builder.version_list(separator, version_separator, names)
            })
            .end_of_place())
    }
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "where the public key's address or id is"
)]
pub(super) struct Key {
    header: Option<String>,
    pointer: Option<String>,
    #[serde(default)]
    token_id: bool,
    #[serde(default)]
    hosts: Vec<String>,
}

impl Key {
    pub(super) fn add(self, builder: SchemeBuilder) -> Result<SchemeBuilder, Mistake> {
        let ways = [
            ("header", self.header.is_some()),
            ("pointer", self.pointer.is_some()),
            ("token-id", self.token_id),
        ];
        one_of("key-source", &ways)?;
        if self.token_id && !self.hosts.is_empty() {
            return Err(Mistake { key: "key-source.hosts", reason: "a key ID has no host".into() });
        }
        let hosts = &self.hosts;
        Ok(builder
            .given(self.header, |builder, header| builder.key_from_header(header, hosts))
            .given(self.pointer, |builder, pointer| builder.key_from_pointer(pointer, hosts))
            .given(self.token_id.then_some(()), |builder, ()| builder.key_from_token_id()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "where the body's digest is")]
pub(super) struct Digest {
    query: Option<String>,
    claim: Option<String>,
    encoding: Option<Encoding>,
    #[serde(default)]
    or_query: bool,
    #[serde(default)]
    optional: bool,
}

impl Digest {
    pub(super) fn add(self, builder: SchemeBuilder) -> Result<SchemeBuilder, Mistake> {
        let ways = [("query", self.query.is_some()), ("claim", self.claim.is_some())];
        one_of("body-digest", &ways)?;
        Ok(builder
            .given(self.query, SchemeBuilder::body_digest_query)
            .given(self.claim, SchemeBuilder::body_digest_claim)
            .given(self.encoding, SchemeBuilder::body_digest_encoding)
            .given(self.or_query.then_some(()), |builder, ()| builder.body_digest_or_query())
            .given(self.optional.then_some(()), |builder, ()| builder.body_digest_optional()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the claim with the URL's digest, and its form")]
pub(super) struct UrlDigest {
    claim: String,
    #[serde(default)]
    form: UrlDigestForm,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UrlDigestForm {
    #[default]
    Url,
    Atlassian,
}

impl UrlDigest {
    pub(super) fn add(self, builder: SchemeBuilder) -> SchemeBuilder {
        match self.form {
            UrlDigestForm::Url => builder.url_digest_claim(self.claim),
            UrlDigestForm::Atlassian => builder.canonical_request_claim(self.claim),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the form field with the JSON, and what is signed")]
pub(super) struct JsonInForm {
    field: String,
    signed: SignedForm,
}

impl JsonInForm {
    pub(super) fn add(self, builder: SchemeBuilder) -> SchemeBuilder {
        builder.json_in_form(self.field, self.signed)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "where the timestamp is")]
pub(super) struct Timestamp {
    header: Option<String>,
    pair: Option<String>,
    pointer: Option<String>,
    form: Option<String>,
    claim: Option<String>,
    #[serde(default)]
    before_signature: bool,
    unit: Option<TimeUnit>,
    tolerance: Option<Window>,
}

impl Timestamp {
    pub(super) fn add(self, builder: SchemeBuilder) -> Result<SchemeBuilder, Mistake> {
        let ways = [
            ("header", self.header.is_some()),
            ("pair", self.pair.is_some()),
            ("pointer", self.pointer.is_some()),
            ("form", self.form.is_some()),
            ("claim", self.claim.is_some()),
            ("before-signature", self.before_signature),
        ];
        one_of("timestamp", &ways)?;
        Ok(builder
            .given(self.header, SchemeBuilder::timestamp_header)
            .given(self.pair, SchemeBuilder::timestamp_pair)
            .given(self.pointer, SchemeBuilder::timestamp_pointer)
            .given(self.form, SchemeBuilder::timestamp_form)
            .given(self.claim, SchemeBuilder::timestamp_claim)
            .given(self.unit, SchemeBuilder::timestamp_unit)
            .given(self.tolerance, |builder, Window(tolerance)| builder.tolerance(tolerance)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "where the id is")]
pub(super) struct Id {
    header: Option<String>,
    pointer: Option<String>,
}

impl Id {
    pub(super) fn add(self, builder: SchemeBuilder) -> Result<SchemeBuilder, Mistake> {
        let ways = [("header", self.header.is_some()), ("pointer", self.pointer.is_some())];
        one_of("id", &ways)?;
        Ok(builder
            .given(self.header, SchemeBuilder::id_header)
            .given(self.pointer, SchemeBuilder::id_pointer))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "where the event type is")]
pub(super) struct EventType {
    header: Option<String>,
    pointer: Option<String>,
    #[serde(default)]
    first_key: bool,
    repeated_in: Option<String>,
}

impl EventType {
    pub(super) fn add(self, builder: SchemeBuilder) -> Result<SchemeBuilder, Mistake> {
        let ways = [
            ("header", self.header.is_some()),
            ("pointer", self.pointer.is_some()),
            ("first-key", self.first_key),
        ];
        one_of("event-type", &ways)?;
        Ok(builder
            .given(self.header, SchemeBuilder::event_type_header)
            .given(self.pointer, SchemeBuilder::event_type_pointer)
            .given(self.first_key.then_some(()), |builder, ()| builder.event_type_first_key())
            .given(self.repeated_in, SchemeBuilder::event_type_repeated_in))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "how a body holds events")]
pub(super) struct Events {
    list: Option<String>,
    form: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<Pointers>,
    id: Option<Pointers>,
    #[serde(default)]
    by_type: bool,
    time: Option<String>,
    unit: Option<TimeUnit>,
    data: Option<String>,
    test: Option<String>,
}

impl Events {
    pub(super) fn add(self, builder: SchemeBuilder) -> Result<SchemeBuilder, Mistake> {
        if self.unit.is_some() && self.time.is_none() {
            return Err(Mistake { key: "events.unit", reason: "no time is described".into() });
        }
        let unit = self.unit.unwrap_or(TimeUnit::Seconds);
        Ok(builder
            .given(self.list, SchemeBuilder::event_list)
            .given(self.form, SchemeBuilder::event_list_in_form)
            .given(self.event_type, |builder, Pointers(pointers)| {
                builder.listed_event_type(pointers)
            })
            .given(self.id, |builder, Pointers(pointers)| builder.listed_event_id(pointers))
            .given(self.by_type.then_some(()), |builder, ()| builder.events_by_type())
            .given(self.time, |builder, time| builder.event_time(time, unit))
            .given(self.data, SchemeBuilder::event_data)
            .given(self.test, SchemeBuilder::test_field))
    }
}

/// Checks that exactly one of several alternatives is given.
fn one_of(key: &'static str, ways: &[(&str, bool)]) -> Result<(), Mistake> {
    at_most_one_of(key, ways)?;
    if ways.iter().any(|(_, given)| *given) {
        return Ok(());
    }
    Err(Mistake { key, reason: format!("needs one of {}", names(ways)) })
}

fn at_most_one_of(key: &'static str, ways: &[(&str, bool)]) -> Result<(), Mistake> {
    match ways.iter().filter(|(_, given)| *given).count() {
        0 | 1 => Ok(()),
        _ => Err(Mistake { key, reason: format!("has more than one of {}", names(ways)) }),
    }
}

fn names(ways: &[(&str, bool)]) -> String {
    let names: Vec<_> = ways.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}
