//! Signs recorded requests again.

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{SignedRequest, Signer};
use crate::{
    encoding::Encoding,
    error::ConfigError,
    request::{RequestHead, begins_with, is_form_type, is_media_type, json, only_value},
    scheme::{
        BodyDigest, DigestPlace, Field, Place, Scheme, SignatureSource, SignedBytes, SignedForm,
        Text, TimestampPlace, TimestampSource,
    },
};

impl Signer {
    /// Signs a recorded request again: replaces its signature and its timestamp, and keeps
    /// everything else. The delivery ID changes only if [`id`](Self::id) sets one.
    ///
    /// The method and the target are those of the head.
    ///
    /// ```
    /// use webhook_verify::{RequestHead, Verifier, scheme, testing::Signer};
    ///
    /// let recorded = [("Webhook-Id", "msg_1"), ("Webhook-Timestamp", "1674087231")];
    /// let signer = Signer::generate(scheme::STANDARD_WEBHOOKS)?;
    /// let signed = signer.sign_again(RequestHead::new(&recorded), "{}")?;
    ///
    /// let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, signer.secret().clone())?;
    /// let delivery = verifier.verify(&signed.headers, signed.body.clone())?;
    /// assert_eq!(delivery.id().as_deref(), Some("msg_1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] for the reasons of [`sign`](Self::sign), and in these cases:
    ///
    /// * [`id`](Self::id) is set, but the scheme has no delivery ID.
    /// * A header is not UTF-8.
    /// * The signature or the timestamp is in a `multipart/form-data` body.
    /// * The signature covers the decoded bytes of a compressed body.
    pub fn sign_again(
        &self,
        head: RequestHead<'_>,
        body: impl Into<Bytes>,
    ) -> Result<SignedRequest, ConfigError> {
        let mut signer = self.clone().at(self.now());
        let mut request = recorded(head, body.into())?;
        let aliases = Aliases::replace(&self.scheme, &mut request);
        self.refuse_unsupported(&request)?;
        let source = source_of(&self.scheme, &request)
            .ok_or_else(|| ConfigError::option("scheme", "has no signature"))?;
        signer.old_claims = old_token(&source.place, &request).and_then(|token| claims_of(&token));
        for source in &*self.scheme.signatures {
            request.remove(&source.place);
        }
        signer.renew_values(&mut request)?;
        let signature = signer.signature(&request)?;
        let text = signer.format(source, signature);
        request.renew(&self.scheme, &source.place, text)?;
        aliases.restore(&mut request);
        Ok(request)
    }

    fn refuse_unsupported(&self, request: &SignedRequest) -> Result<(), ConfigError> {
        let scheme = &self.scheme;
        let is_multipart = request.content_type_is(|it| is_media_type(it, b"multipart/form-data"));
        if is_multipart && scheme.reads_multipart() {
            return Err(ConfigError::option("body", "multipart/form-data cannot be signed again"));
        }
        if scheme.signed_bytes == Some(SignedBytes::Decoded) && request.has("content-encoding") {
            let reason = "compressed bodies whose decoded bytes are signed cannot be signed again";
            return Err(ConfigError::option("body", reason));
        }
        Ok(())
    }

    /// Replaces the timestamp, the ID and the digest of the body.
    fn renew_values(&self, request: &mut SignedRequest) -> Result<(), ConfigError> {
        let scheme = &self.scheme;
        if let Some(id) = &self.id {
            match &scheme.id {
                Some(Field::Header(name)) => request.replace_header(name, id.clone()),
                Some(Field::Pointer(pointer)) => request.replace(scheme, pointer, id)?,
                Some(Field::FirstKey) | None if scheme.requires_claim("jti") => {}
                Some(Field::FirstKey) | None => {
                    return Err(ConfigError::option("id", "the scheme has no delivery ID"));
                }
            }
        }
        if let Some(TimestampSource { place, unit, .. }) = &scheme.timestamp {
            let text = self.time_in(*unit)?;
            match place {
                TimestampPlace::Header(name) => request.replace_header(name, text),
                TimestampPlace::Form(name) => request.replace_in_form(name, &text),
                // A timestamp that is not checked can be the time of the event.
                TimestampPlace::Pointer(pointer) if scheme.tolerance().is_some() => {
                    request.replace(scheme, pointer, &text)?;
                }
                TimestampPlace::Pointer(_)
                | TimestampPlace::Pair(_)
                | TimestampPlace::Before
                | TimestampPlace::Claim(_) => {}
            }
        }
        if let Some(BodyDigest { place: DigestPlace::Query(name), encoding, .. }) =
            &scheme.body_digest
            && request.head().single_query(name).is_some()
        {
            let encoding = encoding.unwrap_or(Encoding::Hex);
            let digest = encoding.encode(&Sha256::digest(&request.body));
            request.remove(&Place::Query(name.clone()));
            request.add_query(name, &digest);
        }
        Ok(())
    }
}

