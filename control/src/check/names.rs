//! Which thing does a name mean, in the VPC of the thing that names it?

use std::collections::HashSet;

use crate::check::records::absolute;
use crate::check::{
    Check, EgressOnlyInternetGatewayIndex, InternetGatewayIndex, NetworkAclIndex, RouteTableIndex,
    Running, SecurityGroupIndex, SubnetIndex, VpcIndex,
};
use crate::diagnostic::{Fault, Faults};
use crate::model::{self, At, Entries, closest, shortened};

/// Longer names would not fit into the file name `INSTANCE:NAME` of a namespace.
const LONGEST_NAME: usize = 128;

/// Words with a meaning of their own where a name may stand.
const WORDS: [&str; 4] = ["default", "main", "local", "blackhole"];

/// The VPC or subnet that each declared thing says it belongs to, where that exists.
#[derive(Default)]
pub(super) struct Homes {
    pub(super) internet_gateways: Vec<Option<VpcIndex>>,
    /// The other way round, by VPC; the first where there are several, which is a fault elsewhere.
    pub(super) gateways: Vec<Option<InternetGatewayIndex>>,
    pub(super) egress_only_internet_gateways: Vec<Option<VpcIndex>>,
    /// The other way round, likewise.
    pub(super) egress_only: Vec<Option<EgressOnlyInternetGatewayIndex>>,
    pub(super) subnets: Vec<Option<VpcIndex>>,
    pub(super) route_tables: Vec<Option<VpcIndex>>,
    pub(super) security_groups: Vec<Option<VpcIndex>>,
    pub(super) network_acls: Vec<Option<VpcIndex>>,
    pub(super) nat_gateways: Vec<Option<SubnetIndex>>,
    pub(super) network_interfaces: Vec<Option<SubnetIndex>>,
    pub(super) vpc_endpoints: Vec<Option<VpcIndex>>,
    /// Those of each VPC endpoint, where they exist and are of its VPC.
    pub(super) endpoint_subnets: Vec<Vec<Option<SubnetIndex>>>,
}

impl Homes {
    /// The VPC of a subnet that may be unknown.
    pub(super) fn vpc(&self, subnet: Option<SubnetIndex>) -> Option<VpcIndex> {
        self.subnets[subnet?.0]
    }
}

/// What `default` and `main` mean in each VPC.
#[derive(Default)]
pub(super) struct Words {
    /// By VPC; none where the VPC names one that is not there.
    pub(super) groups: Vec<Option<SecurityGroupIndex>>,
    pub(super) acls: Vec<Option<NetworkAclIndex>>,
    pub(super) tables: Vec<Option<RouteTableIndex>>,
    /// The VPCs that have the thing undeclared, in order; it stands behind the declared ones.
    pub(super) implicit_groups: Vec<VpcIndex>,
    pub(super) implicit_acls: Vec<VpcIndex>,
    pub(super) implicit_tables: Vec<VpcIndex>,
}

/// Whether this may be a region: it becomes a part of names.
fn is_region(text: &str) -> bool {
    let right = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(right)
}

/// Calls `$do!(entries, "kind of thing")` for each kind that has names.
macro_rules! each_kind {
    ($model:expr, $do:ident) => {
        $do!(vpcs, "a VPC");
        $do!(internet_gateways, "an internet gateway");
        $do!(egress_only_internet_gateways, "an egress-only internet gateway");
        $do!(subnets, "a subnet");
        $do!(route_tables, "a route table");
        $do!(nat_gateways, "a NAT gateway");
        $do!(security_groups, "a security group");
        $do!(network_acls, "a network ACL");
        $do!(dhcp_options, "a DHCP option set");
        $do!(private_hosted_zones, "a private hosted zone");
        $do!(prefix_lists, "a prefix list");
        $do!(network_interfaces, "a network interface");
        $do!(app_runner_vpc_connectors, "a VPC connector");
        $do!(app_runner_services, "an App Runner service");
        $do!(lambda_functions, "a Lambda function");
        $do!(vpc_endpoints, "a VPC endpoint");
    };
}

