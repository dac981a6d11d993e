use std::{fmt, sync::Arc};

/// The body and content type of a handler's response, for [`Replay::Body`].
///
/// A store keeps [`as_bytes`](Self::as_bytes) next to the record of the delivery, and reads it with
/// [`from_bytes`](Self::from_bytes). Clones share the bytes.
///
/// [`Replay::Body`]: crate::idempotency::Replay::Body
#[derive(Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The length of the content type in one byte, the content type, and the body.
    bytes: Arc<[u8]>,
}

impl StoredResponse {
    /// Returns a response. `None` if the content type has more than 255 bytes, or others than
    /// printable ASCII. An empty one stands for a response without a content type.
    #[must_use]
    pub fn new(content_type: &str, body: &[u8]) -> Option<Self> {
        let len = u8::try_from(content_type.len()).ok()?;
        let bytes = [&[len], content_type.as_bytes(), body].concat();
        Self::from_bytes(bytes)
    }

    /// Reads a response that was stored. `None` if these are not the bytes of one.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        let (len, rest) = bytes.split_first()?;
        let content_type = rest.get(..usize::from(*len))?;
        let is_plain = content_type.iter().all(|byte| matches!(byte, b' '..=b'~'));
        is_plain.then_some(Self { bytes })
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the content type, if the response has one.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.parts().0).unwrap_or_default();
        (!text.is_empty()).then_some(text)
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.parts().1
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes[1..].split_at(usize::from(self.bytes[0]))
    }
}

/// Omits the content.
impl fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredResponse")
            .field("content_type", &self.content_type())
            .field("body_len", &self.body().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::StoredResponse;

    #[test]
    fn what_is_stored_is_read() {
        let longest = "x".repeat(255);
        for content_type in ["", "text/xml", "text/plain; charset=utf-8", &longest] {
            for body in [&b""[..], b"<Response/>", &[0, 255, 7], &[9; 1 << 16]] {
                let response = StoredResponse::new(content_type, body).unwrap();
                let read = StoredResponse::from_bytes(response.as_bytes()).unwrap();
                assert_eq!(read, response);
                assert_eq!(read.content_type().unwrap_or_default(), content_type);
                assert_eq!(read.body(), body);
            }
        }
    }

    #[test]
    fn other_bytes_are_no_response() {
        for content_type in [&*"x".repeat(256), "text/\n", "text/é", "a\0"] {
            assert_eq!(StoredResponse::new(content_type, b""), None, "{content_type:?}");
        }
        for bytes in [&b""[..], &[1], &[4, b'a', b'b', b'c'], &[1, 0x80], &[1, b'\r']] {
            assert_eq!(StoredResponse::from_bytes(bytes), None, "{bytes:?}");
        }
        assert_eq!(StoredResponse::from_bytes(&[0][..]).unwrap().body(), b"");
    }

    #[test]
    fn debug_shows_no_content() {
        let response = StoredResponse::new("text/plain", b"hunter2").unwrap();
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}
