//! The example receivers as programs that tests start, freeze and kill.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use serde_json::Value;

/// Builds the programs. `cargo test` of the whole workspace does so by itself.
const BUILD: &str = match cfg!(debug_assertions) {
    true => "cargo build -p examples --examples",
    false => "cargo build -p examples --examples --release",
};

pub(crate) const RECEIVERS: [&str; 2] = ["receiver_axum", "receiver_actix"];

pub(crate) fn command(name: &str) -> Command {
    command_with_store(name, "memory:")
}

pub(crate) fn command_with_store(name: &str, store: &str) -> Command {
    let mut command = program(name);
    command.args(["--store", store]);
    command
}

/// An example, that listens on a free port.
pub(crate) fn program(name: &str) -> Command {
    // Next to the folder of this very program, where cargo builds examples.
    let mut path = PathBuf::from(
        std::env::current_exe()
            .unwrap()
            .parent()
            .unwrap()
            .parent()
            .unwrap(),
    );
    path.extend(["examples", name]);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    let is_built = path.is_file();
    assert!(is_built, "no {path:?}: run `{BUILD}` before this test");
    let mut command = Command::new(path);
    command
        .args(["--listen", "127.0.0.1:0"])
        .stderr(Stdio::null());
    command
}

/// A receiver that runs.
pub(crate) struct Running {
    process: Child,
    /// What it printed before it listened, and what comes after that: the `curl` line, or that there is none, or that
    /// messages follow.
    pub(crate) lines: Vec<String>,
    pub(crate) addr: SocketAddr,
    /// Reads what it prints from then on, so that it never waits for a reader.
    handled: Option<JoinHandle<Vec<Value>>>,
    log: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(name: &str, args: &[String]) -> Self {
        let mut command = command(name);
        command.args(args);
        Self::spawn(command).unwrap()
    }

    /// Starts it, and waits until it listens; or says what it printed before it ended.
    pub(crate) fn spawn(mut command: Command) -> Result<Self, String> {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let log = process.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut log = Vec::new();
                stderr.read_to_end(&mut log).unwrap();
                String::from_utf8_lossy(&log).into_owned()
            })
        });
        let (mut lines, mut addr) = (Vec::new(), None);
        while addr.is_none()
            || !lines.last().is_some_and(|line: &String| {
                let last = ["curl ", "no example", "messages follow"];
                last.iter().any(|last| line.starts_with(last))
            })
        {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let _ = process.wait();
                let log = log.map(|log| log.join().unwrap());
                return Err(format!("{command:?} ended: {lines:?} {log:?}"));
            }
            let line = line.trim_end().to_owned();
            if let Some(url) = line.strip_prefix("listening on http://") {
                addr = Some(url.parse().unwrap());
            }
            lines.push(line);
        }
        // A line is one write, so what was printed before a kill is in the pipe, and whole.
        let handled = thread::spawn(move || {
            let lines = stdout.lines().map(Result::unwrap);
            lines
                .map(|line| serde_json::from_str(&line).unwrap())
                .collect()
        });
        Ok(Self {
            process,
            lines,
            addr: addr.unwrap(),
            handled: Some(handled),
            log,
        })
    }

    /// Sends it a signal such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success(), "kill {signal}");
    }

    /// Kills the receiver with SIGKILL, and gives the JSON lines that it printed, every one.
    pub(crate) fn end(self) -> Vec<Value> {
        self.end_with_log().0
    }

    /// As [`end`](Self::end), with what it logged, if its stderr was piped.
    pub(crate) fn end_with_log(mut self) -> (Vec<Value>, String) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let handled = self.handled.take().unwrap().join().unwrap();
        let log = self.log.take().map(|log| log.join().unwrap());
        (handled, log.unwrap_or_default())
    }
}

/// A test that fails leaves no receiver behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
