//! The side-by-side run ends well, and has a number for all that it promises.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

fn run(arguments: &[&str]) -> Vec<u8> {
    let program = env!("CARGO_BIN_EXE_side-by-side");
    let hypertun = Path::new(program).with_file_name("hypertun");
    let missing =
        format!("{} is not there: `cargo build -p control`, same profile", hypertun.display());
    assert!(hypertun.exists(), "{missing}");
    let mut command = Command::new(program);
    command.args(["--rounds", "1", "--seconds", "1", "--memory", "0"]);
    command.args(["--control-part", "100"]).args(arguments);
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let hint = "run integration/install-test-tools, be root";
    assert!(output.status.success(), "{}: {hint}", output.status);
    output.stdout
}

/// One of each layout, so that it does not take all day.
const EACH: [&str; 9] = [
    "no offloads",
    "kernel",
    "NAT gateway, 2 workers",
    "no NAT, 1 worker",
    "slirp4netns",
    "pasta",
    "floor, NAT64",
    "hypertun, NAT64",
    "TAYGA",
];

#[test]
fn measures_every_contender() {
    let only = EACH.iter().flat_map(|name| ["--only", name]);
    let arguments: Vec<&str> = only.chain(["--control", "1", "--json"]).collect();
    let report: Value = serde_json::from_slice(&run(&arguments)).unwrap();
    let contenders = report["contenders"].as_array().unwrap();
    assert_eq!(contenders.len(), EACH.len());
    for contender in contenders {
        let name = contender["contender"].as_str().unwrap();
        let measures = contender["measures"].as_array().unwrap();
        assert_eq!(measures.len(), 19);
        for it in measures {
            let measure = it["measure"].as_str().unwrap();
            let samples = it["samples"].as_array().unwrap();
            assert_eq!(samples.len(), 1, "{name}");
            let value = samples[0].as_f64().unwrap_or(f64::NAN);
            let lost = samples[0] == "lost";
            // The kernel is no program whose time could be told, and others hand nothing over.
            let applies = match measure {
                "handed over" => name.starts_with("hypertun"),
                _ if measure.starts_with("CPU") => !name.starts_with("kernel"),
                _ => true,
            };
            assert!(!applies || lost || value >= 0.0, "{name}, {measure}: {}", samples[0]);
            assert!(!measure.starts_with("TCP") || value > 0.0, "{name}, {measure}: {value}");
        }
    }
    let control = report["control"].as_array().unwrap();
    assert_eq!(control.len(), 8);
    for it in control {
        let value = it["samples"][0].as_f64().unwrap_or(f64::NAN);
        let measure = it["measure"].as_str().unwrap();
        // Differences of small things may be nothing.
        let differs = measure.contains("longer than") || measure.contains("kernel");
        assert!(value > 0.0 || differs && value.is_finite(), "{it}");
    }
}

#[test]
fn writes_a_report_with_its_charts() {
    let folder = std::env::temp_dir().join(format!("hypertun-report-{}", std::process::id()));
    let to = folder.to_str().unwrap();
    run(&["--only", "spinning", "--control", "1", "--to", to]);
    let report = std::fs::read_to_string(folder.join("REPORT.md")).unwrap();
    for words in ["copy floor, spinning", "TCP out, 1 stream, Gbit/s", "| check | s |"] {
        assert!(report.contains(words), "{words}: {report}");
    }
    for link in report.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let there = folder.join(link).exists() || link == "README.md";
        assert!(there, "the report names {link}");
    }
    let chart = std::fs::read_to_string(folder.join("report/tcp.svg")).unwrap();
    assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"), "{chart}");
    std::fs::remove_dir_all(&folder).unwrap();
}
