//! What came out, as Markdown: what was to be reached, medians, ratios within each round.

use std::fmt::Write;

use benches::outcome::Outcome;

use crate::chart::{Chart, short};
use crate::contender::{Contender, FLOOR, KERNEL, NAT64_FLOOR, SPINNING};
use crate::control;
use crate::measure::{MEASURES, Measure};
use crate::samples::{Experiment, Samples};
use crate::statistics::median;
use crate::targets::{self, Bound, Reached};

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) experiment: Experiment,
    pub(crate) samples: Samples,
    /// Runs of `hypertun bench`.
    pub(crate) memory: Vec<Outcome>,
    /// Runs of the commands with a large VPC.
    pub(crate) control: Vec<control::Run>,
}

/// Charts, with the names of their files.
pub(crate) fn charts(findings: &Findings) -> Vec<(&'static str, Chart)> {
    let Findings { samples, memory, .. } = findings;
    let chart = |title: &str, names: &[&str], logarithmic| {
        let measures: Vec<Measure> = names.iter().filter_map(|name| named(name)).collect();
        let groups = samples.contenders().map(|contender| {
            let values = measures.iter().map(|&it| samples.median(contender, it));
            (contender.name(), values.collect())
        });
        Chart {
            title: title.to_owned(),
            unit: measures.first().map_or_else(String::new, |it| it.unit.to_owned()),
            series: names.iter().map(|&name| name.to_owned()).collect(),
            groups: groups.collect(),
            logarithmic,
        }
    };
    let tcp = ["TCP out, 1 stream", "TCP in, 1 stream", "TCP out, 4 streams", "TCP in, 4 streams"];
    let latency = ["round trip", "p50 at 50 %", "p99 at 50 %", "p99.9 at 50 %"];
    let mut charts = vec![
        ("tcp", chart("TCP through real devices", &tcp, false)),
        ("udp", chart("UDP, 64 bytes, received", &["UDP 64 B received"], false)),
        ("latency", chart("Round trip, idle and beside half the load", &latency, true)),
    ];
    if let Some(first) = memory.first() {
        let groups = first.packets.iter().enumerate().map(|(at, it)| {
            let floor = median(memory.iter().map(|run| run.packets[at].floor_ns));
            let ours = median(memory.iter().map(|run| run.packets[at].ns));
            (format!("{}, {}", it.profile, it.traffic), vec![floor, ours])
        });
        charts.push((
            "memory",
            Chart {
                title: "A packet in memory".to_owned(),
                unit: "nanoseconds".to_owned(),
                series: ["floor", "hypertun"].map(str::to_owned).to_vec(),
                groups: groups.collect(),
                logarithmic: false,
            },
        ));
    }
    charts
}

/// The report.
pub(crate) fn markdown(findings: &Findings) -> String {
    let Findings { experiment: it, samples, memory, control } = findings;
    let machine = &it.machine;
    let mut text = format!(
        "# Report\n\n\
         Written by `benches/side-by-side`; [README.md](README.md) says what each row and column is, and how to \
         measure it again.\n\n\
         {}, {}, {} cores, huge pages `{}`; commit {}; {}; load {:.2} before.\n",
        machine.kernel,
        machine.processor,
        machine.cores,
        machine.huge_pages,
        it.commit,
        it.date,
        machine.load,
    );
    let through = targets::through_devices(samples);
    let in_memory = targets::in_memory(memory);
    let control_side = targets::control_side(control);
    if !through.is_empty() || !in_memory.is_empty() || !control_side.is_empty() {
        text += "\n## Targets\n\n";
        let rows = through.iter().chain(&in_memory).chain(&control_side).map(target);
        text += &table(&["what", "in", "target", "median", "reached in"], rows);
    }
    if samples.contenders().next().is_some() {
        devices(&mut text, it, samples);
    }
    if !memory.is_empty() {
        in_memory_tables(&mut text, memory);
    }
    if !control.is_empty() {
        let _ = writeln!(
            text,
            "\n## Control side\n\nMedians of {} runs, with a VPC as large as an account may have it.\n",
            control.len()
        );
        let rows = control::rows(control)
            .map(|(it, value)| vec![it.name.to_owned(), it.unit.to_owned(), short(value)]);
        text += &table(&["what", "in", "median"], rows);
    }
    text
}

