//! What is kept of a conversation that may begin?
//!
//! Its flow is put down when its first packet has come through, and is found once it is committed. Where many flows
//! are known, what says whose the keys are must come from memory: it does so between the two, while the next packet is
//! judged. That shows in one thing alone: what a flow held that is refused for another worker's, or gives way to the new one,
//! is free a packet later.

use crate::packet::{Direction, Packet, Reason};
use crate::path::admit::{Admitted, Denial, Refusal};
use crate::state::{
    Device, Facet, Facets, FlowId, Hashes, MeterId, NotOpened, Phase, Shard, Translation,
};
use crate::tables::{NatGateway, Tables};

/// A flow that nobody finds yet.
#[derive(Debug)]
#[must_use = "what is not committed takes room for ever"]
pub(super) struct Draft {
    flow: FlowId,
    hashes: Hashes,
    meter: MeterId,
}

impl Draft {
    /// The flow of a packet whose key hashes to `hash`; `facets` puts down what devices remember.
    ///
    /// # Errors
    ///
    /// When there is no room for it.
    pub(super) fn of(
        hash: u64,
        translation: &Translation,
        meter: MeterId,
        phase: Phase,
        facets: impl FnOnce(&mut Facets),
        shard: &mut Shard,
        tables: &Tables,
    ) -> Result<Self, Refusal> {
        let reply = shard.flows.hash(&translation.reply);
        match shard.draft(translation, phase, facets, &tables.timers) {
            Some(flow) => Ok(Self { flow, hashes: [hash, reply], meter }),
            None => Err(full(meter)),
        }
    }

    /// Brings what says whose the keys are into cache, for it to be committed.
    #[inline(always)]
    pub(super) fn prefetch(&self, shard: &Shard) {
        // The original one was looked up already.
        let [_, reply] = self.hashes;
        shard.flows.prefetch_index(reply);
        shard.prefetch_owner(reply);
    }

    /// Whether a packet that no flow is known for is not to be judged before this is committed: it belongs to it, or what
    /// this holds comes back, as there is no room for it.
    pub(super) fn concerns(&self, packet: &Packet, shard: &Shard) -> bool {
        self.hashes.contains(&packet.hash) || !shard.flows.has_room()
    }

    /// Makes it a flow that is found by both its keys.
    ///
    /// # Errors
    ///
    /// When there is no room for it, or another worker has a flow with one of its keys.
    pub(super) fn commit(self, shard: &mut Shard, tables: &Tables) -> Result<Admitted, Refusal> {
        let Self { flow, hashes, meter } = self;
        let direction = Direction::Original;
        match shard.commit(flow, hashes, &tables.timers) {
            Ok((hot, cold)) => {
                hot.set_meter(meter);
                hot.judge(direction, epoch_for(direction, &cold.facets, tables));
                Ok(Admitted { flow, direction, meter, outer: None })
            }
            Err(NotOpened::Full) => Err(full(meter)),
            Err(NotOpened::Elsewhere(owner)) => Err(Refusal::Elsewhere(owner)),
        }
    }
}

fn full(meter: MeterId) -> Refusal {
    Denial::silent(Reason::FlowTableFull).at(meter).into()
}

/// The epoch that the judgement of a packet holds for; none, so that each is judged by itself, where a
/// NAT gateway on its way goes by more than what a hit looks at, or is a translator of the RFCs.
pub(super) fn epoch_for(direction: Direction, facets: &Facets, tables: &Tables) -> u32 {
    let choices = &tables.choices;
    let one_by_one = tables.strict().is_some()
        || direction == Direction::Reply
            && (!choices.nat_outside_refreshes || !choices.nat_outside_reset_ends);
    let by_itself = |facet: &Facet| {
        let Device::NatGateway(id) = facet.device else { return false };
        let drains = |gateway: &NatGateway| {
            let mut draining = gateway.addresses.iter().filter(|it| it.draining.is_some());
            draining.any(|it| facet.lease().is_some_and(|lease| lease.address() == it.address))
        };
        one_by_one || tables.nat_gateways.get(id).is_some_and(drains)
    };
    if facets.iter().any(by_itself) { 0 } else { tables.epoch }
}
