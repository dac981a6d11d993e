//! The tests clean up after themselves: everything that a test process has started ends with it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Kind, PATIENCE, Place, PostgresServer, RedisServer, require_servers};

const VARIABLE: &str = "WEBHOOK_VERIFY_TEST_TO_BE_KILLED";

/// Starts this program again, to start servers and wait.
fn start() -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "clean::nothing_outlives_a_killed_test_process", "--nocapture"])
        .env(VARIABLE, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until a child reports that all of its servers run.
fn until_ready(child: &mut Child) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.contains("all servers run"));
    assert!(ready, "the child ended before its servers ran");
}

/// Returns the folders of a test process, and the processes that run in them or name them.
fn left_by(id: u32) -> Vec<String> {
    let name = format!("webhook-verify-{id}-");
    let folders = fs::read_dir(env::temp_dir()).unwrap().flatten();
    let folders = folders.map(|entry| entry.path().display().to_string());
    let mut left: Vec<_> = folders.filter(|path| path.contains(&name)).collect();
    for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        let cwd = fs::read_link(process.join("cwd")).unwrap_or_default();
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if cwd.to_string_lossy().contains(&name) || arguments.contains(&name) {
            left.push(format!("{} {arguments}", process.display()));
        }
    }
    left
}

fn kill(mut child: Child) {
    let id = child.id();
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = left_by(id);
        if left.is_empty() {
            return;
        }
        let late = Instant::now() > deadline;
        assert!(!late, "left {} s after the end: {left:#?}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(50));
    }
}

/// A test process that is killed at any moment, also while its servers start, leaves no process and
/// no folder behind.
#[test]
fn nothing_outlives_a_killed_test_process() {
    if env::var_os(VARIABLE).is_some() {
        let redis = thread::spawn(RedisServer::start);
        let _servers = (PostgresServer::start(), Place::new(Kind::Sqlite), redis.join());
        println!("all servers run");
        // Until it or its parent is killed.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        return;
    }
    require_servers();
    let begun = Instant::now();
    let mut child = start();
    until_ready(&mut child);
    let whole = begun.elapsed();
    let runs = left_by(child.id());
    for what in ["/tmp", "postgres", "redis"] {
        let what = what.replace("/tmp", &env::temp_dir().display().to_string());
        assert!(runs.iter().any(|run| run.contains(&what)), "no {what} in {runs:#?}");
    }
    kill(child);
    let killed = (0..10_u32).map(|tenth| {
        thread::spawn(move || {
            let child = start();
            // At a random time in this tenth.
            let random = f64::from(child.id() % 100) / 100.0;
            thread::sleep(whole.mul_f64((f64::from(tenth) + random) / 10.0));
            kill(child);
        })
    });
    for killed in killed.collect::<Vec<_>>() {
        killed.join().unwrap();
    }
}