impl<'m, 'f> Check<'m, 'f> {
    /// Finds out where each thing belongs.
    pub(super) fn new(
        running: Option<Running<'m>>,
        model: &'m model::Topology,
        faults: &'f mut Faults,
    ) -> Self {
        let (homes, words) = (Homes::default(), Words::default());
        let dual_stack = HashSet::new();
        let mut check = Self { running, model, faults, homes, words, dual_stack };
        macro_rules! homes {
            ($($kind:ident),*) => {$(
                check.homes.$kind = model.$kind.values().map(|it| check.vpc(it.vpc.as_ref())).collect();
            )*};
        }
        homes!(
            internet_gateways,
            egress_only_internet_gateways,
            subnets,
            route_tables,
            security_groups,
            network_acls,
            vpc_endpoints
        );
        check.homes.gateways = vec![None; model.vpcs.len()];
        for (index, home) in check.homes.internet_gateways.iter().enumerate() {
            if let Some(VpcIndex(vpc)) = home {
                check.homes.gateways[*vpc].get_or_insert(InternetGatewayIndex(index));
            }
        }
        check.homes.egress_only = vec![None; model.vpcs.len()];
        for (index, home) in check.homes.egress_only_internet_gateways.iter().enumerate() {
            if let Some(VpcIndex(vpc)) = home {
                let index = EgressOnlyInternetGatewayIndex(index);
                check.homes.egress_only[*vpc].get_or_insert(index);
            }
        }
        check.homes.nat_gateways =
            model.nat_gateways.values().map(|it| check.subnet(it.subnet.as_ref())).collect();
        check.homes.network_interfaces =
            model.network_interfaces.values().map(|it| check.subnet(it.subnet.as_ref())).collect();
        check.homes.endpoint_subnets =
            (0..model.vpc_endpoints.len()).map(|index| check.endpoint_subnets(index)).collect();
        check.words();
        check
    }

    /// Names are well formed, are no words, and the ends of packets share one name space.
    pub(super) fn names(&mut self) {
        macro_rules! well_formed {
            ($kind:ident, $what:literal) => {
                for (name, entry) in self.model.$kind.iter() {
                    self.well_formed(name, entry, $what);
                }
            };
        }
        each_kind!(self.model, well_formed);
        if let Some(region) = &self.model.region
            && !is_region(region)
        {
            let message = format!("`{}` is no region", shortened(region));
            self.faults.push(Fault::error(region.place, message).help("such as us-east-1"));
        }
        let Some(internet) = &self.model.internet else { return };
        for (name, host) in internet.hosts.iter() {
            self.well_formed(name, host, "an internet host");
            if absolute(name).is_none() {
                let message = format!("no resolver knows internet host `{}`", shortened(name));
                let fault = Fault::warning(host.place, message);
                self.faults.push(fault.help("a domain name is made of labels of 1 to 63 letters"));
            }
            if let Some(interface) = self.model.network_interfaces.get(name) {
                let message = format!("`{name}` is both a network interface and an internet host");
                let fault = Fault::error(host.place, message)
                    .label(interface.place, "the network interface")
                    .help("commands name either by name alone: call one of them something else");
                self.faults.push(fault);
            }
        }
    }

    fn well_formed<T>(&mut self, name: &str, entry: &At<T>, what: &str) {
        let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let shown = shortened(name);
        if name.is_empty() || !name.chars().all(right) {
            let fault = Fault::error(entry.place, format!("`{shown}` is no name for {what}"));
            self.faults.push(fault.help("a name is made of A-Z a-z 0-9 . _ -"));
        } else if name.len() > LONGEST_NAME {
            let message = format!("the name `{shown}` is longer than {LONGEST_NAME} letters");
            self.faults.push(Fault::error(entry.place, message).help("choose a shorter one"));
        } else if WORDS.contains(&name) && (what, name) != ("a VPC", "main") {
            let message = format!("{what} cannot be declared as `{name}`");
            let help = match name {
                "default" | "main" => {
                    "every VPC has one undeclared; to use another in its place, declare that \
                    under its own name and name it in the VPC's `default_security_group`, \
                    `default_network_acl` or `main_route_table`"
                }
                _ => "the word is a route's target: choose another name",
            };
            self.faults.push(Fault::error(entry.place, message).help(help));
        }
    }

    /// The place in `entries` of what `name` means, else a fault.
    pub(super) fn find<T>(
        &mut self,
        what: &str,
        entries: &Entries<T>,
        name: &At<String>,
    ) -> Option<usize> {
        let index = entries.get_index_of(name.as_str());
        if index.is_none() {
            let fault =
                Fault::error(name.place, format!("there is no {what} `{}`", shortened(name)));
            self.faults.push(fault.help(offer(name, what, entries.keys())));
        }
        index
    }

    /// As [`find`](Self::find), and it is of the VPC `home`.
    pub(super) fn find_in<T>(
        &mut self,
        what: &str,
        entries: &Entries<T>,
        name: &At<String>,
        home: Option<VpcIndex>,
        homes: fn(&Homes) -> &[Option<VpcIndex>],
    ) -> Option<usize> {
        let index = self.find(what, entries, name)?;
        self.same_vpc(what, name, home?, homes(&self.homes)[index]?, entries[index].place)
            .then_some(index)
    }

    /// Whether what `name` means, declared at `declared`, is of the VPC `home`.
    pub(super) fn same_vpc(
        &mut self,
        what: &str,
        name: &At<String>,
        home: VpcIndex,
        theirs: VpcIndex,
        declared: crate::diagnostic::Place,
    ) -> bool {
        if home != theirs {
            let vpc =
                |index: VpcIndex| self.model.vpcs.get_index(index.0).map_or("", |(name, _)| name);
            let message = format!(
                "{what} `{}` belongs to VPC `{}`, not `{}`",
                name.value,
                vpc(theirs),
                vpc(home)
            );
            let fault = Fault::error(name.place, message)
                .label(declared, "declared here")
                .help(format!("name one of VPC `{}`", vpc(home)));
            self.faults.push(fault);
        }
        home == theirs
    }