/// Returns the request as recorded.
fn recorded(head: RequestHead<'_>, body: Bytes) -> Result<SignedRequest, ConfigError> {
    let mut headers = Some(Vec::new());
    head.visit(&mut |name, value| match (std::str::from_utf8(value), &mut headers) {
        (Ok(value), Some(headers)) => headers.push((name.to_owned(), value.to_owned())),
        _ => headers = None,
    });
    Ok(SignedRequest {
        method: head.method_text().to_owned(),
        target: head.path_and_query().to_owned(),
        headers: headers.ok_or_else(|| ConfigError::option("headers", "not UTF-8"))?,
        body,
    })
}

/// Returns the place of the request's signature, which is the scheme's first if there is none.
fn source_of<'s>(scheme: &'s Scheme, request: &SignedRequest) -> Option<&'s SignatureSource> {
    let has = |source: &&SignatureSource| match &source.place {
        Place::Header(name) => request.has(name),
        Place::HeaderPrefix(prefix) => {
            request.headers.iter().any(|(name, _)| begins_with(name, prefix))
        }
        Place::Query(name) => request.head().single_query(name).is_some(),
        Place::Form(name) => only_value(&request.body, name).is_ok_and(|value| !value.is_empty()),
        Place::Pointer(pointer) => {
            json::scalar(&request.body, pointer).is_ok_and(|it| it.is_some())
        }
    };
    scheme.signatures.iter().find(has).or(scheme.signatures.first())
}

/// Returns the text of the request's token.
fn old_token(place: &Place, request: &SignedRequest) -> Option<String> {
    match place {
        Place::Header(name) => request.head().header(name).map(Into::into),
        Place::Query(name) => request.head().single_query(name),
        Place::Form(name) => only_value(&request.body, name).ok(),
        Place::HeaderPrefix(_) | Place::Pointer(_) => None,
    }
}

/// Returns the claims of a JSON Web Token, which may follow `Bearer`.
fn claims_of(token: &str) -> Option<serde_json::Map<String, Value>> {
    let claims = token.rsplit(' ').next()?.split('.').nth(1)?;
    serde_json::from_slice(&Encoding::Base64Url.decode(claims.as_bytes())?).ok()
}

/// The headers that have another name in the recorded request.
struct Aliases<'s>(Vec<Alias<'s>>);

struct Alias<'s> {
    name: &'s Text,
    alias: &'s Text,
    /// The values under both names, if the request has both.
    both: Option<(String, String)>,
}

impl<'s> Aliases<'s> {
    /// Gives the headers the names that they have in the scheme.
    fn replace(scheme: &'s Scheme, request: &mut SignedRequest) -> Self {
        let mut replaced = Vec::new();
        for (name, alias) in &*scheme.header_aliases {
            if !request.has(alias) {
                continue;
            }
            let value = |name: &str| request.head().header(name).map(str::to_owned);
            let both = value(name).zip(value(alias));
            match both {
                Some(_) => request.remove_header(alias),
                None if request.has(name) => continue,
                None => request.rename_header(alias, name),
            }
            replaced.push(Alias { name, alias, both });
        }
        Self(replaced)
    }

    /// Restores the other names. A header under both names has the new value under both, if it has
    /// changed.
    fn restore(self, request: &mut SignedRequest) {
        for Alias { name, alias, both } in self.0 {
            let Some((own, other)) = both else {
                request.rename_header(name, alias);
                continue;
            };
            if let Some(value) = request.head().header(name).map(str::to_owned) {
                request.header(alias, if value == own { other } else { value });
            }
        }
    }
}

impl SignedRequest {
    fn content_type_is(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        self.head().header("content-type").is_some_and(|value| is(value.as_bytes()))
    }

    fn is_form(&self) -> bool {
        self.content_type_is(is_form_type)
    }

