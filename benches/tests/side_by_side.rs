//! The side-by-side run ends well, and has a number for all that it promises.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn measures_every_contender() {
    let program = env!("CARGO_BIN_EXE_side-by-side");
    let hypertun = Path::new(program).with_file_name("hypertun");
    let missing =
        format!("{} is not there: `cargo build -p control`, same profile", hypertun.display());
    assert!(hypertun.exists(), "{missing}");
    let mut command = Command::new(program);
    command.args(["--rounds", "1", "--seconds", "1", "--json"]).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}: run integration/install-test-tools, be root",
        output.status
    );

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let contenders = report["contenders"].as_array().unwrap();
    assert_eq!(contenders.len(), 5);
    for contender in contenders {
        let measures = contender["measures"].as_array().unwrap();
        assert_eq!(measures.len(), 4);
        for measure in measures {
            let samples = measure["samples"].as_array().unwrap();
            assert_eq!(samples.len(), 1, "{contender}");
            assert!(samples[0].as_f64().unwrap() > 0.0, "{contender}");
        }
    }
}
