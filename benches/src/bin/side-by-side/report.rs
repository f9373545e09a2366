//! What came out, and where: medians, ratios within each round, machine, commit and date.

use std::fmt::Write;
use std::process::Command;

use serde_json::{Value, json};

use crate::contender::{CONTENDERS, Contender, FLOOR, KERNEL};
use crate::host::output;
use crate::measure::MEASURES;

/// By contender, by round.
pub(crate) type Samples = Vec<Vec<[f64; MEASURES.len()]>>;

/// What a result has to be told with.
pub(crate) struct Experiment {
    kernel: String,
    processor: String,
    cores: usize,
    commit: String,
    date: String,
    /// Load average over a minute when it began: above a few tenths, others worked on the machine.
    load: String,
    rounds: u32,
    seconds: u32,
}

impl Experiment {
    /// To be made before the first round.
    pub(crate) fn here(rounds: u32, seconds: u32) -> Self {
        let said = |program: &str, arguments: &[&str]| {
            output(Command::new(program).args(arguments)).map_or_else(unknown, first_line)
        };
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let folder = env!("CARGO_MANIFEST_DIR");
        Self {
            kernel: said("uname", &["-sr"]),
            processor: model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            commit: said("git", &["-C", folder, "describe", "--always", "--dirty", "--exclude=*"]),
            date: said("date", &["--utc", "+%F"]),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            rounds,
            seconds,
        }
    }
}

fn unknown(_: Box<dyn std::error::Error>) -> String {
    "unknown".to_owned()
}

fn first_line(said: String) -> String {
    said.lines().next().unwrap_or_default().to_owned()
}

/// Markdown: the medians, then the medians of the ratios to each of two contenders.
pub(crate) fn tables(experiment: &Experiment, samples: &Samples) -> String {
    let Experiment { kernel, processor, cores, commit, date, load, rounds, seconds } = experiment;
    let mut text = format!(
        "{kernel}, {processor}, {cores} cores; commit {commit}; {date}; \
         load {load} before; medians of {rounds} rounds, {seconds} s each\n\n"
    );
    let units = MEASURES.iter().map(|it| format!("{}, {}", it.name, it.unit));
    table(&mut text, "", units, |which| medians(&samples[which]));
    for base in [FLOOR, KERNEL] {
        text.push('\n');
        let ratios = |which| medians(&ratios(samples, which, base));
        let corner = format!("times the {}", base.name());
        table(&mut text, &corner, MEASURES.iter().map(|it| it.name.to_owned()), ratios);
    }
    text
}

fn table(
    text: &mut String,
    corner: &str,
    columns: impl Iterator<Item = String>,
    values: impl Fn(usize) -> [f64; MEASURES.len()],
) {
    let heads: Vec<String> = columns.collect();
    let rule = "---:|".repeat(heads.len());
    // Writing to a string does not fail.
    let _ = writeln!(text, "| {corner} | {} |\n|---|{rule}", heads.join(" | "));
    for (which, contender) in CONTENDERS.iter().enumerate() {
        let _ = writeln!(text, "| {} | {} |", contender.name(), row(values(which)));
    }
}

/// Values with three significant digits.
pub(crate) fn row(values: impl IntoIterator<Item = f64>) -> String {
    let told = values.into_iter().map(|value| {
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{value:.digits$}")
    });
    told.collect::<Vec<_>>().join(" | ")
}

/// Every sample, with the names that the tables use.
pub(crate) fn json(experiment: &Experiment, samples: &Samples) -> Value {
    let contenders = CONTENDERS.iter().zip(samples).map(|(contender, rounds)| {
        let measures = MEASURES.iter().enumerate().map(|(column, measure)| {
            let samples: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
            json!({ "measure": measure.name, "unit": measure.unit, "samples": samples })
        });
        json!({ "contender": contender.name(), "measures": measures.collect::<Vec<_>>() })
    });
    json!({
        "kernel": experiment.kernel,
        "processor": experiment.processor,
        "cores": experiment.cores,
        "commit": experiment.commit,
        "date": experiment.date,
        "load_before": experiment.load,
        "rounds": experiment.rounds,
        "seconds": experiment.seconds,
        "contenders": contenders.collect::<Vec<_>>(),
    })
}

/// What `which` reached in each round, divided by what `base` did in the same.
fn ratios(samples: &Samples, which: usize, base: Contender) -> Vec<[f64; MEASURES.len()]> {
    let base = CONTENDERS.iter().position(|it| *it == base).unwrap_or_default();
    let pairs = samples[which].iter().zip(&samples[base]);
    pairs.map(|(own, base)| std::array::from_fn(|column| own[column] / base[column])).collect()
}

fn medians(rounds: &[[f64; MEASURES.len()]]) -> [f64; MEASURES.len()] {
    std::array::from_fn(|column| median(rounds.iter().map(|it| it[column])).unwrap_or(f64::NAN))
}

/// The value in the middle; of an even count, the mean of both.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        // The machine slows down by half in the second and third round; the ratio stays.
        let mut samples: Samples = vec![Vec::new(); CONTENDERS.len()];
        for (which, contender) in samples.iter_mut().enumerate() {
            let factor = if CONTENDERS[which] == FLOOR { 20.0 } else { 18.0 };
            *contender = [1.0, 0.5, 0.5].map(|speed| [factor * speed; MEASURES.len()]).to_vec();
        }
        samples[3][0] = [22.0; MEASURES.len()];
        assert_eq!(medians(&ratios(&samples, 3, FLOOR)), [0.9; MEASURES.len()]);
        assert_eq!(medians(&ratios(&samples, 3, KERNEL)), [1.0; MEASURES.len()]);
    }

    #[test]
    fn a_row_has_three_digits() {
        assert_eq!(row([0.876, 21.34, 204.6]), "0.88 | 21.3 | 205");
    }
}
