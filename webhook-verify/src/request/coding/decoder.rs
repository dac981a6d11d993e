//! Decodes compressed bodies, with limits on the decoded size.

use std::io::{self, Write};

use super::Coding;
use crate::error::VerifyError;

/// The number of decoded bytes to which the ratio does not apply: a small body may repeat one byte.
const FREE: usize = 64 * 1024;
/// The largest number of decoded bytes for each encoded byte, beyond [`FREE`]. Lists of events
/// reach 100 at most. Decompression bombs reach 1,000 with gzip, and more than 10,000 with the
/// other codings.
const MAX_RATIO: usize = 200;
/// The number of bytes to decode in one step.
const CHUNK: usize = 16 * 1024;
/// The base-2 logarithm of the largest Zstandard window: 8 MiB, as in RFC 9659.
#[cfg(feature = "zstd")]
const MAX_WINDOW_LOG: u32 = 23;

/// Decodes a body in pieces. Keeps only the decoded bytes and the decoder's window.
pub(crate) struct Decoder {
    inner: Inner,
    failure: Option<VerifyError>,
}

enum Inner {
    #[cfg(feature = "gzip")]
    Gzip(Box<flate2::write::GzDecoder<Sink>>),
    #[cfg(feature = "gzip")]
    Deflate(Box<Frame<flate2::Decompress>>),
    #[cfg(feature = "brotli")]
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<Frame<Zstd>>),
}

/// Takes decoded bytes, up to the limits.
struct Sink {
    decoded: Vec<u8>,
    /// The encoded bytes so far.
    encoded: usize,
    limit: usize,
    exceeded: Option<usize>,
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let by_ratio = FREE.saturating_add(self.encoded.saturating_mul(MAX_RATIO));
        let limit = self.limit.min(by_ratio);
        if piece.len() > limit.saturating_sub(self.decoded.len()) {
            self.exceeded = Some(limit);
            return Err(io::Error::other("decoded body is too large"));
        }
        self.decoded.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the error for a body that does not match its content coding.
#[cfg(any(feature = "gzip", feature = "zstd"))]
fn corrupt() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The first bits of a brotli stream with a window of up to 1 GiB. RFC 7932 §9.1 reserves them, and
/// no HTTP client sends them, but the decoder accepts them.
#[cfg(feature = "brotli")]
const LARGE_WINDOW: u8 = 0x11;

impl Decoder {
    pub(crate) fn new(coding: Coding, limit: usize) -> Self {
        let sink = Sink { decoded: Vec::new(), encoded: 0, limit, exceeded: None };
        Self { inner: Inner::new(coding, sink), failure: None }
    }

    /// Decodes the next piece. A failure is returned at the [end](Self::finish), or
    /// [before](Self::exceeded) if the decoded body is too large.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        #[cfg(feature = "brotli")]
        if let Inner::Brotli(_) = &self.inner
            && self.inner.sink().encoded == 0
            && piece.first().is_some_and(|first| first & 0x7f == LARGE_WINDOW)
        {
            self.failure = Some(VerifyError::MalformedCoding);
            return;
        }
        self.inner.sink().encoded += piece.len();
        if self.inner.push(piece).is_err() {
            self.failure = Some(self.inner.failure());
        }
    }

    /// Returns the limit, in bytes, that the decoded body exceeds.
    pub(crate) fn exceeded(&mut self) -> Option<usize> {
        self.inner.sink().exceeded
    }

    /// Returns the decoded body, once all pieces were decoded.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, VerifyError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.inner.finish() {
            Ok(()) => Ok(std::mem::take(&mut self.inner.sink().decoded)),
            Err(_) => Err(self.inner.failure()),
        }
    }
}

