//! Reads the receivers' output with `--trace` as runs of their handlers.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;

use super::{
    now,
    outbox::{FLAGS, Target},
};
use crate::running::{Running, receiver};

/// A handler that ran.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) attempt: u64,
    pub(crate) begin: u64,
    /// When it ended; or else, when its process was dead.
    pub(crate) end: u64,
    /// Whether it came to its end, and so to its effect.
    pub(crate) is_done: bool,
}

/// An example receiver's command.
pub(crate) fn traced(name: &str, store: &str, lease: Duration, delay: &str) -> Command {
    let mut command = receiver(name, store);
    command
        .args(FLAGS)
        .args(["--lease", &lease.as_secs().to_string()])
        .args(["--trace", "--delay", delay])
        .stderr(Stdio::piped());
    command
}

/// A receiver that is killed and started again.
pub(crate) struct Restarted {
    command: Box<dyn FnMut() -> Command + Send>,
    pub(crate) target: Target,
    running: Option<Running>,
    pub(crate) runs: Vec<Run>,
    /// The logs of its processes.
    pub(crate) log: String,
}

impl Restarted {
    pub(crate) fn start(command: impl FnMut() -> Command + Send + 'static) -> Self {
        let mut receiver = Self {
            command: Box::new(command),
            target: Arc::new(Mutex::new(SocketAddr::from(([127, 0, 0, 1], 1)))),
            running: None,
            runs: Vec::new(),
            log: String::new(),
        };
        receiver.revive();
        receiver
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Waits until it has printed so many lines since it was started.
    pub(crate) fn until_printed(&mut self, count: usize) {
        self.running.as_mut().unwrap().until_printed(count);
    }

    /// Starts it again, after it was killed.
    pub(crate) fn revive(&mut self) {
        let running = Running::spawn_again(&mut self.command);
        *self.target.lock().unwrap() = running.addr;
        self.running = Some(running);
    }

    pub(crate) fn kill(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let (lines, log) = running.end_with_log();
        self.runs.extend(read(&lines, now()));
        self.log += &log;
    }

    /// How many lines of the log have `text` in them.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log.matches(text).count()
    }
}

/// The runs in the lines of a process that died at `death`.
fn read(lines: &[Value], death: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut at: HashMap<(&Value, &Value), usize> = HashMap::new();
    for line in lines {
        let (pair, time) = ((&line["key"], &line["attempt"]), line["at"].as_u64().unwrap());
        match line["handler"].as_str().unwrap() {
            "begins" => {
                let twice = at.insert(pair, runs.len());
                assert!(twice.is_none(), "granted twice to one process: {line}");
                runs.push(Run {
                    id: line["id"].as_str().unwrap().to_owned(),
                    key: line["key"].as_str().unwrap().to_owned(),
                    attempt: line["attempt"].as_u64().unwrap(),
                    begin: time,
                    end: death,
                    is_done: false,
                });
            }
            _ => {
                let run = &mut runs[at[&pair]];
                (run.end, run.is_done) = (time, true);
            }
        }
    }
    runs
}

/// The runs of each event, in the order in which they began. No two were granted the same attempt.
pub(crate) fn by_event(runs: Vec<Run>) -> BTreeMap<String, Vec<Run>> {
    let mut owners = HashSet::new();
    let mut events: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for run in runs {
        let is_new = owners.insert((run.key.clone(), run.attempt));
        assert!(is_new, "two owners of one attempt: {run:?}");
        events.entry(run.id.clone()).or_default().push(run);
    }
    for runs in events.values_mut() {
        runs.sort_by_key(|run| run.begin);
        assert!(runs.iter().all(|run| run.key == runs[0].key), "{runs:?}");
    }
    events
}

/// Checks that every acknowledged event was done before its acknowledgment.
pub(crate) fn check_acknowledged(
    acknowledged: &BTreeMap<String, u64>,
    events: &BTreeMap<String, Vec<Run>>,
) {
    for (id, at) in acknowledged {
        let runs = events.get(id).map_or(&[][..], Vec::as_slice);
        let is_done = runs.iter().any(|run| run.is_done && run.end <= *at);
        assert!(is_done, "{id} acknowledged at {at}: {runs:?}");
    }
}

/// How the log says that the store did not take note of a handler's success.
pub(crate) const NOT_COMPLETED: &str = r#"call="complete""#;
/// How the log says that another has taken over.
pub(crate) const LEASE_LOST: &str = r#"event="lease_lost""#;

/// An event that was acknowledged is taken over and run again only if the holder logged that it
/// could not settle its claim.
pub(crate) fn check_settled(
    acknowledged: &BTreeMap<String, u64>,
    events: &BTreeMap<String, Vec<Run>>,
    log: &str,
) {
    let settling =
        log.lines().filter(|line| line.contains(NOT_COMPLETED) || line.contains(LEASE_LOST));
    let settling: Vec<_> = settling.collect();
    for (id, at) in acknowledged {
        let (before, after): (Vec<_>, Vec<_>) = events[id].iter().partition(|run| run.begin <= *at);
        // A late one may be of a holder that stood still before it began.
        let last = before.iter().map(|run| run.attempt).max();
        let Some(again) = after.iter().find(|run| Some(run.attempt) > last) else {
            continue;
        };
        let is_logged = settling.iter().any(|line| line.contains(&again.key));
        assert!(is_logged, "run again after {at}: {:?}", events[id]);
    }
}
