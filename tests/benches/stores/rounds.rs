//! Cases that take turns.

/// The bound of a ratio.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Whatever it is.
    None,
}

/// Cases that are measured in turns.
pub(crate) struct Rounds<'a> {
    title: &'static str,
    unit: &'static str,
    cases: Vec<Case<'a>>,
}

struct Case<'a> {
    name: &'static str,
    measure: Box<dyn FnMut() -> f64 + 'a>,
    /// One for each round.
    figures: Vec<f64>,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(title: &'static str, unit: &'static str) -> Self {
        Self { title, unit, cases: Vec::new() }
    }

    /// Adds a case, which gives one figure each time it runs.
    pub(crate) fn case(mut self, name: &'static str, measure: impl FnMut() -> f64 + 'a) -> Self {
        self.cases.push(Case { name, measure: Box::new(measure), figures: Vec::new() });
        self
    }

    /// Measures each case once a round, after a round that does not count, and prints all figures.
    /// Each round begins with another case.
    pub(crate) fn run(mut self, rounds: usize) -> Measured {
        for case in &mut self.cases {
            (case.measure)();
        }
        let count = self.cases.len();
        for round in 0..rounds {
            for place in 0..count {
                let case = &mut self.cases[(round + place) % count];
                case.figures.push((case.measure)());
            }
        }

        println!("\n### {}, {rounds} rounds, {}\n", self.title, self.unit);
        for case in &self.cases {
            let figures: Vec<_> = case.figures.iter().copied().map(short).collect();
            println!("- {}: {}", case.name, figures.join(" "));
        }
        let cases = self.cases.into_iter();
        Measured {
            title: self.title,
            unit: self.unit,
            cases: cases.map(|case| (case.name, case.figures)).collect(),
        }
    }
}

pub(crate) struct Measured {
    title: &'static str,
    unit: &'static str,
    cases: Vec<(&'static str, Vec<f64>)>,
}

impl Measured {
    /// Holds one case against another, and says whether the ratio is within the bound: the median
    /// of the rounds' ratios. Also printed are the medians of the figures, and the ratio of the
    /// best rounds, which others disturb least.
    pub(crate) fn hold(&self, case: usize, against: usize, bound: Bound) -> bool {
        let ((name, figures), (other, others)) = (&self.cases[case], &self.cases[against]);
        let pairs = figures.iter().zip(others);
        let ratio = median(pairs.map(|(figure, other)| figure / other));
        let (reached, best, bound): (_, fn(f64, f64) -> f64, _) = match bound {
            Bound::AtLeast(least) => (ratio >= least, f64::max, format!(">= {least}")),
            Bound::AtMost(most) => (ratio <= most, f64::min, format!("<= {most}")),
            Bound::None => (true, f64::max, "for the record".to_owned()),
        };
        let best = |figures: &[f64]| figures.iter().copied().reduce(best).unwrap();
        println!(
            "{}, {name} / {other}: {} / {} {} = {ratio:.2}, best {:.2} ({bound}) {}",
            self.title,
            short(median(figures.iter().copied())),
            short(median(others.iter().copied())),
            self.unit,
            best(figures) / best(others),
            if reached { "ok" } else { "NOT REACHED" },
        );
        reached
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn short(figure: f64) -> String {
    match figure < 1000.0 {
        true => format!("{figure:.1}"),
        false => format!("{figure:.0}"),
    }
}
