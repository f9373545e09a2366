//! What a running instance holds, as data for `--json` and for tables.

pub mod bill;
pub mod metrics;
mod workloads;

use std::collections::HashMap;
use std::hash::BuildHasher;

use dataplane::io::Offloads;
use dataplane::packet::{Component, Direction, Reason};
use dataplane::shared::Lender;
use dataplane::state::{Device, Facet, Flows, gateway_metrics};
use dataplane::tables::Tables;
use dataplane::time::Tick;
use dataplane::worker::Gone;
use serde::{Deserialize, Serialize};

use crate::attach::Attached;
use crate::check::EndpointKind;
use crate::check::PROVIDER;
use crate::compile::{Names, endpoint_key};
use crate::explain::words;
use crate::runtime::emulator::{self, Emulator, members};
use bill::{Bill, Price, Prices};

pub use workloads::{HyperplaneEniStatus, WorkloadStatus};

/// The state of what AWS has made, and not taken away.
const AVAILABLE: &str = "available";

/// Types of VPC endpoints, as AWS calls them.
const GATEWAY: &str = "Gateway";
const INTERFACE: &str = "Interface";

/// A running instance in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub instance: String,
    /// Its process.
    pub pid: u32,
    /// Real seconds since packets flow.
    pub uptime_seconds: f64,
    /// Emulated seconds since the instance began.
    pub clock_seconds: f64,
    /// Worker threads.
    pub workers: usize,
    /// Who has a network namespace.
    pub namespaces: Vec<String>,
    /// Live flows.
    pub flows: usize,
    /// Packets that came in, super-packets as one.
    pub packets_received: u64,
    /// Packets that came to another worker's queue and were handed over.
    pub packets_handed_over: u64,
    /// Packets that went out, super-packets as one.
    pub packets_forwarded: u64,
    /// Bytes that went out.
    pub bytes_forwarded: u64,
    /// Packets that were dropped.
    pub packets_dropped: u64,
    /// The NAT gateways.
    pub nat_gateways: Vec<NatGatewayStatus>,
    /// The VPC endpoints.
    pub vpc_endpoints: Vec<VpcEndpointStatus>,
    /// The network interfaces.
    pub network_interfaces: Vec<NetworkInterfaceStatus>,
    /// The workloads outside the VPCs.
    pub workloads: Vec<WorkloadStatus>,
    /// The Hyperplane ENIs by which they send into VPCs.
    pub hyperplane_enis: Vec<HyperplaneEniStatus>,
    /// The devices.
    pub devices: Vec<DeviceStatus>,
}

/// A network interface in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its private address; none of one of IPv6 alone.
    pub private_ip: Option<String>,
    /// Its addresses of IPv6.
    pub ipv6_addresses: Vec<String>,
    /// The public address that stands for the private one, if one does.
    pub public_ip: Option<String>,
    /// Connections that its security groups track.
    pub tracked: u32,
    /// What it is attached to; nothing while it is in the namespace of its own.
    pub attachment: Option<Attached>,
}

/// A member's device, as it was found at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Whose.
    pub name: String,
    /// `tun`, or `compat` for the plain kind.
    pub kind: String,
    /// What it takes whole: `checksum`, `tcp`, `udp`. The rest is finished in software.
    pub offloads: Vec<String>,
}

/// A NAT gateway in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatGatewayStatus {
    /// Its name.
    pub name: String,
    /// The addresses that it has in its subnet, the primary first.
    pub private_ips: Vec<String>,
    /// The addresses that the internet sees, the primary first; none of a private one.
    pub public_ips: Vec<String>,
    /// `available` or `deleted`.
    pub state: String,
    /// Ports in use, resting ones included, over all destinations.
    pub ports: u64,
    /// Ports in use towards the destination that uses most of them.
    pub ports_busiest: u32,
    /// What AWS would charge for it.
    #[serde(flatten)]
    pub bill: Bill,
}

/// A VPC endpoint in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpcEndpointStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// `Gateway` or `Interface`.
    pub vpc_endpoint_type: String,
    /// `available`: an endpoint is there at once.
    pub state: String,
    /// As AWS calls the service.
    pub service: String,
    /// The addresses of its network interfaces; none of a gateway endpoint.
    pub private_ips: Vec<String>,
    /// The name by which its interfaces are reached; none of a gateway endpoint.
    pub dns_name: Option<String>,
    /// What AWS would charge for it.
    #[serde(flatten)]
    pub bill: Bill,
}

