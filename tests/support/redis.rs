//! A Redis server for one test.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use crate::{
    folder::Folder,
    gate::PATIENCE,
    process::{becomes_ready, free_port, on_a_free_port, signal},
    programs,
};

/// Ages the records. The lease of a released claim is 0, and stays 0.
const AGE: &str = "
for _, key in ipairs(redis.call('KEYS', '*')) do
  local by = tonumber(ARGV[1])
  local r = redis.call('HMGET', key, 's', 'u')
  if r[1] == '1' and r[2] ~= '0' then
    redis.call('HSET', key, 'u', string.format('%.0f', math.max(tonumber(r[2]) - by, 1)))
  end
  local left = redis.call('PTTL', key)
  if left >= 0 then
    redis.call('PEXPIRE', key, string.format('%.0f', left - by))
  end
end
return 'OK'";

/// A `redis-server` from the `PATH`, on a port of its own, with its files in a folder of this test
/// process. Acknowledged writes survive a restart. It is killed, and its files are deleted, when it
/// is dropped or the process ends.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: Folder,
    options: Vec<String>,
    /// The configuration of a Sentinel.
    sentinel: Option<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server with the usual configuration.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with command-line options, such as `--maxmemory-policy allkeys-lru`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::stopped(options).started()
    }

    /// Starts a Sentinel with these lines in its configuration.
    pub fn start_sentinel(lines: &[&str]) -> Self {
        let mut server = Self::stopped(&[]);
        server.sentinel = Some(lines.join("\n"));
        server.started()
    }

    fn started(mut self) -> Self {
        on_a_free_port("redis-server", |port| {
            self.port = port;
            self.try_start()
        });
        self
    }

    /// Returns a server that is not started yet, but whose address is known.
    pub fn stopped(options: &[&str]) -> Self {
        if !programs::has_redis() {
            panic!("{}", programs::missing().unwrap());
        }
        Self {
            port: free_port(),
            folder: Folder::new("redis"),
            options: options.iter().map(|&option| option.into()).collect(),
            sentinel: None,
            child: None,
        }
    }

    /// Returns the server's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Starts the server on the same port, after stopping it if it runs, and waits until it
    /// responds.
    pub fn restart(&mut self) {
        self.stop();
        let started = self.try_start();
        assert!(started, "redis-server: port {} was taken", self.port);
    }

    /// Returns false if the port is taken.
    fn try_start(&mut self) -> bool {
        let port = self.port.to_string();
        let log = self.folder.path().join("log");
        let mut command = Command::new("redis-server");
        if let Some(lines) = &self.sentinel {
            // The Sentinel rewrites this file.
            let file = self.folder.path().join("sentinel.conf");
            fs::write(&file, lines).unwrap();
            command.arg(file).arg("--sentinel").args(["--port", &port, "--bind", "127.0.0.1"]);
        } else {
            command
                .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
                .args(["--appendonly", "yes", "--appendfsync", "always"])
                .args(&self.options);
        }
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn();
        let child = self.child.insert(child.unwrap());
        let is_ready = || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            log.contains("Ready to accept connections") || log.contains("+monitor master")
        };
        becomes_ready("redis-server", child, &log, is_ready)
    }

    /// Kills the server, as a crash does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Freezes the server: its connections stay open, and it does not respond.
    pub fn pause(&self) {
        signal("-STOP", &[self.child.as_ref().unwrap().id()]);
    }

    /// Resumes a frozen server.
    pub fn resume(&self) {
        signal("-CONT", &[self.child.as_ref().unwrap().id()]);
    }

    /// Sends one command, with words separated by blanks, and returns the response.
    ///
    /// # Panics
    ///
    /// If the response is an error.
    pub fn command(&self, command: &str) -> String {
        let words: Vec<_> = command.split_whitespace().collect();
        self.send(&words)
    }

    /// Does what [`Place::age`](crate::Place::age) does, by milliseconds, which may be negative.
    pub fn age(&self, ms: i64) {
        self.send(&["EVAL", AGE, "0", &ms.to_string()]);
    }

    /// Does what [`command`](Self::command) does, with words that may contain blanks.
    ///
    /// # Panics
    ///
    /// If the response is an error.
    pub fn send(&self, words: &[&str]) -> String {
        let answer = ask(self.port, words).expect("the server answers");
        assert!(!answer.starts_with('-'), "{words:?}: {answer}");
        answer
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
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
