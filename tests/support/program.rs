//! A program whose output a test reads while it runs.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Instant,
};

use crate::{PATIENCE, process::signal};

/// A running program. It is killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    process: Child,
    /// A thread reads the lines, so that the program never waits for a reader.
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
}

impl Program {
    /// Starts a program. Its standard error is its log if it is piped.
    pub fn spawn(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let log = process.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut log = Vec::new();
                stderr.read_to_end(&mut log).unwrap();
                String::from_utf8_lossy(&log).into_owned()
            })
        });
        let (sender, lines) = mpsc::channel();
        // A line is one write, so the lines before a kill are in the pipe, and complete.
        thread::spawn(move || stdout.lines().try_for_each(|line| sender.send(line.unwrap())));
        Self { process, lines, log }
    }

    /// Returns the ID of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the next line of standard output.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`] if there is none by `deadline`, or the program has ended.
    pub fn line(&self, deadline: Instant) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// Kills the program with SIGKILL, and returns its remaining lines and its log.
    pub fn kill(&mut self) -> (Vec<String>, String) {
        let _ = self.process.kill();
        self.process.wait().unwrap();
        let log = self.log.take().map(|log| log.join().unwrap());
        (self.lines.iter().collect(), log.unwrap_or_default())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program that ends by itself, and returns its output.
///
/// # Panics
///
/// If it does not end.
pub fn output(mut command: Command) -> Output {
    let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = process.id();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(process.wait_with_output()));
    let Ok(output) = ended.recv_timeout(PATIENCE) else {
        signal("-KILL", &[id]);
        panic!("no end of {command:?} within {} s", PATIENCE.as_secs());
    };
    output.unwrap()
}
