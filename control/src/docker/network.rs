//! Which network interface does a container get, and how does it come there?
//!
//! That of the address which its endpoint was created with, or the one that its user names, or a new one. It is handed
//! over when the container joins, and comes home when the endpoint is deleted: not when the container leaves, which is
//! told before the engine takes the interface out of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::attach::Endpoint as Lent;
use crate::check::{Born, Topology};
use crate::docker::driver::{Driver, Engine, answer};
use crate::docker::home::{Found, Home};
use crate::docker::ipam::{SPACE, parse};
use crate::docker::messages::{
    CONNECTED, CreateEndpoint, CreateNetwork, InterfaceName, Joined, OfEndpoint, OfNetwork,
    Options, StaticRoute,
};
use crate::docker::options::{GENERIC, alike, list, only, text};
use crate::docker::refused::Refused;
use crate::docker::state::{Endpoint, Network};

/// What is said of a container alone.
const ENI: &str = "hypertun.eni";
const GROUPS: &str = "hypertun.security_groups";

impl Driver {
    pub(super) fn create_network(&mut self, request: CreateNetwork) -> Result<Value, Refused> {
        let CreateNetwork { network, options, ipv4 } = request;
        let options = options.unwrap_or_default();
        let is_on = |key: &str| options.get(key).and_then(Value::as_bool) == Some(true);
        if is_on("com.docker.network.enable_ipv6") {
            return Err(Refused::Ipv6);
        }
        if is_on("com.docker.network.internal") {
            return Err(Refused::Internal);
        }
        let none = Options::new();
        let said = options.get(GENERIC).and_then(Value::as_object).unwrap_or(&none);
        only(said, "-o", "", &["subnet", "workload", "security_groups"])?;
        let topology = self.emulator.topology();
        let pools = ipv4.unwrap_or_default();
        let pool = pools.first().ok_or(Refused::NoHome)?;
        let block = pool.pool.parse().map_err(|_| Refused::NotAnAddress(pool.pool.clone()))?;
        let home = Home::of(said)?.map_or_else(|| Home::of_block(block, &topology), Ok);
        if pool.address_space != SPACE {
            let home = home.map_or_else(|_| "subnet=NAME".to_owned(), |home| home.to_string());
            return Err(Refused::OtherIpam(home));
        }
        let home = home?;
        let found = home.find(&topology)?;
        if found.block != block {
            let (ipam, network) = (pool.pool.clone(), format!("{home} ({})", found.block));
            return Err(Refused::Differ { ipam, network });
        }
        let security_groups = list(said, "security_groups")?;
        for name in security_groups.iter().flatten() {
            group(&found, name, |there| there == name)?;
        }
        self.state.add_network(&network, Network { home, security_groups })?;
        answer(&none)
    }

    pub(super) fn delete_network(&mut self, request: &OfNetwork) -> Result<Value, Refused> {
        self.state.remove_network(&request.network);
        answer(&Options::new())
    }

