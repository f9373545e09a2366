//! `hypertun demo`: the main job, end to end, in a few seconds.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{self, RData, RecordType};

use crate::check::{self, Vpc};
use crate::cli::say::say;
use crate::cli::{Failure, Outcome, drops, explain as show, flows};
use crate::explain::{Question, explain};
use crate::observe;
use crate::runtime::emulator::{Emulator, Options};
use crate::runtime::instance::{Instance, Name};
use crate::runtime::namespace::Namespace;
use crate::runtime::rootless;
use crate::runtime::signals::Signals;

/// See it work: a private subnet, a NAT gateway, real packets, a verdict explained
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun demo")]
pub struct Demo {}

const TOPOLOGY: &str = include_str!("../../../topologies/nat-gateway.yaml");
const NAME: &str = "nat-gateway.yaml";

/// The interface in the private subnet.
const APP: &str = "app";
/// Answers over HTTP with the address that it sees.
const CHECKIP: &str = "checkip.amazonaws.com";
/// Where mail would go, which the group of `app` does not allow.
const MAIL: u16 = 25;

/// The port of DNS (RFC 1035 s. 4.2).
const DNS: u16 = 53;

const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const SILENT_AFTER: Duration = Duration::from_secs(1);

impl Demo {
    /// Shows each step.
    ///
    /// # Errors
    ///
    /// When a step does not do what it should.
    pub fn run(self) -> Outcome {
        let sound =
            check::read(TOPOLOGY, NAME).map_err(|report| Failure::with_status(1, &report))?;
        let topology = &sound.topology;
        let resolver = topology.vpcs.first().map(Vpc::resolver).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let resolver = SocketAddr::from((resolver, DNS));
        let nat = topology.nat_gateways.first().and_then(|it| it.public_ips().next());
        let nat = nat.map(|address| address.to_string());

        step("The topology", "topologies/nat-gateway.yaml, which this binary carries")?;
        for line in topology.summary() {
            say!("  {line}");
        }

        step(
            "One packet, hop by hop",
            "hypertun explain nat-gateway.yaml --from app --to checkip.amazonaws.com",
        )?;
        let question = Question {
            from: APP.to_owned(),
            to: CHECKIP.to_owned(),
            protocol: 6,
            port: 80,
            source_port: 40_000,
        };
        show::print(&explain(topology, &question)?)?;

        rootless::obtain_rights()?;
        let _signals = Signals::catch()?;
        let instance = Instance::start(&Name::private("demo"))?;
        let emulator = Arc::new(Emulator::start(instance, sound, Options::default())?);
        let paths = emulator.instance().paths();
        let app = Namespace::open(&paths.namespace_path(APP))?;

        step("A name", &format!("hypertun run … --in app -- dig {CHECKIP}"))?;
        let checkip = app.enter(|| resolve(resolver, CHECKIP))??;
        say!("  {CHECKIP} is {checkip}, says the VPC's resolver, {}", resolver.ip());

        step(
            "Now with real packets",
            &format!("hypertun run … --in app -- curl http://{CHECKIP}/"),
        )?;
        let seen = app.enter(|| ask(SocketAddr::from((checkip, 80))))??;
        say!("  {CHECKIP} sees {seen}");
        if Some(&seen) != nat.as_ref() {
            let message = format!("the answer should be the NAT gateway's address, not {seen}");
            return Err(Failure::with_status(1, &message));
        }

        step("What a security group drops", "the same to port 25")?;
        let mail = SocketAddr::from((checkip, MAIL));
        let refused = app.enter(|| TcpStream::connect_timeout(&mail, SILENT_AFTER).is_err())?;
        say!("  connect: {}", if refused { "timed out" } else { "connected" });
        show::print(&explain(&emulator.topology(), &Question { port: MAIL, ..question })?)?;
        say!("");
        let dropped = observe::drops(&emulator)?;
        drops::print(&dropped)?;
        if !refused || !dropped.iter().any(|drop| drop.reason == "ENI_SG_RULES_MISMATCH") {
            return Err(Failure::with_status(1, &"the packet should have been dropped"));
        }

        step("The flow table", "hypertun flows")?;
        flows::print(&observe::flows(&emulator, 20)?)?;

        step("Your own", "hypertun up vpc.yaml -d, then hypertun exec app -- CMD")?;
        Ok(0)
    }
}

fn step(title: &str, how: &str) -> Result<(), Failure> {
    say!("\n== {title}   ({how})\n");
    Ok(())
}

/// The address of IPv4 that a resolver has for a name.
fn resolve(resolver: SocketAddr, name: &str) -> io::Result<IpAddr> {
    let mut query = Message::query();
    query.metadata.id = fastrand::u16(..);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(
        rr::Name::from_ascii(name).map_err(io::Error::other)?,
        RecordType::A,
    ));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(resolver)?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    socket.send(&query.to_vec().map_err(io::Error::other)?)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let answer = Message::from_vec(&answer[..length]).map_err(io::Error::other)?;
    let address = answer.answers.iter().find_map(|record| match record.data {
        RData::A(address) => Some(address.0.into()),
        _ => None,
    });
    address.ok_or_else(|| io::Error::other(format!("no address of {name}: {answer}")))
}

/// One HTTP request, and the text that it gets.
fn ask(server: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {CHECKIP}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(body.trim().to_owned())
}
