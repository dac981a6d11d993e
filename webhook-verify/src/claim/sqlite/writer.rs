use std::{
    any::Any,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, Error, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

use super::{reader::Reader, statements::Statements};
use crate::{
    claim::{
        BoxFuture, ClaimKey, ClaimOutcome, ClaimRequest, Holder, Settled, Step, StoreError,
        StoredResponse, contain_future,
        limiter::{Limiter, Slot, shortest},
    },
    clock::Clock,
};

/// How many calls one transaction commits.
const BATCH: usize = 64;
/// How many claims are served at a time: those of the current batch and of the next. The others
/// wait in front of the queue, so that completions, releases and renewals are never far from its
/// head.
const SLOTS: usize = 2 * BATCH;
/// How many calls may be in the queue.
const QUEUE: usize = 1024;
/// How long a call without a limit of its own waits while another connection has the lock: less
/// than a receiver waits for a claim.
const BUSY: Duration = Duration::from_millis(800);
/// The pause between attempts to take the lock. SQLite itself would soon pause for 100 ms each
/// time, and never get the lock from processes that retake it at once.
const POLL: Duration = Duration::from_millis(2);
const LOCKED: &str = "database is locked by a transaction of another connection";

/// A call to the writer. Each is harmless when repeated.
pub(super) enum Call {
    Claim(Vec<ClaimRequest>),
    Settle(Vec<Holder>, Step),
    CompleteWith { holder: Holder, status: u16, ttl: Duration, response: StoredResponse },
    Response { key: ClaimKey, limit: Duration },
    Forget(ClaimKey),
    Purge(usize),
    Migrate,
    Task(Box<dyn Task>, Urgency),
}

/// A call of another module. The writer runs it in its transaction. One that only reads may run on
/// another connection.
pub(crate) trait Task: Send + Sync {
    /// Runs the call at the time `now`. If the transaction is rolled back, the call may run again.
    fn run<'a>(
        &'a self,
        on: &'a mut SqliteConnection,
        now: Duration,
    ) -> BoxFuture<'a, Box<dyn Any + Send>>;
}

/// How a [`Task`] is queued, and whether it is skipped once its caller has given up. With the limit
/// of the caller: while another connection has the lock, the task waits for four fifths of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Urgency {
    /// As a claim: it waits in front of the queue for at most half of this limit, and may be
    /// skipped.
    New(Duration),
    /// As a renewal: it does not wait in front of the queue, and may be skipped.
    Renewal(Duration),
    /// As a completion: it does not wait in front of the queue, and always runs.
    Completion(Duration),
}

impl Urgency {
    fn limit(self) -> Duration {
        match self {
            Self::New(limit) | Self::Renewal(limit) | Self::Completion(limit) => limit,
        }
    }
}

pub(super) enum Answer {
    Outcomes(Vec<ClaimOutcome>),
    Settled(Vec<Settled>),
    Response(Option<StoredResponse>),
    Changed(u64),
    Task(Box<dyn Any + Send>),
    /// The call was skipped, because its caller has given up.
    Skipped,
}

/// The settings that a store adds to each of its calls.
pub(super) struct Settings {
    pub(super) statements: Statements,
    pub(super) clock: Arc<dyn Clock>,
}

struct Job {
    call: Call,
    settings: Arc<Settings>,
    answer: oneshot::Sender<Result<Answer, StoreError>>,
    /// When it fails if another connection still has the lock. If it has no limit of its own,
    /// `None` until it first meets the lock.
    until: Option<Instant>,
    /// Whether it runs in a transaction of its own, because one with others failed.
    runs_alone: bool,
    /// The slot in the limiter of a claim, of a duplicate that reads a response, or of a new task.
    _slot: Option<Slot>,
}

/// A handle to the thread that owns the connection. The thread ends when the last handle is
/// dropped.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    limiter: Arc<Limiter>,
    /// `None` if only the writer can read.
    reader: Option<Arc<Reader>>,
}

impl Writer {
    /// Opens the file, and creates it if it does not exist and the options allow that.
    pub(super) async fn open(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let options = options
            .busy_timeout(POLL)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        // Use a thread of its own: in a task, every claim would wait if that one runtime is busy.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StoreError::new)?;
        thread::Builder::new()
            .name("webhook-verify-sqlite".to_owned())
            .spawn(move || runtime.block_on(write(options, receiver, opened)))
            .map_err(StoreError::new)?;
        let reader = is_open.await.map_err(StoreError::new)??.map(Arc::new);
        Ok(Self { jobs: sender, limiter: Limiter::new(SLOTS), reader })
    }

