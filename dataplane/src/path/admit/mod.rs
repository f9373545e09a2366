//! May this conversation begin? And may it go on, where something about it has changed?
//!
//! First packets only: a miss, a flow that was judged under other tables, a facet that has expired,
//! an ICMP error. The packet's headers walk over the hops (`walk`) with what devices remember of
//! the flow. Draft first, commit last: nothing is kept of a packet that a later hop drops, but that
//! the devices which it passed have seen it. One that may pass is carried to its end at once, by the
//! functions of the stages behind. A packet whose flow another worker owns is handed over to it.

mod nat;
mod nat64;
pub mod record;
mod translator;
mod walk;

use arrayvec::ArrayVec;

use crate::packet::{
    Addr, Answer, Batch, Component, Direction, Key, Kind, LinkId, Packet, Reason, Slots, Verdict,
};
use crate::path::recall::{begins, reopens};
use crate::path::{emit, headers, rewrite};
use crate::shared::WorkerId;
use crate::state::{
    Cold, Device, Facet, Facets, FlowId, FlowRef, MAX_FACETS, MeterId, NotOpened, Phase, Shard,
    Translation, prefetch,
};
use crate::tables::{Choices, NatGateway, Place, Tables};
use crate::time::Tick;
use crate::wire::tcp::flags;

pub use record::{Hop, HopStage, HopVerdict, Recorder, Rule};
use walk::{Memory, Walk};

/// So many packets are judged while what the next one meets is brought into cache, as many before that while what
/// leads there is, and as many again while what leads to that is.
const AHEAD: usize = 1;

/// Judges each packet that no flow answers for.
pub fn stage(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    if batch.left == 0 {
        return;
    }
    let (packets, slots) = batch.parts_mut();
    for at in 0..packets.len() + 3 * AHEAD {
        // Before the first packet there is none.
        let behind = |steps: usize| at.wrapping_sub(steps * AHEAD);
        let pending = |at: usize| packets.get(at).filter(|packet| packet.is_pending());
        if let Some(packet) = pending(at) {
            tables.links.prefetch(packet.key.link);
        }
        if let Some(packet) = pending(behind(1)) {
            approach(packet, shard, tables);
        }
        if let Some(packet) = pending(behind(2)) {
            foresee(packet, slots, shard, tables);
        }
        let now = packets.get_mut(behind(3));
        if let Some(packet) = now.filter(|packet| packet.is_pending()) {
            judge(packet, slots, shard, tables);
        }
    }
    shard.meters.tell();
}

/// Brings what leads to what a packet meets first into cache.
fn approach(packet: &Packet, shard: &Shard, tables: &Tables) {
    if let Some(Place::Eni(id)) = tables.place(packet.key.link) {
        tables.enis.prefetch(id);
        shard.shared.tracked.approach(id);
    }
}

/// Brings the rest of it into cache, and its headers.
fn foresee(packet: &Packet, slots: &Slots, shard: &Shard, tables: &Tables) {
    prefetch::line(slots.as_ptr().addr() + packet.range().start);
    shard.flows.prefetch_slot(AHEAD);
    if let Some(Place::Eni(id)) = tables.place(packet.key.link) {
        shard.shared.tracked.prefetch(id);
    }
}

/// Judges a packet, and carries it to its end if it may pass: what that takes is in cache.
fn judge(packet: &mut Packet, slots: &mut Slots, shard: &mut Shard, tables: &Tables) {
    if packet.found == FlowRef::NONE
        && !packet.handed
        && let Some(owner) = shard.owner_elsewhere(packet.hash)
    {
        packet.verdict = Verdict::HandOver(owner);
        return;
    }
    let bytes = packet.bytes_mut(slots).unwrap_or_default();
    match admit(&Headers::of(packet, bytes), packet.hash, shard, tables, &mut ()) {
        Ok(admitted) => {
            let Admitted { flow, direction, meter, outer } = admitted;
            if packet.kind != Kind::Error {
                shard.count(flow, direction, packet);
            }
            packet.found = FlowRef::new(flow, direction);
            packet.meter = meter;
            packet.verdict = Verdict::Forward;
            rewrite::forward(packet, slots, outer, shard, tables);
        }
        Err(Refusal::Stateless(alone)) => {
            (packet.meter, packet.found) = (alone.meter, FlowRef::NONE);
            rewrite::forward_alone(packet, slots, alone.outer, &alone.translation, shard, tables);
        }
        Err(Refusal::Local(link)) => {
            (packet.meter, packet.found) = (MeterId::NONE, FlowRef::NONE);
            let wire = packet.wire();
            emit::leave_by(packet, link, None, &wire, (&mut shard.counters, &mut shard.meters));
        }
        Err(Refusal::Elsewhere(owner)) => packet.verdict = Verdict::HandOver(owner),
        Err(Refusal::Denied(Denial { reason, component, answer, meter })) => {
            (packet.meter, packet.found) = (meter, FlowRef::NONE);
            let component = component.unwrap_or_else(|| tables.component_at(packet.key.link));
            packet.verdict = Verdict::Drop { reason, component, answer };
        }
    }
}

