//! Whatever a topology file says: no panic; what is wrong is told, and what is right compiles, stays what it is when
//! compiled again, and is explained.

use control::check::{self, Sound};
use control::compile::{FIRST_EPOCH, Names, Passing, compile};
use control::explain::{Error, Question, explain};

/// Reads an input as a topology file.
///
/// # Panics
///
/// When a law is broken.
pub fn judge(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match check::read(text, "fuzz.yaml") {
        Err(report) => {
            assert!(report.errors() > 0, "refused without a word");
            assert!(!report.render(true).is_empty() && !report.to_string().is_empty());
        }
        Ok(Sound { topology, warnings, .. }) => {
            assert_eq!(warnings.errors(), 0);
            assert_eq!(warnings.render(false).is_empty(), warnings.is_empty());
            assert!(topology.summary().iter().all(|line| !line.is_empty()));
            let mut names = Names::default();
            let first =
                compile(&topology, Passing::default(), &mut names, FIRST_EPOCH).map(|it| it.ids);
            let again = compile(&topology, Passing::default(), &mut names, FIRST_EPOCH + 1)
                .map(|it| it.ids);
            assert_eq!(format!("{first:?}"), format!("{again:?}"), "a name keeps its ids");
            if first.is_ok() {
                ask(&topology);
            }
        }
    }
}

/// Asks for the way between the first members, and to addresses of nobody.
fn ask(topology: &control::check::Checked) {
    let interfaces = topology.network_interfaces.iter().filter(|it| it.is_seat());
    let interfaces = interfaces.map(|it| it.name.clone()).take(3);
    let hosts = topology.internet_hosts.iter().map(|it| it.name.clone()).take(2);
    let members: Vec<String> = interfaces.chain(hosts).collect();
    let nobody = ["192.0.2.1", "10.0.0.1", "224.0.0.1", "2001:db8::1", "64:ff9b::1", "ff02::1"];
    let nobody = nobody.map(str::to_owned);
    for from in &members {
        for to in members.iter().chain(&nobody) {
            for protocol in [1, 6, 17, 47] {
                let (from, to) = (from.clone(), to.clone());
                let question = Question { from, to, protocol, port: 443, source_port: 40_000 };
                match explain(topology, &question) {
                    Ok(walked) => assert!(!walked.hops.is_empty(), "{walked:?}"),
                    Err(Error::NoSource { .. } | Error::NoFamily { .. }) => {}
                    // A private zone may hide a host.
                    Err(Error::NoSuchName { .. } | Error::NoAddress { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}
