//! What must a guest leave as it was? Namespaces, links, routes, netfilter rules, mounts, files.

use crate::host::Host;

/// A host's state, to be compared with what it is later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(Vec<(&'static str, String)>);

/// What is asked. The directory `/run/hypertun` itself may stay.
const QUESTIONS: [(&str, &str); 8] = [
    (
        "namespaces",
        "lsns --noheadings --output NS,TYPE --type net; lsns --noheadings --output NS,TYPE --type mnt",
    ),
    ("named namespaces", "stat --format='%A %U %n' /run/netns /run/netns/* 2>&1 || true"),
    ("links", "ip -details link"),
    ("addresses", "ip address"),
    (
        "routes and rules",
        "ip route show table all; ip -6 route show table all; ip rule; ip -6 rule",
    ),
    ("netfilter", "nft list ruleset"),
    ("mounts", "cat /proc/self/mountinfo"),
    ("files", "find /run ! -path '/run/netns/*' ! -path /run/hypertun | sort; ls -la /dev/net"),
];

impl Snapshot {
    /// The host as it is.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let ask = |(what, question)| (what, host.says("sh", &["-euc", question]));
        Self(QUESTIONS.into_iter().map(ask).collect())
    }

    /// Fails when the host is not as it was.
    pub fn assert_same(&self, host: &Host, after: &str) {
        for ((what, before), (_, now)) in self.0.iter().zip(Self::of(host).0) {
            assert_eq!(before, &now, "{what} after {after}");
        }
    }
}
