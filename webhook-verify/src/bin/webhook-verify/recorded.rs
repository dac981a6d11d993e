//! Recorded requests and their verdicts.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value};
use webhook_verify::{ConfigError, RequestHead, Scheme, Verifier, scheme::KeyForm};

/// A recorded request.
pub(crate) struct RecordedRequest {
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) url: Option<String>,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) secrets: Vec<String>,
    secret_encoding: Option<String>,
    pub(crate) parameters: Vec<(String, String)>,
    /// The header of the shared-header scheme.
    pub(crate) header: Option<String>,
    body_limit: Option<usize>,
    pub(crate) now: Option<Duration>,
    pub(crate) expect: Option<String>,
}

impl RecordedRequest {
    /// Reads a row. An error names the field, but not its value, which may be a secret.
    pub(crate) fn read(row: &Value) -> Result<Self, String> {
        Self::read_with(row, |row| row.text("secret").map(Some))
    }

    /// Reads a row, which may have no secret.
    pub(crate) fn read_without_secret(row: &Value) -> Result<Self, String> {
        Self::read_with(row, |row| row.optional_text("secret"))
    }

    fn read_with(
        row: &Value,
        secret: impl Fn(&Row<'_>) -> Result<Option<String>, String>,
    ) -> Result<Self, String> {
        let row = Row(row.as_object().ok_or("not an object")?);
        let url = row.optional_text("url")?;
        let target = row.optional_text("target")?;
        let body =
            STANDARD.decode(row.text("body_base64")?).map_err(|_| "`body_base64` is not base64")?;
        let mut secrets: Vec<_> = secret(&row)?.into_iter().collect();
        secrets.extend(row.texts("extra_secrets")?);
        Ok(Self {
            provider: match row.optional_text("provider")? {
                Some(provider) => provider,
                None => row.text("scheme").map_err(|_| "`provider` is missing")?,
            },
            name: row.optional_text("name")?.unwrap_or_default(),
            method: row.optional_text("method")?.unwrap_or_else(|| "POST".into()),
            target: target.unwrap_or_else(|| url.as_deref().map_or("/", target_of).to_owned()),
            url,
            headers: row.pairs("headers")?,
            body: body.into(),
            secrets,
            secret_encoding: row.optional_text("secret_encoding")?,
            parameters: row.members("parameters")?,
            header: row.optional_text("header")?,
            body_limit: row
                .number("max_body")?
                .map(|limit| usize::try_from(limit as u64).unwrap_or(usize::MAX)),
            now: row.number("now")?.map(Duration::from_secs_f64),
            expect: row.optional_text("expect")?,
        })
    }

    /// Verifies the request with its scheme, one of `schemes` or a preset. Returns `valid`, or the
    /// reason why it is not.
    pub(crate) fn verdict(&self, schemes: &[Scheme]) -> &'static str {
        let Some(scheme) = self.scheme(schemes) else {
            return "unknown_scheme";
        };
        let verifier = match self.verifier(scheme) {
            Ok(verifier) => verifier,
            Err(error) => {
                return match error.kind() {
                    ConfigError::Option { .. } => "invalid_configuration",
                    _ => "invalid_secret",
                };
            }
        };
        if self.body_limit.is_some_and(|limit| self.body.len() > limit) {
            return "body_too_large";
        }
        let head = RequestHead::new(&self.headers).method(&self.method).target(&self.target);
        match verifier.verify(head, self.body.clone()) {
            Ok(_) => "valid",
            Err(error) => error.reason(),
        }
    }

    /// Returns the request's scheme, one of `schemes` or a preset, with the form of its secret.
    pub(crate) fn scheme(&self, schemes: &[Scheme]) -> Option<Scheme> {
        let own = schemes.iter().find(|scheme| scheme.name() == self.provider).cloned();
        let scheme = own.or_else(|| match (self.provider.as_str(), &self.header) {
            ("shared-header", Some(header)) => Scheme::shared_header(header).ok(),
            (name, _) => Scheme::preset(name),
        })?;
        Some(match self.key_form(scheme.key_form()) {
            Some(form) => scheme.with_key_form(form),
            None => scheme,
        })
    }

