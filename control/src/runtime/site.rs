//! The seats that stand: namespaces with their devices, hosts inside the emulator.
//!
//! New ones are made before new tables hold, so that a failure leaves everything as it was. Changed
//! and gone ones are seen to after it; what fails then is left for the next plan to do.

mod attached;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dataplane::io::memory::{self, MemoryLink, Peer};
use dataplane::io::tun::Handle;
use dataplane::io::{Link, Offloads};
use dataplane::packet::LinkId;
use dataplane::tables::{INTERNET_MTU, VPC_MTU};
use dataplane::worker::Workers;

use crate::attach::state::{self, Record};
use crate::attach::{self, Attachment};
use crate::endpoints::{Endpoints, HostSpec, Knowledge, Service, Surroundings};
use crate::runtime::device::{Device, Workshop};
use crate::runtime::emulator::Error;
use crate::runtime::instance::Instance;
use crate::runtime::interface::{self, Interface};
use crate::runtime::namespace::Namespace;
use crate::runtime::seats::{Seat, SeatKind};

/// The device of one member, as it was found when it was made.
#[derive(Clone, Debug)]
pub struct DeviceStatus {
    /// Whose.
    pub member: String,
    /// Whether it is of the plain kind.
    pub compat: bool,
    /// What it takes whole.
    pub takes: Offloads,
}

/// A device that stands.
#[derive(Debug)]
struct Standing {
    status: DeviceStatus,
    handle: Handle,
    /// To whom it is given; to nobody while it is at home, in the namespace of its seat.
    attachment: Option<Attachment>,
}

/// All that stands.
#[derive(Debug)]
pub(super) struct Site {
    workshop: Workshop,
    seats: BTreeMap<String, Seat>,
    devices: BTreeMap<String, Standing>,
    /// The built-in hosts, once there has been one.
    endpoints: Option<Endpoints>,
    surroundings: Surroundings,
    /// Where it is kept who has been given an interface.
    kept: PathBuf,
    /// Interfaces that an instance of this name left where they were when it crashed.
    left: Vec<Record>,
}

/// What a change of topology asks of the site.
#[derive(Debug)]
pub(super) struct Plan {
    gone: Vec<Seat>,
    changed: Vec<(Seat, Seat)>,
    new: Vec<Seat>,
}

impl Plan {
    /// The links of those who are gone, or have become somebody else.
    pub(super) fn vacated(&self) -> Vec<LinkId> {
        self.gone.iter().map(|seat| seat.link).collect()
    }
}

impl Site {
    pub(super) fn new(workshop: Workshop, surroundings: Surroundings, instance: &Instance) -> Self {
        let (seats, devices) = (BTreeMap::new(), BTreeMap::new());
        let kept = instance.paths().attachments();
        let left = state::load(&kept);
        Self { workshop, seats, devices, endpoints: None, surroundings, kept, left }
    }

    pub(super) fn devices(&self) -> Vec<DeviceStatus> {
        self.devices.values().map(|device| device.status.clone()).collect()
    }

    /// Packets that each member's device dropped because no worker read them in time.
    pub(super) fn overruns(&self, instance: &Instance) -> Vec<(LinkId, u64)> {
        let overruns = self.devices.iter().filter_map(|(name, device)| {
            // A device that somebody took away has no counts.
            let packets = if device.attachment.is_some() {
                attach::overrun(&device.handle).ok()?
            } else {
                let home = Namespace::open(&instance.paths().namespace_path(name)).ok()?;
                interface::overrun(&home).ok()?
            };
            Some((self.seats.get(name)?.link, packets))
        });
        overruns.filter(|&(_, packets)| packets > 0).collect()
    }

    /// Tells the services of VPCs what there is from now on.
    pub(super) fn know(&self, knowledge: Knowledge) {
        self.surroundings.knowledge.store(Arc::new(knowledge));
    }

