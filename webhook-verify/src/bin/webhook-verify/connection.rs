//! Connections to servers, with TLS or without.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use http::Uri;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore, pki_types::ServerName,
    },
};

/// A connection, with TLS or without.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

/// A connection that counts the bytes it receives.
pub(crate) struct Counted {
    inner: Box<dyn Connection>,
    received: Received,
}

/// The number of bytes that a connection has received.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<AtomicU64>);

impl Received {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counted {
    pub(crate) fn new(inner: Box<dyn Connection>) -> Self {
        Self { inner, received: Received::default() }
    }

    pub(crate) fn received(&self) -> Received {
        self.received.clone()
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.received.0.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// How to encrypt the connections to a server: not at all if its URL has the scheme `http`.
#[derive(Clone)]
pub(crate) struct Tls(Option<(TlsConnector, ServerName<'static>)>);

impl Tls {
    /// Returns how to encrypt the connections to a URL. For `https`, trusts the CA certificates of
    /// the system, or those of the variables `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    pub(crate) fn to(url: &Uri) -> Result<Self, String> {
        if url.scheme_str() != Some("https") {
            return Ok(Self(None));
        }
        let name = ServerName::try_from(host_of(url).to_owned());
        let name = name.map_err(|_| "no certificate can have the name of its host")?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(
                "no CA certificates: install those of the system, or set SSL_CERT_FILE to a \
                        file of them"
                    .into(),
            );
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self(Some((Arc::new(config).into(), name))))
    }

    /// Encrypts a connection. An error says what may help.
    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<Box<dyn Connection>> {
        let Some((connector, name)) = &self.0 else { return Ok(Box::new(stream)) };
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(io::Error::new(error.kind(), reason(&error))),
        }
    }
}

/// Returns the host of a URL, without the brackets of an IPv6 address.
pub(crate) fn host_of(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_matches(['[', ']'])
}

/// Returns the port of a URL.
pub(crate) fn port_of(url: &Uri) -> u16 {
    url.port_u16().unwrap_or_else(|| default_port(url))
}

/// Returns the port of a URL that names none.
pub(crate) fn default_port(url: &Uri) -> u16 {
    if url.scheme_str() == Some("https") { 443 } else { 80 }
}

fn reason(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "TLS: the server does not respond with TLS on this port: the URL may have to begin with \
             http://"
                .into()
        }
        // The error is one of webpki, which is no dependency.
        Some(Error::InvalidCertificate(CertificateError::Other(other)))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "invalid peer certificate: it is the certificate of a CA, which cannot be that of a \
             server: let the CA issue one, or generate it without `CA:TRUE`"
                .into()
        }
        Some(Error::InvalidCertificate(_)) => {
            format!("{error} (SSL_CERT_FILE names a file of CA certificates to trust)")
        }
        _ => format!("TLS: {error}"),
    }
}
