//! What does the topology choose where AWS leaves something open?
//!
//! One list says of each key of `profile` what it sets, its bounds, and what is known of AWS: the check, the
//! defaults and the README's table follow from it.

use std::ops::RangeInclusive;

use dataplane::shared;
use dataplane::tables::{Choices, IcmpErrors, Timers};
use dataplane::time::Span;

use crate::check::{Check, Nat64};
use crate::diagnostic::Fault;
use crate::model::{At, IcmpErrorsWord, Nat64Rules, Platform, PortRange};

/// What AWS leaves open, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What the instances run on.
    pub platform: Platform,
    /// How long devices remember, where interfaces set nothing of their own.
    pub timers: Timers,
    /// What devices do.
    pub choices: Choices,
    /// The ports that NAT gateways give out.
    pub nat_ports: PortRange,
    /// The most connections at once from one address of a NAT gateway to one destination.
    pub nat_connections: u32,
    /// Whether a VPC connector may not have public subnets.
    pub refuses_public_subnets: bool,
    /// Whether Hyperplane ENIs of App Runner are taken away when nobody uses them.
    pub app_runner_reclaims: bool,
    /// How long it takes to make a Hyperplane ENI.
    pub hyperplane_creation: Span,
    /// The translator that stands in the place of every NAT gateway.
    pub nat64: Option<Nat64>,
}

impl Default for Profile {
    fn default() -> Self {
        let shared::PortRange { first, last, limit } = shared::PortRange::NAT_GATEWAY;
        Self {
            platform: Platform::Nitro,
            timers: Timers::default(),
            choices: Choices::default(),
            nat_ports: PortRange { first, last },
            nat_connections: limit,
            refuses_public_subnets: false,
            app_runner_reclaims: false,
            hyperplane_creation: Span::seconds(180),
            nat64: None,
        }
    }
}

/// A key of `profile`, for the README.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileKey {
    /// The key.
    pub name: &'static str,
    /// What holds without it.
    pub default: String,
    /// What it decides.
    pub about: &'static str,
    /// What is known of AWS.
    pub source: &'static str,
}

/// Declares the keys: `key [(bounds)] sets field, "what it decides", "what is known of AWS"`.
macro_rules! keys {
    ($($key:ident $(($bounds:expr))? sets $($field:ident).+, $about:literal, $source:literal;)*) => {
        /// Every key of `profile`.
        #[must_use]
        pub fn profile_keys() -> Vec<ProfileKey> {
            let profile = Profile::default();
            vec![$(ProfileKey {
                name: stringify!($key),
                default: profile.$($field).+.show(),
                about: $about,
                source: $source,
            }),*]
        }

        impl Check<'_, '_> {
            /// What the file chooses, and the defaults of what it does not.
            fn chosen(&mut self) -> Profile {
                let mut profile = Profile::default();
                let Some(written) = &self.model.profile else { return profile };
                $(if let Some(written) = written.$key {
                    if true $(&& self.is_within(stringify!($key), &written, $bounds))? {
                        profile.$($field).+ = Setting::of(written.value);
                    }
                })*
                profile
            }
        }
    };
}

