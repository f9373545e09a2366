//! Which names does a VPC know? Those of its interfaces and of private hosted zones; those of the internet: public
//! names of instances and of AWS's services, and the hosts that the file declares.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA};
use hickory_proto::rr::{Name, RData, RecordType};
use indexmap::IndexMap;

use super::names::{
    private_domain, private_name, public_domain, public_name, resource_name, services_domain,
};
use super::zone::{Set, Zone};
use crate::check::{
    EndpointKind, NetworkInterface, PrivateHostedZone, SERVICES, Topology, VpcIndex, instance_id,
};

/// How long what Amazon makes may be kept, in seconds, and what hosts of the internet say.
const TTL: u32 = 60;

/// How long the absence of a name may be kept, in seconds.
const NEGATIVE_TTL: u32 = 60;

/// The zones of a VPC's resolver: its own, and those of the internet; no two of a kind are of one domain.
pub(super) fn zones(topology: &Topology, vpc: VpcIndex) -> [Vec<Zone>; 2] {
    let mut zones = Zones::default();
    let asks_zones = topology[vpc].dns_support && topology[vpc].dns_hostnames;
    for domain in [".", "in-addr.arpa.", "ip6.arpa.", "localhost.", "ipv4only.arpa."] {
        zones.own(&name(domain));
    }
    zones.address(&name("localhost."), Ipv4Addr::LOCALHOST.into(), None);
    zones.address(&name("localhost."), Ipv6Addr::LOCALHOST.into(), None);
    zones.pointer(Ipv4Addr::LOCALHOST.into(), &name("localhost."));
    zones.pointer(Ipv6Addr::LOCALHOST.into(), &name("localhost."));
    // By which clients find out that there is DNS64, and under which prefix (RFC 7050 s. 2.2).
    for host in [170, 171] {
        let address = Ipv4Addr::new(192, 0, 0, host);
        zones.address(&name("ipv4only.arpa."), address.into(), None);
    }
    let public = name(&public_domain(&topology.region));
    zones.own(&public);
    if asks_zones {
        zones.own(&name(&private_domain(&topology.region)));
    }
    for interface in &topology.network_interfaces {
        zones.interface(topology, vpc, interface);
    }
    for gateway in topology.nat_gateways.iter().filter(|it| !it.deleted) {
        let home = topology[gateway.subnet].vpc;
        for address in &gateway.addresses {
            zones.instance(topology, (vpc, home), address.private_ip, address.public_ip);
        }
    }
    zones.services(topology);
    let hidden = zones.endpoints(topology, vpc);
    for host in &topology.internet_hosts {
        // `check` warns of what is no name.
        let Ok(own) = Name::from_ascii(&host.name) else { continue };
        let own = whole(own);
        let labels = usize::from(own.num_labels());
        let domain = match public.zone_of(&own) {
            true => public.clone(),
            false => own.trim_to(labels.min(REGISTERED)),
        };
        zones.own(&domain);
        for &address in &host.addresses {
            zones.address(&own, address, Some(&domain));
            zones.pointer(address, &own);
        }
    }
    if asks_zones {
        let known = topology.private_hosted_zones.iter().filter(|it| it.vpcs.contains(&vpc));
        known.for_each(|zone| zones.host(zone));
    }
    let amazon = [public_domain(&topology.region), private_domain(&topology.region)];
    let amazon = amazon.map(|domain| name(&domain));
    let amazon: Vec<Name> = amazon.into_iter().chain(hidden).collect();
    let is_own = |zone: &Zone| zone.is_hosted() || amazon.contains(zone.apex());
    let (own, internet) = zones.0.into_values().partition(is_own);
    [own, internet]
}

/// How many labels a name has that somebody registers.
const REGISTERED: usize = 2;

/// Zones by their domains in lower case.
#[derive(Default)]
struct Zones(IndexMap<Name, Zone>);

impl Zones {
    /// A zone without names, unless there is one of the domain.
    fn own(&mut self, domain: &Name) {
        self.0.entry(domain.to_lowercase()).or_insert_with(|| {
            let (server, person) = if domain.is_root() {
                (name("a.root-servers.net."), name("nstld.verisign-grs.com."))
            } else {
                (below("ns", domain), below("hostmaster", domain))
            };
            let soa = SOA::new(server, person, 1, 7200, 900, 1_209_600, NEGATIVE_TTL);
            Zone::new(domain.clone(), soa, NEGATIVE_TTL)
        });
    }

    /// A private hosted zone, with the SOA and the NS that Route 53 gives each ("SOA and NS records that Amazon
    /// Route 53 creates for a private hosted zone"), in the place of any other of the domain.
    fn host(&mut self, hosted: &PrivateHostedZone) {
        const SERVERS: [&str; 4] = [
            "ns-1536.awsdns-00.co.uk.",
            "ns-0.awsdns-00.com.",
            "ns-1024.awsdns-00.org.",
            "ns-512.awsdns-00.net.",
        ];
        let [first, ..] = SERVERS;
        let person = name("awsdns-hostmaster.amazon.com.");
        let soa = SOA::new(name(first), person, 1, 7200, 900, 1_209_600, 86_400);
        let mut zone = Zone::new(hosted.domain.clone(), soa, 900).hosted();
        let servers = SERVERS.map(|server| RData::NS(NS(name(server)))).into();
        zone.insert(&hosted.domain, Set { kind: RecordType::NS, ttl: 172_800, data: servers });
        for records in &hosted.records {
            let Some(kind) = records.data.first().map(RData::record_type) else { continue };
            let set = Set { kind, ttl: records.ttl, data: records.data.clone() };
            zone.insert(&records.name, set);
        }
        self.0.insert(hosted.domain.to_lowercase(), zone);
    }