fn devices(text: &mut String, it: &Experiment, samples: &Samples) {
    let _ = writeln!(
        text,
        "\n## Through devices\n\n{} rounds, {} s a load, medians. A dash: not measured, or failed.\n\n\
         ![TCP](report/tcp.svg)\n\n![UDP](report/udp.svg)\n\n![latency](report/latency.svg)\n",
        it.rounds, it.seconds
    );
    let (speed, rest) = MEASURES.split_at(6);
    let (latency, rest) = rest.split_at(9);
    let medians = |columns: &[Measure]| {
        let heads: Vec<String> =
            columns.iter().map(|it| format!("{}, {}", it.name, it.unit)).collect();
        by_contender(&heads, samples.contenders(), |contender| {
            columns.iter().map(|&it| samples.median(contender, it)).collect()
        })
    };
    *text += &medians(speed);
    for base in [FLOOR, KERNEL, NAT64_FLOOR, SPINNING] {
        if samples.rounds(base).is_empty() {
            continue;
        }
        // Who spins is the floor of round trips alone.
        let columns: Vec<Measure> = if base == SPINNING {
            vec![MEASURES[0], latency[0], latency[3]]
        } else {
            speed.to_vec()
        };
        let _ = writeln!(
            text,
            "\nTimes the {}, medians of the ratios within each round:\n",
            base.name()
        );
        let heads: Vec<String> = columns.iter().map(|it| it.name.to_owned()).collect();
        // It is the floor of such as translate alone.
        let shown = |it: &Contender| base != NAT64_FLOOR || it.translates();
        *text += &by_contender(&heads, samples.contenders().filter(shown), |contender| {
            columns.iter().map(|&it| median(samples.ratios(contender, base, it))).collect()
        });
    }
    *text +=
        "\nRound trips beside a load of 10, 50 and 90 % of the datagrams that arrive at most:\n\n";
    *text += &medians(latency);
    *text += "\nProcessor time of the forwarder, in hundredths of one processor, and packets that came to \
              another worker's queue:\n\n";
    *text += &medians(rest);
}

fn in_memory_tables(text: &mut String, runs: &[Outcome]) {
    let Some(first) = runs.first() else { return };
    let _ = writeln!(
        text,
        "\n## In memory\n\nMedians of {} runs of `hypertun bench`.\n\n![a packet in memory](report/memory.svg)\n",
        runs.len()
    );
    let heads = [
        "profile",
        "packets",
        "ns",
        "Mpps",
        "of 10 Gbit/s",
        "floor, ns",
        "times the floor",
        "floor on 4 KiB and 2 MiB pages, ns",
        "times these",
    ];
    *text += &table(
        &heads,
        first.packets.iter().enumerate().map(|(at, it)| {
            let of = |value: fn(&benches::outcome::Packets) -> f64| {
                median(runs.iter().map(|run| value(&run.packets[at])))
            };
            vec![
                it.profile.clone(),
                it.traffic.clone(),
                short(of(|it| it.ns)),
                short(of(|it| it.mpps)),
                format!("{:.0} %", of(|it| it.line_rate_10g) * 100.0),
                short(of(|it| it.floor_ns)),
                short(of(|it| it.ratio)),
                format!("{}, {}", short(of(|it| it.floors[0].ns)), short(of(|it| it.floors[1].ns))),
                format!(
                    "{}, {}",
                    short(of(|it| it.floors[0].ratio)),
                    short(of(|it| it.floors[1].ratio))
                ),
            ]
        }),
    );
    *text += "\n";
    *text += &table(
        &["profile", "first packet, ns", "million a second"],
        first.first_packets.iter().enumerate().map(|(at, it)| {
            let ns = median(runs.iter().map(|run| run.first_packets[at].ns));
            let mpps = median(runs.iter().map(|run| run.first_packets[at].mpps));
            vec![it.profile.clone(), short(ns), short(mpps)]
        }),
    );
    if !first.two_workers.is_empty() {
        *text += "\n";
        *text += &table(
            &["profile", "packets", "Mpps of one worker", "of two", "times"],
            first.two_workers.iter().enumerate().map(|(at, it)| {
                let of = |value: fn(&benches::outcome::TwoWorkers) -> f64| {
                    short(median(runs.iter().map(|run| value(&run.two_workers[at]))))
                };
                let (one, two) = (of(|it| it.one_mpps), of(|it| it.two_mpps));
                vec![it.profile.clone(), it.traffic.clone(), one, two, of(|it| it.ratio)]
            }),
        );
    }
    if !first.expiry.is_empty() {
        *text += "\nFlows that end while others go on: what a turn does for them, and what is kept of them:\n\n";
        *text += &table(
            &[
                "profile",
                "looked at in a turn",
                "µs a turn, median",
                "99 of 100",
                "most",
                "MiB kept",
                "of",
            ],
            first.expiry.iter().enumerate().map(|(at, it)| {
                let of = |value: fn(&benches::outcome::Expiry) -> f64| {
                    short(median(runs.iter().map(|run| value(&run.expiry[at]))))
                };
                vec![
                    it.profile.clone(),
                    format!("at most {}", it.looked_at),
                    of(|it| it.median),
                    of(|it| it.p99),
                    of(|it| it.most),
                    of(|it| it.kept),
                    of(|it| it.occupied),
                ]
            }),
        );
    }
    for skipped in &first.skipped {
        let _ = writeln!(text, "\nLeft out: {}: {}.", skipped.profile, skipped.why);
    }
}