    pub(super) fn create_endpoint(&mut self, request: CreateEndpoint) -> Result<Value, Refused> {
        let CreateEndpoint { network: network_id, endpoint: id, interface, options } = request;
        let network = self.state.networks().get(&network_id).cloned();
        let network = network.ok_or_else(|| Refused::UnknownNetwork(network_id.clone()))?;
        let options = options.unwrap_or_default();
        let interface = interface.unwrap_or_default();
        let address = parse(&interface.address)?;
        if !interface.mac_address.is_empty() {
            return Err(Refused::Mac);
        }
        only(&options, "--driver-opt", "hypertun.", &[ENI, GROUPS])?;
        let topology = self.emulator.topology();
        let found = network.home.find(&topology)?;
        let named = text(&options, ENI)?;
        let declared = match named {
            Some(asked) => Some(named_interface(&topology, &network.home, &found, asked)?),
            None => found.holder(address).map(|it| it.name.clone()),
        };
        let groups = list(&options, GROUPS)?;
        let born = match (&network.home, &declared) {
            (_, Some(eni)) if groups.is_some() => {
                return Err(Refused::GroupsOfDeclared(eni.clone()));
            }
            (_, Some(_)) => None,
            (Home::Workload(_), None) => {
                let (address, home) = (address.to_string(), network.home.to_string());
                return Err(Refused::NotOfHome { address, home });
            }
            (Home::Subnet(subnet), None) => {
                let alike = |asked: &String| {
                    group(&found, asked, |it| it.to_lowercase() == asked.to_lowercase())
                };
                let groups = groups.map(|it| it.iter().map(alike).collect()).transpose()?;
                let security_groups = groups.or_else(|| network.security_groups.clone());
                let (name, subnet) = (format!("{subnet}.{address}"), subnet.clone());
                Some(Born { name, subnet, private_ip: Some(address), security_groups })
            }
        };
        let eni = declared.or_else(|| born.as_ref().map(|it| it.name.clone()));
        let eni = eni.expect("it is declared, or born");
        refuse_ports(&options, &eni)?;
        self.forget_ended();
        if let Some(holder) = self.holder(&eni) {
            let holder = holder.get(..SHORT).unwrap_or(holder).to_owned();
            return Err(Refused::Held { eni, holder });
        }
        if let Some(there) = self.emulator.attachments().remove(&eni) {
            let target = there.to;
            return Err(crate::attach::Error::Attached { name: eni, target }.into());
        }
        if let Some(born) = &born {
            self.emulator.bear(born.clone())?;
        }
        let endpoint = Endpoint { network: network_id, eni: eni.clone(), address, born };
        if let Err(refused) = self.state.add_endpoint(&id, endpoint) {
            if let Err(error) = self.emulator.end(&eni) {
                tracing::warn!("{eni} is left: {error}");
            }
            return Err(refused);
        }
        self.begun.insert(id, Instant::now());
        // An empty interface: the address is the one that was given.
        answer(&Options::from_iter([("Interface".to_owned(), Options::new().into())]))
    }

    pub(super) fn delete_endpoint(&mut self, request: &OfEndpoint) -> Result<Value, Refused> {
        self.end_endpoint(&request.endpoint)?;
        answer(&Options::new())
    }

