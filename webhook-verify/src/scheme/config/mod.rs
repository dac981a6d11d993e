//! Deserializes schemes from configuration files with serde and the builder.

mod parts;
mod values;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use self::{
    parts::{Digest, EventType, Events, Id, JsonInForm, Key, Signature, Timestamp, UrlDigest},
    values::{Contents, OneOrMore},
};
use super::{
    Algorithm, Challenge, Evidence, Identity, KeyForm, Scheme, SchemeBuilder, SignedBytes,
};
use crate::{encoding::Encoding, error::ConfigError};

impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let row: Row = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let path = error.path().to_string();
            match (path.as_str(), error.into_inner()) {
                (".", error) => error,
                (path, error) => {
                    D::Error::custom(format_args!("{path}: {}", error.to_string().trim_end()))
                }
            }
        })?;
        let name = row.name.clone();
        row.scheme().map_err(|Mistake { key, reason }| {
            D::Error::custom(match name.as_str() {
                "" => format!("{key}: {reason}"),
                name => format!("{name}: {key}: {reason}"),
            })
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "the description of a scheme")]
struct Row {
    name: String,
    sender: Option<String>,
    documentation: Option<String>,
    #[serde(default)]
    evidence: Vec<Evidence>,
    algorithm: Option<Algorithm>,
    key: Option<KeyForm>,
    #[serde(default)]
    api_key: bool,
    #[serde(default)]
    whsec_text: bool,
    key_source: Option<Key>,
    signature: OneOrMore<Signature>,
    encoding: Option<Encoding>,
    signed_content: Option<Contents>,
    body_digest: Option<Digest>,
    url_digest: Option<UrlDigest>,
    signed_bytes: Option<SignedBytes>,
    timestamp: Option<Timestamp>,
    issuer: Option<String>,
    #[serde(default)]
    required_headers: BTreeMap<String, String>,
    #[serde(default)]
    required_fields: BTreeMap<String, String>,
    #[serde(default)]
    refused_fields: Vec<String>,
    #[serde(default)]
    parameter_fields: BTreeMap<String, String>,
    #[serde(default)]
    required_claims: Vec<String>,
    id: Option<Id>,
    event_type: Option<EventType>,
    events: Option<Events>,
    identity: Option<Identity>,
    identity_fields: Option<Vec<String>>,
    #[serde(default)]
    form_fields: BTreeMap<String, String>,
    json_in_form: Option<JsonInForm>,
    #[serde(default)]
    header_aliases: BTreeMap<String, String>,
    #[serde(default)]
    challenges: Vec<String>,
    retry_horizon: Option<u64>,
    body_limit: Option<usize>,
    time_budget: Option<u64>,
}

/// An error, under the file's name of the option.
struct Mistake {
    key: &'static str,
    reason: String,
}

impl From<ConfigError> for Mistake {
    fn from(error: ConfigError) -> Self {
        match error.kind() {
            ConfigError::Option { option, reason } => {
                Self { key: key(option), reason: reason.clone() }
            }
            ConfigError::EmptySecret
            | ConfigError::SecretTooLong { .. }
            | ConfigError::MalformedSecret { .. }
            | ConfigError::SuspectSecret { .. }
            | ConfigError::SecretCount { .. }
            | ConfigError::UnknownScheme { .. }
            | ConfigError::About { .. } => Self { key: "scheme", reason: error.to_string() },
        }
    }
}