keys! {
    platform sets platform,
        "the kind of instances: `nitro`, or `nitro-v6`, which tracks an established TCP connection for 350 s where its interface sets nothing",
        "\"Amazon EC2 security group connection tracking\"";
    nat_udp_idle_timeout (1..=432_000) sets timers.nat_udp_idle,
        "seconds until a NAT gateway forgets a silent UDP flow",
        "undocumented; AWS speaks of connections and 350 s";
    nat_icmp_idle_timeout (1..=432_000) sets timers.nat_icmp_idle,
        "seconds until a NAT gateway forgets a silent ICMP echo",
        "undocumented; AWS speaks of connections and 350 s";
    nat_port_rest (0..=3_600) sets timers.nat_port_rest,
        "seconds until the port of a TCP connection that has ended is given out again",
        "derived: AWS once gave 900 connections a second, and 55,000 / 900 = 61";
    nat_ports (1..=65_535) sets nat_ports,
        "ports that NAT gateways give out",
        "\"NAT gateway basics\"";
    nat_connections_per_destination (1..=64_512) sets nat_connections,
        "connections at once from one address of a NAT gateway to one destination",
        "\"NAT gateway basics\"";
    nat_resets_unmapped_tcp sets choices.nat_resets_unmapped,
        "whether an inside TCP segment without a mapping, which a NAT gateway has forgotten or never seen, is answered by a RST",
        "\"Troubleshoot NAT gateways\" for a connection that timed out; else undocumented";
    nat_resets_exhausted_tcp sets choices.nat_resets_exhausted,
        "whether a TCP connection that gets no port is answered by a RST",
        "undocumented; metrics count the failure";
    nat_prefers_least_used_address sets choices.nat_prefers_least_used,
        "whether new connections take the address with most ports left, rather than any",
        "undocumented; \"DisassociateNatGatewayAddress\" says that they spread";
    nat_outside_reset_ends_mapping sets choices.nat_outside_reset_ends,
        "whether a RST from the outside ends a mapping",
        "undocumented";
    nat_outside_refreshes_mapping sets choices.nat_outside_refreshes,
        "whether packets from the outside restart a mapping's clock",
        "undocumented; AWS speaks of inactivity";
    nat_mss_clamp (536..=65_495) sets choices.nat_mss_clamp,
        "bytes that a SYN through a NAT gateway announces at most",
        "\"NAT gateway basics\" says that it clamps, not to what; 8500 without headers";
    nat_path_mtu_discovery sets choices.nat_tells_mtu,
        "whether a NAT gateway answers packets above its MTU of 8500 by ICMP fragmentation needed",
        "\"NAT gateway basics\"";
    nat_unsolicited_counts_as_drop sets choices.nat_counts_unsolicited,
        "whether `PacketsDropCount` counts what comes to a NAT gateway unsolicited",
        "undocumented; AWS takes that metric for a sign of trouble";
    eigw_idle_timeout (1..=432_000) sets timers.egress_only_idle,
        "seconds until an egress-only internet gateway forgets a silent flow",
        "undocumented; as NAT gateways do";
    igw_hairpin sets choices.igw_hairpin,
        "whether an interface reaches itself by its own public address",
        "undocumented; reports disagree";
    tracking_tcp_transitory_timeout (1..=432_000) sets timers.tracking_tcp_transitory,
        "seconds that security groups track a TCP connection which opens or closes",
        "undocumented; as Linux does";
    tracking_icmp_timeout (1..=432_000) sets timers.tracking_icmp,
        "seconds that security groups track an ICMP echo",
        "undocumented; as Linux does";
    tracking_tcp_pickup sets choices.tracking_tcp_pickup,
        "whether a TCP segment other than SYN, of a connection that is not tracked, begins to be where a rule allows it, or is dropped",
        "undocumented";
    tracking_icmp_errors sets choices.tracking_icmp_errors,
        "which ICMP errors about a live flow need no rule: `all`, or only those `documented`, about flows that are untracked or tracked automatically",
        "\"Network MTU for your EC2 instance\", which has changed over the years";
    tracking_connections (1..=4_294_967_295) sets choices.tracking_connections,
        "the most connections that an interface tracks at once",
        "there is a limit, undocumented, by instance type";
    apprunner_refuses_public_subnets sets refuses_public_subnets,
        "whether `check` refuses a VPC connector of subnets that lead to an internet gateway, rather than that packets are dropped there",
        "accounts differ: a service is not made, or has no internet";
    apprunner_idle_reclaim sets app_runner_reclaims,
        "whether Hyperplane ENIs of App Runner that nobody uses for 14 days are taken away, as those of Lambda are",
        "undocumented for App Runner";
    hyperplane_eni_creation (120..=300) sets hyperplane_creation,
        "seconds until a Hyperplane ENI is there that `apply` adds",
        "\"Enabling VPC access for outgoing traffic\": 2 to 5 minutes";
    link_local_packets_per_second (1..=4_294_967_295) sets choices.link_local_packets,
        "the most packets a second of real time that an interface sends to the VPC resolver, the instance metadata service and Time Sync together",
        "\"Amazon DNS quotas\": 1024, which is not imposed here unless written";
}

/// How long instances of Nitro v6 types track a silent TCP connection (AWS "Amazon EC2 security group
/// connection tracking").
const NITRO_V6_TCP_ESTABLISHED: Span = Span::seconds(350);