    pub(super) fn reader(&self) -> Option<&Reader> {
        self.reader.as_deref()
    }

    pub(super) async fn call(
        &self,
        call: Call,
        settings: Arc<Settings>,
    ) -> Result<Answer, StoreError> {
        let until = match &call {
            // A caller without patience gets the error, and not only silence.
            Call::Task(_, urgency) => Instant::now().checked_add(urgency.limit() / 5 * 4),
            _ => None,
        };
        let slot = match &call {
            Call::Claim(requests) => {
                let limit = shortest(requests.iter().map(|request| request.limit));
                Some(self.limiter.enter(limit).await?)
            }
            Call::Response { limit, .. } | Call::Task(_, Urgency::New(limit)) => {
                Some(self.limiter.enter(*limit).await?)
            }
            _ => None,
        };
        let (answer, receiver) = oneshot::channel();
        let job = Job { call, settings, answer, until, runs_alone: false, _slot: slot };
        let ended = || StoreError::new("sqlite writer has ended");
        self.jobs.send(job).await.map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())?
    }
}

impl Job {
    /// Returns whether to skip the call, because its caller has given up and a late effect would do
    /// harm: a claim would leave a lease without a holder. Completions and releases always run.
    fn is_given_up(&self) -> bool {
        match self.call {
            Call::Claim(_)
            | Call::Settle(_, Step::Extend { .. })
            | Call::Response { .. }
            | Call::Purge(_)
            | Call::Task(_, Urgency::New(_) | Urgency::Renewal(_)) => self.answer.is_closed(),
            Call::Settle(_, Step::Complete { .. } | Step::Release)
            | Call::CompleteWith { .. }
            | Call::Forget(_)
            | Call::Migrate
            | Call::Task(_, Urgency::Completion(_)) => false,
        }
    }

    /// Returns whether to fail the call, if another connection has the lock.
    fn is_over(&mut self, now: Instant) -> bool {
        now >= *self.until.get_or_insert(now + BUSY) || self.is_given_up()
    }

    async fn run(&self, on: &mut SqliteConnection) -> Result<Answer, StoreError> {
        let Settings { statements, clock } = &*self.settings;
        let now = clock.now();
        let changed = match &self.call {
            Call::Claim(requests) => {
                let mut outcomes = Vec::with_capacity(requests.len());
                for request in requests {
                    outcomes.push(statements.claim(on, request, now).await?);
                }
                return Ok(Answer::Outcomes(outcomes));
            }
            Call::Settle(holders, step) => {
                let mut settled = Vec::with_capacity(holders.len());
                for holder in holders {
                    settled.push(statements.settle(on, holder, *step, now).await?);
                }
                return Ok(Answer::Settled(settled));
            }
            Call::CompleteWith { holder, status, ttl, response } => {
                let settled = statements.complete_with(on, holder, *status, *ttl, response, now);
                return Ok(Answer::Settled(vec![settled.await?]));
            }
            Call::Response { key, .. } => {
                return Ok(Answer::Response(statements.response(on, key, now).await?));
            }
            Call::Forget(key) => statements.forget(on, key).await?,
            Call::Purge(most) => statements.purge(on, now, *most).await?,
            Call::Migrate => statements.migrate(on).await?,
            Call::Task(task, _) => return Ok(Answer::Task(task.run(on, now).await?)),
        };
        Ok(Answer::Changed(changed))
    }
}

/// The reason why a batch was not committed.
enum Failure {
    /// Another connection has the lock.
    Busy,
    /// The transaction could not begin: the file is not accessible.
    Begin(Error),
    /// A call or the commit failed. To find the calls that fail, each is run alone.
    Run(StoreError),
}

impl Failure {
    fn begin(error: Error) -> Self {
        if is_busy(&error) { Self::Busy } else { Self::Begin(error) }
    }
}

