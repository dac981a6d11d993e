//! A PostgreSQL server for the tests.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use crate::{
    folder::{Folder, in_folder},
    gate::PATIENCE,
    process::{becomes_ready, ends, on_a_free_port, signal},
    programs,
};

/// A `postgres` from the `PATH`, or from Debian's directory, on a port of its own, with its files
/// in a folder of this test process. It stops, and its files are deleted, when it is dropped or the
/// process ends.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    folder: Folder,
    child: Option<Child>,
}

impl PostgresServer {
    /// Returns the server that the tests of one process share. Each test has tables of its own in
    /// it, and leaves it running.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Does what [`shared`](Self::shared) does, without blocking the runtime.
    pub async fn until_shared() -> &'static Self {
        let started = spawn_blocking(Self::shared).await;
        started.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Does what [`start`](Self::start) does, without blocking the runtime.
    pub async fn until_started() -> Self {
        let started = spawn_blocking(Self::start).await;
        started.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Starts a server for one test, which may stop and freeze it.
    pub fn start() -> Self {
        let folder = Folder::new("postgres");
        copy(&template(), &folder.path().join("data"));
        give(folder.path());
        let mut server = Self { port: 0, folder, child: None };
        on_a_free_port("postgres", |port| {
            server.port = port;
            server.try_start()
        });
        server
    }

    /// Returns the server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server on the same port, after stopping it if it runs, and waits until it
    /// responds.
    pub fn restart(&mut self) {
        self.stop();
        assert!(self.try_start(), "postgres: port {} was taken", self.port);
    }

    /// Returns false if the port is taken.
    fn try_start(&mut self) -> bool {
        let log = self.folder.path().join("log");
        let mut command = program(
            programs::postgres().expect("a PostgreSQL server").join("postgres"),
            self.folder.path(),
        );
        command
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string()])
            .stderr(File::create(&log).unwrap());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=32MB",
            // Removed with the folder.
            "dynamic_shared_memory_type=mmap",
            // This loses nothing if the process is killed, and the machine's power does not fail
            // here.
            "fsync=off",
        ] {
            command.args(["-c", setting]);
        }
        let child = self.child.insert(command.spawn().unwrap());
        let id = child.id().to_string();
        let state = self.folder.path().join("data/postmaster.pid");
        // A killed server leaves its own file behind.
        let is_ready = || {
            let state = fs::read_to_string(&state).unwrap_or_default();
            let mut lines = state.lines().map(str::trim);
            lines.next() == Some(&id) && lines.nth(6) == Some("ready")
        };
        becomes_ready("postgres", child, &log, is_ready)
    }

    /// Shuts the server down, and closes every connection.
    ///
    /// # Panics
    ///
    /// If the server does not end in time.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("-INT", &[child.id()]);
            let ended = ends(&mut child, PATIENCE);
            if !ended {
                end(&mut child);
            }
            assert!(ended, "postgres did not stop within {} s", PATIENCE.as_secs());
        }
    }

    /// Kills the server with all its processes, as a power failure does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("-KILL", &processes(&child));
            child.wait().unwrap();
        }
    }

    /// Freezes the server: its connections stay open, and it does not respond.
    pub fn pause(&self) {
        signal("-STOP", &processes(self.child.as_ref().unwrap()));
    }

    /// Limits the size of each of the server's files, in bytes. Writes beyond it fail as on a full
    /// disk. `None` removes the limit. Segments of the write-ahead log have 1 MiB.
    pub fn limit_files(&self, size: Option<u64>) {
        let limit = size.map_or_else(|| "unlimited".to_owned(), |size| size.to_string());
        let server = self.child.as_ref().unwrap();
        // The server's process first, because new processes inherit its limit.
        for id in std::iter::once(server.id()).chain(processes(server)) {
            let mut command = program("prlimit", self.folder.path());
            command.arg(format!("--fsize={limit}:")).args(["--pid", &id.to_string()]);
            // Another process may have ended.
            assert!(command.status().unwrap().success() || id != server.id(), "no limit");
        }
    }

    /// Resumes a frozen server.
    pub fn resume(&self) {
        signal("-CONT", &processes(self.child.as_ref().unwrap()));
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child);
        }
        // A killed server leaves its shared memory behind, and this file names it.
        let state = fs::read_to_string(self.folder.path().join("data/postmaster.pid"));
        let memory = state.as_deref().unwrap_or_default().lines().nth(6);
        if let Some(id) = memory.and_then(|line| line.split_whitespace().nth(1)) {
            let _ = program("ipcrm", self.folder.path()).args(["-m", id]).status();
        }
    }
}

