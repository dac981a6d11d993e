//! The request before a part of it is broken.

use std::time::Duration;

use http::uri::PathAndQuery;
use webhook_verify::{
    Scheme, Secret, Verifier,
    clock::{Clock as _, SystemClock},
    testing::Signer,
};

use super::Replay;
use crate::{
    client::url_of, errors, ids, outgoing::Outgoing, recorded::RecordedRequest,
    sign::require_shared_secret,
};

/// A recorded request, and how its sender signs.
pub(super) struct Base<'r> {
    recorded: &'r RecordedRequest,
    settings: &'r Settings<'r>,
    /// It is `None` if the row names none that is known. Then the request can only be sent as is.
    scheme: Option<Scheme>,
    /// The URL that the sender was given, without a query.
    public_url: String,
    /// The time of the signature, if it is known.
    time: Option<Duration>,
    request: Outgoing,
}

/// What all requests of a run have in common.
pub(super) struct Settings<'o> {
    pub(super) options: &'o Replay,
    /// The schemes of `--scheme-file`.
    pub(super) schemes: Vec<Scheme>,
    /// The secret of an option.
    pub(super) secret: Option<Secret>,
}

impl<'r> Base<'r> {
    /// Returns the request as recorded, or signed again with the current time.
    pub(super) fn new(
        recorded: &'r RecordedRequest,
        settings: &'r Settings<'_>,
    ) -> Result<Self, String> {
        let options = settings.options;
        let to = options.to.to_string();
        let url = options.url.as_deref().or(recorded.url.as_deref()).unwrap_or(&to);
        // The receiver sees this target, which some schemes sign.
        let sent_to = url_of(&options.to, &recorded.target).map_err(|_| "not a path and query")?;
        let target = sent_to.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut base = Self {
            recorded,
            settings,
            scheme: recorded.scheme(&settings.schemes),
            public_url: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            time: recorded.now,
            request: Outgoing {
                method: recorded.method.clone(),
                target: target.to_owned(),
                headers: recorded.headers.clone(),
                body: recorded.body.clone(),
            },
        };
        if options.fresh {
            base.sign_again(options.new_id)?;
        }
        Ok(base)
    }

    pub(super) fn into_request(self) -> Outgoing {
        self.request
    }

    fn sign_again(&mut self, new_id: bool) -> Result<(), String> {
        let now = SystemClock.now();
        let mut signer = self.signer()?.at(now);
        if new_id {
            let id = ids::new_id(self.scheme()?, &self.request.body);
            signer = signer.id(id.map_err(|error| errors::text_of_row(&*error))?);
        }
        let signed = signer.sign_again(self.request.head(), self.request.body.clone());
        self.request = signed.map_err(|error| errors::text_of_row(&error))?.into();
        self.time = Some(now);
        Ok(())
    }

    pub(super) fn scheme(&self) -> Result<&Scheme, String> {
        let unknown = || format!("unknown scheme {:?}", self.recorded.provider);
        self.scheme.as_ref().ok_or_else(unknown)
    }

    /// Returns a signer with the request's secret.
    pub(super) fn signer(&self) -> Result<Signer, String> {
        let scheme = self.scheme()?;
        require_shared_secret(scheme)?;
        let secrets = self.secrets()?;
        let secret = secrets.first().ok_or(
            "no secret: set `secret` in the row, --secret, --secret-file, --secret-env or the \
             variable WEBHOOK_SECRET",
        )?;
        let signer = Signer::new(scheme.clone(), secret.clone());
        Ok(self.with_settings(signer.map_err(|error| errors::text_of_row(&error))?))
    }

    /// Returns a signer with another secret or private key.
    pub(super) fn wrong_signer(&self) -> Result<Signer, String> {
        let signer = Signer::generate(self.scheme()?.clone());
        Ok(self.with_settings(signer.map_err(|error| errors::text_of_row(&error))?))
    }

    fn with_settings(&self, signer: Signer) -> Signer {
        let signer = signer.at(self.time()).public_url(&self.public_url);
        let parameters = self.recorded.parameters.iter();
        parameters.fold(signer, |signer, (name, value)| signer.parameter(name, value))
    }

    pub(super) fn time(&self) -> Duration {
        self.time.unwrap_or_else(|| SystemClock.now())
    }

    pub(super) fn outgoing(&self) -> &Outgoing {
        &self.request
    }

    /// Returns the verdict of the row's scheme and secrets on a request, or `None` if the row has no
    /// secret.
    pub(super) fn verdict(&self, request: &Outgoing) -> Result<Option<&'static str>, String> {
        let secrets = self.secrets()?;
        if secrets.is_empty() {
            return Ok(None);
        }
        let now = self.time();
        let builder = Verifier::builder(self.scheme()?.clone());
        let mut builder = builder.public_url(&self.public_url).clock(move || now);
        for secret in secrets {
            builder = builder.secret(secret);
        }
        for (name, value) in &self.recorded.parameters {
            builder = builder.parameter(name, value);
        }
        if self.time.is_none() && self.scheme()?.tolerance().is_some() {
            builder = builder.tolerance(None);
        }
        let verifier = builder.build().map_err(|error| errors::text_of_row(&error))?;
        Ok(Some(match verifier.verify(request.head(), request.body.clone()) {
            Ok(_) => "valid",
            Err(error) => error.reason(),
        }))
    }

    /// Returns whether the recorded timestamp is too old by now.
    pub(super) fn is_outdated(&self) -> bool {
        let tolerance = self.scheme.as_ref().and_then(Scheme::tolerance);
        let age = self.time.map(|time| SystemClock.now().saturating_sub(time));
        tolerance.is_some_and(|tolerance| age > Some(tolerance.past()))
    }

    /// Returns the secret of an option, those of the row, or that of the variable. There may be
    /// none.
    fn secrets(&self) -> Result<Vec<Secret>, String> {
        if let Some(secret) = &self.settings.secret {
            return Ok(vec![secret.clone()]);
        }
        if self.recorded.secrets.is_empty() {
            return Ok(self.settings.options.secret.secret().into_iter().collect());
        }
        let secrets = self.recorded.secrets.iter().map(|secret| Secret::new(secret.as_str()));
        secrets.collect::<Result<_, _>>().map_err(|error| errors::text_of_row(&error))
    }
}