impl Inner {
    fn new(coding: Coding, sink: Sink) -> Self {
        match coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip => Self::Gzip(Box::new(flate2::write::GzDecoder::new(sink))),
            #[cfg(feature = "gzip")]
            Coding::Deflate => Self::Deflate(Box::new(Frame {
                decoder: flate2::Decompress::new(true),
                is_over: false,
                sink,
            })),
            #[cfg(feature = "brotli")]
            Coding::Brotli => {
                let decoder = brotli_decompressor::DecompressorWriter::new(sink, CHUNK);
                Self::Brotli(Box::new(decoder))
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                Self::Zstd(Box::new(Frame { decoder: zstd_decoder(), is_over: false, sink }))
            }
        }
    }

    fn sink(&mut self) -> &mut Sink {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(decoder) => decoder.get_mut(),
            #[cfg(feature = "gzip")]
            Self::Deflate(frame) => &mut frame.sink,
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder.get_mut(),
            #[cfg(feature = "zstd")]
            Self::Zstd(frame) => &mut frame.sink,
        }
    }

    fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            // They take no bytes after the end, so `write_all` returns an error.
            #[cfg(feature = "gzip")]
            Self::Gzip(decoder) => decoder.write_all(piece),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder.write_all(piece),
            #[cfg(feature = "gzip")]
            Self::Deflate(frame) => frame.push(piece, inflate),
            #[cfg(feature = "zstd")]
            Self::Zstd(frame) => frame.push(piece, unpack),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(decoder) => decoder.try_finish(),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => decoder.close(),
            #[cfg(feature = "gzip")]
            Self::Deflate(frame) => frame.finish(),
            #[cfg(feature = "zstd")]
            Self::Zstd(frame) => frame.finish(),
        }
    }

    fn failure(&mut self) -> VerifyError {
        match self.sink().exceeded {
            Some(limit) => VerifyError::DecodedTooLarge { limit },
            None => VerifyError::MalformedCoding,
        }
    }
}

/// The progress of one step: bytes taken, bytes made, and whether the end was reached.
#[cfg(any(feature = "gzip", feature = "zstd"))]
struct Step {
    taken: usize,
    made: usize,
    is_over: bool,
}

/// A body of one frame, and its decoder.
#[cfg(any(feature = "gzip", feature = "zstd"))]
struct Frame<D> {
    decoder: D,
    is_over: bool,
    sink: Sink,
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
impl<D> Frame<D> {
    fn push(
        &mut self,
        mut piece: &[u8],
        step: impl Fn(&mut D, &[u8], &mut [u8]) -> io::Result<Step>,
    ) -> io::Result<()> {
        let mut buffer = [0; CHUNK];
        while !self.is_over {
            let Step { taken, made, is_over } = step(&mut self.decoder, piece, &mut buffer)?;
            self.sink.write_all(&buffer[..made])?;
            piece = &piece[taken..];
            self.is_over = is_over;
            if taken == 0 && made == 0 {
                break;
            }
        }
        if piece.is_empty() { Ok(()) } else { Err(corrupt()) }
    }

    fn finish(&self) -> io::Result<()> {
        if self.is_over { Ok(()) } else { Err(corrupt()) }
    }
}

#[cfg(feature = "gzip")]
fn inflate(decoder: &mut flate2::Decompress, piece: &[u8], buffer: &mut [u8]) -> io::Result<Step> {
    let (total_in, total_out) = (decoder.total_in(), decoder.total_out());
    let status = decoder.decompress(piece, buffer, flate2::FlushDecompress::None);
    // Neither is longer than its slice.
    let len = |now: u64, before: u64| usize::try_from(now - before).map_err(|_| corrupt());
    Ok(Step {
        is_over: status.map_err(|_| corrupt())? == flate2::Status::StreamEnd,
        taken: len(decoder.total_in(), total_in)?,
        made: len(decoder.total_out(), total_out)?,
    })
}

#[cfg(feature = "zstd")]
type Zstd = io::Result<zstd::stream::raw::Decoder<'static>>;

/// Returns a decoder whose memory is limited.
#[cfg(feature = "zstd")]
fn zstd_decoder() -> Zstd {
    let mut decoder = zstd::stream::raw::Decoder::new()?;
    decoder.set_parameter(zstd::stream::raw::DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
    Ok(decoder)
}

#[cfg(feature = "zstd")]
fn unpack(decoder: &mut Zstd, piece: &[u8], buffer: &mut [u8]) -> io::Result<Step> {
    use zstd::stream::raw::Operation as _;

    let decoder = decoder.as_mut().map_err(|_| corrupt())?;
    let status = decoder.run_on_buffers(piece, buffer)?;
    let (taken, made) = (status.bytes_read, status.bytes_written);
    // Without a byte of the frame, the decoder is at the end of none.
    Ok(Step { taken, made, is_over: status.remaining == 0 && taken + made > 0 })
}
