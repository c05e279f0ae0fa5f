//! Benches that hold ours against the same without ours, in one run.
//!
//! Instructions are the measure: the program runs itself under valgrind's cachegrind, twice per case
//! with different amounts of work, and takes the difference, so that start and handshake do not count.
//! Times of all variants are taken in turn, and the median of the rounds' ratios is told. Without
//! valgrind there are times only.

use std::process::{Command, ExitCode};
use std::time::Duration;

/// How often each case is counted.
const COUNTS: usize = 3;

/// What is compared, and how.
#[derive(Debug)]
pub struct Comparison<W: 'static, V: 'static> {
    /// What there is to do.
    pub works: &'static [Work<W>],
    /// Names for the command line and what they stand for; the others are relative to the first.
    pub variants: &'static [(&'static str, V)],
    /// Does an amount of the work once and tells how long that took.
    pub run: fn(W, V, usize) -> Duration,
    /// How often each case is timed.
    pub rounds: usize,
    /// The most instructions that are within the target, as a ratio.
    pub most_instructions: f64,
    /// The least throughput that is within the target, as a ratio, if it counts.
    pub least_throughput: Option<f64>,
}

/// One thing to do, in different amounts.
#[derive(Debug)]
pub struct Work<W> {
    /// Its name for the command line.
    pub name: &'static str,
    /// What it is.
    pub kind: W,
    /// Two amounts to count.
    pub counted: [usize; 2],
    /// The amount to time.
    pub timed: usize,
}

impl<W: Copy, V: Copy> Comparison<W, V> {
    /// What a bench's `main` returns: fails if a ratio is beyond its target. Run as a test, it only
    /// looks whether everything works.
    pub fn main(&self) -> ExitCode {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        if let ["--run", work, variant, amount] = args[..] {
            let work = self.works.iter().find(|it| it.name == work).unwrap();
            let variant = self.variants.iter().find(|it| it.0 == variant).unwrap();
            (self.run)(work.kind, variant.1, amount.parse().unwrap());
            return ExitCode::SUCCESS;
        }
        if !args.contains(&"--bench") {
            for work in self.works {
                for (_, variant) in self.variants {
                    (self.run)(work.kind, *variant, 2);
                }
            }
            return ExitCode::SUCCESS;
        }
        if self.compare() {
            ExitCode::SUCCESS
        } else {
            eprintln!("beyond the target of {} times the instructions", self.most_instructions);
            if let Some(least) = self.least_throughput {
                eprintln!("or of {least} times the throughput");
            }
            ExitCode::FAILURE
        }
    }

    /// Compares all cases. Whether all are within the targets.
    fn compare(&self) -> bool {
        println!(
            "{:<12} {:<8} {:>15} {:>8} {:>12} {:>12}",
            "work", "variant", "instructions", "ratio", "time", "throughput"
        );
        let mut within = true;
        for work in self.works {
            let times = self.times(work);
            let mut plain = None;
            for ((name, _), (time, throughput)) in self.variants.iter().zip(times) {
                let count = instructions_of_work(work, name);
                let plain = *plain.get_or_insert(count);
                let ratio = count.zip(plain).map(|(count, plain)| count as f64 / plain as f64);
                within &= ratio.is_none_or(|ratio| ratio <= self.most_instructions);
                within &= self.least_throughput.is_none_or(|least| throughput >= least);
                println!(
                    "{:<12} {name:<8} {:>15} {:>8} {:>12} {throughput:>12.3}",
                    work.name,
                    count.map_or("no valgrind".to_owned(), |count| count.to_string()),
                    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.4}")),
                    format!("{time:.1?}"),
                );
            }
        }
        within
    }

    /// The median time of each variant, and the median of its throughput relative to the first's.
    fn times(&self, work: &Work<W>) -> Vec<(Duration, f64)> {
        let mut rounds = vec![Vec::new(); self.variants.len()];
        for _ in 0..self.rounds {
            let mut first = None;
            for ((_, variant), round) in self.variants.iter().zip(&mut rounds) {
                let time = (self.run)(work.kind, *variant, work.timed);
                let first = *first.get_or_insert(time);
                round.push((time, first.as_secs_f64() / time.as_secs_f64()));
            }
        }
        let medians = |round: Vec<(Duration, f64)>| {
            let (times, ratios): (Vec<_>, Vec<_>) = round.into_iter().unzip();
            let seconds = times.iter().map(Duration::as_secs_f64).collect();
            (Duration::from_secs_f64(median(seconds)), median(ratios))
        };
        rounds.into_iter().map(medians).collect()
    }
}

/// The middle one of some values; the upper one of two.
///
/// # Panics
/// When there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    *values.get(values.len() / 2).unwrap()
}

/// The instructions of one run of this program, or `None` if valgrind cannot say.
fn instructions(work: &str, variant: &str, amount: usize) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["--run", work, variant, &amount.to_string()])
        .output()
        .ok()?;
    let report = String::from_utf8_lossy(&output.stderr);
    let line = report.lines().find(|line| line.contains("refs:"))?;
    let (_, count) = line.rsplit_once(':')?;
    count.replace([',', ' '], "").parse().ok()
}

/// The instructions of the work alone. What varies from run to run, the allocator's luck with
/// addresses for the most part, only ever adds; so the least of several counts is taken.
fn instructions_of_work<W>(work: &Work<W>, variant: &str) -> Option<u64> {
    let [few, many] = work
        .counted
        .map(|amount| (0..COUNTS).filter_map(|_| instructions(work.name, variant, amount)).min());
    many?.checked_sub(few?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 3.0);
    }
}
