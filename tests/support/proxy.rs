//! A proxy between a client and a server that simulates a bad network: it delays, cuts and drops
//! data.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// How the proxy treats data from now on. By default it forwards it at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// How long each piece takes.
    pub delay: Duration,
    /// How much longer a piece takes at most.
    pub jitter: Duration,
    /// How many of 1,000 pieces are lost and arrive when they are sent again.
    pub lost: u64,
    /// How much longer a lost piece takes.
    pub stall: Duration,
    /// How many of 1,000 pieces reset their connection instead of arriving.
    pub reset: u64,
    /// Accepts connections, and passes no data. A connection that lost data stays dead.
    pub black_hole: bool,
    /// Holds all data back. It arrives when the weather changes, as with TCP.
    pub hold: bool,
    /// Resets connections as soon as they are accepted.
    pub refuse: bool,
}

/// A proxy in front of a server. It stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    weather: Mutex<Weather>,
    /// The bytes that a request must contain to be cut, or to have its reply cut.
    marker: Mutex<Vec<u8>>,
    cut_requests: AtomicUsize,
    cut_replies: AtomicUsize,
    /// How many bytes of a reply pass before it is cut.
    passed: AtomicUsize,
    cuts: AtomicUsize,
    dice: AtomicU64,
    severed: watch::Sender<()>,
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Proxy {
    /// Starts a proxy to `target`, in good weather.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            weather: Mutex::default(),
            marker: Mutex::default(),
            cut_requests: AtomicUsize::new(0),
            cut_replies: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
            cuts: AtomicUsize::new(0),
            // Any number but 0. Each test rolls the same dice, in an order that depends on the
            // machine.
            dice: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
            severed: watch::Sender::new(()),
        });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => drop(tokio::spawn(connection(client, of_task.clone()))),
                    // The client has gone, for example.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Self { addr, shared, task }
    }

    /// Returns the proxy's address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes the weather, also for existing connections.
    pub fn weather(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap() = weather;
    }

    /// Redirects new connections to another server, and ends the existing ones.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap() = target;
        self.sever();
    }

    /// Resets all connections.
    pub fn sever(&self) {
        self.shared.severed.send_replace(());
    }

    /// From now on, cuts only requests that contain these bytes, and replies to them.
    pub fn cut_only(&self, marker: &[u8]) {
        *self.shared.marker.lock().unwrap() = marker.to_vec();
    }

    /// Cuts the connections of the next `count` pieces from clients, which do not arrive.
    pub fn cut_requests(&self, count: usize) {
        self.shared.cut_requests.store(count, SeqCst);
    }

    /// Cuts the connections of the next `count` replies, after `passed` bytes. The server has
    /// processed those requests.
    pub fn cut_replies(&self, count: usize, passed: usize) {
        self.shared.passed.store(passed, SeqCst);
        self.shared.cut_replies.store(count, SeqCst);
    }

    /// Returns how many requests and replies were cut so far.
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.sever();
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    /// Returns a number below `sides`. Xorshift is good enough for weather.
    fn roll(&self, sides: u64) -> u64 {
        let next = |mut x: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        let before = self.dice.fetch_update(SeqCst, SeqCst, |x| Some(next(x)));
        next(before.unwrap()) % sides
    }

    /// Returns whether to cut this piece. `asked` tells whether the connection's last request may
    /// be cut.
    fn is_cut(&self, way: Way, piece: &[u8], asked: &AtomicBool) -> bool {
        let (left, may_be) = match way {
            Way::Up => {
                let marker = self.marker.lock().unwrap();
                let has_it =
                    marker.is_empty() || piece.windows(marker.len()).any(|at| at == *marker);
                asked.store(has_it, SeqCst);
                (&self.cut_requests, has_it)
            }
            Way::Down => (&self.cut_replies, asked.load(SeqCst)),
        };
        let cut = may_be && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        self.cuts.fetch_add(usize::from(cut), SeqCst);
        cut
    }
}

async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    let mut severed = shared.severed.subscribe();
    let target = *shared.target.lock().unwrap();
    let ended = async {
        if shared.weather().refuse {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut server = TcpStream::connect(target).await?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let asked = AtomicBool::new(false);
        tokio::select! {
            ended = pump(Way::Up, from_client, to_server, &shared, &asked) => ended,
            ended = pump(Way::Down, from_server, to_client, &shared, &asked) => ended,
            _ = severed.changed() => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.await.is_err() {
        let _ = client.set_zero_linger();
    }
}

/// Passes pieces on until one side ends.
async fn pump(
    way: Way,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    asked: &AtomicBool,
) -> io::Result<()> {
    let reset = || Err(io::ErrorKind::ConnectionReset.into());
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        if shared.is_cut(way, &piece[..length], asked) {
            let passed = shared.passed.load(SeqCst).min(length);
            if matches!(way, Way::Down) {
                to.write_all(&piece[..passed]).await?;
            }
            return reset();
        }
        while shared.weather().hold {
            sleep(Duration::from_millis(5)).await;
        }
        let weather = shared.weather();
        if weather.black_hole {
            return std::future::pending().await;
        }
        if shared.roll(1000) < weather.reset {
            return reset();
        }
        let mut wait = weather.delay + weather.jitter.mul_f64(shared.roll(1000) as f64 / 1000.0);
        if shared.roll(1000) < weather.lost {
            wait += weather.stall;
        }
        if !wait.is_zero() {
            sleep(wait).await;
        }
        to.write_all(&piece[..length]).await?;
    }
}
