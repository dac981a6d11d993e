//! The history that processes write while they work, and its check.
//!
//! All processes append to one file, each line with one call, so the order of the lines is that in
//! which they were written. A line is `TIME PROCESS WORD [EVENT ATTEMPT]`, with the time in
//! milliseconds. The words are:
//!
//! * `begins`, `goes-on`, `ends`, `fails` and `drops`, of a handler;
//! * `stalled TIME`, of a process that noticed that it stood still since then;
//! * `frozen`, `thawed` and `killed`, of a process, written by the one that does this to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
    time::SystemTime,
};

use super::child::LEASE;

/// Returns the milliseconds since the Unix epoch. All processes have the same clock.
pub(super) fn now() -> u64 {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    elapsed.as_millis().try_into().unwrap()
}

/// Appends lines to the file.
#[derive(Debug)]
pub(super) struct Writer(File);

impl Writer {
    pub(super) fn open(path: &Path) -> Self {
        Self(OpenOptions::new().append(true).create(true).open(path).unwrap())
    }

    pub(super) fn write(&self, line: &str) {
        // The system keeps the writes of a killed process, so they need no fsync.
        (&self.0).write_all(format!("{} {line}\n", now()).as_bytes()).unwrap();
    }
}

/// Reads the file while it grows.
pub(super) struct Reader(File);

impl Reader {
    pub(super) fn open(path: &Path) -> Self {
        Self(File::open(path).unwrap())
    }

    /// Returns the lines since the last call.
    pub(super) fn more(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        text
    }
}

/// The events that were sent, and their results.
#[derive(Default)]
pub(super) struct Record {
    /// The acknowledged events.
    pub(super) acknowledged: BTreeSet<String>,
    /// The events of each order key, in the order in which they were sent.
    pub(super) ordered: Vec<Vec<String>>,
    /// The events whose handlers commit their effects.
    pub(super) committing: BTreeSet<String>,
    /// The effects that were committed, in their order.
    pub(super) effects: Vec<String>,
}

/// A handler that runs.
struct Run {
    process: u32,
    attempt: u32,
    /// Whether a later attempt has begun.
    is_overtaken: bool,
    /// How often its handler continued after that.
    late: u32,
}

#[derive(Default)]
struct Judge<'r> {
    /// The order key and the position of each ordered event.
    places: HashMap<&'r str, (usize, usize)>,
    ordered: &'r [Vec<String>],
    committed: HashSet<&'r str>,
    runs: HashMap<String, Vec<Run>>,
    begun: HashSet<(String, u32)>,
    last: HashMap<String, u32>,
    ended: HashSet<String>,
    /// The number of events of each order key that have begun.
    reached: HashMap<usize, usize>,
    /// The times at which each process stood still: the start and the end of each.
    stalls: HashMap<u32, Vec<(u64, u64)>>,
    faults: Vec<String>,
}

/// Returns what is wrong in a history.
pub(super) fn faults(history: &str, record: &Record) -> Vec<String> {
    let mut judge = Judge {
        ordered: &record.ordered,
        committed: record.effects.iter().map(|id| &**id).collect(),
        ..Judge::default()
    };
    for (key, ids) in record.ordered.iter().enumerate() {
        for (position, id) in ids.iter().enumerate() {
            judge.places.insert(id, (key, position));
        }
    }
    for line in history.lines() {
        judge.read_stalls(line);
    }
    for line in history.lines() {
        judge.read(line);
    }
    for id in &record.acknowledged {
        if !judge.is_done(id) {
            judge.faults.push(format!("{id} was acknowledged and is lost"));
        }
    }
    let mut counts = BTreeMap::<_, usize>::new();
    for id in &record.effects {
        *counts.entry(id).or_default() += 1;
    }
    for id in record.committing.intersection(&record.acknowledged) {
        let count = counts.get(id).copied().unwrap_or_default();
        if count != 1 {
            judge.faults.push(format!("{id} has {count} effects"));
        }
    }
    let mut reached = HashMap::new();
    for id in &record.effects {
        if let Some((key, position)) = judge.places.get(&**id)
            && reached.insert(key, position).is_some_and(|before| before >= position)
        {
            judge.faults.push(format!("the effect of {id} comes after that of a later event"));
        }
    }
    judge.faults
}

