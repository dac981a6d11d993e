//! Requests as raw bytes, and what comes back. A client library would correct such requests.

use std::{fmt, future::pending, io};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    select,
    time::{Duration, Instant, sleep, timeout},
};
use webhook_verify::testing::SignedRequest;

use super::target::Target;

/// The largest head and the largest body of a response, in bytes. The rest is not read.
const MAX_RESPONSE: usize = 64 * 1024;
/// The pause between two bytes of a slow body.
const PAUSE: Duration = Duration::from_millis(500);

/// How the body of a request is sent.
pub(super) enum Pace {
    Whole,
    /// In chunks, without a last one, until the receiver has taken this many bytes.
    Endless(usize),
    /// A byte at a time, and never all.
    Slow,
}

/// The end of a request.
pub(super) enum Outcome {
    Response(Response),
    /// The connection ended without a response.
    Closed,
    /// Nothing within the time limit.
    Late(Duration),
    /// The receiver took all bytes of an endless body.
    TookAll,
    /// There was no connection.
    Unreachable(io::Error),
}

/// A response, with the start of its body.
#[derive(Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) took: Duration,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Outcome {
    pub(super) fn response(&self) -> Option<&Response> {
        match self {
            Self::Response(response) => Some(response),
            Self::Closed | Self::Late(_) | Self::TookAll | Self::Unreachable(_) => None,
        }
    }

    /// Returns whether the receiver only says that it got too many requests.
    pub(super) fn is_limited(&self) -> bool {
        self.response().is_some_and(|response| response.status == 429)
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.response().is_some_and(Response::is_success)
    }
}

impl fmt::Display for Outcome {
    /// Displays the status or the lack of one, and nothing that the receiver wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => write!(f, "{}", response.status),
            Self::Closed => f.write_str("closed without a response"),
            Self::Late(limit) => write!(f, "no response within {} s", limit.as_secs()),
            Self::TookAll => f.write_str("read everything without a response"),
            Self::Unreachable(error) => write!(f, "no connection: {error}"),
        }
    }
}

impl Target {
    /// Sends a request on a connection of its own.
    pub(super) async fn exchange(&self, request: &SignedRequest, pace: &Pace) -> Outcome {
        let raw = self.head(request, pace);
        let stream = match self.connect().await {
            Ok(stream) => stream,
            Err(error) => return Outcome::Unreachable(error),
        };
        // A handshake of TLS is no part of the response time.
        let started = Instant::now();
        let (reader, mut writer) = split(stream);
        let write = async {
            // The receiver may respond and close its side before it has read everything.
            if send(&mut writer, &raw).await.is_err() {
                return pending().await;
            }
            match pace {
                Pace::Whole => {
                    let _ = send(&mut writer, &request.body).await;
                    pending().await
                }
                Pace::Endless(most) => {
                    let mut chunk = b"4000\r\n".to_vec();
                    chunk.resize(chunk.len() + 0x4000, b' ');
                    chunk.extend_from_slice(b"\r\n");
                    let mut taken = 0;
                    while taken < *most {
                        if send(&mut writer, &chunk).await.is_err() {
                            return pending().await;
                        }
                        taken += 0x4000;
                    }
                    Outcome::TookAll
                }
                Pace::Slow => loop {
                    if send(&mut writer, b" ").await.is_err() {
                        return pending().await;
                    }
                    sleep(PAUSE).await;
                },
            }
        };
        let mut incoming = Incoming { reader, unread: Vec::new() };
        let read = async {
            let response = incoming.response(request.method == "HEAD", started).await;
            response.map_or(Outcome::Closed, Outcome::Response)
        };
        let limit = self.patience();
        let both = async {
            select! {
                biased;
                outcome = read => outcome,
                outcome = write => outcome,
            }
        };
        timeout(limit, both).await.unwrap_or(Outcome::Late(limit))
    }

    fn head(&self, request: &SignedRequest, pace: &Pace) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        head += &format!("Host: {}\r\nConnection: close\r\n", self.authority);
        for (name, value) in &request.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(content_type) = request.missing_content_type() {
            head += &format!("Content-Type: {content_type}\r\n");
        }
        let has_body = !request.body.is_empty() || request.method == "POST";
        match pace {
            Pace::Whole if has_body => {
                head += &format!("Content-Length: {}\r\n", request.body.len());
            }
            Pace::Whole => {}
            Pace::Endless(_) => head += "Transfer-Encoding: chunked\r\n",
            Pace::Slow => head += &format!("Content-Length: {}\r\n", request.body.len() + 1_000),
        }
        (head + "\r\n").into_bytes()
    }
}

/// Writes bytes, and waits until the connection has taken them. TLS has a buffer of its own.
async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// The bytes from the receiver.
struct Incoming<R> {
    reader: R,
    unread: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Reads a response. Returns `None` if the connection ends before, or if it is not HTTP.
    async fn response(&mut self, is_head: bool, started: Instant) -> Option<Response> {
        loop {
            let head = self.until(b"\r\n\r\n").await?;
            let head = String::from_utf8_lossy(&head);
            let mut lines = head.split("\r\n");
            let line = lines.next()?.strip_prefix("HTTP/1.")?;
            let status: u16 = line.split(' ').nth(1)?.parse().ok()?;
            if (100..200).contains(&status) {
                continue;
            }
            let headers = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut response = Response { status, headers, body: Vec::new(), took: Duration::ZERO };
            let length = response.header("content-length").and_then(|text| text.parse().ok());
            let encoding = response.header("transfer-encoding");
            response.body = match (encoding.is_some(), length) {
                _ if is_head || matches!(status, 204 | 304) => Vec::new(),
                (true, _) => self.chunks().await,
                (false, Some(length)) => self.take(length).await,
                (false, None) => self.take(MAX_RESPONSE).await,
            };
            response.took = started.elapsed();
            return Some(response);
        }
    }

    /// Reads up to and including `end`. Returns what is before it.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let mut windows = self.unread.windows(end.len());
            if let Some(at) = windows.position(|window| window == end) {
                let mut before: Vec<_> = self.unread.drain(..at + end.len()).collect();
                before.truncate(at);
                return Some(before);
            }
            if self.unread.len() > MAX_RESPONSE || !self.fill().await {
                return None;
            }
        }
    }

    /// Reads so many bytes, or as many as there are.
    async fn take(&mut self, length: usize) -> Vec<u8> {
        let length = length.min(MAX_RESPONSE);
        while self.unread.len() < length && self.fill().await {}
        let length = length.min(self.unread.len());
        self.unread.drain(..length).collect()
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < MAX_RESPONSE {
            let Some(line) = self.until(b"\r\n").await else { break };
            let text = String::from_utf8_lossy(&line);
            let length = text.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(length, 16).unwrap_or(0);
            if length == 0 {
                break;
            }
            body.extend(self.take(length).await);
            self.take(2).await;
        }
        body.truncate(MAX_RESPONSE);
        body
    }

    /// Returns false at the end of the connection.
    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.reader.read(&mut buffer).await {
            Ok(length @ 1..) => {
                self.unread.extend_from_slice(&buffer[..length]);
                true
            }
            Ok(0) | Err(_) => false,
        }
    }
}

/// Returns a request without a signature.
pub(super) fn bare(base: &SignedRequest, method: &str, target: &str) -> SignedRequest {
    let mut request = base.clone();
    method.clone_into(&mut request.method);
    target.clone_into(&mut request.target);
    request.headers.clear();
    request.body = Bytes::new();
    request
}
