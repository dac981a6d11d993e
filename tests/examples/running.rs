//! Programs that tests start, freeze and kill: the receiver of the tests, and the examples.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::RecvTimeoutError,
    thread,
    time::{Duration, Instant},
};

use integration_tests::{PATIENCE, Program, Response, exchange, in_folder, raw_request};
use serde_json::Value;

/// Builds the programs. `cargo test` of the whole workspace does so by itself.
const BUILD: &str = match cfg!(debug_assertions) {
    true => "cargo build -p examples --examples",
    false => "cargo build -p examples --examples --release",
};

/// The frameworks of the tests' receiver.
pub(crate) const RECEIVERS: [&str; 2] = ["axum", "actix"];

/// Returns a receiver on a free port. It does not outlive this process.
pub(crate) fn receiver(framework: &str, store: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_receiver"));
    command.args(["--listen", "127.0.0.1:0", "--framework", framework, "--store", store]);
    command.stderr(Stdio::null());
    in_folder(&mut command);
    command
}

/// Returns an example. It does not outlive this process.
pub(crate) fn example(name: &str) -> Command {
    // Next to the folder of this very program, where cargo builds examples.
    let mut path =
        PathBuf::from(std::env::current_exe().unwrap().parent().unwrap().parent().unwrap());
    path.extend(["examples", name]);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    let is_built = path.is_file();
    assert!(is_built, "no {path:?}: run `{BUILD}` before this test");
    let mut command = Command::new(path);
    command.stderr(Stdio::null());
    in_folder(&mut command);
    command
}

/// How often a receiver is started before it counts as broken: one that does not reach its store
/// within a second ends, and on a machine that is busy with other things it may not.
const STARTS: usize = 100;

/// A running program.
pub(crate) struct Running {
    program: Program,
    /// The lines up to the announcement. The last one is the `curl` line, or says that there is
    /// none, or that messages follow.
    pub(crate) lines: Vec<String>,
    pub(crate) addr: SocketAddr,
    /// The lines after the announcement, as far as they were awaited.
    handled: Vec<String>,
}

impl Running {
    /// Starts it, and waits until it listens; or says what it printed before it ended.
    ///
    /// # Panics
    ///
    /// If it does neither.
    pub(crate) fn spawn(mut command: Command) -> Result<Self, String> {
        let mut running = Self {
            program: Program::spawn(&mut command),
            lines: Vec::new(),
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            handled: Vec::new(),
        };
        let deadline = Instant::now() + PATIENCE;
        while running.addr.port() == 0 || !running.has_announced() {
            let lines = &mut running.lines;
            let line = match running.program.line(deadline) {
                Ok(line) => line.trim_end().to_owned(),
                Err(RecvTimeoutError::Timeout) => {
                    let limit = PATIENCE.as_secs();
                    panic!("no announcement of {command:?} within {limit} s, but {lines:?}");
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let lines = lines.clone();
                    let (_, log) = running.kill();
                    return Err(format!("{command:?} ended: {lines:?} {log:?}"));
                }
            };
            if let Some(url) = line.strip_prefix("listening on http://") {
                running.addr = url.parse().unwrap();
            }
            lines.push(line);
        }
        Ok(running)
    }

    /// Starts it until it listens.
    ///
    /// # Panics
    ///
    /// If it ends each time.
    pub(crate) fn spawn_again(mut command: impl FnMut() -> Command) -> Self {
        let mut starts = 1;
        loop {
            match Self::spawn(command()) {
                Ok(running) => return running,
                Err(error) => assert!(starts < STARTS, "ended {starts} times: {error}"),
            }
            starts += 1;
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn has_announced(&self) -> bool {
        let last = ["curl ", "no example", "messages follow"];
        let line = self.lines.last();
        line.is_some_and(|line| last.iter().any(|last| line.starts_with(last)))
    }

    /// Waits until it has printed so many lines since it listens.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub(crate) fn until_printed(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.handled.len() < count {
            let line = self.program.line(deadline).unwrap_or_else(|error| {
                let handled = &self.handled;
                panic!("no line number {count} of a receiver, but {handled:?}: {error}")
            });
            self.handled.push(line);
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    /// Sends it a signal such as `-CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.program.id(), signal);
    }

    /// Stops it, and waits until each of its threads stands still.
    ///
    /// # Panics
    ///
    /// If one does not.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        let deadline = Instant::now() + PATIENCE;
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "no standstill of a receiver");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.program.id())).unwrap();
        // The state follows the thread's name, which is in parentheses. One without a state has
        // ended.
        let mut states =
            threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
        states.all(|stat| stat.is_err() || stat.is_ok_and(|stat| stat.contains(") T ")))
    }

    /// Sends the delivery of the printed `curl` line, with a changed body.
    pub(crate) async fn paste(&self, change: impl Fn(&str) -> String) -> Response {
        // The URL, the headers and the body are in single quotes.
        let parts: Vec<_> = self.lines.last().unwrap().split('\'').skip(1).step_by(2).collect();
        let [url, headers @ .., body] = &parts[..] else { panic!("{parts:?}") };
        let headers = headers.iter().map(|header| header.split_once(": ").unwrap());
        let headers: Vec<_> = headers.map(|(name, value)| (name.into(), value.into())).collect();
        let target = url.strip_prefix(&format!("http://{}", self.addr)).unwrap();
        let request = raw_request("POST", target, &headers, change(body).as_bytes());
        exchange(self.addr, &request).await
    }

    /// Kills the program, and returns the JSON lines that it printed.
    pub(crate) fn end(self) -> Vec<Value> {
        self.end_with_log().0
    }

    /// Does what [`end`](Self::end) does, and returns the log as well, if stderr was piped.
    pub(crate) fn end_with_log(self) -> (Vec<Value>, String) {
        let (lines, log) = self.kill();
        (lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect(), log)
    }

    /// Kills the program with SIGKILL, and returns the lines that it printed, and its log.
    pub(crate) fn kill(mut self) -> (Vec<String>, String) {
        let (rest, log) = self.program.kill();
        (self.handled.into_iter().chain(rest).collect(), log)
    }
}

pub(crate) fn send_signal(process: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(sent.unwrap().success(), "kill {signal}");
}
