//! A client that sends exactly the bytes it is given, including requests that no HTTP library
//! sends.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::soon;

/// A response as read from the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Returns the bytes of a request with a `Content-Length`; `Host` is added if it is missing.
pub fn raw_request(
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Vec<u8> {
    let mut raw = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        raw += "Host: receiver.example.test\r\n";
    }
    for (name, value) in headers {
        raw += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method != "GET" {
        raw += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut raw = (raw + "\r\n").into_bytes();
    raw.extend_from_slice(body);
    raw
}

/// Sends raw bytes on a new connection, and reads one response.
pub async fn exchange(addr: SocketAddr, raw: &[u8]) -> Response {
    let mut connection = Connection::open(addr).await;
    connection.send(raw).await;
    connection.response().await.expect("an answer")
}

/// Does what [`exchange`] does with a server that may be dead, stall or die meanwhile. Returns
/// `None` unless it responds within `limit`.
pub async fn try_exchange(addr: SocketAddr, raw: &[u8], limit: Duration) -> Option<Response> {
    let exchange = async {
        let stream = TcpStream::connect(addr).await.ok()?;
        let mut connection = Connection { stream, unread: Vec::new() };
        connection.send(raw).await;
        connection.read_response().await
    };
    timeout(limit, exchange).await.ok().flatten()
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(addr: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.unwrap(), unread: Vec::new() }
    }

    /// Sends bytes. It is no error if the server has already closed its side: its response may
    /// still be readable.
    pub async fn send(&mut self, raw: &[u8]) {
        let _ = self.stream.write_all(raw).await;
        let _ = self.stream.flush().await;
    }

    /// Closes the sending side only.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Returns whether bytes arrive within `wait`. They stay unread.
    pub async fn anything_within(&mut self, wait: Duration) -> bool {
        !self.unread.is_empty() || timeout(wait, self.fill()).await == Ok(true)
    }

    /// Reads one response. Returns `None` if the connection ended before the response was complete.
    ///
    /// # Panics
    ///
    /// If the server does not respond, as in [`soon`].
    pub async fn response(&mut self) -> Option<Response> {
        soon("response from the server", self.read_response()).await
    }

    async fn read_response(&mut self) -> Option<Response> {
        loop {
            let head = self.head().await?;
            let mut lines = head.split("\r\n");
            let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            if status == 100 {
                continue;
            }
            let mut response = Response { status, headers, body: Vec::new() };
            response.body =
                match (response.header("content-length"), response.header("transfer-encoding")) {
                    (Some(len), _) => self.take(len.parse().ok()?).await?,
                    (None, Some(_)) => self.chunked().await?,
                    (None, None) => Vec::new(),
                };
            return Some(response);
        }
    }

    async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                let head = self.unread.drain(..at + 4).take(at).collect();
                return String::from_utf8(head).ok();
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            while find(&self.unread, b"\r\n").is_none() {
                if !self.fill().await {
                    return None;
                }
            }
            let at = find(&self.unread, b"\r\n")?;
            let line: Vec<u8> = self.unread.drain(..at + 2).take(at).collect();
            let len = usize::from_str_radix(std::str::from_utf8(&line).ok()?, 16).ok()?;
            let chunk = self.take(len + 2).await?;
            body.extend_from_slice(&chunk[..len]);
            if len == 0 {
                return Some(body);
            }
        }
    }

    async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.unread.len() < len {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.unread.drain(..len).collect())
    }

    /// Reads the available bytes. Returns false at the end.
    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..))
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
