//! Paired timing: in every round each case runs once, so that whatever else the machine does falls
//! on all of them alike. Judge by the ratios and the minima; a median from another day says
//! nothing.
#![allow(dead_code, reason = "no benchmark needs all of it")]

use std::{alloc::System, hint::black_box, time::Instant};

use alloc_tracker::{Allocator, Session};
use http::{HeaderMap, HeaderName, HeaderValue};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

/// How often a case runs to have its allocations counted.
const COUNTED: u32 = 64;

/// Cases that are timed together, and printed as a table in Markdown.
pub(crate) struct Table<'a> {
    title: String,
    rounds: usize,
    iterations: u32,
    cases: Vec<Case<'a>>,
    reference: usize,
}

struct Case<'a> {
    name: String,
    /// The row that this one is held against.
    reference: usize,
    /// Runs so many iterations.
    run: Box<dyn FnMut(u32) + 'a>,
}

struct Figures {
    /// Nanoseconds an iteration, for each round.
    rounds: Vec<f64>,
    allocations: f64,
}

impl<'a> Table<'a> {
    pub(crate) fn new(title: impl Into<String>, rounds: usize, iterations: u32) -> Self {
        Self { title: title.into(), rounds, iterations, cases: Vec::new(), reference: 0 }
    }

    /// Adds a case that the following ones are held against.
    pub(crate) fn reference(&mut self, name: impl Into<String>, run: impl FnMut(u32) + 'a) {
        self.reference = self.cases.len();
        self.case(name, run);
    }

    /// Adds a case. `run` is given the number of iterations.
    pub(crate) fn case(&mut self, name: impl Into<String>, run: impl FnMut(u32) + 'a) {
        self.cases.push(Case { name: name.into(), reference: self.reference, run: Box::new(run) });
    }

    /// How many iterations a case is asked for in all, for those that use something up.
    pub(crate) fn iterations_of_a_case(rounds: usize, iterations: u32) -> usize {
        1 + COUNTED as usize + rounds * (1 + iterations as usize)
    }

    /// Times all cases and prints the table.
    pub(crate) fn run(mut self) {
        let mut figures: Vec<_> = self.cases.iter_mut().map(Case::count).collect();
        for round in 0..self.rounds {
            for place in 0..self.cases.len() {
                let index = (round + place) % self.cases.len();
                figures[index].rounds.push(self.cases[index].time(self.iterations));
            }
        }

        println!(
            "\n### {}\n\n{} rounds of {} iterations\n",
            self.title, self.rounds, self.iterations
        );
        println!("| case | min ns | median ns | x min | x paired | held against | allocations |");
        println!("|---|---:|---:|---:|---:|---|---:|");
        for (case, row) in self.cases.iter().zip(&figures) {
            let reference = &figures[case.reference];
            let ratios = row.rounds.iter().zip(&reference.rounds);
            println!(
                "| {} | {:.0} | {:.0} | {:.3} | {:.3} | {} | {:.3} |",
                case.name,
                minimum(&row.rounds),
                median(row.rounds.iter().copied()),
                minimum(&row.rounds) / minimum(&reference.rounds),
                median(ratios.map(|(row, reference)| row / reference)),
                self.cases[case.reference].name,
                row.allocations,
            );
        }
    }
}

impl Case<'_> {
    /// Counts the case's allocations, after a first iteration that may set things up.
    fn count(&mut self) -> Figures {
        (self.run)(1);
        let session = Session::new().no_stdout().no_file();
        let span = session.operation("case").measure_thread();
        (self.run)(COUNTED);
        drop(span.iterations(COUNTED.into()));
        let report = session.to_report();
        let allocations: u64 =
            report.operations().map(|(_, operation)| operation.total_allocations_count()).sum();
        Figures { rounds: Vec::new(), allocations: allocations as f64 / f64::from(COUNTED) }
    }

    /// Nanoseconds an iteration, after one that is not timed and clears away what the case before
    /// has left in the caches.
    fn time(&mut self, iterations: u32) -> f64 {
        (self.run)(1);
        let start = Instant::now();
        (self.run)(iterations);
        start.elapsed().as_nanos() as f64 / f64::from(iterations)
    }
}

/// Makes a case out of a single iteration.
pub(crate) fn each<T>(mut iteration: impl FnMut() -> T) -> impl FnMut(u32) {
    move |iterations| {
        for _ in 0..iterations {
            black_box(iteration());
        }
    }
}

/// The SHA-256 compressions of an HMAC of `len` bytes whose key was prepared.
pub(crate) fn blocks(len: usize) -> usize {
    (len + 9).div_ceil(64) + 1
}

/// Text whose plain digest takes as many compressions as an HMAC of `len` bytes: no HMAC can be
/// faster.
pub(crate) fn floor_input(len: usize) -> Vec<u8> {
    text(64 * blocks(len) - 9)
}

/// So many bytes of text.
pub(crate) fn text(len: usize) -> Vec<u8> {
    b"{\"id\":4711,\"name\":\"some text\"},\n".iter().copied().cycle().take(len).collect()
}

/// Returns the headers of a signed request, after those that HTTP senders add.
pub(crate) fn headers(signed: &[(String, String)], event: Option<&str>, len: usize) -> HeaderMap {
    let len = len.to_string();
    let around = [
        ("host", "hooks.example.com"),
        ("user-agent", "GitHub-Hookshot/044aadd"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/json"),
        ("content-length", &len),
        ("x-request-id", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    ];
    let signed = signed.iter().map(|(name, value)| (&**name, &**value));
    let event = event.map(|event| ("x-github-event", event));
    let all = around.into_iter().chain(signed).chain(event);
    all.map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_str(value).expect("text"))
    })
    .collect()
}

/// Iterations for a round of about a third of a millisecond, at 40 ns a compression.
pub(crate) fn iterations_for(len: usize) -> u32 {
    (8192 / blocks(len)).clamp(1, 1024) as u32
}

fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