/// What a key sets, and how it is written.
trait Setting {
    type Written;
    fn of(written: Self::Written) -> Self;
    fn show(&self) -> String;
}

impl Setting for Span {
    type Written = u32;

    fn of(written: u32) -> Self {
        Self::seconds(written)
    }

    fn show(&self) -> String {
        (self.millis() / 1000).to_string()
    }
}

impl Setting for PortRange {
    type Written = Self;

    fn of(written: Self) -> Self {
        written
    }

    fn show(&self) -> String {
        format!("{}-{}", self.first, self.last)
    }
}

macro_rules! as_written {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            type Written = Self;

            fn of(written: Self) -> Self {
                written
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

as_written!(u32 u16 bool);

impl Setting for Option<u32> {
    type Written = u32;

    fn of(written: u32) -> Self {
        Some(written)
    }

    fn show(&self) -> String {
        self.map_or_else(|| "no limit".to_owned(), |most| most.to_string())
    }
}

impl Setting for Platform {
    type Written = Self;

    fn of(written: Self) -> Self {
        written
    }

    fn show(&self) -> String {
        match self {
            Self::Nitro => "nitro",
            Self::NitroV6 => "nitro-v6",
        }
        .to_owned()
    }
}

impl Setting for IcmpErrors {
    type Written = IcmpErrorsWord;

    fn of(written: IcmpErrorsWord) -> Self {
        match written {
            IcmpErrorsWord::All => Self::All,
            IcmpErrorsWord::Documented => Self::Documented,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::All => "all",
            Self::Documented => "documented",
        }
        .to_owned()
    }
}

/// A TCP connection that opens or closes (RFC 6146 s. 4, TCP_TRANS; RFC 5382 s. 5).
const RFC_TCP_TRANSITORY: Span = Span::seconds(4 * 60);

impl Check<'_, '_> {
    pub(super) fn profile(&mut self) -> Profile {
        let mut profile = self.chosen();
        if profile.platform == Platform::NitroV6 {
            profile.timers.tracking_tcp_established = NITRO_V6_TCP_ESTABLISHED;
        }
        let written = self.model.profile.as_ref().and_then(|it| it.nat64.as_ref());
        profile.nat64 = written.and_then(|it| self.nat64(it));
        if profile.nat64.as_ref().is_some_and(|it| it.rules == Nat64Rules::Rfc) {
            self.keep_to_the_rfc(&mut profile);
        }
        profile
    }

    /// What RFC 6146 s. 4 has in the place of AWS's timers, where the file sets nothing, and no segments that are
    /// made shorter.
    fn keep_to_the_rfc(&self, profile: &mut Profile) {
        let Some(written) = &self.model.profile else { return };
        let timers = &mut profile.timers;
        timers.nat_tcp_idle = Span::seconds(2 * 3600 + 4 * 60);
        timers.nat_tcp_transitory = Some(RFC_TCP_TRANSITORY);
        if written.nat_port_rest.is_none() {
            timers.nat_port_rest = RFC_TCP_TRANSITORY;
        }
        if written.nat_udp_idle_timeout.is_none() {
            timers.nat_udp_idle = Span::seconds(5 * 60);
        }
        if written.nat_icmp_idle_timeout.is_none() {
            timers.nat_icmp_idle = Span::seconds(60);
        }
        if written.nat_mss_clamp.is_none() {
            profile.choices.nat_mss_clamp = u16::MAX;
        }
    }

    /// Whether `written` is; else it is a fault.
    pub(super) fn is_within<W: Bounded>(
        &mut self,
        key: &str,
        written: &At<W>,
        bounds: RangeInclusive<u32>,
    ) -> bool {
        let is_within = bounds.contains(&written.value.least());
        if !is_within {
            let (least, most) = bounds.into_inner();
            let message = format!("`{key}` is from {least} to {most}");
            self.faults.push(Fault::error(written.place, message));
        }
        is_within
    }
}

/// What has bounds.
pub(super) trait Bounded {
    /// What must not be below them, nor above.
    fn least(&self) -> u32;
}

impl Bounded for u32 {
    fn least(&self) -> u32 {
        *self
    }
}

impl Bounded for u16 {
    fn least(&self) -> u32 {
        u32::from(*self)
    }
}

impl Bounded for PortRange {
    fn least(&self) -> u32 {
        self.first.into()
    }
}
