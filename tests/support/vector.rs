//! The recorded requests.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use crate::PUBLIC_URL;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use webhook_verify::{ConfigError, RequestHead, Scheme, Verifier};

/// One recorded request, and the expected result.
#[derive(Clone, Debug, Deserialize)]
pub struct Vector {
    /// The preset's name.
    #[serde(alias = "provider")]
    pub scheme: String,
    /// The row's name.
    pub name: String,
    /// The request's method.
    pub method: String,
    /// Path and query.
    #[serde(default)]
    pub target: String,
    /// The URL that the sender was given, with the request's query, if the scheme uses it.
    url: Option<String>,
    /// The parameters that the scheme needs in addition to the secret.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    body_base64: String,
    /// The receiver's secret.
    pub secret: String,
    /// More live secrets.
    #[serde(default)]
    pub extra_secrets: Vec<String>,
    /// The receiver's clock, in Unix seconds.
    pub now: u64,
    /// `valid`, or the reason of the refusal.
    pub expect: String,
    /// The header of the shared-header scheme.
    pub header: Option<String>,
    /// The receiver's body limit.
    pub max_body: Option<usize>,
}

impl Vector {
    /// Returns all rows, of the four systems and of every preset.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let seeds = Self::of_the_four_systems();
        let presets: Vec<Self> =
            serde_json::from_str(include_str!("../vectors/presets.json")).unwrap();
        let senders = Self::of_senders();
        assert_eq!((seeds.len(), presets.len()), (82, 444));
        seeds.into_iter().chain(presets).chain(senders).collect()
    }

    /// Returns the rows of every preset: at least one valid and one invalid row each.
    #[must_use]
    pub fn of_senders() -> Vec<Self> {
        // Some tests ask for them many times.
        static ROWS: LazyLock<Vec<Vector>> = LazyLock::new(|| {
            let mut rows: Vec<Vector> =
                serde_json::from_str(include_str!("../vectors/senders.json")).unwrap();
            for row in &mut rows {
                let url = row.url.as_deref().unwrap_or(PUBLIC_URL);
                let (_, rest) = url.split_once("://").unwrap();
                row.target = rest[rest.find('/').unwrap()..].to_owned();
            }
            rows
        });
        ROWS.clone()
    }

    /// Returns the URL that the sender was given, without a query.
    #[must_use]
    pub fn public_url(&self) -> &str {
        let url = self.url.as_deref().unwrap_or(PUBLIC_URL);
        url.split('?').next().unwrap()
    }

    /// Returns the rows of Mautic, Host UK, FluentCRM and PIPEFORCE.
    #[must_use]
    pub fn of_the_four_systems() -> Vec<Self> {
        serde_json::from_str(include_str!("../vectors/seed-systems.json")).unwrap()
    }

    /// Returns the rows of made-up senders, for building blocks that no preset uses.
    #[must_use]
    pub fn of_blocks() -> Vec<Self> {
        serde_json::from_str(include_str!("../vectors/blocks.json")).unwrap()
    }

    /// Returns the body's bytes.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body_base64).unwrap()
    }

    /// Returns the head, for the plain verify function.
    #[must_use]
    pub fn head(&self) -> RequestHead<'_> {
        RequestHead::from(&self.headers).method(&self.method).target(&self.target)
    }

    /// Returns the receiver's verifier.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the row's secret is invalid.
    pub fn verifier(&self) -> Result<Verifier, ConfigError> {
        let scheme = match &self.header {
            Some(header) => Scheme::shared_header(header)?,
            None => Scheme::preset(&self.scheme).unwrap(),
        };
        let now = Duration::from_secs(self.now);
        // Rows are about deliveries, and a receiver also needs the parameters of handshakes.
        let of_handshakes: Vec<_> = scheme
            .challenges()
            .iter()
            .filter_map(|challenge| challenge.parameter().map(ToOwned::to_owned))
            .filter(|name| !self.parameters.iter().any(|(given, _)| given == name))
            .collect();
        let builder = Verifier::builder(scheme)
            .secret(&self.secret)
            .public_url(self.public_url())
            .clock(move || now);
        let builder = self
            .parameters
            .iter()
            .fold(builder, |builder, (name, value)| builder.parameter(name, value));
        let builder = of_handshakes
            .into_iter()
            .fold(builder, |builder, name| builder.parameter(name, "a handshake's token"));
        self.extra_secrets.iter().fold(builder, |builder, secret| builder.secret(secret)).build()
    }
}