    fn verifier(&self, scheme: Scheme) -> Result<Verifier, ConfigError> {
        let has_tolerance = scheme.tolerance().is_some();
        let signs_url = scheme.describe().signed_content.contains("{url");
        let mut builder = Verifier::builder(scheme);
        for secret in &self.secrets {
            builder = builder.secret(secret);
        }
        for (name, value) in &self.parameters {
            builder = builder.parameter(name, value);
        }
        // If the scheme signs the URL and the row has none, verification has to fail.
        let url = self.url.as_deref().or(signs_url.then_some("https://unknown.invalid/"));
        if let Some(url) = url {
            builder = builder.public_url(url.split(['?', '#']).next().unwrap_or_default());
        }
        match self.now {
            Some(now) => builder = builder.clock(move || now),
            None if has_tolerance => builder = builder.tolerance(None),
            None => {}
        }
        builder.build()
    }

    /// Returns the form of the secret, if it is not the scheme's own.
    pub(crate) fn key_form(&self, own: KeyForm) -> Option<KeyForm> {
        let form = match self.secret_encoding.as_deref()? {
            "hex" => KeyForm::Hex,
            "base64" => KeyForm::Base64,
            "whsec" => KeyForm::Whsec,
            "whpk" => KeyForm::Whpk,
            "spki-base64" => KeyForm::Spki,
            "x509-pem" => KeyForm::Certificate,
            "jwk" => KeyForm::Jwk,
            // Text. The scheme decides whether it decodes HTML entities.
            "utf8" if !matches!(own, KeyForm::HtmlText | KeyForm::Sha1) => KeyForm::Utf8,
            _ => return None,
        };
        (form != own).then_some(form)
    }
}

/// Returns the path and query of a URL, without the fragment, which is never sent.
pub(crate) fn target_of(url: &str) -> &str {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find(['/', '?']).map_or("/", |at| &rest[at..])
}

/// The fields of a row. Errors name the field.
struct Row<'r>(&'r Map<String, Value>);

impl Row<'_> {
    fn optional(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn optional_text(&self, field: &str) -> Result<Option<String>, String> {
        match self.optional(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{field}` is not a string")),
        }
    }

    fn text(&self, field: &str) -> Result<String, String> {
        self.optional_text(field)?.ok_or_else(|| format!("`{field}` is missing"))
    }

    fn texts(&self, field: &str) -> Result<Vec<String>, String> {
        let not = || format!("`{field}` is not a list of strings");
        let Some(value) = self.optional(field) else {
            return Ok(Vec::new());
        };
        let texts = value.as_array().ok_or_else(not)?.iter();
        texts.map(|text| text.as_str().map(Into::into).ok_or_else(not)).collect()
    }

    fn pairs(&self, field: &str) -> Result<Vec<(String, String)>, String> {
        let not = || format!("`{field}` is not a list of pairs of strings");
        let pairs = self.optional(field).ok_or(format!("`{field}` is missing"))?;
        let pairs = pairs.as_array().ok_or_else(not)?.iter();
        pairs
            .map(|pair| match pair.as_array().map(Vec::as_slice) {
                Some([Value::String(name), Value::String(value)]) => {
                    Ok((name.clone(), value.clone()))
                }
                _ => Err(not()),
            })
            .collect()
    }

    fn members(&self, field: &str) -> Result<Vec<(String, String)>, String> {
        let not = || format!("`{field}` is not an object of strings");
        let Some(value) = self.optional(field) else {
            return Ok(Vec::new());
        };
        let members = value.as_object().ok_or_else(not)?.iter();
        members
            .map(|(name, value)| {
                let value = value.as_str().ok_or_else(not)?;
                Ok((name.clone(), value.to_owned()))
            })
            .collect()
    }

    fn number(&self, field: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.optional(field) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|number| (0.0..1e15).contains(number));
        number.map(Some).ok_or_else(|| format!("`{field}` is not a number, or out of range"))
    }
}
