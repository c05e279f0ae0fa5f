//! The table: medians, and their ratios to the first proxy's.

/// One load on one proxy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) operations: f64,
    pub(crate) failed: f64,
    pub(crate) seconds: f64,
    /// CPU time of the proxy, in seconds.
    pub(crate) cpu: f64,
    /// By how much the proxy has grown.
    pub(crate) kib: f64,
}

/// All samples of one proxy for one workload.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) proxy: &'static str,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn new(proxy: &'static str) -> Self {
        Self { proxy, samples: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Microseconds of CPU per operation, or KiB per connection.
    fn cost(&self, memory: bool) -> f64 {
        self.median(|sample| if memory { sample.kib } else { sample.cpu * 1e6 } / sample.operations)
    }
}

pub(crate) fn head() {
    println!(
        "\n{:<24}{:<10}{:>16}{:>8}{:>12}{:>8}",
        "workload", "proxy", "cost", "ratio", "per second", "failed"
    );
}

pub(crate) fn workload(name: &str, memory: bool, rows: &[Row]) {
    let first = rows.first().map_or(f64::NAN, |row| row.cost(memory));
    let unit = if memory { "KiB" } else { "us CPU" };
    for row in rows {
        let cost = row.cost(memory);
        let rate = row.median(|sample| sample.operations / sample.seconds);
        let rate = if memory { String::new() } else { format!("{rate:.0}") };
        let failed: f64 = row.samples.iter().map(|sample| sample.failed).sum();
        println!(
            "{name:<24}{:<10}{:>16}{:>8.2}{rate:>12}{failed:>8}",
            row.proxy,
            format!("{cost:.1} {unit}"),
            cost / first
        );
    }
}
