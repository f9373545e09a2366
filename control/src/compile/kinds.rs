//! Which kinds of components are there? One list makes the words that hops, drops and flows name them by, and what
//! the README says of each.

use dataplane::labelled;

labelled! {
    /// A kind of component: what stands before the colon of `kind:name`.
    pub enum ComponentKind {
        Eni = "eni": "a network interface; `NAME/0` is that of a workload's first instance, `vpce/NAME/SUBNET` one of an interface endpoint",
        HyperplaneEni = "hyperplane-eni": "Hyperplane ENIs by which workloads send into a VPC, by kind of workload, subnet and groups",
        Subnet = "subnet": "a subnet",
        RouteTable = "route-table": "a route table; `main` is one that no file declares",
        SecurityGroup = "security-group": "a security group; `default` is one that no file declares",
        NetworkAcl = "network-acl": "a network ACL; `default` is one that no file declares",
        NatGateway = "nat-gateway": "a NAT gateway; `aws:provider` is that by which workloads reach the internet by themselves",
        InternetGateway = "internet-gateway": "an internet gateway",
        EgressOnlyInternetGateway = "egress-only-internet-gateway": "an egress-only internet gateway",
        VpcEndpoint = "vpc-endpoint": "a VPC endpoint, of either type",
        Resolver = "resolver": "the resolver of the VPC of this name",
        InstanceMetadata = "instance-metadata": "the instance metadata service in the VPC of this name",
        TimeSync = "time-sync": "Time Sync in the VPC of this name",
        InternetHost = "internet-host": "a host of the internet; services of AWS are such hosts, by their public names",
    }
}

impl ComponentKind {
    /// Whether it is a service at the links of a VPC.
    #[must_use]
    pub const fn is_link_service(self) -> bool {
        matches!(self, Self::Resolver | Self::InstanceMetadata | Self::TimeSync)
    }
}