    /// Takes an endpoint's interface home, or ends it if it was made for it.
    pub(super) fn end_endpoint(&mut self, id: &str) -> Result<(), Refused> {
        self.begun.remove(id);
        // What was lost with the state is known of the interface still.
        let lent = |eni: &String| self.is_lent(eni, id);
        let attached = self.emulator.attachments().into_keys().find(lent);
        let endpoint = self.state.remove_endpoint(id);
        match endpoint {
            Some(Endpoint { born: Some(born), .. }) => self.emulator.end(&born.name)?,
            _ => {
                if let Some(eni) = attached {
                    self.emulator.detach(&eni)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn join(
        &mut self,
        request: OfEndpoint,
        engine: Option<Engine>,
    ) -> Result<Value, Refused> {
        let OfEndpoint { endpoint: id, sandbox_key, options } = request;
        let engine = engine.ok_or(Refused::Stranger)?;
        if engine.is_rootless {
            return Err(Refused::Rootless);
        }
        let endpoint = self.state.endpoints().get(&id).cloned();
        let endpoint = endpoint.ok_or_else(|| Refused::UnknownEndpoint(id.clone()))?;
        let network = self.state.networks().get(&endpoint.network);
        let network = network.ok_or_else(|| Refused::UnknownNetwork(endpoint.network.clone()))?;
        refuse_ports(&options.unwrap_or_default(), &endpoint.eni)?;
        let topology = self.emulator.topology();
        let found = network.home.find(&topology)?;
        let eni = endpoint.eni;
        if self.is_lent(&eni, &id) {
            self.emulator.detach(&eni)?;
        }
        let link = link(&id);
        let lent = Lent { id: id.clone(), sandbox: sandbox_key.into(), engine: engine.namespace() };
        self.emulator.lend(&eni, lent, &link)?;
        self.begun.remove(&id);
        self.settle(eni);
        let gateway = found.router();
        let to_itself = StaticRoute { destination: "0.0.0.0/0", route_type: CONNECTED };
        answer(&Joined {
            interface_name: InterfaceName { src_name: link, dst_prefix: "eth" },
            gateway,
            static_routes: gateway.is_none().then_some(to_itself).into_iter().collect(),
            disable_gateway_service: true,
        })
    }

    /// Newer engines tell of ports to publish only here.
    pub(super) fn program_external_connectivity(
        &self,
        request: &OfEndpoint,
    ) -> Result<Value, Refused> {
        let eni = self.state.endpoints().get(&request.endpoint).map(|it| it.eni.as_str());
        let none = Options::new();
        refuse_ports(request.options.as_ref().unwrap_or(&none), eni.unwrap_or("NAME"))?;
        answer(&none)
    }

    /// Sees beside to it that an interface is what it should be, once the engine has placed it.
    pub(super) fn settle(&self, eni: String) {
        let emulator = self.emulator.clone();
        let settle = move || {
            let since = Instant::now();
            while !emulator.settle(&eni) {
                if since.elapsed() > PLACED_WITHIN {
                    tracing::warn!("{eni} was handed to an engine, and has come to no container");
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("settle".to_owned()).spawn(settle) {
            tracing::warn!("an interface is left as its engine has made it: {error}");
        }
    }
}

/// How long an engine may take from handing over an interface until it is in the container.
const PLACED_WITHIN: Duration = Duration::from_secs(30);

/// Letters of an id where an engine shows it in short.
const SHORT: usize = 12;

/// What the link is called while the engine has it: at most 15 letters (`IFNAMSIZ`), unlike any other.
fn link(id: &str) -> String {
    format!("ht{}", id.get(..SHORT).unwrap_or(id))
}

/// The name of the interface that is `asked` without case.
fn named_interface(
    topology: &Topology,
    home: &Home,
    found: &Found<'_>,
    asked: &str,
) -> Result<String, Refused> {
    let names: Vec<&str> = found.interfaces().map(|it| it.name.as_str()).collect();
    let mut alike_names = alike(names.iter().copied(), asked);
    if alike_names.is_empty() {
        // As everywhere, a workload's name stands for its first instance.
        alike_names = alike(names.iter().copied(), &format!("{asked}/0"));
    }
    match alike_names[..] {
        [name] => Ok(name.to_owned()),
        [] => {
            let all = topology.network_interfaces.iter().filter(|it| it.is_seat());
            if let Some(eni) = alike(all.map(|it| it.name.as_str()), asked).first() {
                let (eni, home) = ((*eni).to_owned(), home.to_string());
                return Err(Refused::Elsewhere { eni, home });
            }
            let (kind, place) = match home {
                Home::Subnet(_) => ("network interface", " in this subnet"),
                Home::Workload(_) => ("instance", " of this workload"),
            };
            let there = names.into_iter().map(str::to_owned).collect();
            Err(Refused::Unknown { kind, name: asked.to_owned(), place, there })
        }
        _ => Err(Refused::Ambiguous(asked.to_owned(), alike_names.join(", "))),
    }
}

/// The one group of the VPC that `is_it`.
fn group(found: &Found<'_>, asked: &str, is_it: impl Fn(&str) -> bool) -> Result<String, Refused> {
    let there = found.groups();
    let those: Vec<&str> = there.iter().copied().filter(|name| is_it(name)).collect();
    match those[..] {
        [name] => Ok(name.to_owned()),
        [] => Err(Refused::Unknown {
            kind: "security group",
            name: asked.to_owned(),
            place: " in this VPC",
            there: there.into_iter().map(str::to_owned).collect(),
        }),
        _ => Err(Refused::Ambiguous(asked.to_owned(), those.join(", "))),
    }
}

fn refuse_ports(options: &Options, eni: &str) -> Result<(), Refused> {
    let published = options.get("com.docker.network.portmap").and_then(Value::as_array);
    if published.is_some_and(|ports| !ports.is_empty()) {
        return Err(Refused::Ports { eni: eni.to_owned() });
    }
    Ok(())
}