/// What is judged: a packet without its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    /// The key of the flow that it belongs to, or that it quotes.
    pub key: Key,
    /// See [`Packet::selector`].
    pub selector: u16,
    /// TCP control bits.
    pub tcp_flags: u8,
    /// An ICMP error's own source and destination; `None` for any other packet.
    pub error: Option<(Addr, Addr)>,
    /// Whether it is a fragment; its ports are those of its datagram.
    pub fragment: bool,
    /// As how many packets it counts: a super-packet as its segments.
    pub packets: u32,
}

impl Headers {
    /// A packet's headers.
    #[must_use]
    pub fn of(packet: &Packet, bytes: &[u8]) -> Self {
        Self {
            key: packet.key,
            selector: packet.selector(),
            tcp_flags: packet.tcp_flags,
            error: if packet.kind == Kind::Error { headers::ends(bytes) } else { None },
            fragment: packet.kind.is_fragment(),
            packets: u32::try_from(packet.wire().packets).unwrap_or(u32::MAX),
        }
    }
}

/// A packet that may pass.
#[derive(Clone, Copy, Debug)]
pub struct Admitted {
    /// Its flow.
    pub flow: FlowId,
    /// The direction that it goes in.
    pub direction: Direction,
    /// The NAT gateways on its way.
    pub meter: MeterId,
    /// Its addresses as it leaves; what an ICMP error is given.
    pub outer: (Addr, Addr),
}

/// A packet that may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// Where; `None` where it came in.
    pub component: Option<Component>,
    /// What the sender is told.
    pub answer: Answer,
    /// The NAT gateways that it has come to, as of a packet of the original direction.
    pub meter: MeterId,
}

/// An ICMP error that passes about a conversation which no device remembers: a translator without state needs no
/// flow (RFC 7915 s. 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alone {
    /// That of the conversation.
    pub translation: Translation,
    /// See [`Admitted::meter`].
    pub meter: MeterId,
    /// See [`Admitted::outer`].
    pub outer: (Addr, Addr),
}

/// Why a packet is admitted to no flow here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It may not pass.
    Denied(Denial),
    /// It belongs to a flow of another worker.
    Elsewhere(WorkerId),
    /// It passes without one.
    Stateless(Box<Alone>),
    /// It passes as it is, to a service at the link or from one, and leaves by this link.
    Local(LinkId),
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl Denial {
    /// The same, past the gateways of `meter`.
    const fn at(self, meter: MeterId) -> Self {
        Self { meter, ..self }
    }

    /// Where the packet came in, and nobody is told.
    const fn silent(reason: Reason) -> Self {
        Self { reason, component: None, answer: Answer::Silence, meter: MeterId::NONE }
    }
}

/// A device that a walk has passed. With a tag of its own a facet is moved as a whole: taken apart, and read
/// as a whole at once, it stalls the processor for a twentieth of what a first packet takes.
#[derive(Debug)]
#[repr(u8)]
enum Passed {
    /// It remembers the flow: facet number so-and-so.
    Kept(usize),
    /// It will, if the packet comes through.
    Opened(Facet),
}

type Passage = ArrayVec<Passed, MAX_FACETS>;

/// Judges one packet, and commits what follows from it to the shard.
///
/// # Errors
///
/// The first hop that refuses, and why; or the worker whose packet it is.
pub fn admit<R: Recorder>(
    headers: &Headers,
    hash: u64,
    shard: &mut Shard,
    tables: &Tables,
    recorder: &mut R,
) -> Result<Admitted, Refusal> {
    let found = shard.flows.find(hash, &headers.key);
    let is_over = |(flow, direction)| {
        let hot = shard.flows.hot(flow);
        hot.is_some_and(|hot| reopens(hot.phase(), direction, headers.tcp_flags))
    };
    match found {
        None => open((headers, hash), None, shard, tables, recorder),
        // Its successor takes its place, if it comes through.
        Some(over) if headers.error.is_none() && is_over(over) => {
            open((headers, hash), Some(over.0), shard, tables, recorder)
        }
        Some(known) => revisit((headers, hash), known, shard, tables, recorder),
    }
}

