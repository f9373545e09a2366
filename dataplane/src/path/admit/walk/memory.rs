//! What do devices remember of the flow that a packet belongs to?

use crate::packet::{Addr, Direction, Key};
use crate::state::{Cold, Device, Facet, Hot};
use crate::tables::{End, Timers};
use crate::time::Tick;

/// What devices remember of the flow that a packet belongs to.
#[derive(Clone, Copy)]
pub(in crate::path::admit) struct Memory<'a> {
    /// The flow, with the clocks that its devices go by; `None` for a first packet.
    flow: Option<Known<'a>>,
    /// The direction of the flow that the packet goes in.
    pub(super) direction: Direction,
    pub(in crate::path::admit) now: Tick,
}

/// A known flow.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// By [`Direction`].
    keys: &'a [Key; 2],
    hot: &'a Hot,
    cold: &'a Cold,
    timers: &'a Timers,
}

impl<'a> Memory<'a> {
    pub(in crate::path::admit) const fn none(now: Tick) -> Self {
        Self { flow: None, direction: Direction::Original, now }
    }

    pub(in crate::path::admit) const fn of(
        (keys, hot, cold): (&'a [Key; 2], &'a Hot, &'a Cold),
        direction: Direction,
        timers: &'a Timers,
        now: Tick,
    ) -> Self {
        Self { flow: Some(Known { keys, hot, cold, timers }), direction, now }
    }

    /// Whether the packet is of a flow that is known.
    pub(in crate::path::admit) const fn knows(&self) -> bool {
        self.flow.is_some()
    }

    /// The conversation's first sender.
    pub(in crate::path::admit) fn first_sender(&self) -> Option<End> {
        let [original, _] = self.flow?.keys;
        Some((original.src, original.src_port()))
    }

    /// Who sends the packets of the other direction.
    pub(in crate::path::admit) fn far_source(&self) -> Option<Addr> {
        let [original, reply] = self.flow?.keys;
        Some(match self.direction {
            Direction::Original => reply.src,
            Direction::Reply => original.src,
        })
    }

    /// Whether a gateway on the flow's way has it tracked, whatever the rules say.
    pub(super) fn is_automatic(&self) -> bool {
        let tracks = |facet: &Facet| !matches!(facet.device, Device::Eni(_));
        self.flow.is_some_and(|flow| flow.cold.facets.iter().any(tracks))
    }

    /// The facet of `device`, if it has not expired.
    pub(in crate::path::admit) fn facet(&self, device: Device) -> Option<(usize, &'a Facet)> {
        let Known { hot, cold, timers, .. } = self.flow?;
        cold.facets.iter().enumerate().find(|(_, facet)| {
            let idle = device.idle(hot.phase(), timers);
            facet.device == device && !facet.last.after(idle).is_due(self.now)
        })
    }

    /// The endpoint that the flow's answers come by, if any has not forgotten it, and the place of its facet.
    pub(super) fn endpoint(&self) -> Option<(usize, Device)> {
        let is_endpoint =
            |device| matches!(device, Device::GatewayEndpoint(_) | Device::InterfaceEndpoint(_));
        let devices = self.flow?.cold.facets.iter().map(|facet| facet.device);
        let device = devices.into_iter().find(|&device| is_endpoint(device))?;
        self.facet(device).map(|(place, _)| (place, device))
    }

    /// Whom the translator whose facet stands at `place` knows on its inside: the translator before
    /// it, or the conversation's first sender.
    pub(in crate::path::admit) fn inside(&self, place: usize) -> Option<(Addr, u16)> {
        let Known { keys: [key, _], cold, .. } = self.flow?;
        let before = cold.facets.get(..place)?.iter().rev().find_map(Facet::lease);
        Some(before.map_or((key.src, key.src_port()), |lease| (lease.address(), lease.port())))
    }
}