/// Ends the server at once. With SIGQUIT, it removes its shared memory.
fn end(child: &mut Child) {
    let all = processes(child);
    signal("-QUIT", &all[..1]);
    signal("-CONT", &all);
    if !ends(child, Duration::from_secs(5)) {
        signal("-KILL", &processes(child));
        let _ = child.wait();
    }
}

/// Returns the database files that `initdb` creates. The build folder keeps them, so that not every
/// test process has to create them.
fn template() -> PathBuf {
    let Some(programs) = programs::postgres() else {
        panic!("{}", programs::missing().unwrap());
    };
    let build = Path::new(env!("OUT_DIR"));
    // Each version of the server needs its own files, so the name depends on the program.
    let program_file = programs.join("postgres");
    let metadata = fs::metadata(&program_file).unwrap();
    let mut version = DefaultHasher::new();
    (program_file, metadata.mtime(), metadata.size()).hash(&mut version);
    let template = build.join(format!("database-{:016x}", version.finish()));
    // One process creates the files, and the others wait for it. The system releases the lock when
    // the process ends.
    let lock = File::create(build.join("database.lock")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while lock.try_lock().is_err() {
        assert!(Instant::now() < deadline, "no end of another initdb");
        thread::sleep(Duration::from_millis(20));
    }
    if !template.exists() {
        let folder = Folder::new("database");
        give(folder.path());
        let made = program(programs.join("initdb"), folder.path())
            .args(["--no-sync", "--auth=trust", "--username=postgres"])
            // Each server copies the write-ahead log, which is one segment at first. Keep it small.
            .arg("--wal-segsize=1")
            .args(["--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(folder.path().join("data"))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb failed: {said}");
        // The process may be killed at any time, so the last step gives the files their name.
        let copied = build.join("database");
        let _ = fs::remove_dir_all(&copied);
        copy(&folder.path().join("data"), &copied);
        fs::rename(copied, &template).unwrap();
    }
    template
}

fn copy(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    let copied = in_folder(&mut copy).arg("-R").arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "no copy of {}", from.display());
}

/// Returns the user that runs the server, if it is not this one: the server refuses to run as root.
pub(crate) fn owner() -> Option<(u32, u32)> {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    is_root.then(unprivileged)
}

/// Returns the user `postgres`, or else `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name| {
        let fields: Vec<_> = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == name)?;
        Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
    };
    ids("postgres").or_else(|| ids("nobody")).unwrap()
}

/// Makes the server's user the owner of a folder and its contents.
pub(crate) fn give(folder: &Path) {
    if let Some((user, group)) = owner() {
        let mut chown = Command::new("chown");
        let user = format!("{user}:{group}");
        let changed = in_folder(&mut chown).arg("-R").arg(user).arg(folder).status();
        assert!(changed.unwrap().success(), "{}", folder.display());
    }
}

/// Returns a command for a program in this folder, run by the server's user.
pub(crate) fn program(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_remove("PGDATA")
        .env("LC_ALL", "C");
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command
}

/// Returns the server's process and those that it started.
fn processes(server: &Child) -> Vec<u32> {
    let id = server.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    std::iter::once(id).chain(children).collect()
}
