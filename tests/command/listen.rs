//! The subcommand `listen`.

mod forwarding;
mod hiding;
mod limits;
mod page;
mod receiving;
mod recording;
mod target;

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Instant,
};

use integration_tests::{PATIENCE, Program, Response, exchange, raw_request};
use serde_json::Value;
use webhook_verify::{Scheme, testing::Signer};

use self::target::Target;
use super::command;

/// A running receiver.
struct Listening {
    program: Program,
    addr: SocketAddr,
    page: Option<SocketAddr>,
}

impl Listening {
    /// Starts a receiver on a free port, which prints JSON lines.
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(command(), arguments)
    }

    /// Starts a receiver by a command that its arguments are added to.
    fn start_with(mut command: Command, arguments: &[&str]) -> Self {
        command.args(["listen", "--listen", "127.0.0.1:0", "--json"]).args(arguments);
        let mut program = Program::spawn(command.stdin(Stdio::null()).stderr(Stdio::piped()));
        let greeting = program.line(Instant::now() + PATIENCE);
        let greeting = greeting.unwrap_or_else(|_| panic!("no greeting: {}", program.kill().1));
        let greeting: Value = serde_json::from_str(&greeting).unwrap();
        let (addr, page) = (address(&greeting["listening"]), address(&greeting["page"]));
        Self { program, addr: addr.unwrap(), page }
    }

    /// Returns the next line of standard output.
    fn line(&self) -> String {
        let line = self.program.line(Instant::now() + PATIENCE);
        line.expect("the line of a delivery")
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    async fn send(&self, request: &Sent) -> Response {
        exchange(self.addr, &request.raw()).await
    }

    /// Gets something from the page, with the headers of a browser on it.
    async fn get(&self, target: &str) -> Response {
        let page = self.page.unwrap();
        let host = [("Host".to_owned(), page.to_string())];
        exchange(page, &raw_request("GET", target, &host, b"")).await
    }

    async fn json(&self, target: &str) -> Value {
        let response = self.get(target).await;
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        serde_json::from_slice(&response.body).unwrap()
    }
}

fn address(url: &Value) -> Option<SocketAddr> {
    url.as_str()?.trim_start_matches("http://").trim_end_matches('/').parse().ok()
}

/// A request of a sender.
#[derive(Clone)]
struct Sent {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn raw(&self) -> Vec<u8> {
        raw_request(&self.method, &self.target, &self.headers, &self.body)
    }

    fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Returns a signed request.
fn signed(scheme: &str, secret: &str, target: &str, body: impl Into<Vec<u8>>) -> Sent {
    signed_by(&Signer::new(Scheme::preset(scheme).unwrap(), secret).unwrap().target(target), body)
}

fn signed_by(signer: &Signer, body: impl Into<Vec<u8>>) -> Sent {
    let signed = signer.sign(body.into()).unwrap();
    Sent {
        method: signed.method,
        target: signed.target,
        headers: signed.headers,
        body: signed.body.to_vec(),
    }
}

/// Returns a request of Stripe with this ID.
fn stripe(id: &str) -> Sent {
    signed("stripe", "whsec_x", "/", format!(r#"{{"id":"{id}","type":"invoice.paid"}}"#))
}
