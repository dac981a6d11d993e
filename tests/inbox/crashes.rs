//! Receivers with an inbox and workers in processes of their own, which are killed, frozen, and cut
//! off from their store. What they and the store have written down is judged at the end.

mod child;
mod history;

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use integration_tests::{
    Folder, Kind as Store, Place, Proxy, Weather, raw_request, size, soon, try_exchange,
};
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::{
    task::{JoinHandle, JoinSet, block_in_place, spawn_blocking},
    time::sleep,
};
use webhook_verify::testing::Signer;

use self::{
    child::{Kind, LEASE, Process, SECRET, Task},
    history::{Reader, Record, Writer, faults},
};

const SENDERS: usize = 4;
/// The number of events in the inbox above which the senders wait.
const BACKLOG: usize = 100;

/// Returns a random number less than `below`.
fn random(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
}

fn random_ms(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(range.start + random(range.end - range.start))
}

/// A store, the history, and the senders.
struct Rig {
    place: Place,
    folder: Folder,
    sent: AtomicUsize,
    backlog: AtomicUsize,
    lines: AtomicUsize,
    is_closed: AtomicBool,
    record: Mutex<Record>,
}

/// The database itself writes each lease down, in the transaction that makes it.
const SQLITE: &str = "
CREATE TABLE effect (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL);
CREATE TABLE leased (
  number INTEGER PRIMARY KEY AUTOINCREMENT, event INTEGER, last INTEGER, attempt INTEGER, is_due INTEGER
);
CREATE TRIGGER write_down AFTER UPDATE ON webhook_inbox_entry
WHEN NEW.attempt <> OLD.attempt OR (NEW.state = 1 AND NEW.owner IS NOT OLD.owner)
BEGIN
  INSERT INTO leased (event, last, attempt, is_due)
  VALUES (NEW.event, OLD.attempt, NEW.attempt,
    OLD.state < 2 AND OLD.due_at <= unixepoch('subsec') * 1000 + 1);
END";
const POSTGRES: &str = "
CREATE TABLE effect (number bigserial, id text NOT NULL);
CREATE TABLE leased (number bigserial, event bigint, last integer, attempt integer, is_due boolean);
CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.attempt <> OLD.attempt OR (NEW.state = 1 AND NEW.owner IS DISTINCT FROM OLD.owner) THEN
    INSERT INTO leased (event, last, attempt, is_due)
    VALUES (NEW.event, OLD.attempt, NEW.attempt,
      OLD.state < 2 AND OLD.due_at <= clock_timestamp());
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER write_down AFTER UPDATE ON webhook_inbox_entry
  FOR EACH ROW EXECUTE FUNCTION write_down()";
const EFFECTS: &str = "SELECT id FROM effect ORDER BY number";
const WRONG: &str = "SELECT count(*) FROM leased WHERE attempt <> last + 1 OR NOT is_due";
const LEASES: &str = "SELECT count(*) FROM leased";

