//! A receiver in another process: this program again, controlled by its environment and its
//! standard input.

use std::{
    collections::HashMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use actix_web::{App as ActixApp, HttpServer};
use integration_tests::{AnyStore, App, Framework, Handler, in_folder, soon};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
};

use crate::rig::{idempotency, receiver, with_lease};

const VARIABLE: &str = "WEBHOOK_VERIFY_TEST_RECEIVER";
/// The start of the lines of a receiver, which distinguishes them from those of the test harness.
const SIGN: &str = "@@ ";

/// The configuration of a receiver.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) url: String,
    pub(crate) framework: Framework,
    pub(crate) namespace: String,
    pub(crate) lease: Duration,
    /// The status of its handler. 0: the handler aborts the process.
    pub(crate) status: u16,
    /// A limit on the size of its files, in blocks of 512 bytes.
    pub(crate) file_limit: Option<u32>,
}

/// A running receiver. It is killed when dropped.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    child: Child,
    input: ChildStdin,
    lines: watch::Receiver<Vec<String>>,
}

impl Process {
    pub(crate) async fn start(task: &Task) -> Self {
        let program = env::current_exe().unwrap();
        let mut command = match task.file_limit {
            None => Command::new(program),
            Some(blocks) => {
                // A write beyond the limit is an error then, and does not end the process.
                let script = format!(r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#);
                let mut command = Command::new("sh");
                command.arg("-c").arg(script).arg(program);
                command
            }
        };
        let settings = [
            task.url.clone(),
            format!("{:?}", task.framework),
            task.namespace.clone(),
            task.lease.as_millis().to_string(),
            task.status.to_string(),
        ];
        let mut child = in_folder(&mut command)
            .args(["--exact", "child::run", "--ignored", "--nocapture"])
            .env(VARIABLE, settings.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = watch::channel(Vec::new());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, line)) = line.split_once(SIGN) {
                    sender.send_modify(|lines| lines.push(line.to_owned()));
                }
            }
        });
        let mut process = Self { addr: SocketAddr::from(([127, 0, 0, 1], 0)), child, input, lines };
        let listens = process.until("listens").await;
        process.addr = listens.parse().unwrap();
        process
    }

    /// Waits for a line that begins with this word. Returns the rest of the first one.
    pub(crate) async fn until(&mut self, word: &str) -> String {
        let has = |lines: &Vec<String>| lines.iter().any(|line| line.starts_with(word));
        let what = format!("line \"{word}\" of the receiver");
        soon(&what, self.lines.wait_for(has)).await.unwrap();
        self.read(word).remove(0)
    }

    /// Returns what follows this word in all lines so far that begin with it.
    pub(crate) async fn all(&mut self, word: &str) -> Vec<String> {
        let before = self.read("hears").len();
        self.open(0);
        let has =
            |lines: &Vec<String>| lines.iter().filter(|line| *line == "hears").count() > before;
        soon("echo of the receiver", self.lines.wait_for(has)).await.unwrap();
        self.read(word)
    }

    fn read(&self, word: &str) -> Vec<String> {
        let lines = self.lines.borrow();
        let rest = lines.iter().filter_map(|line| line.strip_prefix(word));
        rest.map(|rest| rest.trim().to_owned()).collect()
    }

    /// Releases so many handlers, present or future.
    pub(crate) fn open(&mut self, count: usize) {
        writeln!(self.input, "{count}").unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.unwrap().success(), "kill {name}");
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let mut lines = self.lines.clone();
        // The lines end with the process.
        soon("end of the receiver", async { while lines.changed().await.is_ok() {} }).await;
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a line for the process that started this one.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{SIGN}{line}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "is run by the other tests, as a process of its own"]
fn run() {
    let Ok(settings) = env::var(VARIABLE) else {
        return;
    };
    let settings: Vec<_> = settings.split('\n').collect();
    let [url, framework, namespace, lease, status] = settings[..] else {
        panic!("{settings:?}");
    };
    let lease = Duration::from_millis(lease.parse().unwrap());
    let permits = Arc::new(Semaphore::new(0));
    let opens = Arc::clone(&permits);
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            opens.add_permits(line.parse().unwrap());
            tell("hears");
        }
        // The parent process has ended.
        std::process::exit(1);
    });
    let handler = handler(permits, status.parse().unwrap());
    let build = async || {
        let store = AnyStore::open(url).await.unwrap();
        App::new(receiver(with_lease(idempotency(store, namespace), lease)), handler)
    };
    match framework {
        "Axum" => {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { serve_axum(&build().await).await });
        }
        _ => actix_web::rt::System::new().block_on(async { serve_actix(&build().await).await }),
    }
    tell("ends");
}

/// Returns a handler that reports its start, waits to be released, and reports its end.
fn handler(permits: Arc<Semaphore>, status: u16) -> Handler {
    Arc::new(move |delivery| {
        let (id, fence) =
            (delivery.id().unwrap().into_owned(), delivery.claim().unwrap().fencing_token());
        let permits = Arc::clone(&permits);
        Box::pin(async move {
            tell(&format!("runs {id} {fence}"));
            permits.acquire().await.unwrap().forget();
            if status == 0 {
                std::process::abort();
            }
            tell(&format!("done {id} {fence}"));
            status
        })
    })
}

async fn serve_axum(app: &App) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (router, drain) = app.axum();
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    tell(&format!("listens {}", listener.local_addr().unwrap()));
    let stop = async move {
        terminated.recv().await;
        tell("stops");
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(stop);
    server.await.unwrap();
    drain.wait().await;
}

/// actix-web shuts down gracefully by itself on SIGTERM.
async fn serve_actix(app: &App) {
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    actix_web::rt::spawn(async move {
        terminated.recv().await;
        tell("stops");
    });
    let app = app.clone();
    let server = HttpServer::new(move || ActixApp::new().service(app.actix()))
        .workers(2)
        .bind("127.0.0.1:0")
        .unwrap();
    tell(&format!("listens {}", server.addrs()[0]));
    server.run().await.unwrap();
}

/// Returns how often each event ran in all these processes together.
pub(crate) async fn runs(processes: &mut [Process]) -> HashMap<String, usize> {
    let mut runs = HashMap::new();
    for process in processes {
        for line in process.all("runs").await {
            let (id, _) = line.split_once(' ').unwrap();
            *runs.entry(id.to_owned()).or_default() += 1;
        }
    }
    runs
}
