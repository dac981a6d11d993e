//! The example as a program, with a file of its own, and what tests say to it.

use std::process::{Command, Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use integration_tests::{Folder, Response, exchange, raw_request};
use serde_json::Value;

use crate::running::{Running, example};

pub(crate) const ADMIN: &str = "5b0f6f6c-the-admin-token";
pub(crate) const RECEIVE: &str = "/api/v3/command/webhook.receive";
pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Names and values.
pub(crate) type Headers<'h> = &'h [(&'h str, &'h str)];

/// The document's own request body, with its blanks behind boundaries and headers.
pub(crate) const DOCUMENTED: &str = "--boundary \r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"fileA.pdf\" \r\n\r\n\
    <CONTENT FILE fileA.pdf GOES HERE...>\r\n\
    --boundary \r\n\
    Content-Disposition: form-data; name=\"file\"; filename=\"fileB.pdf\" \r\n\r\n\
    <CONTENT FILE fileB.pdf GOES HERE...>\r\n\
    --boundary--\r\n";

/// The example with a file of its own, which is gone when it is.
pub(crate) struct Hub {
    // Dropped before its file is.
    running: Option<Running>,
    folder: Folder,
    /// The tokens that were made.
    pub(crate) tokens: Vec<String>,
}

impl Hub {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut hub = Self { running: None, folder: Folder::new("pipeforce"), tokens: Vec::new() };
        hub.restart(flags);
        hub
    }

    /// Starts it on the file that is there.
    pub(crate) fn restart(&mut self, flags: &[&str]) {
        let mut command = self.command();
        command.args(["--admin-token", ADMIN]).args(flags);
        self.running = Some(Running::spawn(command).unwrap());
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = example("pipeforce");
        command.args(["--listen", "127.0.0.1:0"]);
        command.args(["--db", &self.db()]).stderr(Stdio::piped());
        command
    }

    /// Returns the URL of its file.
    pub(crate) fn db(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("pipeforce.db").display())
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: Headers<'_>,
        body: impl AsRef<[u8]>,
    ) -> Response {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let raw = raw_request(method, target, &headers, body.as_ref());
        exchange(self.running().addr, &raw).await
    }

    /// A call with the token in a header.
    pub(crate) async fn call(
        &self,
        token: &str,
        content_type: &str,
        body: impl AsRef<[u8]>,
    ) -> Response {
        let headers = [("token", token), ("Content-Type", content_type)];
        self.send("POST", RECEIVE, &headers, body).await
    }

    /// A command of the API, with its parameters in a form.
    pub(crate) async fn command_with(&self, name: &str, form: &str) -> Response {
        let bearer = format!("Bearer {ADMIN}");
        let target = format!("/api/v3/command/webhook.{name}");
        let headers = [("Authorization", bearer.as_str()), FORM];
        self.send("POST", &target, &headers, form).await
    }

    /// Makes a webhook, and returns its token.
    pub(crate) async fn put(&mut self, form: &str) -> String {
        let made = self.command_with("put", form).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let token = json_of(&made)["uuid"].as_str().unwrap().to_owned();
        self.tokens.push(token.clone());
        token
    }

    /// Kills it, and gives the messages that it printed, and what it logged. No token is in either.
    pub(crate) fn kill(&mut self) -> (Vec<Value>, String) {
        let (messages, log) = self.running.take().unwrap().end_with_log();
        let printed: Vec<_> = messages.iter().map(decoded).collect();
        for token in self.tokens.iter().map(String::as_str).chain([ADMIN]) {
            assert!(!log.contains(token), "{log}");
            assert!(!log.contains(&token[..13]), "{log}");
            assert!(printed.iter().all(|text| !text.contains(token)), "{printed:?}");
        }
        (messages, log)
    }
}

pub(crate) fn json_of(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"), "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

/// A message as text, and its decoded base64.
fn decoded(message: &Value) -> String {
    let origin = [&message["message"]["payload"]["origin"], &message["message"]["origin"]];
    let origin = origin.iter().find_map(|origin| STANDARD.decode(origin.as_str()?).ok());
    format!("{message} {}", String::from_utf8_lossy(&origin.unwrap_or_default()))
}

/// The payload of a message in the form since version 9.0.
pub(crate) fn origin(message: &Value) -> String {
    let origin = message["message"]["payload"]["origin"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(origin).unwrap()).unwrap()
}