/// Returns the file's name for an option of the builder.
fn key(option: &'static str) -> &'static str {
    match option {
        "key_form" => "key",
        "key_from_header" | "key_from_pointer" => "key-source",
        "key_from_token_id" => "key-source.token-id",
        "signature_header" => "signature.header",
        "signature_header_prefix" => "signature.header-prefix",
        "signature_query" => "signature.query",
        "signature_form" => "signature.form",
        "signature_pointer" => "signature.pointer",
        "prefix" => "signature.prefix",
        "optional_prefix" => "signature.optional-prefix",
        "authorization_scheme" => "signature.authorization-scheme",
        "pairs" => "signature.pairs",
        "version_list" => "signature.versions",
        "signed_content" => "signed-content",
        "signed_bytes" => "signed-bytes",
        "body_digest_query" => "body-digest.query",
        "body_digest_claim" => "body-digest.claim",
        "body_digest_encoding" => "body-digest.encoding",
        "body_digest_or_query" => "body-digest.or-query",
        "body_digest_optional" => "body-digest.optional",
        "url_digest_claim" => "url-digest.claim",
        "timestamp_header" => "timestamp.header",
        "timestamp_pair" => "timestamp.pair",
        "timestamp_pointer" => "timestamp.pointer",
        "timestamp_form" => "timestamp.form",
        "timestamp_claim" => "timestamp.claim",
        "after_timestamp" => "signature.after-timestamp",
        "several" => "signature.several",
        "require_header" => "required-headers",
        "require_field" => "required-fields",
        "refuse_field" => "refused-fields",
        "parameter_field" => "parameter-fields",
        "require_claim" => "required-claims",
        "event_type" => "event-type",
        "event_type_repeated_in" => "event-type.repeated-in",
        "event_list" => "events.list",
        "event_list_in_form" => "events.form",
        "listed_event_type" => "events.type",
        "listed_event_id" => "events.id",
        "events_by_type" => "events.by-type",
        "event_time" => "events.time",
        "event_data" => "events.data",
        "test_field" => "events.test",
        "identity_fields" => "identity-fields",
        "form_field" => "form-fields",
        "json_in_form" => "json-in-form",
        "header_alias" => "header-aliases",
        "challenge" => "challenges",
        other => other,
    }
}

impl Row {
    fn scheme(self) -> Result<Scheme, Mistake> {
        let mut builder = Scheme::builder(self.name)
            .given(self.sender, SchemeBuilder::sender)
            .given(self.documentation, SchemeBuilder::documentation)
            .evidence(self.evidence)
            .given(self.algorithm, SchemeBuilder::algorithm)
            .given(self.key, SchemeBuilder::key_form)
            .given(self.api_key.then_some(()), |builder, ()| builder.api_key())
            .given(self.whsec_text.then_some(()), |builder, ()| builder.whsec_text())
            .given(self.encoding, SchemeBuilder::encoding)
            .given(self.signed_content, |builder, contents| contents.add(builder))
            .given(self.signed_bytes, SchemeBuilder::signed_bytes)
            .given(self.json_in_form, |builder, json| json.add(builder))
            .given(self.issuer, SchemeBuilder::issuer)
            .given(self.identity, SchemeBuilder::identity)
            .given(self.identity_fields, SchemeBuilder::identity_fields)
            .given(self.retry_horizon.map(Duration::from_secs), SchemeBuilder::retry_horizon)
            .given(self.body_limit, SchemeBuilder::body_limit)
            .given(self.time_budget.map(Duration::from_secs), SchemeBuilder::time_budget);
        for signature in self.signature.0 {
            builder = signature.add(builder)?;
        }
        for (name, value) in self.required_headers {
            builder = builder.require_header(name, value);
        }
        for (pointer, value) in self.required_fields {
            builder = builder.require_field(pointer, value);
        }
        for (pointer, parameter) in self.parameter_fields {
            builder = builder.parameter_field(pointer, parameter);
        }
        for (pointer, name) in self.form_fields {
            builder = builder.form_field(pointer, name);
        }
        for (name, alias) in self.header_aliases {
            builder = builder.header_alias(name, alias);
        }
        for name in self.required_claims {
            builder = builder.require_claim(name);
        }
        for pointer in self.refused_fields {
            builder = builder.refuse_field(pointer);
        }
        for name in &self.challenges {
            let challenge = Challenge::named(name).ok_or_else(|| Mistake {
                key: "challenges",
                reason: format!("{name:?} is unknown"),
            })?;
            builder = builder.challenge(challenge);
        }
        builder = builder
            .tried(self.key_source, Key::add)?
            .tried(self.body_digest, Digest::add)?
            .given(self.url_digest, |builder, digest| digest.add(builder))
            .tried(self.timestamp, Timestamp::add)?
            .tried(self.id, Id::add)?
            .tried(self.event_type, EventType::add)?
            .tried(self.events, Events::add)?;
        Ok(builder.build()?)
    }
}

impl SchemeBuilder {
    fn given<T>(self, value: Option<T>, set: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => set(self, value),
            None => self,
        }
    }

    fn tried<T>(
        self,
        value: Option<T>,
        add: impl FnOnce(T, Self) -> Result<Self, Mistake>,
    ) -> Result<Self, Mistake> {
        match value {
            Some(value) => add(value, self),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests;
