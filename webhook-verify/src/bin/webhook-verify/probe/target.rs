//! The receiver under test: its addresses, which are checked before anything is sent to them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Uri, uri::Authority};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, lookup_host},
    time::{Instant, timeout as within},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::{Failure, tls};

/// The longest time that the name server may take.
const LOOKUP: Duration = Duration::from_secs(10);
/// The send buffer of a connection, in bytes. With a small one, the bytes that a connection takes
/// are about those that the receiver reads.
const SEND_BUFFER: u32 = 64 * 1024;

/// A connection to the receiver, with TLS or without.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

/// A receiver, and the time that it has.
pub(super) struct Target {
    addresses: Vec<SocketAddr>,
    /// The name in the receiver's certificate, if the URL has the scheme `https`.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The URL without its path.
    pub(super) origin: String,
    /// The value of the `Host` header.
    pub(super) authority: String,
    /// The path and query.
    pub(super) target: String,
    /// The longest wait for one response.
    pub(super) timeout: Duration,
    /// The end of the whole probe.
    pub(super) deadline: Instant,
}

impl Target {
    /// Resolves the host of `url`. Every later connection goes to one of these addresses.
    pub(super) async fn new(
        url: &Uri,
        owned: bool,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let authority = url.authority().map(Authority::as_str).unwrap_or_default();
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let (scheme, port, tls) = match url.scheme_str() {
            Some("https") => ("https", 443, Some(tls_to(&host)?)),
            _ => ("http", 80, None),
        };
        let found = within(LOOKUP, lookup_host((host, url.port_u16().unwrap_or(port))));
        let found = found.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let addresses: Vec<_> =
            found.map_err(|error| format!("the URL: its host has no address: {error}"))?.collect();
        let is_loopback = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        if !owned && !addresses.iter().all(is_loopback) {
            return Err("the URL: not an address of this machine; a probe sends forged and \
                        oversized requests, so it needs --i-own-this-receiver"
                .into());
        }
        if addresses.is_empty() {
            return Err("the URL: its host has no address".into());
        }
        Ok(Self {
            addresses,
            tls,
            origin: format!("{scheme}://{authority}"),
            authority: authority.to_owned(),
            target: url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            timeout,
            deadline,
        })
    }

    /// Connects to the first address that accepts a connection.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let stream = self.connect_tcp().await?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let handshake = within(self.patience(), connector.connect(name.clone(), stream)).await;
        match handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(io::Error::new(error.kind(), tls::reason(&error))),
        }
    }

    async fn connect_tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.set_send_buffer_size(SEND_BUFFER)?;
            match within(self.patience(), socket.connect(*address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    /// Returns how long to wait now, at most.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns the path without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// Returns how to verify that a server has this host's certificate.
fn tls_to(host: &str) -> Result<(TlsConnector, ServerName<'static>), Failure> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| "the URL: no certificate can have the name of its host")?;
    let config = tls::client_config().ok_or(tls::NO_CERTIFICATES)?;
    Ok((Arc::new(config).into(), name))
}
