//! An example that runs as a program.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A receiver that runs.
pub(crate) struct Running {
    process: Child,
    /// What it printed before it listened, and the `curl` line after that, or that there is none.
    pub(crate) lines: Vec<String>,
    pub(crate) addr: SocketAddr,
    stdout: BufReader<std::process::ChildStdout>,
}

/// The example `name`, on a free port.
pub(crate) fn command_with_store(name: &str, store: &str) -> Command {
    // Next to the folder of this very program, where cargo builds examples.
    let mut path = PathBuf::from(
        std::env::current_exe()
            .unwrap()
            .parent()
            .unwrap()
            .parent()
            .unwrap(),
    );
    path.push("examples");
    let mut command = Command::new(path.join(name));
    command
        .args(["--listen", "127.0.0.1:0", "--store", store])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let (mut lines, mut addr) = (Vec::new(), None);
        while addr.is_none()
            || !lines.last().is_some_and(|line: &String| {
                line.starts_with("curl ") || line.starts_with("no example")
            })
        {
            let mut line = String::new();
            assert!(
                stdout.read_line(&mut line).unwrap() > 0,
                "{command:?} ended: {lines:?}"
            );
            let line = line.trim_end().to_owned();
            if let Some(url) = line.strip_prefix("listening on http://") {
                addr = Some(url.parse().unwrap());
            }
            lines.push(line);
        }
        Self {
            process,
            lines,
            addr: addr.unwrap(),
            stdout,
        }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Ends the receiver, and gives the JSON lines that it printed.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A test that fails leaves no receiver behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
