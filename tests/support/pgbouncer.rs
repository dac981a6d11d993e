//! A PgBouncer for one test.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::Path,
    process::Child,
};

use crate::{
    PostgresServer,
    folder::Folder,
    postgres::{give, program},
    process::{becomes_ready, on_a_free_port},
};

/// A `pgbouncer` from the `PATH`, in front of a server, on a port of its own, with the defaults of
/// a new installation. It is killed, and its files are deleted, when it is dropped or the process
/// ends.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    server: String,
    settings: String,
    folder: Folder,
    child: Option<Child>,
}

impl PgBouncer {
    /// Starts a pooler in front of a server, with up to `connections` to it for each user, and a
    /// mode such as `transaction`.
    pub fn start(server: &PostgresServer, mode: &str, connections: usize) -> Self {
        let mut pooler = Self {
            port: 0,
            server: format!("host=127.0.0.1 port={}", server.port()),
            settings: format!("pool_mode = {mode}\ndefault_pool_size = {connections}"),
            folder: Folder::new("pgbouncer"),
            child: None,
        };
        on_a_free_port("pgbouncer", |port| {
            pooler.port = port;
            pooler.try_start()
        });
        pooler
    }

    /// Returns the URL of the server's database, through the pooler.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Kills the pooler with all of its connections, and starts it again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.try_start(), "pgbouncer: port {} was taken", self.port);
    }

    /// Kills the pooler.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Returns false if the port is taken.
    fn try_start(&mut self) -> bool {
        let file = |name: &str| self.folder.path().join(name);
        fs::write(file("users"), "\"postgres\" \"\"\n").unwrap();
        let config = format!(
            "[databases]\n* = {}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = users\nmax_client_conn = 500\n{}\n",
            self.server, self.port, self.settings
        );
        fs::write(file("pgbouncer.ini"), config).unwrap();
        give(self.folder.path());
        let log = file("log");
        // Not every user's `PATH` contains Debian's folder.
        let pgbouncer = Some("/usr/sbin/pgbouncer").filter(|file| Path::new(file).exists());
        let mut command = program(pgbouncer.unwrap_or("pgbouncer"), self.folder.path());
        command.arg("pgbouncer.ini").stderr(File::create(&log).unwrap());
        let child = command.spawn().expect("PgBouncer: apt-get install -y pgbouncer");
        let child = self.child.insert(child);
        let port = self.port;
        becomes_ready("pgbouncer", child, &log, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            log.contains("process up") && TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("the log of pgbouncer:\n{log}");
        }
    }
}