    /// The names of an interface, as `vpc` knows them.
    fn interface(&mut self, topology: &Topology, vpc: VpcIndex, interface: &NetworkInterface) {
        let home = topology[interface.subnet].vpc;
        let has_names = topology[home].dns_support && topology[home].dns_hostnames;
        if let Some(private) = interface.private_ip {
            self.instance(topology, (vpc, home), private, interface.public_ip);
        }
        if home != vpc || !has_names {
            return;
        }
        let resource = name(&resource_name(&topology.region, &instance_id(&interface.name)));
        for address in interface.addresses() {
            self.address(&resource, address, Some(&name(&private_domain(&topology.region))));
            if address.is_ipv6() {
                self.pointer(address, &resource);
            }
        }
    }

    /// The names that Amazon gives the addresses of something in the VPC `home`, as `vpc` knows them (AWS "DNS
    /// attributes for your VPC", "Amazon EC2 instance hostnames and domains").
    fn instance(
        &mut self,
        topology: &Topology,
        (vpc, home): (VpcIndex, VpcIndex),
        private: Ipv4Addr,
        public: Option<Ipv4Addr>,
    ) {
        if !topology[home].dns_support || !topology[home].dns_hostnames {
            return;
        }
        let region = &topology.region;
        if home == vpc {
            let own = name(&private_name(region, private));
            self.address(&own, private.into(), Some(&name(&private_domain(region))));
            self.pointer(private.into(), &own);
        }
        let Some(public) = public else { return };
        let own = name(&public_name(region, public));
        let seen = if home == vpc { private } else { public };
        self.address(&own, seen.into(), Some(&name(&public_domain(region))));
        self.pointer(public.into(), &own);
    }

    /// What else leads to the public sides of AWS's services, declared or not.
    fn services(&mut self, topology: &Topology) {
        let region = &topology.region;
        let domain = name(services_domain(region));
        self.own(&domain);
        for service in &SERVICES {
            let public = service.public_name(region);
            let host = topology.internet_hosts.iter().find(|it| it.name == public);
            for &address in host.iter().flat_map(|host| &host.addresses) {
                for own in service.public_names(region).skip(1) {
                    self.address(&name(&own), address, Some(&domain));
                }
            }
        }
    }

    /// The names of interface endpoints, which everybody knows; and in the VPC of one with private DNS the public names of
    /// its service, each a hidden zone of its own (AWS "Access an AWS service using an interface VPC endpoint"), which
    /// are given back.
    fn endpoints(&mut self, topology: &Topology, vpc: VpcIndex) -> Vec<Name> {
        let mut zones = Vec::new();
        let region = &topology.region;
        let domain = name(services_domain(region));
        for endpoint in &topology.vpc_endpoints {
            for (subnet, address) in endpoint.places(topology) {
                let zone = &topology[subnet].availability_zone;
                for zone in [None, Some(zone.as_str())] {
                    let own = name(&endpoint.dns_name(region, zone));
                    self.address(&own, address.into(), Some(&domain));
                }
            }
            if endpoint.vpc != vpc
                || !matches!(endpoint.kind, EndpointKind::Interface { private_dns: true, .. })
            {
                continue;
            }
            for public in endpoint.service.public_names(region) {
                let own = name(&public);
                let hidden = if own.is_wildcard() { own.base_name() } else { own.clone() };
                self.own(&hidden);
                for (_, address) in endpoint.places(topology) {
                    self.address(&own, address.into(), Some(&hidden));
                }
                zones.push(hidden);
            }
        }
        zones
    }

    /// An address of `own`, in the zone `domain` or in that of its own name.
    fn address(&mut self, own: &Name, address: IpAddr, domain: Option<&Name>) {
        let (kind, data) = match address {
            IpAddr::V4(v4) => (RecordType::A, RData::A(A(v4))),
            IpAddr::V6(v6) => (RecordType::AAAA, RData::AAAA(AAAA(v6))),
        };
        self.add(own, domain.unwrap_or(own), kind, data);
    }

    /// Whose an address is.
    fn pointer(&mut self, address: IpAddr, own: &Name) {
        let domain = name(if address.is_ipv4() { "in-addr.arpa." } else { "ip6.arpa." });
        self.add(
            &whole(Name::from(address)),
            &domain,
            RecordType::PTR,
            RData::PTR(PTR(own.clone())),
        );
    }

    fn add(&mut self, own: &Name, domain: &Name, kind: RecordType, data: RData) {
        if let Some(zone) = self.0.get_mut(&domain.to_lowercase()) {
            zone.insert(own, Set { kind, ttl: TTL, data: vec![data] });
        }
    }
}

/// A name of ours.
fn name(text: &str) -> Name {
    whole(Name::from_ascii(text).expect("a name that is made of addresses, ids and regions"))
}

fn whole(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

fn below(label: &str, domain: &Name) -> Name {
    domain.prepend_label(label).unwrap_or_else(|_| domain.clone())
}