async fn write(
    options: SqliteConnectOptions,
    mut queue: mpsc::Receiver<Job>,
    opened: oneshot::Sender<Result<Option<Reader>, StoreError>>,
) {
    let first = async {
        let mut connection = connect(&options).await?;
        Ok::<_, Error>((Reader::new(&options, &mut connection).await?, connection))
    };
    let (reader, connection) = match first.await {
        Ok(first) => first,
        Err(error) => {
            let _ = opened.send(Err(StoreError::new(error)));
            return;
        }
    };
    let _ = opened.send(Ok(reader));
    let mut connection = Some(connection);
    let mut jobs = Vec::with_capacity(BATCH);
    // Calls that arrive while a batch is committed are in the next one.
    while receive(&mut queue, &mut jobs).await {
        let size = next_batch(&jobs);
        match run_all(&mut connection, &options, jobs.split_at(size).0).await {
            Ok(answers) => {
                for (job, answer) in jobs.drain(..size).zip(answers) {
                    let _ = job.answer.send(Ok(answer));
                }
            }
            Err(Failure::Busy) => {
                let now = Instant::now();
                for job in jobs.extract_if(.., |job| job.is_over(now)) {
                    let _ = job.answer.send(Err(StoreError::new(LOCKED)));
                }
                tokio::time::sleep(POLL).await;
            }
            // The other callers in the queue would get the same error, so they get it now.
            Err(Failure::Begin(error)) => {
                let error = StoreError::new(error);
                while let Ok(job) = queue.try_recv() {
                    jobs.push(job);
                }
                for job in jobs.drain(..) {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
            Err(Failure::Run(error)) if size == 1 => {
                for job in jobs.drain(..size) {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
            Err(Failure::Run(_)) => {
                for job in jobs.iter_mut().take(size) {
                    job.runs_alone = true;
                }
            }
        }
    }
    if let Some(connection) = connection {
        let _ = connection.close().await;
    }
}

/// Receives calls, and waits for one if there is none yet. Returns `false` once the last handle is
/// dropped and there is no call.
async fn receive(queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>) -> bool {
    if jobs.is_empty() {
        return queue.recv_many(jobs, BATCH).await > 0;
    }
    // If the file is locked, those that have waited for long enough fail, wherever they are.
    while jobs.len() < QUEUE
        && let Ok(job) = queue.try_recv()
    {
        jobs.push(job);
    }
    true
}

/// Returns how many of the jobs the next transaction runs.
fn next_batch(jobs: &[Job]) -> usize {
    let together = jobs.iter().take(BATCH).take_while(|job| !job.runs_alone).count();
    together.max(1)
}

/// Runs the jobs in one transaction. A connection that may be damaged is dropped, and the next
/// batch opens another.
async fn run_all(
    connection: &mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
    jobs: &[Job],
) -> Result<Vec<Answer>, Failure> {
    let mut current = match connection.take() {
        Some(current) => current,
        None => connect(options).await.map_err(Failure::begin)?,
    };
    let mut is_usable = true;
    let result = run_on(&mut current, jobs, &mut is_usable).await;
    if is_usable {
        *connection = Some(current);
    }
    result
}

async fn run_on(
    connection: &mut SqliteConnection,
    jobs: &[Job],
    is_usable: &mut bool,
) -> Result<Vec<Answer>, Failure> {
    let begun = connection.begin_with("BEGIN IMMEDIATE").await.map_err(Failure::begin);
    *is_usable = matches!(begun, Ok(_) | Err(Failure::Busy));
    let mut transaction = begun?;
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        // Check this late, because the wait for the lock may have been long.
        if job.is_given_up() {
            answers.push(Answer::Skipped);
            continue;
        }
        // The clock, or a bug, may panic. The thread serves other calls.
        let answer = contain_future(job.run(&mut transaction)).await;
        match answer.unwrap_or_else(|| Err(StoreError::new("the call panicked"))) {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                // Some errors end the transaction by themselves. Then the rollback fails as well.
                *is_usable = transaction.rollback().await.is_ok();
                return Err(Failure::Run(error));
            }
        }
    }
    transaction.commit().await.map_err(|error| {
        *is_usable = false;
        Failure::Run(StoreError::new(error))
    })?;
    Ok(answers)
}

/// Connects, and retries while the file is busy: SQLite does not wait for others that switch to WAL
/// at the same moment.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    let mut tries = BUSY.as_millis() / 20;
    loop {
        match options.connect().await {
            Err(error) if tries > 0 && is_busy(&error) => {
                tries -= 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            connected => return connected,
        }
    }
}

/// Returns whether the error is `SQLITE_BUSY` or one of its extended codes.
fn is_busy(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == 5)
}
