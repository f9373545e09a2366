//! How many instructions does a packet take? Counts repeat where times do not, so they are kept in
//! `benches/instructions.txt`, and a commit that changes one by more than 3 % changes that file too, and says
//! why in `CHANGELOG.md`.
//!
//! `HYPERTUN_BLESS=1 cargo test -p benches --test instructions` writes it anew.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

mod common;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use common::{output, release};

/// What a count may differ by: other compilers and C libraries move it less.
const TOLERANCE: f64 = 0.03;

/// What many rules, or many routes, may cost in decisions by few, packets of IPv6 in those of IPv4, and Hyperplane's NAT in
/// that of a NAT gateway.
const HARDLY_MORE: [(&str, &str, f64); 4] = [
    ("decision-1-rule", "decision-300-rules", 3.0),
    ("route-of-5", "route-of-500", 2.0),
    ("hit-ip4-64b", "hit-ip6-64b", 1.15),
    ("hit-nat44-64b", "hit-hyperplane-64b", 1.1),
];

const HEAD: &str = "\
# Instructions a packet, counted by callgrind in the release profile; benches/README.md says what each case is.
# HYPERTUN_BLESS=1 cargo test -p benches --test instructions writes this anew.
";

#[test]
fn a_packet_takes_as_many_instructions_as_are_kept() {
    let program = release("instructions");
    let cases = output(&mut Command::new(&program));
    let counts: Vec<(&str, f64)> =
        cases.lines().map(|case| (case, count(&program, case))).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let faults: Vec<String> = counts.iter().filter_map(|it| fault(*it, &kept)).collect();
    if env::var_os("HYPERTUN_BLESS").is_some() {
        let lines = counts.iter().map(|(case, count)| format!("{case:<20} {count:>7.1}\n"));
        fs::write(&file, HEAD.to_owned() + &lines.collect::<String>()).unwrap();
    } else {
        assert!(faults.is_empty(), "{}\nHYPERTUN_BLESS=1 keeps the new ones", faults.join("\n"));
    }
    let of = |name: &str| counts.iter().find(|(case, _)| *case == name).unwrap().1;
    for (base, other, most) in HARDLY_MORE {
        let ratio = of(other) / of(base);
        assert!(ratio <= most, "{other}: {ratio:.2} times {base}, and at most {most} are meant");
    }
}

/// What is wrong with a count, if anything is.
fn fault((case, count): (&str, f64), kept: &str) -> Option<String> {
    let kept = kept.lines().find_map(|line| {
        let (name, count) = line.split_once(' ')?;
        count.trim().parse::<f64>().ok().filter(|_| name == case)
    });
    let Some(kept) = kept else { return Some(format!("{case}: {count:.1}, and none is kept")) };
    let change = count / kept - 1.0;
    (change.abs() > TOLERANCE).then(|| {
        format!("{case}: {count:.1} instructions a packet, {:+.1} % of {kept:.1}", change * 100.0)
    })
}

#[test]
fn more_and_fewer_are_faults_and_the_same_is_none() {
    let kept = "# words\nhit 100.0\nmiss 200.0\n";
    assert_eq!(fault(("hit", 102.9), kept), None);
    assert!(fault(("hit", 103.1), kept).is_some_and(|it| it.contains("+3.1 %")));
    assert!(fault(("miss", 193.0), kept).is_some_and(|it| it.contains("-3.5 %")));
    assert!(fault(("other", 1.0), kept).is_some());
}

/// Instructions a packet of one case.
fn count(program: &Path, case: &str) -> f64 {
    let out = env::temp_dir().join(format!("hypertun-{}-{case}.callgrind", std::process::id()));
    let mut callgrind = Command::new("valgrind");
    callgrind.args(["--tool=callgrind", "--quiet", "--toggle-collect=instructions::counted"]);
    callgrind.arg(format!("--callgrind-out-file={}", out.display())).arg(program).arg(case);
    let packets: f64 = output(&mut callgrind).trim().parse().unwrap();
    let counted = fs::read_to_string(&out).unwrap();
    fs::remove_file(&out).unwrap();
    let total = counted.lines().find_map(|line| line.strip_prefix("summary: "));
    let total: f64 = total.unwrap().trim().parse().unwrap();
    assert!(total > packets, "callgrind counted nothing of `counted`");
    total / packets
}
