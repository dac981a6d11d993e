//! A Redis server of a test's own.

use std::{
    env, fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::gate::PATIENCE;

/// A `redis-server` from the `PATH`, on a port of its own, with its files in a temporary folder. What it has
/// acknowledged outlives a restart. It is killed, and its files are gone, when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// A server with the usual configuration.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with options of its command line, such as `--maxmemory-policy allkeys-lru`.
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::stopped(options);
        server.restart();
        server
    }

    /// A server that is not started yet, and whose address is known.
    pub fn stopped(options: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "webhook-verify-redis-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            port: free.local_addr().unwrap().port(),
            folder,
            options: options.iter().map(|&option| option.into()).collect(),
            child: None,
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address for clients.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Starts it, after stopping it if it runs, and waits until it answers.
    pub fn restart(&mut self) {
        self.stop();
        let port = self.port.to_string();
        let spawned = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => panic!(
                "these tests need a Redis server: apt-get install -y redis-server (or valkey, as redis-server in the PATH)"
            ),
            Err(error) => panic!("redis-server does not start: {error}"),
        };
        let child = self.child.insert(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !answers(self.port) {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("redis-server ended at once: {status}");
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it, as a crash does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Freezes it: its connections stay, and nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen server go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("the server runs");
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "kill {signal}");
    }

    /// Sends one command, words with blanks between them, and returns what is answered.
    ///
    /// # Panics
    ///
    /// When the answer is an error.
    pub fn command(&self, command: &str) -> String {
        let words: Vec<_> = command.split_whitespace().collect();
        self.send(&words)
    }

    /// As [`command`](Self::command), with words that may hold blanks.
    ///
    /// # Panics
    ///
    /// When the answer is an error.
    pub fn send(&self, words: &[&str]) -> String {
        let answer = ask(self.port, words).expect("the server answers");
        assert!(!answer.starts_with('-'), "{words:?}: {answer}");
        answer
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// With a password set, a refusal is an answer, too.
fn answers(port: u16) -> bool {
    ask(port, &["PING"])
        .is_ok_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
}

fn ask(port: u16, words: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(command.as_bytes())?;
    let mut answer = vec![0; 64 * 1024];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
