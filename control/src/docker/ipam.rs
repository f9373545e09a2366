//! Which address does a container have? Asked before it is known for which interface: so an address that is asked for
//! without a wish is one that nobody has, or the next instance's of a workload.
//!
//! A pool is a subnet or a workload of the topology that runs, and is known by its name alone: an engine that starts
//! again asks for all of them anew (`RequiresRequestReplay`), and nothing is counted. Which addresses AWS gives, and to
//! whom one belongs, the check of topologies says.

use std::net::Ipv4Addr;
use std::time::Instant;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::check::Born;
use crate::docker::driver::{Driver, PATIENCE, answer};
use crate::docker::home::{Found, Home};
use crate::docker::messages::{Address, OfAddress, Options, Pool, RequestPool};
use crate::docker::options::{only, text};
use crate::docker::refused::Refused;

/// The address space of all pools, by which a network knows where its addresses come from.
pub(super) const SPACE: &str = "hypertun";

const GATEWAY: &str = "com.docker.network.gateway";

impl Driver {
    pub(super) fn request_pool(&mut self, request: RequestPool) -> Result<Value, Refused> {
        let RequestPool { pool, sub_pool, options, v6 } = request;
        if v6 {
            return Err(Refused::Ipv6);
        }
        if !sub_pool.is_empty() {
            return Err(Refused::IpRange);
        }
        let options = options.unwrap_or_default();
        only(&options, "--ipam-opt", "", &["subnet", "workload"])?;
        let topology = self.emulator.topology();
        let block: Option<Ipv4Net> = match pool.as_str() {
            "" => None,
            pool => Some(pool.parse().map_err(|_| Refused::NotAnAddress(pool.to_owned()))?),
        };
        let home = match (Home::of(&options)?, block) {
            (Some(home), _) => home,
            (None, Some(block)) => Home::of_block(block, &topology)?,
            (None, None) => return Err(Refused::NoHome),
        };
        let found = home.find(&topology)?;
        if let Some(asked) = block.filter(|it| *it != found.block) {
            let (asked, block) = (asked.to_string(), found.block.to_string());
            return Err(Refused::OtherBlock { asked, home: home.to_string(), block });
        }
        let mut data = Options::new();
        data.insert(GATEWAY.to_owned(), gateway(&found).to_string().into());
        answer(&Pool { id: home.pool(), pool: found.block, data })
    }

    pub(super) fn request_address(&mut self, request: OfAddress) -> Result<Value, Refused> {
        let OfAddress { pool, address, options } = request;
        let home = home_of(&pool)?;
        let topology = self.emulator.topology();
        let found = home.find(&topology)?;
        let asked = match address.as_str() {
            "" => None,
            asked => Some(parse(asked)?),
        };
        let options = options.unwrap_or_default();
        if text(&options, "RequestAddressType")? == Some(GATEWAY) {
            let gateway = gateway(&found);
            if let Some(asked) = asked.filter(|it| *it != gateway.addr()) {
                let (asked, gateway) = (asked.to_string(), gateway.addr().to_string());
                return Err(Refused::OtherGateway { home: home.to_string(), gateway, asked });
            }
            return answer(&Address { address: gateway });
        }
        self.forget_ended();
        self.reserved.retain(|_, since| since.elapsed() < PATIENCE);
        let address = match (&home, asked) {
            // It has been told once, or is that of an interface.
            (_, Some(asked)) if self.is_known(&home, &found, asked) => asked,
            (Home::Subnet(subnet), asked) => self.free(&home, subnet, asked)?,
            (Home::Workload(_), Some(asked)) => {
                let (address, home) = (asked.to_string(), home.to_string());
                return Err(Refused::NotOfHome { address, home });
            }
            (Home::Workload(name), None) => self.next_instance(&home, name, &found)?,
        };
        self.reserved.insert((home, address), Instant::now());
        answer(&Address { address: net(address, found.length()) })
    }

    pub(super) fn release_address(&mut self, request: &OfAddress) -> Result<Value, Refused> {
        self.reserved.remove(&(home_of(&request.pool)?, parse(&request.address)?));
        answer(&Options::new())
    }

    fn is_known(&self, home: &Home, found: &Found<'_>, address: Ipv4Addr) -> bool {
        found.holder(address).is_some() || self.taken(home).any(|it| it == address)
    }

    /// What an engine has been told of a home, and no interface has.
    fn taken(&self, home: &Home) -> impl Iterator<Item = Ipv4Addr> {
        let is_here = |network: &str| {
            self.state.networks().get(network).is_some_and(|network| network.home == *home)
        };
        let endpoints = self.state.endpoints().values().filter(move |it| is_here(&it.network));
        let reserved = self.reserved.keys().filter(move |(of, _)| of == home);
        endpoints.map(|it| it.address).chain(reserved.map(|(_, address)| *address))
    }

    /// The address `asked`, or the lowest one, if a new interface can have it.
    fn free(
        &self,
        home: &Home,
        subnet: &str,
        asked: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr, Refused> {
        let topology = self.emulator.topology();
        let found = home.find(&topology)?;
        let next = |name: String, private_ip| Born {
            name,
            subnet: subnet.to_owned(),
            private_ip,
            security_groups: None,
        };
        let mut taken: Vec<_> = self.taken(home).filter(|&it| found.holder(it).is_none()).collect();
        taken.sort_unstable();
        taken.dedup();
        let taken = taken.into_iter().map(|it| next(format!("a-container-at-{it}"), Some(it)));
        let born: Vec<_> = taken.chain([next("a-new-container".to_owned(), asked)]).collect();
        let address = self.emulator.address_of_next(&born)?;
        address.ok_or_else(|| Refused::NoIpv4(subnet.to_owned()))
    }

    /// The address of the first instance that nobody has.
    fn next_instance(
        &self,
        home: &Home,
        name: &str,
        found: &Found<'_>,
    ) -> Result<Ipv4Addr, Refused> {
        let attached = self.emulator.attachments();
        let is_free = |eni: &str, address: Ipv4Addr| {
            !attached.contains_key(eni)
                && self.holder(eni).is_none()
                && !self.reserved.contains_key(&(home.clone(), address))
        };
        let mut instances = found.interfaces().filter_map(|it| Some((&it.name, it.private_ip?)));
        let free = instances.find(|(eni, address)| is_free(eni, *address));
        let count = found.interfaces().count();
        free.map(|(_, address)| address).ok_or_else(|| Refused::NoInstance(name.to_owned(), count))
    }
}

fn home_of(pool: &str) -> Result<Home, Refused> {
    Home::of_pool(pool).ok_or(Refused::NoHome)
}

/// What an engine keeps from its containers: the router, or what a subnet's router would be.
fn gateway(found: &Found<'_>) -> Ipv4Net {
    let first = Ipv4Addr::from_bits(found.block.network().to_bits() + 1);
    net(found.router().unwrap_or(first), found.block.prefix_len())
}

fn net(address: Ipv4Addr, length: u8) -> Ipv4Net {
    Ipv4Net::new(address, length).expect("the length is one of a checked block")
}

/// An address, with or without the length of its prefix.
pub(super) fn parse(text: &str) -> Result<Ipv4Addr, Refused> {
    let address = text.split('/').next().unwrap_or_default();
    address.parse().map_err(|_| Refused::NotAnAddress(text.to_owned()))
}