/// The first packet of a conversation, in the place of one that is over.
fn open<R: Recorder>(
    (headers, hash): (&Headers, u64),
    over: Option<FlowId>,
    shard: &mut Shard,
    tables: &Tables,
    recorder: &mut R,
) -> Result<Admitted, Refusal> {
    let memory = Memory::none(shard.now);
    let mut walk = Walk::new(headers, memory, tables, &shard.shared, &mut shard.lessee, recorder);
    let judged = walk.run(headers.key.link);
    let meter = shard.meters.of(walk.way, Direction::Original);
    let exit = judged.map_err(|denial| denial.at(meter))?;
    if walk.is_local {
        return Err(Refusal::Local(exit));
    }
    if headers.error.is_some() {
        // No device on the way would have stopped it, but most have nothing to translate it by.
        let outer = walk.outer();
        let alone = walk.quoted(exit).map(|translation| Alone { translation, meter, outer });
        return Err(match alone {
            Some(alone) => Refusal::Stateless(Box::new(alone)),
            None => Denial::silent(Reason::IcmpUnmatched).at(meter).into(),
        });
    }
    let (translation, outer) = (walk.translation(exit), walk.outer());
    // From where they are: room for all that a walk may pass is much to move.
    let facets = |facets: &mut Facets| {
        for passed in walk.passed.drain(..) {
            if let Passed::Opened(facet) = passed {
                facets.push(facet);
            }
        }
    };
    if let Some(over) = over {
        shard.close(over, &tables.timers);
    }
    let phase = Phase::first(headers.key.protocol, headers.tcp_flags);
    commit((&translation, hash, meter), phase, facets, shard, tables).map(|flow| Admitted {
        flow,
        direction: Direction::Original,
        meter,
        outer,
    })
}

/// A further packet, where what is known does not answer for it.
fn revisit<R: Recorder>(
    (headers, hash): (&Headers, u64),
    (flow, direction): (FlowId, Direction),
    shard: &mut Shard,
    tables: &Tables,
    recorder: &mut R,
) -> Result<Admitted, Refusal> {
    let now = shard.now;
    let gone = || Denial::silent(Reason::FlowTableFull);
    let keys = shard.flows.keys_of(flow).ok_or_else(gone)?;
    let [original, reply] = keys;
    let (hot, cold) = shard.flows.parts_mut(flow).ok_or_else(gone)?;
    cold.sync(hot);
    let memory = Memory::of((&keys, hot, cold), direction, &tables.timers, now);
    let mut walk = Walk::new(headers, memory, tables, &shard.shared, &mut shard.lessee, recorder);
    let judged = walk.run(headers.key.link);
    let outer = walk.outer();
    // As the packet goes, and as the flow does.
    let own = shard.meters.of(walk.way, Direction::Original);
    let meter = shard.meters.of(walk.way, direction);
    let judged = judged.map_err(|denial| denial.at(own));
    if headers.error.is_some() {
        // An error says nothing about how its flow fares.
        return judged.map(|_| Admitted { flow, direction, meter, outer }).map_err(Into::into);
    }
    let translation = judged.map(|exit| walk.translation(exit));
    let passed = walk.passed;
    match translation {
        Ok(found)
            if found.reply == if direction == Direction::Original { reply } else { original } =>
        {
            let resets = tables.choices.nat_outside_reset_ends || direction == Direction::Original;
            let phase = if resets || headers.tcp_flags & flags::RST == 0 || !holds_port(cold) {
                next_phase(hot.phase(), direction, headers, &passed)
            } else {
                hot.phase()
            };
            let facets = std::mem::take(&mut cold.facets);
            let refreshes = |facet: &Facet| refreshes(facet, direction, &tables.choices);
            let (facets, rest) = pass_on(facets, passed, hot.phase(), now, refreshes);
            for facet in rest {
                let idle = facet.device.idle(hot.phase(), &tables.timers);
                shard.meters.end(&facet, idle, now);
            }
            cold.facets = facets;
            shard.meters.begin(&mut cold.facets, headers.key.protocol);
            shard.meters.follow(&mut cold.facets, hot.phase(), phase);
            if direction == Direction::Reply {
                cold.facets.reverse();
            }
            hot.reroute(found.mtu, found.ttl_hops);
            hot.set_meter(meter);
            hot.enter(phase);
            hot.judge(direction, epoch_for(direction, &cold.facets, tables));
            cold.settle(hot, &tables.timers, now);
            shard.flows.reschedule(flow);
            Ok(Admitted { flow, direction, meter, outer })
        }
        Ok(found) => {
            let phase = match direction {
                Direction::Original if !begins(headers.tcp_flags) => {
                    next_phase(hot.phase(), direction, headers, &passed)
                }
                _ => Phase::first(headers.key.protocol, headers.tcp_flags),
            };
            let before = hot.phase();
            let mut facets = succeed(flow, passed, shard, tables);
            shard.meters.follow(&mut facets, before, phase);
            let give = |into: &mut Facets| *into = facets;
            commit((&found, hash, own), phase, give, shard, tables).map(|flow| Admitted {
                flow,
                direction: Direction::Original,
                meter: own,
                outer,
            })
        }
        Err(denial) => {
            // Up to the hop that drops it, devices have seen the packet.
            for passed in passed {
                if let Passed::Kept(place) = passed
                    && let Some(facet) = cold.facets.get_mut(place)
                    && !hot.phase().is_closed()
                    && refreshes(facet, direction, &tables.choices)
                {
                    facet.last = now;
                }
            }
            cold.settle(hot, &tables.timers, now);
            shard.flows.reschedule(flow);
            Err(denial.into())
        }
    }
}

