//! Reads the parts of a verified `multipart/form-data` body.

mod error;
mod file_name;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    fmt,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use multer::{Constraints, Multipart, SizeLimit};

pub use self::error::MultipartError;
use self::file_name::last_component;
use crate::{delivery::Delivery, request::is_media_type};

/// The maximum length of a boundary (RFC 2046 §5.1.1), in bytes.
const MAX_BOUNDARY: usize = 70;
/// The maximum length of a part's name, in bytes.
const MAX_NAME: usize = 256;

/// Limits on the parts of a `multipart/form-data` body. The receiver limits the body as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLimits {
    parts: usize,
    part_len: usize,
}

impl PartLimits {
    /// Sets the maximum number of parts. The default is 32.
    #[must_use]
    pub fn parts(self, parts: usize) -> Self {
        Self { parts, ..self }
    }

    /// Sets the maximum length of a part, in bytes. By default a part may be as long as the body.
    #[must_use]
    pub fn part_len(self, part_len: usize) -> Self {
        Self { part_len, ..self }
    }
}

impl Default for PartLimits {
    fn default() -> Self {
        Self { parts: 32, part_len: usize::MAX }
    }
}

/// A part of a `multipart/form-data` body: a form field or a file.
///
/// Its content comes from a verified body, so trust it as far as you trust the sender. With a token
/// scheme, that is anyone who has the token.
#[derive(Clone)]
pub struct Part {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    bytes: Bytes,
}

impl Part {
    /// Returns the name of the field.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the part has a file name, even an unsafe one.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file_name.is_some()
    }

    /// Returns the last component of the file name, after the last `/`, `\` or `:`, without white
    /// space at its start, and without spaces and dots at its end.
    ///
    /// Returns `None` if there is no file name, or if the component
    ///
    /// * is empty, consists only of dots, or is longer than 255 bytes;
    /// * contains control characters or characters that change the direction of the text;
    /// * is the name of a Windows device.
    ///
    /// The sender chooses this name, so use it only as a label. **Do not save files under it**: a
    /// file with that name may already exist, or its extension may be one that your server
    /// executes.
    #[must_use]
    pub fn safe_name(&self) -> Option<&str> {
        last_component(self.file_name.as_deref()?)
    }

    /// Returns the content type from the part's header.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns the content as sent. A nested `multipart` is not split.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Debug for Part {
    /// Omits everything that the sender wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("is_file", &self.is_file())
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Delivery {
    /// Returns the parts of a `multipart/form-data` body, in order. `content_type` is the request's
    /// header.
    ///
    /// White space after a boundary (RFC 2046 §5.1.1) and around the header's value is ignored. A
    /// nested `multipart` is one part, which is not split.
    ///
    /// ```
    /// # use webhook_verify::{Verifier, event::{MultipartError, PartLimits}, scheme};
    /// let verifier = Verifier::new(scheme::PIPEFORCE_TOKEN, "a29a4f16")?;
    /// let body = "--b\r\n\
    ///     Content-Disposition: form-data; name=\"file\"; filename=\"/home/me/fileA.pdf\"\r\n\r\n\
    ///     A\r\n\
    ///     --b--\r\n";
    /// let delivery = verifier.verify(&[("token", "a29a4f16")], body)?;
    ///
    /// let content_type = Some(&b"multipart/form-data; boundary=b"[..]);
    /// let parts = delivery.parts(content_type, PartLimits::default())?;
    /// assert_eq!(parts[0].name(), "file");
    /// assert_eq!(parts[0].safe_name(), Some("fileA.pdf"));
    /// assert_eq!(parts[0].bytes().as_ref(), b"A");
    ///
    /// // This body has more than zero parts, and JSON is not multipart.
    /// let none = delivery.parts(content_type, PartLimits::default().parts(0));
    /// assert_eq!(none.unwrap_err(), MultipartError::TooManyParts { limit: 0 });
    /// let json = delivery.parts(Some(b"application/json"), PartLimits::default());
    /// assert_eq!(json.unwrap_err().status(), 415);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MultipartError`], which has the response for the sender.
    pub fn parts(
        &self,
        content_type: Option<&[u8]>,
        limits: PartLimits,
    ) -> Result<Vec<Part>, MultipartError> {
        read_whole(self.body().clone(), boundary(content_type)?, limits)
    }
}

/// The maximum number of parts in a body whose fields are read before it is verified.
const MAX_UNVERIFIED_PARTS: usize = 1024;

/// Returns the `wanted` text fields of an unverified body as an `application/x-www-form-urlencoded`
/// form. Returns an empty form if the body is malformed.
pub(crate) fn fields_as_form(
    body: &[u8],
    boundary: &str,
    wanted: impl Fn(&str) -> bool,
) -> Vec<u8> {
    let limits = PartLimits::default().parts(MAX_UNVERIFIED_PARTS);
    // The parser needs a body of its own.
    let body = Bytes::copy_from_slice(body);
    let parts = read_whole(body, boundary.to_owned(), limits).unwrap_or_default();
    let mut form = form_urlencoded::Serializer::new(String::new());
    for part in parts.iter().filter(|part| !part.is_file() && wanted(part.name())) {
        match std::str::from_utf8(part.bytes()) {
            Ok(value) => form.append_pair(part.name(), value),
            Err(_) => return Vec::new(),
        };
    }
    form.finish().into_bytes()
}

fn read_whole(
    body: Bytes,
    boundary: String,
    limits: PartLimits,
) -> Result<Vec<Part>, MultipartError> {
    let reading = pin!(read(body, boundary, limits));
    // The body is complete, so the parser never has to wait. If it does, the end is missing.
    match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(parts) => parts,
        Poll::Pending => Err(MultipartError::Malformed),
    }
}

/// Returns the boundary of a `multipart/form-data` body.
pub(crate) fn boundary(content_type: Option<&[u8]>) -> Result<String, MultipartError> {
    let content_type = content_type.unwrap_or_default().trim_ascii();
    if !is_media_type(content_type, b"multipart/form-data") {
        return Err(MultipartError::NotMultipart);
    }
    let boundary =
        std::str::from_utf8(content_type).ok().and_then(|text| multer::parse_boundary(text).ok());
    // RFC 2046 §5.1.1 allows these characters, and no space at the end.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    boundary
        .filter(|text| (1..=MAX_BOUNDARY).contains(&text.len()))
        .filter(|text| text.bytes().all(fits) && !text.ends_with(' '))
        .ok_or(MultipartError::Malformed)
}

async fn read(
    body: Bytes,
    boundary: String,
    limits: PartLimits,
) -> Result<Vec<Part>, MultipartError> {
    let size = SizeLimit::new().per_field(limits.part_len as u64);
    let constraints = Constraints::new().size_limit(size);
    let mut multipart = Multipart::with_constraints(OneChunk(Some(body)), boundary, constraints);
    let failed = |error: multer::Error| MultipartError::of(&error);
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(failed)? {
        if parts.len() == limits.parts {
            return Err(MultipartError::TooManyParts { limit: limits.parts });
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(MultipartError::UnnamedPart);
        }
        let content_type = field.headers().get("content-type");
        parts.push(Part {
            name,
            file_name: field.file_name().map(ToOwned::to_owned),
            content_type: content_type.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned),
            bytes: field.bytes().await.map_err(failed)?,
        });
    }
    Ok(parts)
}

/// A stream of one chunk: the complete body.
struct OneChunk(Option<Bytes>);

impl Stream for OneChunk {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}