impl Rig {
    async fn new(kind: Store) -> Arc<Self> {
        let place = Place::new(kind);
        // Makes the tables.
        drop(child::inbox(&place.url).await.unwrap());
        if kind == Store::Sqlite {
            let mut connection = SqliteConnection::connect(&place.url).await.unwrap();
            sqlx::raw_sql(SQLITE).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&place.url).await.unwrap();
            sqlx::raw_sql(POSTGRES).execute(&mut connection).await.unwrap();
        }
        let rig = Arc::new(Self {
            place,
            folder: Folder::new("crashes"),
            sent: AtomicUsize::new(0),
            backlog: AtomicUsize::new(0),
            lines: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            record: Mutex::default(),
        });
        drop(Writer::open(&rig.path()));
        rig
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    fn open(self: &Arc<Self>, targets: &Targets) -> JoinSet<()> {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            senders.spawn(Arc::clone(self).send(sender, Arc::clone(targets)));
        }
        senders
    }

    /// Watches how the history and the backlog grow.
    fn watch(self: &Arc<Self>) -> JoinHandle<()> {
        let rig = Arc::clone(self);
        tokio::spawn(async move {
            let inbox = child::inbox(&rig.place.url).await.unwrap();
            let mut reader = Reader::open(&rig.path());
            loop {
                rig.lines.fetch_add(reader.more().lines().count(), SeqCst);
                if let Ok(stats) = inbox.stats().await {
                    let backlog = stats.iter().map(|it| it.waiting + it.running).sum::<u64>();
                    rig.backlog.store(backlog as usize, SeqCst);
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
    }

    /// Waits until so many more lines were written.
    async fn until_more_lines(&self, count: usize) {
        let enough = self.lines.load(SeqCst) + count;
        let more = async {
            while self.lines.load(SeqCst) < enough {
                sleep(Duration::from_millis(2)).await;
            }
        };
        soon("more lines of handlers", more).await;
    }

    /// Sends batches, each until it is acknowledged.
    async fn send(self: Arc<Self>, sender: usize, targets: Targets) {
        let keys: Vec<_> = (0..2).map(|key| format!("{sender}-{key}")).collect();
        let first = {
            let mut record = self.record.lock().unwrap();
            record.ordered.extend([vec![], vec![]]);
            record.ordered.len() - 2
        };
        let mut number = 0;
        while !self.is_closed.load(SeqCst) {
            if self.backlog.load(SeqCst) > BACKLOG {
                sleep(Duration::from_millis(5)).await;
                continue;
            }
            let mut tasks = Vec::new();
            for _ in 0..1 + random(5) {
                number += 1;
                let key = random(4) as usize;
                let kind = match random(40) {
                    0 if key >= 2 => Kind::Long,
                    0..10 => Kind::Plain,
                    10..15 => Kind::Fail,
                    _ => Kind::Commit,
                };
                let order = keys.get(key).cloned();
                tasks.push(Task { id: format!("{sender}.{number}"), order, kind });
            }
            {
                let mut record = self.record.lock().unwrap();
                for task in &tasks {
                    let key = keys.iter().position(|key| task.order.as_ref() == Some(key));
                    if let Some(key) = key {
                        record.ordered[first + key].push(task.id.clone());
                    }
                    if task.kind == Kind::Commit {
                        record.committing.insert(task.id.clone());
                    }
                }
            }
            self.sent.fetch_add(tasks.len(), SeqCst);
            let signer = Signer::new(child::scheme(), SECRET).unwrap();
            let request = signer.sign(serde_json::to_vec(&tasks).unwrap()).unwrap();
            let raw = raw_request("POST", "/", &request.headers, &request.body);
            loop {
                let target = {
                    let targets = targets.lock().unwrap();
                    targets[random(targets.len() as u64) as usize]
                };
                let response = try_exchange(target, &raw, LEASE).await;
                match response.map(|response| response.status) {
                    Some(204) => break,
                    Some(503) | None => sleep(random_ms(1..50)).await,
                    Some(status) => panic!("{status}"),
                }
            }
            let acknowledged = tasks.into_iter().map(|task| task.id);
            self.record.lock().unwrap().acknowledged.extend(acknowledged);
        }
    }

    /// Waits until all events are processed, and judges the history.
    async fn judge(
        &self,
        mut senders: JoinSet<()>,
        watcher: JoinHandle<()>,
        processes: Vec<Process>,
        what: &str,
    ) {
        self.is_closed.store(true, SeqCst);
        let ended = async {
            while let Some(ended) = senders.join_next().await {
                ended.unwrap();
            }
        };
        soon("end of the senders", ended).await;
        let inbox = child::inbox(&self.place.url).await.unwrap();
        let all_processed = async {
            loop {
                if let Ok(stats) = inbox.stats().await
                    && stats.iter().all(|it| it.waiting + it.running == 0)
                {
                    return assert!(stats.iter().all(|it| it.dead == 0), "{stats:?}");
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        soon("end of all events", all_processed).await;
        block_in_place(|| processes.into_iter().for_each(Process::kill));
        watcher.abort();
        let history = std::fs::read_to_string(self.path()).unwrap();
        let (effects, wrong, leases): (Vec<String>, i64, i64) = if self.place.kind == Store::Sqlite
        {
            let mut connection = SqliteConnection::connect(&self.place.url).await.unwrap();
            (
                sqlx::query_scalar(EFFECTS).fetch_all(&mut connection).await.unwrap(),
                sqlx::query_scalar(WRONG).fetch_one(&mut connection).await.unwrap(),
                sqlx::query_scalar(LEASES).fetch_one(&mut connection).await.unwrap(),
            )
        } else {
            let mut connection = PgConnection::connect(&self.place.url).await.unwrap();
            (
                sqlx::query_scalar(EFFECTS).fetch_all(&mut connection).await.unwrap(),
                sqlx::query_scalar(WRONG).fetch_one(&mut connection).await.unwrap(),
                sqlx::query_scalar(LEASES).fetch_one(&mut connection).await.unwrap(),
            )
        };
        let mut record = self.record.lock().unwrap();
        record.effects = effects;
        let faults = faults(&history, &record);
        let count = |word: &str| history.matches(&format!(" {word}")).count();
        println!(
            "{:?}, {what}: {} events sent, {} acknowledged, {leases} leases, {} runs, {} ended, \
             {} dropped, {} effects, {} stalls",
            self.place.kind,
            self.sent.load(SeqCst),
            record.acknowledged.len(),
            count("begins "),
            count("ends "),
            count("drops "),
            record.effects.len(),
            count("stalled "),
        );
        assert!(
            faults.is_empty(),
            "{} faults: {:#?}",
            faults.len(),
            &faults[..faults.len().min(20)]
        );
        assert_eq!(wrong, 0, "each lease was due, and raised the attempts by one");
        assert!(record.acknowledged.len() > 20 && record.effects.len() > 5);
    }
}

/// The addresses of the processes.
type Targets = Arc<Mutex<Vec<SocketAddr>>>;

/// B4: what a receiver has acknowledged before it is killed is processed. `CYCLES` sets how often.
async fn killed_at_any_time(store: Store) {
    let cycles = env::var("CYCLES").map_or(20, |number| number.parse().unwrap());
    let rig = Rig::new(store).await;
    let start = async |number| {
        let (url, path) = (rig.place.url.clone(), rig.path());
        spawn_blocking(move || Process::start(number, &url, &path)).await.unwrap()
    };
    let mut process = start(0).await;
    let targets = Arc::new(Mutex::new(vec![process.addr]));
    let (senders, watcher) = (rig.open(&targets), rig.watch());
    for cycle in 1..=cycles {
        rig.until_more_lines(1 + random(60) as usize).await;
        sleep(random_ms(0..20)).await;
        block_in_place(|| process.kill());
        process = start(cycle).await;
        targets.lock().unwrap()[0] = process.addr;
    }
    rig.judge(senders, watcher, vec![process], &format!("{cycles} kills")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_time_on_sqlite() {
    killed_at_any_time(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_time_on_postgres() {
    killed_at_any_time(Store::Postgres).await;
}

/// Starts a process again and again, and does one fault after the other to it. Returns the process,
/// and how often it suffered each fault.
async fn suffer(
    rig: Arc<Rig>,
    member: u32,
    targets: Targets,
    until: Instant,
) -> (Process, Proxy, BTreeMap<&'static str, usize>) {
    let proxy = Proxy::start(rig.place.server.unwrap()).await;
    let url = rig.place.url_via(proxy.addr());
    let mut number = member;
    let start = async |number| {
        let (url, path) = (url.clone(), rig.path());
        let process = spawn_blocking(move || Process::start(number, &url, &path)).await.unwrap();
        targets.lock().unwrap()[member as usize] = process.addr;
        process
    };
    let endure = async |weather, time| {
        proxy.weather(weather);
        sleep(time).await;
        proxy.weather(Weather::default());
    };
    // Long enough for others to take over, or not.
    let long = || random_ms(0..LEASE.as_millis() as u64 * 3 / 2);
    let mut process = start(number).await;
    let mut faults = BTreeMap::new();
    let mut kind = random(6);
    while Instant::now() < until {
        sleep(random_ms(0..500)).await;
        kind = (kind + 1) % 6;
        let fault = match kind {
            0 => {
                block_in_place(|| process.kill());
                number += 10;
                process = start(number).await;
                "killed"
            }
            1 => {
                process.note("frozen");
                process.signal("-STOP");
                sleep(LEASE + long()).await;
                process.signal("-CONT");
                process.note("thawed");
                "frozen"
            }
            2 => {
                let delay = random_ms(20..250);
                endure(Weather { delay, ..Weather::default() }, long()).await;
                "slow"
            }
            3 => {
                proxy.weather(Weather { refuse: true, ..Weather::default() });
                proxy.sever();
                endure(Weather { refuse: true, ..Weather::default() }, long()).await;
                "cut"
            }
            4 => {
                proxy.cut_replies(usize::MAX, 0);
                sleep(random_ms(50..500)).await;
                proxy.cut_replies(0, 0);
                "replies lost"
            }
            _ => {
                endure(Weather { hold: true, ..Weather::default() }, long()).await;
                "black hole"
            }
        };
        *faults.entry(fault).or_default() += 1;
    }
    (process, proxy, faults)
}

/// D6: four processes with a store behind a network, while they are killed and frozen and cut off
/// from it. `SECONDS` sets for how long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_four_processes() {
    let default = size(10, 60);
    let seconds = env::var("SECONDS").map_or(default, |number| number.parse().unwrap());
    let rig = Rig::new(Store::Postgres).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let targets: Targets = Arc::new(Mutex::new(vec![nowhere; 4]));
    let mut members = JoinSet::new();
    for member in 0..4 {
        members.spawn(suffer(Arc::clone(&rig), member, Arc::clone(&targets), until));
    }
    let (senders, watcher) = (rig.open(&targets), rig.watch());
    let (mut processes, mut proxies, mut all) = (Vec::new(), Vec::new(), BTreeMap::new());
    while let Some(member) = members.join_next().await {
        let (process, proxy, faults) = member.unwrap();
        processes.push(process);
        proxies.push(proxy);
        for (fault, count) in faults {
            *all.entry(fault).or_insert(0) += count;
        }
    }
    rig.judge(senders, watcher, processes, &format!("{seconds} s, {all:?}")).await;
}