/// Dropped packets of one reason at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// Why.
    pub reason: String,
    /// Where, as `kind:name`.
    pub component: String,
    /// How many.
    pub count: u64,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Protocol, by name where it has one.
    pub protocol: String,
    /// How far the conversation has come.
    pub state: String,
    /// Who began it.
    pub from: String,
    /// With whom.
    pub to: String,
    /// Source and destination as the sender sees them.
    pub original: (String, String),
    /// Source and destination of the answers, as they come in; none once the translation is over.
    pub reply: Option<(String, String)>,
    /// Packets in the original direction, and bytes.
    pub sent: (u64, u64),
    /// The same in the reply direction.
    pub received: (u64, u64),
    /// The devices that remember it.
    pub facets: Vec<FacetOfFlow>,
}

/// One device's memory of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FacetOfFlow {
    /// Whose, as `kind:name`.
    pub component: String,
    /// The port that it holds for the flow, if it translates.
    pub port: Option<u16>,
    /// Emulated seconds until it forgets, if nothing comes.
    pub expires_in: f64,
}

/// A running instance in short.
///
/// # Errors
///
/// When a worker has ended.
pub fn status(emulator: &Emulator) -> Result<Status, Gone> {
    let total = emulator.counters()?;
    let flows = emulator.ask(|shard, _| shard.flows.len())?.into_iter().sum();
    let (topology, names) = (emulator.topology(), emulator.names());
    let bytes = bytes(emulator, &names)?;
    let prices = Prices::embedded();
    let bill = |what: &str, price: Price| {
        let bytes = bytes.get(what).copied().unwrap_or(0);
        Bill { hours: emulator.hours(what), bytes, usd: 0.0 }.at(price)
    };
    let mut nat_gateways: Vec<NatGatewayStatus> = topology
        .nat_gateways
        .iter()
        .filter(|gateway| gateway.name != PROVIDER)
        .map(|gateway| NatGatewayStatus {
            name: gateway.name.clone(),
            private_ips: gateway.addresses.iter().map(|it| it.private_ip.to_string()).collect(),
            public_ips: gateway.public_ips().map(|it| it.to_string()).collect(),
            state: if gateway.deleted { "deleted" } else { AVAILABLE }.to_owned(),
            ports: 0,
            ports_busiest: 0,
            bill: bill(&gateway.name, prices.nat_gateway),
        })
        .collect();
    let vpc_endpoints = topology.vpc_endpoints.iter().map(|endpoint| {
        let addresses: Vec<_> = endpoint.places(&topology).map(|(_, it)| it.to_string()).collect();
        let kind = match endpoint.kind {
            EndpointKind::Gateway { .. } => GATEWAY,
            EndpointKind::Interface { .. } => INTERFACE,
        };
        VpcEndpointStatus {
            name: endpoint.name.clone(),
            id: endpoint.id.clone(),
            vpc_endpoint_type: kind.to_owned(),
            state: AVAILABLE.to_owned(),
            service: endpoint.service.prefix_list_name(&topology.region),
            dns_name: (!addresses.is_empty()).then(|| endpoint.dns_name(&topology.region, None)),
            bill: bill(&endpoint_key(endpoint, &topology), prices.of(kind)),
            private_ips: addresses,
        }
    });
    let vpc_endpoints = vpc_endpoints.collect();
    emulator.shared().ports.for_each(|remote, leased| {
        let Lender::NatGateway(id) = remote.lender else { return };
        let (_, name) = names.kind_and_name(Component::NatGateway(id));
        if let Some(gateway) = nat_gateways.iter_mut().find(|gateway| gateway.name == name) {
            gateway.ports += u64::from(leased);
            gateway.ports_busiest = gateway.ports_busiest.max(leased);
        }
    });
    let mut attachments = emulator.attachments();
    let interfaces = topology.network_interfaces.iter().filter(|it| it.is_seat());
    let mut network_interfaces: Vec<NetworkInterfaceStatus> = interfaces
        .map(|interface| NetworkInterfaceStatus {
            name: interface.name.clone(),
            private_ip: interface.private_ip.map(|it| it.to_string()),
            ipv6_addresses: interface.ipv6_addresses.iter().map(ToString::to_string).collect(),
            public_ip: interface.public_ip.map(|it| it.to_string()),
            tracked: 0,
            attachment: attachments.remove(&interface.name),
        })
        .collect();
    emulator.shared().tracked.for_each(|eni, tracked| {
        let (_, name) = names.kind_and_name(Component::Eni(eni));
        if let Some(found) = network_interfaces.iter_mut().find(|it| it.name == name) {
            found.tracked = tracked;
        }
    });
    Ok(Status {
        instance: emulator.instance().paths().name().to_string(),
        pid: std::process::id(),
        uptime_seconds: emulator.uptime().as_secs_f64(),
        clock_seconds: emulator.clock().elapsed().as_secs_f64(),
        workers: emulator.workers(),
        namespaces: members(&topology).map(str::to_owned).collect(),
        flows,
        packets_received: total.received,
        packets_handed_over: total.handed_over,
        packets_forwarded: total.forwarded,
        bytes_forwarded: total.forwarded_bytes,
        packets_dropped: total.dropped(),
        nat_gateways,
        vpc_endpoints,
        network_interfaces,
        workloads: workloads::workloads(emulator, &topology, &names),
        hyperplane_enis: workloads::hyperplane_enis(emulator, &topology, &names),
        devices: emulator.devices().iter().map(device).collect(),
    })
}

