//! RFC 7915 clause by clause: packets are put on one device by scapy and read from another, so that
//! every byte is compared and no kernel changes one. The cases are in `rfc7915/`.

use std::path::Path;

use integration::{File, Host, Up, output};

/// The folder of the cases, from that of the examples.
const FOLDER: &str = "../integration/rfc7915";

/// Runs the cases of `suite` under `prefix` on a topology of the folder, with a text `replaced`; returns
/// how many there were. Needs scapy as Debian's python3-scapy installs it.
fn run(topology: &str, suite: &str, prefix: &str, replaced: &[(&str, &str)]) -> usize {
    let file = File::copy(&format!("{FOLDER}/{topology}"), suite);
    file.write(&[&[(WELL_KNOWN, prefix)], replaced].concat());
    let host = Host::start();
    // One worker, so that what comes out is in the order of what went in.
    let _up = Up::start(&host, file.path(), suite, &["--workers", "1"]);
    let mut python = host.command("/usr/bin/python3");
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join("run.py"));
    python.args(["--instance", suite, "--six", "six", "--four", "four", "--prefix", prefix, suite]);
    let said = output(&mut python);
    println!("{}", said.out);
    assert_eq!(said.status, 0, "{}", said.err);
    let cases = said.out.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(said.out.trim_end().ends_with(&format!("{cases} cases, 0 failed")));
    cases
}

const WELL_KNOWN: &str = "64:ff9b::/96";

#[test]
fn a_stateless_translator_is_that_of_the_rfc() {
    let cases = run("stateless.yaml", "stateless", WELL_KNOWN, &[]);
    assert!(cases >= 150, "{cases} cases");
}

#[test]
fn a_stateful_translator_gives_ports_and_takes_them_back() {
    assert!(run("stateful.yaml", "stateful", WELL_KNOWN, &[]) >= 15);
}

#[test]
fn a_nat_gateway_does_less_than_the_rfc() {
    assert!(run("stateful.yaml", "aws", WELL_KNOWN, &[("rules: rfc", "rules: aws")]) >= 20);
}

#[test]
fn a_prefix_has_any_length() {
    for prefix in [
        "3fff:1::/32",
        "3fff:2:100::/40",
        "3fff:3:122::/48",
        "3fff:4:122:300::/56",
        "3fff:5:122:344::/64",
        "3fff:6:122:344::/96",
    ] {
        assert_eq!(run("stateless.yaml", "prefix", prefix, &[]), 9, "{prefix}");
    }
}
