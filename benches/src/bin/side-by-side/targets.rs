//! What is to be reached, and in how many rounds it was.

use benches::outcome::{Expiry, Outcome};

use crate::contender::{
    Contender, FLOOR, KERNEL, NAT_GATEWAY, NAT64, NAT64_FLOOR, SLIRP4NETNS, SPINNING, TAYGA,
};
use crate::control::{self, FIGURES, Figure};
use crate::measure::{IDLE, MEASURES, Measure, TCP_OUT, UDP};
use crate::samples::Samples;
use crate::statistics::median;

/// A target, and what was reached.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) what: String,
    /// What it is measured in: `times …`, or a unit.
    pub(crate) unit: String,
    pub(crate) bound: Bound,
    /// Round by round, or run by run.
    pub(crate) values: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Reached {
    /// The median.
    pub(crate) fn median(&self) -> f64 {
        median(self.values.iter().copied())
    }

    /// Rounds in which it was reached, and rounds.
    pub(crate) fn rounds(&self) -> (usize, usize) {
        let met = |value: &&f64| match self.bound {
            Bound::AtLeast(bound) => **value >= bound,
            Bound::AtMost(bound) => **value <= bound,
        };
        (self.values.iter().filter(met).count(), self.values.len())
    }
}

/// Targets of the way through TUN devices.
pub(crate) fn through_devices(samples: &Samples) -> Vec<Reached> {
    let named = |name| MEASURES.into_iter().find(|it| it.name == name).unwrap_or(TCP_OUT);
    let ratios = |contender, measure: Measure, base: Contender, bound| Reached {
        what: measure.name.to_owned(),
        unit: format!("times {}", base.name()),
        bound,
        values: samples.ratios(contender, base, measure),
    };
    let beside = |measure, base, bound| ratios(NAT_GATEWAY, measure, base, bound);
    let nat64 = |measure, base, bound| ratios(NAT64, measure, base, bound);
    let tcp = ["TCP out, 1 stream", "TCP in, 1 stream", "TCP out, 4 streams", "TCP in, 4 streams"];
    let mut reached: Vec<Reached> =
        tcp.map(|name| beside(named(name), FLOOR, Bound::AtLeast(0.9))).into();
    reached.extend([
        beside(TCP_OUT, KERNEL, Bound::AtLeast(0.55)),
        beside(TCP_OUT, SLIRP4NETNS, Bound::AtLeast(1.8)),
        beside(UDP, FLOOR, Bound::AtLeast(0.9)),
        beside(UDP, SLIRP4NETNS, Bound::AtLeast(2.0)),
        beside(named("p50 at 10 %"), SPINNING, Bound::AtMost(1.5)),
    ]);
    reached.extend(tcp.map(|name| nat64(named(name), NAT64_FLOOR, Bound::AtLeast(0.9))));
    reached.extend(tcp.map(|name| nat64(named(name), TAYGA, Bound::AtLeast(10.0))));
    reached.push(Reached {
        what: IDLE.name.to_owned(),
        unit: IDLE.unit.to_owned(),
        bound: Bound::AtMost(1.0),
        values: samples.rounds(NAT_GATEWAY).iter().map(|sample| sample.of(IDLE)).collect(),
    });
    reached.retain(|it| !it.values.is_empty());
    reached
}

/// Targets of the way in memory, over several runs of the same profiles.
pub(crate) fn in_memory(runs: &[Outcome]) -> Vec<Reached> {
    let Some(first) = runs.first() else { return Vec::new() };
    let mut reached = Vec::new();
    for (at, it) in first.packets.iter().enumerate() {
        let Some(target) = it.target else { continue };
        reached.push(Reached {
            what: format!("{}, {}", it.profile, it.traffic),
            unit: "times the floor".to_owned(),
            bound: Bound::AtMost(target),
            values: runs.iter().map(|run| run.packets[at].ratio).collect(),
        });
    }
    for (at, it) in first.first_packets.iter().enumerate() {
        let Some(target) = it.target else { continue };
        reached.push(Reached {
            what: format!("{}, first packets", it.profile),
            unit: "million a second".to_owned(),
            bound: Bound::AtLeast(target),
            values: runs.iter().map(|run| run.first_packets[at].mpps).collect(),
        });
    }
    for (at, it) in first.two_workers.iter().enumerate() {
        let Some(target) = it.target else { continue };
        reached.push(Reached {
            what: format!("{}, {}, two workers", it.profile, it.traffic),
            unit: "times one".to_owned(),
            bound: Bound::AtLeast(target),
            values: runs.iter().map(|run| run.two_workers[at].ratio).collect(),
        });
    }
    for (at, it) in first.memory.iter().enumerate() {
        let Some(target) = it.target else { continue };
        reached.push(Reached {
            what: format!("{}, memory", it.profile),
            unit: "bytes a flow".to_owned(),
            bound: Bound::AtMost(target),
            values: runs.iter().map(|run| run.memory[at].bytes_a_flow).collect(),
        });
    }
    for (at, it) in first.expiry.iter().enumerate() {
        let mut reach = |what: &str, unit: &str, target: Option<f64>, value: fn(&Expiry) -> f64| {
            reached.extend(target.map(|target| Reached {
                what: format!("{}, {what}", it.profile),
                unit: unit.to_owned(),
                bound: Bound::AtMost(target),
                values: runs.iter().map(|run| value(&run.expiry[at])).collect(),
            }));
        };
        reach("most that a turn does for what is due", "µs", it.target, |it| it.most);
        reach("memory kept of flows that are gone", "MiB", it.kept_target, |it| it.kept);
    }
    for (at, it) in first.decisions.iter().enumerate() {
        let Some(target) = it.target else { continue };
        reached.push(Reached {
            what: format!("a decision by {} {}", it.many, it.by),
            unit: format!("times one by {}", it.few),
            bound: Bound::AtMost(target),
            values: runs.iter().map(|run| run.decisions[at].ratio).collect(),
        });
    }
    reached
}

/// Targets of the control side, over several runs.
pub(crate) fn control_side(runs: &[control::Run]) -> Vec<Reached> {
    if runs.is_empty() {
        return Vec::new();
    }
    let reached = |(at, it): (usize, &Figure)| {
        Some(Reached {
            what: it.name.to_owned(),
            unit: it.unit.to_owned(),
            bound: it.bound?,
            values: runs.iter().map(|run| run[at]).collect(),
        })
    };
    FIGURES.iter().enumerate().filter_map(reached).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_has_no_number_has_not_reached_it() {
        let reached = |bound| Reached {
            what: String::new(),
            unit: String::new(),
            bound,
            values: vec![0.8, 0.9, 1.0, f64::NAN],
        };
        assert_eq!(reached(Bound::AtLeast(0.9)).rounds(), (2, 4));
        assert_eq!(reached(Bound::AtMost(0.9)).rounds(), (2, 4));
        assert_eq!(reached(Bound::AtMost(0.9)).median(), 0.9);
    }
}
