//! `hypertun bench` measures what it says, and tells it in words and as JSON.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::process::{Command, Output};

use benches::outcome::Outcome;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hypertun"));
    command.arg("bench").args(arguments).output().unwrap()
}

#[test]
fn json_has_every_number_beside_its_floor() {
    let output = bench(&["--quick", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome.version, env!("CARGO_PKG_VERSION"));
    assert!(!outcome.machine.processor.is_empty() && outcome.machine.cores > 0);

    let (nat, plain) = ("nat44-h16-p63-s1008", "ip4-h16-p63-s1008");
    for name in [nat, plain] {
        let rows: Vec<_> = outcome.packets.iter().filter(|it| it.profile == name).collect();
        let traffic: Vec<&str> = rows.iter().map(|it| it.traffic.as_str()).collect();
        assert_eq!(traffic, ["64 B", "64 B, Zipf", "IMIX", "1500 B", "64 B, 1 in 10 new"]);
        for it in rows {
            assert!(it.ns > 0.0 && it.floor_ns > 0.0 && it.ratio > 0.0, "{it:?}");
            assert!((it.mpps * it.ns / 1e3 - 1.0).abs() < 1e-9, "{it:?}");
            assert!(it.line_rate_10g > 0.0, "{it:?}");
            let pages: Vec<&str> = it.floors.iter().map(|it| it.pages.as_str()).collect();
            assert_eq!(pages, ["small", "huge"]);
            assert_eq!(it.target.is_some(), name == nat && it.traffic == "64 B", "{it:?}");
        }
        let first = outcome.first_packets.iter().find(|it| it.profile == name).unwrap();
        assert!(first.ns > 0.0 && first.mpps > 0.0, "{first:?}");
        let left_out = outcome.skipped.iter().any(|it| it.profile == name);
        let two = outcome.two_workers.iter().filter(|it| it.profile == name);
        let two: Vec<&str> = two.map(|it| it.traffic.as_str()).collect();
        let all = ["64 B", "first packets", "flows that end"];
        assert_eq!(two, if left_out { &[][..] } else { &all });
    }
    let (memory, expiry) = (&outcome.memory, &outcome.expiry);
    assert!(memory.is_empty() && expiry.is_empty(), "what few flows occupy says nothing");
    let by: Vec<&str> = outcome.decisions.iter().map(|it| it.by.as_str()).collect();
    assert_eq!(by, ["rules", "routes"]);
    assert!(outcome.decisions.iter().all(|it| it.few_ns > 0.0 && it.ratio > 0.0));
}

#[test]
fn the_table_is_for_people() {
    let output = bench(&["--quick", "--only", "nat44"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for words in ["PROFILE", "nat44-h16-p63-s1008", "<= 1.65", "FIRST PACKETS", ">= 1.5"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("ip4-"), "{said}");
}

#[test]
fn what_does_not_exist_is_not_measured() {
    for arguments in [["--only", "nat99"], ["--seconds", "0"]] {
        let output = bench(&arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}
