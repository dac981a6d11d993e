//! The parts of a `multipart/form-data` body, read when it is verified.

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
use crate::delivery::Delivery;

/// The longest boundary (RFC 2046 §5.1.1), in bytes.
const MAX_BOUNDARY: usize = 70;
/// The longest name of a part, in bytes.
const MAX_NAME: usize = 256;

/// How much of a `multipart/form-data` body is taken. The body as a whole has the receiver's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLimits {
    parts: usize,
    part_len: usize,
}

impl PartLimits {
    /// How many parts there may be. Default: 32.
    #[must_use]
    pub fn parts(self, parts: usize) -> Self {
        Self { parts, ..self }
    }

    /// How many bytes one part may have. Default: as many as the body.
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

/// A part of a `multipart/form-data` body: a field of a form, or a file.
///
/// What is in it came with a body that was verified, and is as good as whoever sent it: with a token scheme, anybody who
/// knows the token.
#[derive(Clone)]
pub struct Part {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    bytes: Bytes,
}

impl Part {
    /// The name of the field.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the part has a file name, whatever it is.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file_name.is_some()
    }

    /// The last component of the file name: what comes after the last `/`, `\` or `:`. `None` where there is no file
    /// name, or where nothing sane remains of it: an empty text, dots alone, control characters, a name that stands for
    /// a device on Windows, or more than 255 bytes. Blanks and dots at its end are cut, as Windows cuts them.
    ///
    /// It is a label to show, and the sender's choice. **Do not save files under it**: it may be that of a file that is
    /// there already, or have an ending that your server runs.
    #[must_use]
    pub fn safe_name(&self) -> Option<&str> {
        last_component(self.file_name.as_deref()?)
    }

    /// What the part's header says that it is.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The content, as it was sent. That of a nested `multipart` is not taken apart.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Debug for Part {
    /// Without what the sender wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("is_file", &self.is_file())
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Delivery {
    /// The parts of a `multipart/form-data` body, in their order. `content_type` is the request's header.
    ///
    /// Blanks behind a boundary are no part of anything (RFC 2046 §5.1.1), and neither are those at the end of the
    /// header. A `multipart` inside of a part is one part, whose content is left as it is.
    ///
    /// ```
    /// # use webhook_verify::{MultipartError, PartLimits, Verifier, scheme};
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
    /// // none at all is too few for this body, and another content type is not multipart
    /// let none = delivery.parts(content_type, PartLimits::default().parts(0));
    /// assert_eq!(none.unwrap_err(), MultipartError::TooManyParts { limit: 0 });
    /// let json = delivery.parts(Some(b"application/json"), PartLimits::default());
    /// assert_eq!(json.unwrap_err().status(), 415);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MultipartError`]: what to answer instead.
    pub fn parts(
        &self,
        content_type: Option<&[u8]>,
        limits: PartLimits,
    ) -> Result<Vec<Part>, MultipartError> {
        let boundary = boundary(content_type)?;
        let reading = pin!(read(self.body().clone(), boundary, limits));
        // The body is all there, so nothing is waited for. Should the parser think otherwise, there is an end missing.
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(parts) => parts,
            Poll::Pending => Err(MultipartError::Malformed),
        }
    }
}

fn boundary(content_type: Option<&[u8]>) -> Result<String, MultipartError> {
    let content_type = content_type.unwrap_or_default().trim_ascii();
    let media_type = content_type.split(|&byte| byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    if !media_type.eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(MultipartError::NotMultipart);
    }
    let boundary =
        std::str::from_utf8(content_type).ok().and_then(|text| multer::parse_boundary(text).ok());
    // RFC 2046 §5.1.1 has these characters, and no blank at the end.
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
    let mut multipart = Multipart::with_constraints(Whole(Some(body)), boundary, constraints);
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

/// A body that is all there.
struct Whole(Option<Bytes>);

impl Stream for Whole {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}
