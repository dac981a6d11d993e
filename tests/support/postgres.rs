//! A PostgreSQL server of the tests' own.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Kills the server and clears its files away once the process that it was started for is gone.
const GUARD: &str = r#"cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
case "$(cat "/proc/$pid/comm" 2>/dev/null)" in
postgres|postmaster) kill -QUIT "$pid"; kill -CONT "$pid"; sleep 0.3 ;;
esac
rm -rf "$1""#;

/// A `postgres` from the `PATH`, or from where Debian has it, on a port of its own, with its files in a temporary folder.
/// It is stopped, and its files are gone, when this is dropped or the process ends.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    folder: PathBuf,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    child: Option<Child>,
    guard: Child,
}

impl PostgresServer {
    /// The server that tests of one process share. Each has tables of its own in it, and leaves it running.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of a test's own, to be stopped and frozen.
    pub fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let programs = programs();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("webhook-verify-postgres-{}-{count}", process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        // The server refuses to run as root.
        let owner = (fs::metadata("/proc/self").unwrap().uid() == 0).then(unprivileged);
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let guard = as_owner("sh", owner, &folder)
            .args(["-c", GUARD, "sh"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut server = Self {
            port,
            folder,
            programs,
            owner,
            child: None,
            guard,
        };
        let made = server
            .program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres"])
            .args(["--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(server.folder.join("data"))
            .status();
        assert!(made.unwrap().success(), "initdb");
        server.restart();
        server
    }

    /// Its address for clients.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it, after stopping it if it runs, on the same port, and waits until it answers.
    pub fn restart(&mut self) {
        self.stop();
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "max_connections=200", "-k"])
            .arg(&self.folder)
            .spawn();
        let child = self.child.insert(child.unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        let state = self.folder.join("data/postmaster.pid");
        let is_ready = |state: String| state.lines().nth(7).map(str::trim) == Some("ready");
        while !fs::read_to_string(&state).is_ok_and(is_ready) {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("postgres ended at once: {status}");
            }
            assert!(Instant::now() < deadline, "postgres does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Shuts it down, and every connection with it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("-INT", &[child.id()]);
            child.wait().unwrap();
        }
    }

    /// Kills it with all its processes, as a power failure does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("-KILL", &processes(&child));
            child.wait().unwrap();
        }
    }

    /// Freezes it: its connections stay, and nothing is answered.
    pub fn pause(&self) {
        signal("-STOP", &processes(self.child.as_ref().unwrap()));
    }

    /// Lets a frozen server go on.
    pub fn resume(&self) {
        signal("-CONT", &processes(self.child.as_ref().unwrap()));
    }

    fn program(&self, name: &str) -> Command {
        command(&self.programs.join(name), self.owner, &self.folder)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("-KILL", &processes(&child));
            let _ = child.wait();
        }
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where the server's programs are.
fn programs() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = env::split_paths(&path).collect();
    let mut debian: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    debian.sort_by_key(|folder| {
        let version = folder
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        std::cmp::Reverse(version.unwrap_or(0_u32))
    });
    folders.extend(debian.into_iter().map(|folder| folder.join("bin")));
    let found = folders
        .into_iter()
        .find(|folder| folder.join("postgres").exists() && folder.join("initdb").exists());
    found.expect("these tests need a PostgreSQL server: apt-get install -y postgresql")
}

/// The user `postgres`, or else `nobody`.
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

fn as_owner(
    program: impl AsRef<std::ffi::OsStr>,
    owner: Option<(u32, u32)>,
    folder: &Path,
) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

fn command(program: &Path, owner: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = as_owner(program, owner, folder);
    command.env_remove("PGDATA").env("LC_ALL", "C");
    command
}

/// The server and the processes that it has started.
fn processes(server: &Child) -> Vec<u32> {
    let id = server.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    std::iter::once(id).chain(children).collect()
}

/// One that has ended meanwhile needs no signal.
fn signal(signal: &str, ids: &[u32]) {
    let ids = ids.iter().map(u32::to_string);
    let sent = Command::new("kill")
        .arg(signal)
        .args(ids)
        .stderr(Stdio::null())
        .status();
    sent.unwrap();
}