/// Returns the time, the process, and the rest of a line.
fn parts(line: &str) -> (u64, u32, Vec<&str>) {
    let mut words = line.split(' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (time, process) = (number(), number());
    (time, process.try_into().unwrap(), words.collect())
}

impl Judge<'_> {
    fn read_stalls(&mut self, line: &str) {
        let (time, process, words) = parts(line);
        let stalls = self.stalls.entry(process).or_default();
        match words[..] {
            ["stalled", since] => stalls.push((since.parse().unwrap(), time)),
            ["frozen"] => stalls.push((time, u64::MAX)),
            ["thawed"] => stalls.last_mut().unwrap().1 = time,
            _ => {}
        }
    }

    /// Returns whether a process stood still at the time, or within the margin before it in which
    /// its worker ends handlers. The worker may then have noticed the end of a lease too late.
    fn stood_still(&self, process: u32, at: u64) -> bool {
        let margin = (LEASE / 10).as_millis() as u64;
        let stalls = self.stalls.get(&process);
        stalls.is_some_and(|all| all.iter().any(|(from, to)| *from <= at && at - margin <= *to))
    }

    fn read(&mut self, line: &str) {
        let (time, process, words) = parts(line);
        match words[..] {
            ["killed"] => {
                self.runs.values_mut().for_each(|runs| runs.retain(|run| run.process != process));
            }
            ["frozen" | "thawed"] | ["stalled", _] => {}
            ["begins", id, attempt] => self.begin(time, process, id, attempt.parse().unwrap()),
            [word, id, attempt] => {
                let attempt = attempt.parse().unwrap();
                self.go_on(line, id, attempt, word == "goes-on");
                if word == "ends" {
                    self.ended.insert(id.to_owned());
                }
            }
            _ => panic!("{line}"),
        }
    }

    fn begin(&mut self, time: u64, process: u32, id: &str, attempt: u32) {
        if !self.begun.insert((id.to_owned(), attempt)) {
            self.faults.push(format!("{id}: two owners of attempt {attempt}"));
        }
        let last = self.last.entry(id.to_owned()).or_default();
        let is_overtaken = attempt < *last;
        *last = attempt.max(*last);
        if is_overtaken && !self.stood_still(process, time) {
            self.faults.push(format!("{id}: attempt {attempt} after a later one"));
        }
        let mut runs = self.runs.remove(id).unwrap_or_default();
        if !is_overtaken {
            for run in &mut runs {
                if !run.is_overtaken && !self.stood_still(run.process, time) {
                    let (a, b) = (run.attempt, run.process);
                    self.faults.push(format!(
                        "{id}: attempt {attempt} in process {process} during attempt {a} in {b}"
                    ));
                }
                run.is_overtaken = true;
            }
        }
        runs.push(Run { process, attempt, is_overtaken, late: 0 });
        self.runs.insert(id.to_owned(), runs);
        if !is_overtaken && let Some((key, position)) = self.places.get(id).copied() {
            let reached = self.reached.get(&key).copied().unwrap_or_default();
            if position + 1 < reached {
                self.faults.push(format!("{id} runs after a later event of its order key"));
            }
            self.reached.insert(key, reached.max(position + 1));
            let before = position.checked_sub(1).map(|before| &self.ordered[key][before]);
            if let Some(before) = before
                && !self.is_done(before)
            {
                self.faults.push(format!("{id} runs before {before} is done"));
            }
        }
    }

    fn go_on(&mut self, line: &str, id: &str, attempt: u32, runs_on: bool) {
        let runs = self.runs.entry(id.to_owned()).or_default();
        let Some(index) = runs.iter().position(|run| run.attempt == attempt) else {
            return self.faults.push(format!("no such run: {line}"));
        };
        if !runs_on {
            runs.remove(index);
        } else if runs[index].is_overtaken {
            runs[index].late += 1;
            // The process may stand still between the check of the lease and the handler's work. A
            // pause in that work may then end at once.
            if runs[index].late > 2 {
                self.faults.push(format!("{id}: attempt {attempt} goes on after a later one"));
            }
        }
    }

    fn is_done(&self, id: &str) -> bool {
        self.ended.contains(id) || self.committed.contains(id)
    }
}