    /// Returns the text whose fields are signed: the body, or what a form contains instead of it.
    pub(super) fn signable(&self, scheme: &Scheme) -> Result<Bytes, ConfigError> {
        if !self.is_form() {
            return Ok(self.body.clone());
        }
        let value = |name: &str| {
            let value = only_value(&self.body, name);
            value.map_err(|_| ConfigError::option("body", format!("repeats the field {name}")))
        };
        if let Some(json) = &scheme.json_in_form
            && json.signed == SignedForm::Value
        {
            return value(&json.field).map(Into::into);
        }
        if scheme.form_fields.is_empty() {
            return Ok(self.body.clone());
        }
        let mut fields = Self { body: Bytes::from_static(b"{}"), ..self.clone() };
        for (pointer, name) in &*scheme.form_fields {
            let value = value(name)?;
            if !value.is_empty() {
                fields.put(pointer, value.into())?;
            }
        }
        Ok(fields.body)
    }

    /// Removes a signature from the head. One in the body stays until it is replaced.
    fn remove(&mut self, place: &Place) {
        match place {
            Place::Header(name) => self.remove_header(name),
            Place::HeaderPrefix(prefix) => {
                self.headers.retain(|(name, _)| !begins_with(name, prefix))
            }
            Place::Query(name) => {
                let Some((path, query)) = self.target.split_once('?') else { return };
                let query = without_field(query, name);
                self.target = match query.is_empty() {
                    true => path.to_owned(),
                    false => format!("{path}?{query}"),
                };
            }
            Place::Pointer(_) | Place::Form(_) => {}
        }
    }

    fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    fn rename_header(&mut self, from: &str, to: &str) {
        for (name, _) in &mut self.headers {
            if name.eq_ignore_ascii_case(from) {
                to.clone_into(name);
            }
        }
    }

    fn replace_header(&mut self, name: &str, value: String) {
        self.remove_header(name);
        self.header(name, value);
    }

    /// Adds the new signature. One in the body is replaced.
    fn renew(&mut self, scheme: &Scheme, place: &Place, text: String) -> Result<(), ConfigError> {
        match place {
            Place::Pointer(pointer) => self.replace(scheme, pointer, &text),
            Place::Form(name) => {
                self.replace_in_form(name, &text);
                Ok(())
            }
            place => self.place(place, text),
        }
    }

    /// Replaces a value in the body: in its JSON, or in the form that the sender sends instead.
    fn replace(&mut self, scheme: &Scheme, pointer: &str, text: &str) -> Result<(), ConfigError> {
        if self.is_form() {
            let mut fields = scheme.form_fields.iter();
            let Some((_, name)) = fields.find(|(known, _)| known == pointer) else {
                let reason = format!("a form, in which {pointer} cannot be replaced");
                return Err(ConfigError::option("body", reason));
            };
            self.replace_in_form(name, text);
            return Ok(());
        }
        let unfit = |_| ConfigError::option("body", format!("has no place for {pointer}"));
        let (start, len, is_text) = match json::raw(&self.body, pointer).map_err(unfit)? {
            // The raw text is a part of the body.
            Some(raw) => {
                let start = raw.as_ptr() as usize - self.body.as_ptr() as usize;
                (start, raw.len(), raw.starts_with('"'))
            }
            None => {
                let number = text.parse::<u64>().map(Value::from);
                return self.put(pointer, number.unwrap_or(text.into()));
            }
        };
        let is_number = !is_text && text.parse::<u64>().is_ok();
        let value = if is_number { text.to_owned() } else { Value::from(text).to_string() };
        let (before, rest) = self.body.split_at(start);
        self.body = [before, value.as_bytes(), &rest[len..]].concat().into();
        Ok(())
    }

    /// Replaces a field of the form, or adds it.
    fn replace_in_form(&mut self, name: &str, value: &str) {
        let form = String::from_utf8_lossy(&self.body);
        self.body = without_field(&form, name).into();
        self.add_form(name, value);
    }
}

/// Returns a form or query without a field. The other fields stay as they are encoded.
fn without_field(form: &str, name: &str) -> String {
    let is_other = |pair: &&str| {
        let mut decoded = form_urlencoded::parse(pair.as_bytes());
        decoded.next().is_none_or(|(known, _)| known != name)
    };
    form.split('&').filter(is_other).collect::<Vec<_>>().join("&")
}