    /// What has to happen for `wanted` to stand.
    pub(super) fn plan(&self, wanted: &[Seat]) -> Plan {
        let mut plan = Plan { gone: Vec::new(), changed: Vec::new(), new: Vec::new() };
        for seat in wanted {
            match self.seats.get(&seat.name) {
                Some(stands) if stands == seat => {}
                Some(stands) if can_change(&stands.kind, &seat.kind) => {
                    plan.changed.push((stands.clone(), seat.clone()));
                }
                Some(stands) => {
                    plan.gone.push(stands.clone());
                    plan.new.push(seat.clone());
                }
                None => plan.new.push(seat.clone()),
            }
        }
        let wanted = |name: &str| wanted.iter().any(|seat| seat.name == name);
        plan.gone.extend(self.seats.values().filter(|seat| !wanted(&seat.name)).cloned());
        plan
    }

    /// Makes what is new and takes nobody's place. On failure all that it made is gone again.
    pub(super) fn prepare(
        &mut self,
        plan: &Plan,
        instance: &Instance,
        workers: &Workers,
    ) -> Result<(), Error> {
        let taken = |seat: &&Seat| plan.gone.iter().any(|gone| gone.name == seat.name);
        let free: Vec<&Seat> = plan.new.iter().filter(|seat| !taken(seat)).collect();
        let made = free.iter().try_for_each(|seat| self.make(seat, instance, workers));
        if made.is_err() {
            self.remove(free, instance, workers);
        }
        made
    }

    /// Takes away what is gone, now that the new tables hold.
    pub(super) fn clear(&mut self, plan: &Plan, instance: &Instance, workers: &Workers) {
        self.remove(&plan.gone, instance, workers);
    }

    /// Sees to the rest, once nobody remembers who was there before, and returns what failed of it.
    pub(super) fn finish(
        &mut self,
        plan: &Plan,
        instance: &Instance,
        workers: &Workers,
    ) -> Vec<Error> {
        let mut failed = Vec::new();
        for seat in &plan.new {
            if !self.seats.contains_key(&seat.name) {
                failed.extend(self.make(seat, instance, workers).err());
            }
        }
        for (old, new) in &plan.changed {
            failed.extend(self.change(old, new, instance).err());
        }
        failed
    }

    /// Makes one seat, or nothing of it.
    fn make(&mut self, seat: &Seat, instance: &Instance, workers: &Workers) -> Result<(), Error> {
        let made = match &seat.kind {
            SeatKind::Namespace { interface, resolv_conf } => {
                self.make_namespace(seat, interface, resolv_conf, instance, workers)
            }
            SeatKind::BuiltIn { addresses, serves, vpc } => {
                self.make_built_in(seat, (addresses, serves, vpc.as_deref()), workers)
            }
        };
        match made {
            Ok(()) => drop(self.seats.insert(seat.name.clone(), seat.clone())),
            Err(_) => self.remove([seat], instance, workers),
        }
        made
    }

    fn make_namespace(
        &mut self,
        seat: &Seat,
        interface: &Interface,
        resolv_conf: &str,
        instance: &Instance,
        workers: &Workers,
    ) -> Result<(), Error> {
        let target = Namespace::named(&instance.paths().namespace(&seat.name))?;
        interface::prepare(&target)?;
        instance.write_resolv_conf(&seat.name, resolv_conf)?;
        if self.adopt(seat, &target, interface, workers) {
            return Ok(());
        }
        self.make_device(seat, &target, interface, workers)
    }

    /// Makes the device of a seat, whose namespace is there; one that it had is gone.
    fn make_device(
        &mut self,
        seat: &Seat,
        home: &Namespace,
        interface: &Interface,
        workers: &Workers,
    ) -> Result<(), Error> {
        let Device { queues, compat, takes, handle } = self.workshop.make(home, interface)?;
        workers.attach(seat.link, queues)??;
        let status = DeviceStatus { member: seat.name.clone(), compat, takes };
        self.devices.insert(seat.name.clone(), Standing { status, handle, attachment: None });
        Ok(())
    }

