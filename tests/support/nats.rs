//! A NATS server for one test.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    folder::Folder,
    process::{becomes_ready, free_port, on_a_free_port},
};

/// A `nats-server` from the `PATH`, with JetStream, on a port of its own, with its files in a folder
/// of this test process. Streams survive a restart. It is killed, and its files are deleted, when it
/// is dropped or the process ends.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    folder: Folder,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server.
    pub fn start() -> Self {
        let mut server = Self::stopped();
        on_a_free_port("nats-server", |port| {
            server.port = port;
            server.try_start()
        });
        server
    }

    /// Returns a server that is not started yet, but whose address is known.
    pub fn stopped() -> Self {
        Self { port: free_port(), folder: Folder::new("nats"), child: None }
    }

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts the server on the same port, after stopping it if it runs, and waits until it is
    /// ready.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.try_start(), "nats-server: port {} was taken", self.port);
    }

    /// Kills the server, as a crash does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Returns false if the port is taken.
    fn try_start(&mut self) -> bool {
        let log = self.folder.path().join("log");
        // Not every user's `PATH` contains Debian's folder.
        let program = Some("/usr/sbin/nats-server").filter(|file| Path::new(file).exists());
        let child = Command::new(program.unwrap_or("nats-server"))
            .args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--jetstream"])
            .arg("--store_dir")
            .arg(self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("NATS: apt-get install -y nats-server");
        let child = self.child.insert(child);
        becomes_ready("nats-server", child, &log, || {
            fs::read_to_string(&log).unwrap_or_default().contains("Server is ready")
        })
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}