/// The phase of a flow after a packet that was judged again.
fn next_phase(phase: Phase, direction: Direction, headers: &Headers, passed: &Passage) -> Phase {
    let tracked_anew =
        passed.iter().any(|passed| matches!(passed, Passed::Opened(facet) if facet.is_tracked()));
    if tracked_anew {
        phase.renew(direction, headers.tcp_flags)
    } else {
        phase.step(direction, headers.tcp_flags)
    }
}

/// Whether a NAT gateway remembers the flow.
fn holds_port(cold: &Cold) -> bool {
    cold.facets.iter().any(|facet| facet.lease().is_some())
}

/// Whether a packet of `direction` restarts a facet's clock.
fn refreshes(facet: &Facet, direction: Direction, choices: &Choices) -> bool {
    let from_outside = facet.lease().is_some() && direction == Direction::Reply;
    !from_outside || choices.nat_outside_refreshes
}

/// What devices that a packet has passed remember from now on, in its path order, and what is left of
/// those that it did not pass.
fn pass_on(
    facets: Facets,
    passed: Passage,
    phase: Phase,
    now: Tick,
    refreshes: impl Fn(&Facet) -> bool,
) -> (Facets, impl Iterator<Item = Facet>) {
    let mut old: ArrayVec<Option<Facet>, MAX_FACETS> = facets.into_iter().map(Some).collect();
    let facets = passed
        .into_iter()
        .filter_map(|passed| match passed {
            Passed::Kept(place) => {
                let facet = old.get_mut(place)?.take()?;
                let last = if phase.is_closed() || !refreshes(&facet) { facet.last } else { now };
                Some(Facet { last, ..facet })
            }
            Passed::Opened(facet) => Some(facet),
        })
        .collect();
    (facets, old.into_iter().flatten())
}

/// Takes a flow away and gives its successor what the devices passed remember.
fn succeed(flow: FlowId, passed: Passage, shard: &mut Shard, tables: &Tables) -> Facets {
    let Some((hot, facets)) = shard.take(flow) else { return Facets::new() };
    let (facets, rest) = pass_on(facets, passed, hot.phase(), shard.now, |_| true);
    shard.forget(rest, hot.phase(), &tables.timers);
    facets
}

/// The epoch that the judgement of a packet holds for; none, so that each is judged by itself, where a
/// NAT gateway on its way goes by more than what a hit looks at, or is a translator of the RFCs.
fn epoch_for(direction: Direction, facets: &Facets, tables: &Tables) -> u32 {
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

/// Opens the flow of a packet whose key hashes to `hash`; `facets` puts down what devices remember.
fn commit(
    (translation, hash, meter): (&Translation, u64, MeterId),
    phase: Phase,
    facets: impl FnOnce(&mut Facets),
    shard: &mut Shard,
    tables: &Tables,
) -> Result<FlowId, Refusal> {
    let hashes = [hash, shard.flows.hash(&translation.reply)];
    // The original key was looked up already.
    shard.flows.prefetch_index(hashes[1]);
    shard.prefetch_owner(hashes[1]);
    match shard.open(translation, phase, facets, hashes, &tables.timers) {
        Ok((flow, hot, cold)) => {
            hot.set_meter(meter);
            hot.judge(Direction::Original, epoch_for(Direction::Original, &cold.facets, tables));
            Ok(flow)
        }
        Err(NotOpened::Full) => Err(Denial::silent(Reason::FlowTableFull).at(meter).into()),
        Err(NotOpened::Elsewhere(owner)) => Err(Refusal::Elsewhere(owner)),
    }
}