/// What each NAT gateway and VPC endpoint has received on either side, by what it is known by.
fn bytes(emulator: &Emulator, names: &Names) -> Result<HashMap<String, u64>, Gone> {
    let readings = emulator.ask(|shard, _| shard.read_meters())?;
    let readings: Vec<_> = readings.into_iter().flatten().collect();
    let counted = gateway_metrics(&readings).into_iter();
    Ok(counted.map(|(id, it)| (names.meter_key(id).to_owned(), it.total.bytes_in())).collect())
}

fn device(device: &emulator::DeviceStatus) -> DeviceStatus {
    let Offloads { checksum, tcp, udp } = device.takes;
    let offloads = [("checksum", checksum), ("tcp", tcp), ("udp", udp)];
    DeviceStatus {
        name: device.member.clone(),
        kind: if device.compat { "compat" } else { "tun" }.to_owned(),
        offloads: offloads
            .into_iter()
            .filter(|&(_, taken)| taken)
            .map(|(name, _)| name.to_owned())
            .collect(),
    }
}

/// Dropped packets by reason and place, in the order of the path.
///
/// # Errors
///
/// When a worker has ended.
pub fn drops(emulator: &Emulator) -> Result<Vec<Drops>, Gone> {
    let counted = emulator.counters()?.drops;
    let names = emulator.names();
    let words = sorted(&counted).into_iter().map(|((reason, component), count)| Drops {
        reason: reason.label().to_owned(),
        component: names.component(component),
        count,
    });
    Ok(words.collect())
}

fn sorted(
    drops: &HashMap<(Reason, Component), u64, impl BuildHasher>,
) -> Vec<((Reason, Component), u64)> {
    let mut drops: Vec<_> = drops.iter().map(|(&at, &count)| (at, count)).collect();
    drops.sort_unstable();
    drops
}

/// Live flows, at most `limit`.
///
/// # Errors
///
/// When a worker has ended.
pub fn flows(emulator: &Emulator, limit: usize) -> Result<Vec<Flow>, Gone> {
    let mut flows = Vec::new();
    let names = emulator.names();
    let pages = emulator.go_through(move |shard, tables, from| {
        let (page, next) = shard.flows.page(from);
        let page = page.filter_map(|id| flow(&shard.flows, id, tables, &names, shard.now()));
        (page.collect::<Vec<_>>(), next)
    })?;
    for page in pages {
        flows.extend(page?.into_iter().flatten());
        if flows.len() >= limit {
            break;
        }
    }
    flows.truncate(limit);
    Ok(flows)
}

fn flow(
    flows: &Flows,
    id: dataplane::state::FlowId,
    tables: &Tables,
    names: &Names,
    now: Tick,
) -> Option<Flow> {
    let (hot, cold) = flows.parts(id)?;
    let [original, reply] = flows.keys_of(id)?;
    let ends = |key| {
        let words = words::packet(key);
        (words.src, words.dst)
    };
    let memories = cold.memories(hot, &tables.timers);
    // An interface that lets the flow pass untracked remembers nothing that counts.
    let counts = |facet: &Facet| facet.is_tracked() || !matches!(facet.device, Device::Eni(_));
    let memories = memories.filter(|(facet, _)| counts(facet));
    let facets = memories.map(|(facet, forgets)| FacetOfFlow {
        component: names.component(match facet.device {
            Device::Eni(id) | Device::Hyperplane(id) => Component::Eni(id),
            Device::NatGateway(id) => Component::NatGateway(id),
            Device::EgressOnlyInternetGateway(id) => Component::EgressOnlyInternetGateway(id),
            Device::GatewayEndpoint(id) | Device::InterfaceEndpoint(id) => {
                Component::VpcEndpoint(id)
            }
        }),
        port: facet.lease().map(dataplane::shared::Lease::port),
        expires_in: forgets.left(now).as_secs_f64(),
    });
    Some(Flow {
        protocol: words::protocol_name(original.protocol),
        state: hot.phase().label().to_owned(),
        from: names.link(original.link).to_owned(),
        to: if reply.is_parked() { "-".to_owned() } else { names.link(reply.link).to_owned() },
        original: ends(&original),
        reply: (!reply.is_parked()).then(|| ends(&reply)),
        sent: cold.counts(hot, Direction::Original),
        received: cold.counts(hot, Direction::Reply),
        facets: facets.collect(),
    })
}