    fn make_built_in(
        &mut self,
        seat: &Seat,
        (addresses, serves, vpc): (&[IpAddr], &[Service], Option<&str>),
        workers: &Workers,
    ) -> Result<(), Error> {
        let endpoints = match &mut self.endpoints {
            Some(endpoints) => endpoints,
            none => none.insert(Endpoints::start(self.surroundings.clone())?),
        };
        let host = HostSpec {
            name: seat.name.clone(),
            vpc: vpc.map(str::to_owned),
            addresses: addresses.to_vec(),
            serves: serves.to_vec(),
            mtu: if vpc.is_some() { VPC_MTU } else { INTERNET_MTU },
            peer: ring(seat.link, workers)?,
        };
        Ok(endpoints.add(host)?)
    }

    /// Gives a namespace's interface what it has now; its device stays.
    fn change(&mut self, old: &Seat, new: &Seat, instance: &Instance) -> Result<(), Error> {
        let (
            SeatKind::Namespace { interface: before, .. },
            SeatKind::Namespace { interface, resolv_conf },
        ) = (&old.kind, &new.kind)
        else {
            return Ok(());
        };
        if before != interface {
            match self.devices.get(&new.name) {
                Some(Standing { handle, attachment: Some(_), .. }) => {
                    attach::change(handle, before, interface).map_err(Box::new)?;
                }
                _ => {
                    let home = Namespace::open(&instance.paths().namespace_path(&new.name))?;
                    interface::reconfigure(&home, before, interface)?;
                }
            }
        }
        instance.write_resolv_conf(&new.name, resolv_conf)?;
        self.seats.insert(new.name.clone(), new.clone());
        self.keep();
        Ok(())
    }

    /// Takes seats away, or what there is of them. Processes in their namespaces live on, without a link.
    fn remove<'a>(
        &mut self,
        seats: impl IntoIterator<Item = &'a Seat>,
        instance: &Instance,
        workers: &Workers,
    ) {
        let links: Vec<LinkId> = seats
            .into_iter()
            .inspect(|seat| self.vacate(seat, instance))
            .map(|seat| seat.link)
            .collect();
        // Workers that have ended hold no links.
        let _ = workers.detach(links);
    }

    /// Takes away what there is of a seat but its links.
    fn vacate(&mut self, seat: &Seat, instance: &Instance) {
        self.seats.remove(&seat.name);
        if let Some(Standing { handle, attachment: Some(attachment), .. }) =
            self.devices.remove(&seat.name)
        {
            tracing::info!("{} is taken from {}", seat.name, attachment.target());
            attachment.end(&handle);
            self.keep();
        }
        match seat.kind {
            SeatKind::Namespace { .. } => {
                if let Err(error) = Namespace::remove(&instance.paths().namespace(&seat.name)) {
                    tracing::warn!("{error}");
                }
            }
            SeatKind::BuiltIn { .. } => {
                if let Some(endpoints) = &self.endpoints {
                    endpoints.remove(&seat.name);
                }
            }
        }
    }
}

/// Whether one seat becomes the other without being made anew.
fn can_change(old: &SeatKind, new: &SeatKind) -> bool {
    matches!((old, new), (SeatKind::Namespace { .. }, SeatKind::Namespace { .. }))
}

/// Packets that wait for a built-in host, or from it, at most: one interface may send 1024 to the services at its link at
/// once, and as many again when the next second begins, and keeps nobody else's from them.
const RING: usize = 4096;

/// A link without a device. One worker gets what the host sends; each can send to it.
fn ring(link: LinkId, workers: &Workers) -> Result<Peer, Error> {
    let (inside, peer) = memory::pair(RING)?;
    let senders = (1..workers.count()).map(|_| inside.sender());
    let senders: Vec<MemoryLink> = senders.collect::<io::Result<_>>()?;
    let queues = std::iter::once(inside).chain(senders);
    workers.attach(link, queues.map(|queue| Box::new(queue) as Box<dyn Link>))??;
    Ok(peer)
}