    fn vpc(&mut self, name: Option<&At<String>>) -> Option<VpcIndex> {
        self.find("VPC", &self.model.vpcs, name?).map(VpcIndex)
    }

    fn subnet(&mut self, name: Option<&At<String>>) -> Option<SubnetIndex> {
        self.find("subnet", &self.model.subnets, name?).map(SubnetIndex)
    }

    /// The security group that `name` means in `home`.
    pub(super) fn group(
        &mut self,
        name: &At<String>,
        home: Option<VpcIndex>,
    ) -> Option<SecurityGroupIndex> {
        if name.value == "default" {
            return self.words.groups[home?.0];
        }
        let entries = &self.model.security_groups;
        self.find_in("security group", entries, name, home, |homes| &homes.security_groups)
            .map(SecurityGroupIndex)
    }

    /// The network ACL that `name`, or else `default`, means in `home`.
    pub(super) fn acl(
        &mut self,
        name: Option<&At<String>>,
        home: Option<VpcIndex>,
    ) -> Option<NetworkAclIndex> {
        match name {
            Some(name) if name.value != "default" => self
                .find_in("network ACL", &self.model.network_acls, name, home, |homes| {
                    &homes.network_acls
                })
                .map(NetworkAclIndex),
            _ => self.words.acls[home?.0],
        }
    }

    /// The route table that `name`, or else `main`, means in `home`.
    pub(super) fn table(
        &mut self,
        name: Option<&At<String>>,
        home: Option<VpcIndex>,
    ) -> Option<RouteTableIndex> {
        match name {
            Some(name) if name.value != "main" => self
                .find_in("route table", &self.model.route_tables, name, home, |homes| {
                    &homes.route_tables
                })
                .map(RouteTableIndex),
            _ => self.words.tables[home?.0],
        }
    }

    /// Finds out what `default` and `main` mean.
    fn words(&mut self) {
        for (index, vpc) in self.model.vpcs.values().enumerate() {
            let home = VpcIndex(index);
            let group = match &vpc.default_security_group {
                Some(name) if name.value != "default" => self.group(name, Some(home)),
                _ => {
                    self.words.implicit_groups.push(home);
                    let behind =
                        self.model.security_groups.len() + self.words.implicit_groups.len();
                    Some(SecurityGroupIndex(behind - 1))
                }
            };
            self.words.groups.push(group);
            let acl = match &vpc.default_network_acl {
                Some(name) if name.value != "default" => self.acl(Some(name), Some(home)),
                _ => {
                    self.words.implicit_acls.push(home);
                    let behind = self.model.network_acls.len() + self.words.implicit_acls.len();
                    Some(NetworkAclIndex(behind - 1))
                }
            };
            self.words.acls.push(acl);
            let table = match &vpc.main_route_table {
                Some(name) if name.value != "main" => self.table(Some(name), Some(home)),
                _ => {
                    self.words.implicit_tables.push(home);
                    let behind = self.model.route_tables.len() + self.words.implicit_tables.len();
                    Some(RouteTableIndex(behind - 1))
                }
            };
            self.words.tables.push(table);
        }
    }

    /// A subnet's name, and what the file says of it.
    pub(super) fn subnet_of(
        &self,
        subnet: Option<SubnetIndex>,
    ) -> Option<(&'m str, &'m At<model::Subnet>)> {
        let (name, subnet) = self.model.subnets.get_index(subnet?.0)?;
        Some((name, subnet))
    }

    /// Whether a VPC has IPv6, right or wrong.
    pub(super) fn has_ipv6(&self, vpc: VpcIndex) -> bool {
        self.model.vpcs.get_index(vpc.0).is_some_and(|(_, it)| it.ipv6_cidr_block.is_some())
    }

    /// The name of a VPC.
    pub(super) fn vpc_name(&self, vpc: VpcIndex) -> &'m str {
        self.model.vpcs.get_index(vpc.0).map_or("", |(name, _)| name)
    }
}

/// Advice on a name that means nothing: a near one, or some that there are.
pub(super) fn offer<'n>(
    name: &str,
    what: &str,
    names: impl Iterator<Item = &'n String> + Clone,
) -> String {
    const SOME: usize = 8;
    if let Some(near) = closest(name, names.clone().map(String::as_str)) {
        return format!("did you mean `{near}`?");
    }
    let some: Vec<_> = names.clone().take(SOME).map(String::as_str).collect();
    match names.count() {
        0 => format!("the file declares no {what}"),
        count if count > SOME => format!("declared are {}, …", some.join(", ")),
        _ => format!("declared: {}", some.join(", ")),
    }
}