fn target(it: &Reached) -> Vec<String> {
    let bound = match it.bound {
        Bound::AtLeast(bound) => format!("at least {bound}"),
        Bound::AtMost(bound) => format!("at most {bound}"),
    };
    let (met, rounds) = it.rounds();
    let met =
        if met == rounds { format!("{met} of {rounds}") } else { format!("**{met} of {rounds}**") };
    vec![it.what.clone(), it.unit.clone(), bound, short(it.median()), met]
}

fn by_contender(
    heads: &[String],
    contenders: impl Iterator<Item = Contender>,
    values: impl Fn(Contender) -> Vec<f64>,
) -> String {
    let heads: Vec<&str> = std::iter::once("").chain(heads.iter().map(String::as_str)).collect();
    let rows = contenders.map(|contender| {
        let values = values(contender).into_iter().map(short);
        std::iter::once(contender.name()).chain(values).collect()
    });
    table(&heads, rows)
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let _ = writeln!(table, "| {} |", row.join(" | "));
    }
    table
}

/// One contender's sample in few words.
pub(crate) fn said(values: &[f64]) -> String {
    let told =
        MEASURES.iter().zip(values).map(|(it, value)| format!("{} {}", it.name, short(*value)));
    told.collect::<Vec<_>>().join("; ")
}

fn named(name: &str) -> Option<Measure> {
    MEASURES.into_iter().find(|it| it.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{CONTENDERS, NAT_GATEWAY};
    use crate::measure::{Sample, TCP_OUT};

    fn findings() -> Findings {
        let mut samples = Samples::of(&CONTENDERS);
        for contender in CONTENDERS {
            let mut sample = Sample::empty();
            sample.set(TCP_OUT.name, if contender == NAT_GATEWAY { 21.5 } else { 25.0 });
            samples.add(contender, sample);
        }
        Findings {
            experiment: Experiment::here(1, 1),
            samples,
            memory: Vec::new(),
            control: Vec::new(),
        }
    }

    #[test]
    fn what_was_reached_and_what_was_not_is_told() {
        let text = markdown(&findings());
        let row = "| TCP out, 1 stream | times copy floor | at least 0.9 | 0.86 | **0 of 1** |";
        assert!(text.contains(row), "{text}");
        let row =
            "| TCP out, 1 stream | times kernel, nft masquerade | at least 0.55 | 0.86 | 1 of 1 |";
        assert!(text.contains(row), "{text}");
        let row = "| hypertun, NAT gateway, 1 worker | – | 21.5 | – |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn charts_show_each_contender() {
        for (name, chart) in charts(&findings()) {
            assert_eq!(chart.groups.len(), CONTENDERS.len(), "{name}");
            assert!(chart.series.len() <= 5 && !chart.unit.is_empty(), "{name}");
        }
    }
}
