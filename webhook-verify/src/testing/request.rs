use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use crate::{
    error::ConfigError,
    request::{RequestHead, json},
    scheme::Place,
};

/// A signed request, as a sender makes it.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedRequest {
    /// The method.
    pub method: String,
    /// The path and query.
    pub target: String,
    /// The headers that the scheme defines, without a content type.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl SignedRequest {
    /// Returns `application/json` if the request has a body but no content type.
    #[doc(hidden)]
    #[must_use]
    pub fn missing_content_type(&self) -> Option<&'static str> {
        (!self.body.is_empty() && !self.has("content-type")).then_some("application/json")
    }

    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead::new(&self.headers).method(&self.method).target(&self.target)
    }

    pub(super) fn header(&mut self, name: &str, value: String) {
        self.headers.push((name.to_owned(), value));
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Adds a signature or token.
    pub(super) fn place(&mut self, place: &Place, text: String) -> Result<(), ConfigError> {
        match place {
            Place::Header(name) => self.header(name, text),
            Place::HeaderPrefix(prefix) => self.header(&format!("{prefix}1"), text),
            Place::Query(name) => self.add_query(name, &text),
            Place::Pointer(pointer) => self.put(pointer, text.into())?,
            Place::Form(name) => self.add_form(name, &text),
        }
        Ok(())
    }

    pub(super) fn add_query(&mut self, name: &str, value: &str) {
        let pair =
            form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(&pair);
    }

    pub(super) fn add_form(&mut self, name: &str, value: &str) {
        let old = String::from_utf8_lossy(&self.body).into_owned();
        let mut form = form_urlencoded::Serializer::new(old);
        self.body = form.append_pair(name, value).finish().into();
    }

    pub(super) fn put_if_absent(&mut self, pointer: &str, value: Value) -> Result<(), ConfigError> {
        match json::scalar(&self.body, pointer) {
            Ok(Some(_)) => Ok(()),
            _ => self.put(pointer, value),
        }
    }

    /// Puts a value into the JSON body, and creates missing parents.
    pub(super) fn put(&mut self, pointer: &str, value: Value) -> Result<(), ConfigError> {
        let unfit = || ConfigError::option("body", format!("has no place for {pointer}"));
        let mut body: Value = serde_json::from_slice(&self.body).map_err(|_| unfit())?;
        let mut at = &mut body;
        for step in pointer.split('/').skip(1) {
            let index = step.parse::<usize>();
            if at.is_null() {
                *at = match index {
                    Ok(_) => Value::Array(Vec::new()),
                    Err(_) => Value::Object(serde_json::Map::new()),
                };
            }
            at = match (at, index) {
                (Value::Array(items), Ok(index)) if index <= items.len() => {
                    if index == items.len() {
                        items.push(Value::Null);
                    }
                    &mut items[index]
                }
                (Value::Object(members), _) => {
                    members.entry(step.to_owned()).or_insert(Value::Null)
                }
                _ => return Err(unfit()),
            };
        }
        *at = value;
        self.body = body.to_string().into();
        Ok(())
    }
}

/// Converts into an [`http::Request`]. If there is a body but no content type, adds
/// `application/json`.
///
/// ```
/// use bytes::Bytes;
/// use webhook_verify::{scheme, testing::Signer};
///
/// let signed = Signer::generate(scheme::GITHUB)?.target("/github").sign("{}")?;
/// let request = http::Request::<Bytes>::try_from(signed)?;
/// assert_eq!(request.uri(), "/github");
/// assert_eq!(request.headers()["content-type"], "application/json");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "http")]
impl<B: From<Bytes>> TryFrom<SignedRequest> for http::Request<B> {
    type Error = http::Error;

    fn try_from(signed: SignedRequest) -> Result<Self, http::Error> {
        let content_type = signed.missing_content_type().map(|value| ("content-type", value));
        let headers = signed.headers.iter().map(|(name, value)| (&**name, &**value));
        let request = http::Request::builder().method(&*signed.method).uri(&*signed.target);
        let request = headers
            .chain(content_type)
            .fold(request, |request, (name, value)| request.header(name, value));
        request.body(signed.body.into())
    }
}

impl fmt::Debug for SignedRequest {
    /// Omits the values of headers, query and body, since each may contain a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("SignedRequest")
            .field("method", &self.method)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}
