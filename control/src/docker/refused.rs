//! Why is an engine refused what it asks? Its user reads this, behind the engine's own words.

use std::io;
use std::path::PathBuf;

use crate::attach;
use crate::diagnostic::Severity;
use crate::runtime::emulator;

/// What an engine is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("not a call of the protocol: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("hypertun is busy with another call or `hypertun apply`; try again")]
    Busy,
    #[error(
        "network {0} is none of hypertun's, or of before its state was lost: `docker network rm` it, and create it again"
    )]
    UnknownNetwork(String),
    #[error("hypertun has no endpoint {0}")]
    UnknownEndpoint(String),
    #[error("`{0}` is no option of {1}; there are: {2}")]
    UnknownOption(String, &'static str, String),
    #[error("option `{0}` is no text")]
    NotText(String),
    #[error("which subnet? --ipam-opt subnet=NAME -o subnet=NAME (or `workload` in both places)")]
    NoHome,
    #[error("`subnet` or `workload`, not both")]
    TwoHomes,
    #[error("--ipam-opt says {ipam}, and -o {network}: they must say the same")]
    Differ { ipam: String, network: String },
    #[error(
        "addresses come from hypertun too: create the network with --ipam-driver hypertun --ipam-opt {0}"
    )]
    OtherIpam(String),
    #[error("the topology has no {kind} `{name}`{place}; it has: {}", .there.join(", "))]
    Unknown { kind: &'static str, name: String, place: &'static str, there: Vec<String> },
    #[error("subnet `{0}` is of IPv6 alone, and containers of Docker have an address of IPv4")]
    NoIpv4(String),
    #[error("{0} is the block of several subnets: say which, by --ipam-opt subnet=NAME")]
    SeveralSubnets(String),
    #[error("{asked} is not the block of {home}, which is {block}")]
    OtherBlock { asked: String, home: String, block: String },
    #[error(
        "hypertun gives addresses of IPv6 to network interfaces that have them in the topology: leave --ipv6 out"
    )]
    Ipv6,
    #[error("AWS gives any address of a subnet: leave --ip-range out")]
    IpRange,
    #[error("routes say what a subnet reaches, not the engine: leave --internal out")]
    Internal,
    #[error("the gateway of {home} is {gateway}, not {asked}")]
    OtherGateway { home: String, gateway: String, asked: String },
    #[error("`{0}` is no address of IPv4")]
    NotAnAddress(String),
    #[error("{address} is none of {home}")]
    NotOfHome { address: String, home: String },
    #[error("all {1} instances of {0} run already; raise its `instances` and `hypertun apply`")]
    NoInstance(String, usize),
    #[error(
        "a VPC does not publish ports of the host: leave -p out, and use `hypertun forward PORT {eni}:PORT` once it runs"
    )]
    Ports { eni: String },
    #[error("a network interface of a VPC has no MAC address to set: leave --mac-address out")]
    Mac,
    #[error("hypertun.eni={0} may be any of: {1}")]
    Ambiguous(String, String),
    #[error("`{eni}` is not of this network, which is {home}")]
    Elsewhere { eni: String, home: String },
    #[error(
        "`{0}` has the groups that the topology says; hypertun.security_groups is for new ones"
    )]
    GroupsOfDeclared(String),
    #[error("network interface `{eni}` is given to container endpoint {holder} already")]
    Held { eni: String, holder: String },
    #[error(
        "a rootless engine has its networks where hypertun cannot move an interface; `hypertun attach NAME --container ID` gives one to a container that runs with --network none"
    )]
    Rootless,
    #[error("who asks is not known")]
    Stranger,
    #[error("cannot keep this in {}: {source}", path.display())]
    NotKept { path: PathBuf, source: io::Error },
    #[error("{}", plain(.0))]
    Emulator(#[from] emulator::Error),
    #[error(transparent)]
    Attach(#[from] attach::Error),
}

/// What is wrong in a line: there is no file to show a place of.
fn plain(error: &emulator::Error) -> String {
    let emulator::Error::Wrong(report) = error else { return error.to_string() };
    let fault = report.faults().iter().find(|fault| fault.severity == Severity::Error);
    let Some(fault) = fault else { return error.to_string() };
    let help = fault.help.iter().map(|help| format!("; {help}"));
    std::iter::once(fault.message.clone()).chain(help).collect()
}