/// The judge finds each kind of fault.
#[test]
fn faults_are_found() {
    let strings = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let record = |acknowledged: &[&str], effects: &[&str]| Record {
        acknowledged: strings(acknowledged).into_iter().collect(),
        ordered: vec![strings(&["o1", "o2"])],
        committing: strings(&["c1", "o1", "o2"]).into_iter().collect(),
        effects: strings(effects),
    };
    let none: &[&str] = &[];
    // One line per second.
    let timed = |history: &str| {
        let lines = history.lines().enumerate();
        lines.map(|(index, line)| format!("{}000 {line}\n", index + 1)).collect::<String>()
    };
    let plain = record(none, none);
    for (history, record, expected) in [
        ("1 begins a 1\n1 ends a 1", record(&["a"], none), ""),
        ("1 begins a 1\n1 killed", record(&["a"], none), "a was acknowledged and is lost"),
        ("", record(&["c1"], &["c1"]), ""),
        ("1 begins c1 1\n1 ends c1 1", record(&["c1"], none), "c1 has 0 effects"),
        ("", record(&["c1"], &["c1", "c1"]), "c1 has 2 effects"),
        ("", record(none, &["o2", "o1"]), "the effect of o1 comes after that of a later event"),
    ] {
        assert_eq!(faults(&timed(history), &record).join("\n"), expected, "{history}");
    }
    let long = "2 frozen\n1 begins a 2\n2 goes-on a 1\n2 goes-on a 1";
    let overlap = "a: attempt 2 in process 2 during attempt 1 in 1";
    for (history, expected) in [
        ("1 begins a 1\n1 killed\n2 begins a 2\n2 ends a 2", ""),
        ("1 begins a 1\n1 fails a 1\n1 begins a 2", ""),
        ("1 begins a 1\n2 begins a 2", overlap),
        ("1 begins a 1\n1 frozen\n2 begins a 2\n1 goes-on a 1\n1 drops a 1", ""),
        ("1 frozen\n1 thawed\n1 begins a 1\n2 begins a 2", overlap),
        ("1 begins a 1\n2 begins a 2\n1 stalled 1900\n1 drops a 1", ""),
        ("1 begins a 1\n1 stalled 1000\n2 begins a 2\n1 drops a 1", overlap),
        ("1 begins a 1\n2 begins a 2\n1 stalled 2100\n1 drops a 1", overlap),
        ("1 begins a 1\n2 begins a 2\n2 stalled 1900\n1 drops a 1", overlap),
        ("1 begins a 2\n1 ends a 2\n2 begins a 1", "a: attempt 1 after a later one"),
        ("2 frozen\n1 begins a 2\n1 ends a 2\n2 begins a 1\n2 drops a 1", ""),
        ("1 begins a 1\n1 drops a 1\n2 begins a 1", "a: two owners of attempt 1"),
        ("1 ends a 1", "no such run: 1000 1 ends a 1"),
        (&format!("2 begins a 1\n{long}"), ""),
        (&format!("2 begins a 1\n{long}\n2 goes-on a 1"), "a: attempt 1 goes on after a later one"),
        ("1 begins o1 1\n1 ends o1 1\n1 begins o2 1", ""),
        ("1 begins o2 1", "o2 runs before o1 is done"),
        ("1 begins o1 1\n1 fails o1 1\n1 begins o2 1", "o2 runs before o1 is done"),
        (
            "1 begins o1 1\n1 ends o1 1\n2 begins o2 1\n1 begins o1 2",
            "o1 runs after a later event of its order key",
        ),
    ] {
        assert_eq!(faults(&timed(history), &plain).join("\n"), expected, "{history}");
    }
}
