//! Measures receivers over sockets, under full load: CPU time of the server for each request, in
//! user code and in the kernel.
//!
//! The server is a separate process on the first core. The clients run on the second one. The cases
//! run in shuffled order. `COMPARE` names the same benchmark, built from another commit: its cases
//! then alternate with these. `CASE` selects a single case.

mod by_hand;

use std::{
    env,
    error::Error,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use axum::{Router, body::Bytes, http::StatusCode, middleware::from_fn_with_state, routing::post};
use by_hand::{Deduplication, deduplicate};
use tokio::net::TcpListener;
use webhook_verify::{Idempotency, MemoryStore, Receiver, Verifier, scheme, testing::Signer};
use webhook_verify_axum::WebhookLayer;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CASES: [&str; 4] = ["bare", "by hand, HashMap", "layer", "layer, MemoryStore"];
const CONNECTIONS: usize = 16;
/// For each connection.
const REQUESTS: usize = 3_000;
const WARM_UP: usize = 200;
const BODY: usize = 1024;
const ROUNDS: usize = 12;
/// Clock ticks of `/proc/PID/stat`, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = env::args().skip_while(|argument| argument != "--serve").skip(1);
    if let Some(case) = arguments.next() {
        return serve(&case);
    }
    pin_to_second_core()?;

    let mut programs = vec![("this", env::current_exe()?)];
    programs.extend(env::var_os("COMPARE").map(|path| ("other", path.into())));
    let mut runs: Vec<_> = programs
        .iter()
        .flat_map(|(name, program)| CASES.map(|case| (*name, program, case, Vec::new())))
        .filter(|(name, _, case, _)| *name == "this" || case.starts_with("layer"))
        .filter(|(_, _, case, _)| {
            env::var("CASE").is_ok_and(|only| only == *case) || env::var_os("CASE").is_none()
        })
        .collect();
    for round in 0..ROUNDS {
        let mut order: Vec<_> = (0..runs.len()).collect();
        shuffle(&mut order);
        for index in order {
            let (name, program, case, figures) = &mut runs[index];
            let figure = measure(program.as_os_str(), case)?;
            println!("round {round}: {name}, {case}: {figure:?}");
            figures.push(figure);
        }
    }

    println!("\n| program | case | user µs | system µs | CPU µs | switches | requests a second |");
    println!("|---|---|---:|---:|---:|---:|---:|");
    for (name, _, case, figures) in &runs {
        let middle = |field: fn(&Figure) -> f64| median(figures.iter().map(field));
        println!(
            "| {name} | {case} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} |",
            middle(|figure| figure.user),
            middle(|figure| figure.system),
            middle(|figure| figure.user + figure.system),
            middle(|figure| figure.switches),
            middle(|figure| figure.rate),
        );
    }
    Ok(())
}

/// For one request.
#[derive(Debug)]
struct Figure {
    /// µs
    user: f64,
    /// µs
    system: f64,
    /// Context switches.
    switches: f64,
    /// Requests in a second.
    rate: f64,
}

/// The resources that a process has used since its start.
struct Usage {
    user: f64,
    system: f64,
    switches: f64,
}

fn measure(program: &OsStr, case: &str) -> Outcome<Figure> {
    let mut server = Command::new("taskset")
        .args(["--cpu-list", "0"])
        .arg(program)
        .args(["--serve", case])
        .stdout(Stdio::piped())
        .spawn()
        .map(Server)?;
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("piped")).read_line(&mut line)?;
    let address = line.trim();

    let send = |from: usize, count: usize| -> Outcome<f64> {
        let requests = thread::scope(|scope| {
            let signed = |connection| scope.spawn(move || requests(connection, from, count));
            let threads: Vec<_> = (0..CONNECTIONS).map(signed).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        let start = Instant::now();
        thread::scope(|scope| {
            for requests in &requests {
                scope.spawn(move || client(address, requests).expect("every delivery succeeds"));
            }
        });
        Ok(start.elapsed().as_secs_f64())
    };
    send(0, WARM_UP)?;
    let before = usage(server.0.id())?;
    let seconds = send(WARM_UP, REQUESTS)?;
    let after = usage(server.0.id())?;

    let all = (CONNECTIONS * REQUESTS) as f64;
    Ok(Figure {
        user: (after.user - before.user) / all * 1e6,
        system: (after.system - before.system) / all * 1e6,
        switches: (after.switches - before.switches) / all,
        rate: all / seconds,
    })
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn usage(process: u32) -> Outcome<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks = |index| -> Outcome<f64> {
        let ticks: f64 = fields.split_whitespace().nth(index).ok_or("a short line")?.parse()?;
        Ok(ticks / TICKS_PER_SECOND)
    };
    let mut switches = 0.0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        for line in status.lines().filter(|line| line.contains("ctxt_switches")) {
            switches += line.split_whitespace().nth(1).ok_or("no number")?.parse::<f64>()?;
        }
    }
    Ok(Usage { user: ticks(11)?, system: ticks(12)?, switches })
}

/// Requests of one connection, as bytes. Each has an ID of its own.
fn requests(connection: usize, from: usize, count: usize) -> Vec<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    let signer = Signer::new(scheme::STANDARD_WEBHOOKS, SECRET).expect("a valid secret").at(now);
    let body = vec![b'a'; BODY];
    let request = |number| {
        let signer = signer.clone().id(format!("msg_{connection:08}_{number:08}"));
        let signed = signer.sign(body.clone()).expect("a body can be signed");
        let mut head = format!("POST /hook HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n");
        for (name, value) in &signed.headers {
            write!(head, "{name}: {value}\r\n").expect("memory");
        }
        let mut request = head.into_bytes();
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(&signed.body);
        request
    };
    (from..from + count).map(request).collect()
}

fn client(address: &str, requests: &[Vec<u8>]) -> Outcome<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut response = [0; 1024];
    for request in requests {
        stream.write_all(request)?;
        let mut read = 0;
        while !response[..read].ends_with(b"\r\n\r\n") {
            match stream.read(&mut response[read..])? {
                0 => return Err("the server has closed the connection".into()),
                more => read += more,
            }
        }
        if !response.starts_with(b"HTTP/1.1 204") {
            return Err(String::from_utf8_lossy(&response[..read]).into());
        }
    }
    Ok(())
}

#[tokio::main]
async fn serve(case: &str) -> Outcome<()> {
    let bare = Router::new().route("/hook", post(handler));
    let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET)?;
    let app = match case {
        "bare" => bare,
        "by hand, HashMap" => {
            let deduplication = Deduplication::new(SECRET);
            bare.route_layer(from_fn_with_state(deduplication, deduplicate))
        }
        "layer" => bare.route_layer(WebhookLayer::new(Receiver::new(verifier))),
        "layer, MemoryStore" => {
            let idempotency = Idempotency::new(MemoryStore::new(), "bench");
            let receiver = Receiver::builder(verifier).idempotency(idempotency).build()?;
            bare.route_layer(WebhookLayer::new(receiver))
        }
        _ => return Err("no such case".into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn handler(body: Bytes) -> StatusCode {
    drop(body);
    StatusCode::NO_CONTENT
}

fn pin_to_second_core() -> Outcome<()> {
    let own = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["--pid", "--cpu-list", "1", &own])
        .stdout(Stdio::null())
        .status()?;
    if pinned.success() { Ok(()) } else { Err("this benchmark needs two cores".into()) }
}

fn shuffle(order: &mut [usize]) {
    for last in (1..order.len()).rev() {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("random bytes");
        order.swap(last, (u64::from_ne_bytes(bytes) % (last as u64 + 1)) as usize);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
