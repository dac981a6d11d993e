use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::{SignedRequest, Signer};
use crate::{error::ConfigError, scheme::SignedBytes};

impl Signer {
    /// Compresses the body with gzip, and signs the bytes that the scheme defines with
    /// [`signed_bytes`](crate::scheme::SchemeBuilder::signed_bytes).
    ///
    /// If the scheme does not define them, [`sign`](Self::sign) returns an error, because receivers
    /// respond to such a request with 415.
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Compresses the body if the compressed bytes are signed. Returns whether the body must be
    /// compressed after it is signed.
    pub(super) fn compress(&self, request: &mut SignedRequest) -> Result<bool, ConfigError> {
        if !self.gzip {
            return Ok(false);
        }
        let Some(signed) = self.scheme.signed_bytes else {
            let reason = "the scheme does not define `signed_bytes`, so receivers refuse compressed \
                          bodies";
            return Err(ConfigError::option("gzip", reason));
        };
        request.header("content-encoding", "gzip".into());
        if signed == SignedBytes::AsSent {
            request.body = gzip(&request.body)?;
        }
        Ok(signed == SignedBytes::Decoded)
    }
}

pub(super) fn gzip(body: &[u8]) -> Result<Bytes, ConfigError> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(body).and_then(|()| encoder.finish());
    compressed.map(Into::into).map_err(|error| ConfigError::option("gzip", error.to_string()))
}
