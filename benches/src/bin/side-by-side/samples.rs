//! What was measured, by whom, round by round, and where.

use std::process::Command;

use benches::Machine;
use serde_json::{Value, json};

use crate::contender::Contender;
use crate::host::output;
use crate::measure::{MEASURES, Measure, Sample};
use crate::statistics::median;

/// All samples of a run.
#[derive(Debug)]
pub(crate) struct Samples(Vec<(Contender, Vec<Sample>)>);

impl Samples {
    pub(crate) fn of(contenders: &[Contender]) -> Self {
        Self(contenders.iter().map(|&contender| (contender, Vec::new())).collect())
    }

    pub(crate) fn add(&mut self, contender: Contender, sample: Sample) {
        if let Some((_, rounds)) = self.0.iter_mut().find(|(it, _)| *it == contender) {
            rounds.push(sample);
        }
    }

    pub(crate) fn contenders(&self) -> impl Iterator<Item = Contender> {
        self.0.iter().map(|&(contender, _)| contender)
    }

    /// The median of a contender's rounds.
    pub(crate) fn median(&self, contender: Contender, measure: Measure) -> f64 {
        median(self.rounds(contender).iter().map(|sample| sample.of(measure)))
    }

    /// What a contender reached in each round, divided by what `base` did in the same.
    pub(crate) fn ratios(
        &self,
        contender: Contender,
        base: Contender,
        measure: Measure,
    ) -> Vec<f64> {
        let pairs = self.rounds(contender).iter().zip(self.rounds(base));
        pairs.map(|(own, base)| own.of(measure) / base.of(measure)).collect()
    }

    pub(crate) fn rounds(&self, contender: Contender) -> &[Sample] {
        let found = self.0.iter().find(|(it, _)| *it == contender);
        found.map_or(&[], |(_, rounds)| rounds)
    }

    /// Every sample, with the names that the tables use; null where there is none, a word where a
    /// ping was lost.
    pub(crate) fn json(&self) -> Value {
        let contenders = self.0.iter().map(|(contender, rounds)| {
            let measures = MEASURES.iter().map(|measure| {
                let samples = rounds.iter().map(|sample| match sample.of(*measure) {
                    f64::INFINITY => json!("lost"),
                    value => json!(value),
                });
                let samples: Vec<Value> = samples.collect();
                json!({ "measure": measure.name, "unit": measure.unit, "samples": samples })
            });
            let measures: Vec<Value> = measures.collect();
            json!({ "contender": contender.name(), "measures": measures })
        });
        contenders.collect()
    }
}

/// What a result has to be told with.
#[derive(Debug)]
pub(crate) struct Experiment {
    pub(crate) machine: Machine,
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
}

impl Experiment {
    /// To be made before the first round.
    pub(crate) fn here(rounds: u32, seconds: u32) -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let said = output(Command::new(program).args(arguments));
            said.map_or_else(|_| "unknown".to_owned(), |it| it.trim().to_owned())
        };
        let folder = env!("CARGO_MANIFEST_DIR");
        Self {
            machine: Machine::here(),
            commit: said("git", &["-C", folder, "describe", "--always", "--dirty", "--exclude=*"]),
            date: said("date", &["--utc", "+%F"]),
            rounds,
            seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{FLOOR, KERNEL};
    use crate::measure::TCP_OUT;

    #[test]
    fn ratios_are_made_within_a_round() {
        // The machine slows down by half in the second and third round; the ratio stays.
        let mut samples = Samples::of(&[FLOOR, KERNEL]);
        for slowness in [1.0, 2.0, 2.0] {
            for (contender, speed) in [(FLOOR, 20.0), (KERNEL, 18.0)] {
                let mut sample = Sample::empty();
                sample.set(TCP_OUT.name, speed / slowness);
                samples.add(contender, sample);
            }
        }
        assert_eq!(samples.ratios(KERNEL, FLOOR, TCP_OUT), [0.9; 3]);
        assert_eq!(samples.median(FLOOR, TCP_OUT), 10.0);
        let json = samples.json();
        assert_eq!(json[0]["measures"][1]["samples"][0], 20.0);
        assert!(json[0]["measures"][0]["samples"][0].is_null());
    }
}
