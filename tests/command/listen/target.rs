//! A server that requests are forwarded to. It keeps the bytes that it gets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
};

use integration_tests::PATIENCE;
use tokio::sync::{Mutex, MutexGuard};

pub(crate) struct Target {
    pub(crate) url: String,
    requests: Receiver<(String, Vec<u8>)>,
    /// Is locked while a response is written.
    responds: Arc<Mutex<()>>,
}

impl Target {
    /// Starts a server that always responds with these bytes. Without any, it never responds.
    pub(crate) fn start(response: &'static [u8]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        let responds = Arc::<Mutex<()>>::default();
        let gate = Arc::clone(&responds);
        thread::spawn(move || {
            for stream in socket.incoming() {
                let (sender, gate) = (sender.clone(), Arc::clone(&gate));
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some(request) = read(&mut stream) {
                        let _ = sender.send(request);
                        if response.is_empty() {
                            thread::park();
                        }
                        let _guard = gate.blocking_lock();
                        let _ = stream.get_mut().write_all(response);
                    }
                });
            }
        });
        Self { url, requests, responds }
    }

    /// Returns the head and the body of the next request.
    pub(crate) fn next(&self) -> (String, Vec<u8>) {
        self.requests.recv_timeout(PATIENCE).expect("a forwarded request")
    }

    /// Stops responses while the guard lives.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.responds.lock().await
    }

    /// Returns whether there was no other request.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.try_recv().is_err()
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let len = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
