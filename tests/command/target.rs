//! A server that keeps the requests it gets, and responds as a test wants.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A request as read from the connection.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its number on the connection, from 1.
    pub(crate) number: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns the response to a request. One that is not complete, such as an empty one, ends with the
/// connection.
type Respond = dyn Fn(&Request) -> String + Send + Sync;

pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Target {
    /// Starts a server that responds to each request with this status.
    pub(crate) fn with_status(status: u16) -> Self {
        Self::new(move |_| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"))
    }

    pub(crate) fn new(respond: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (kept, respond): (_, Arc<Respond>) = (Arc::clone(&requests), Arc::new(respond));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, respond) = (Arc::clone(&kept), Arc::clone(&respond));
                thread::spawn(move || serve(&stream.unwrap(), &kept, &*respond));
            }
        });
        Self { addr, requests }
    }

    /// Starts a server that closes each connection at the second request, without a response.
    pub(crate) fn closing_reused() -> Self {
        Self::new(|request| match request.number {
            1 => "HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n".into(),
            _ => String::new(),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: &TcpStream, kept: &Mutex<Vec<Request>>, respond: &Respond) -> Option<()> {
    let mut reader = BufReader::new(stream);
    for number in 1.. {
        let request = Request { number, ..read(&mut reader)? };
        kept.lock().unwrap().push(request.clone());
        let response = respond(&request);
        stream.write_all(response.as_bytes()).ok()?;
        if !response.contains("\r\n\r\n") || response.starts_with("HTTP/1.1 1") {
            return None;
        }
    }
    None
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        let line = String::from_utf8(line).ok()?;
        line.strip_suffix("\r\n").map(str::to_owned)
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { number: 1, method, target, headers, body: Vec::new() };
    let len = request.header("content-length").map_or(0, |len| len.parse().unwrap());
    request.body = vec![0; len];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}
