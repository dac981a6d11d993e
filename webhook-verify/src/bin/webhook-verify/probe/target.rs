//! The receiver under test: its addresses, which are checked before anything is sent to them.

use std::{io, net::SocketAddr, time::Duration};

use http::{Uri, uri::Authority};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::{Instant, timeout as within},
};

use crate::{
    Failure,
    connection::{Connection, Tls, host_of, port_of},
};

/// The longest time that the name server may take.
const LOOKUP: Duration = Duration::from_secs(10);
/// The send buffer of a connection, in bytes. With a small one, the bytes that a connection takes
/// are about those that the receiver reads.
const SEND_BUFFER: u32 = 64 * 1024;

/// A receiver, and the time that it has.
pub(super) struct Target {
    addresses: Vec<SocketAddr>,
    tls: Tls,
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
        let scheme = url.scheme_str().unwrap_or("http");
        let tls = Tls::to(url).map_err(|error| format!("the URL: {error}"))?;
        let found = within(LOOKUP, lookup_host((host_of(url), port_of(url))));
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
        let handshake = within(self.patience(), self.tls.connect(stream)).await;
        handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
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
