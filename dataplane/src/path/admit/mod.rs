//! May this conversation begin? And may it go on, where something about it has changed?
//!
//! First packets only: a miss, a flow that was judged under other tables, a facet that has expired,
//! an ICMP error. The packet's headers walk over the hops (`walk`) with what devices remember of
//! the flow. Draft first, commit last: nothing is kept of a packet that a later hop drops, but that
//! the devices which it passed have seen it. Between the two the next packet is judged, while what says
//! whose the keys are comes from memory. One that may pass is carried to its end by the functions of
//! the stages behind, each in its turn. A packet whose flow another worker owns is handed over to it.

mod draft;
mod foresight;
mod nat;
mod nat64;
pub mod record;
mod revisit;
mod translator;
mod walk;

use arrayvec::ArrayVec;

use crate::packet::{
    Addr, Answer, Batch, Component, Direction, Key, Kind, LinkId, Packet, Reason, Slots, Verdict,
};
use crate::path::recall::reopens;
use crate::path::{emit, headers, rewrite};
use crate::shared::WorkerId;
use crate::state::{
    Facet, Facets, FlowId, FlowRef, MAX_FACETS, MeterId, Phase, Shard, Translation,
};
use crate::tables::Tables;
use draft::Draft;
use foresight::Foresight;
use revisit::revisit;
use walk::{Memory, Walk};

pub use record::{Hop, HopStage, HopVerdict, Recorder, Rule};

/// Judges each packet that no flow answers for.
pub fn stage(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    if batch.left == 0 {
        return;
    }
    let (packets, slots) = batch.parts_mut();
    let mut foresight = Foresight::of(packets, slots, shard, tables);
    let mut drafted: Option<(usize, Draft)> = None;
    let mut next = foresight.next(packets, slots, shard, tables);
    while let Some(at) = next {
        let Some(packet) = packets.get(at) else { break };
        shard.flows.prefetch_slot(1);
        let (hash, key) = (packet.hash, packet.key);
        let mut found = shard.flows.find(hash, &key);
        if let Some((_, draft)) = &drafted
            && (found.is_some() || draft.concerns(packet, shard))
        {
            finish(&mut drafted, packets, slots, shard, tables);
            found = shard.flows.find(hash, &key);
        }
        let Some(packet) = packets.get_mut(at) else { break };
        let judged = judge(packet, found, slots, shard, tables);
        // Right before what is fetched for a packet to come: the processor looks up together where in memory that is.
        if let Ok(Admission::New(draft)) = &judged {
            draft.prefetch(shard);
        }
        next = foresight.next(packets, slots, shard, tables);
        finish(&mut drafted, packets, slots, shard, tables);
        let admitted = match judged {
            Ok(Admission::New(draft)) => {
                drafted = Some((at, draft));
                continue;
            }
            Ok(Admission::Known(admitted)) => Ok(admitted),
            Err(refusal) => Err(refusal),
        };
        if let Some(packet) = packets.get_mut(at) {
            conclude(packet, admitted, slots, shard, tables);
        }
    }
    finish(&mut drafted, packets, slots, shard, tables);
    shard.meters.tell();
}

/// Commits what was drafted of an earlier packet, by its place in the batch, and concludes about that.
fn finish(
    drafted: &mut Option<(usize, Draft)>,
    packets: &mut [Packet],
    slots: &mut Slots,
    shard: &mut Shard,
    tables: &Tables,
) {
    let Some((at, draft)) = drafted.take() else { return };
    let admitted = draft.commit(shard, tables);
    if let Some(packet) = packets.get_mut(at) {
        conclude(packet, admitted, slots, shard, tables);
    }
}

/// Judges a packet, of which is known what was `found`.
fn judge(
    packet: &mut Packet,
    found: Found,
    slots: &mut Slots,
    shard: &mut Shard,
    tables: &Tables,
) -> Result<Admission, Refusal> {
    if may_be_elsewhere(packet)
        && let Some(owner) = shard.owner_elsewhere(packet.hash)
    {
        return Err(Refusal::Elsewhere(owner));
    }
    let bytes = packet.bytes_mut(slots).unwrap_or_default();
    consider((&Headers::of(packet, bytes), packet.hash), found, shard, tables, &mut ())
}

/// Whether another worker is to be looked for whose packet it is.
fn may_be_elsewhere(packet: &Packet) -> bool {
    packet.found == FlowRef::NONE && !packet.handed
}

/// Carries a packet to its end if it may pass.
fn conclude(
    packet: &mut Packet,
    admitted: Result<Admitted, Refusal>,
    slots: &mut Slots,
    shard: &mut Shard,
    tables: &Tables,
) {
    match admitted {
        Ok(admitted) => {
            let Admitted { flow, direction, meter, outer } = admitted;
            if packet.kind != Kind::Error {
                shard.count(flow, direction, packet);
            }
            packet.found = FlowRef::new(flow, direction);
            packet.meter = meter;
            packet.verdict = Verdict::Forward;
            rewrite::forward(packet, slots, outer.unwrap_or_default(), shard, tables);
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
    /// If it is an ICMP error, its own source and destination as it leaves.
    pub outer: Option<(Addr, Addr)>,
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
    /// Its own source and destination as it leaves.
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

/// The flow that bears a packet's key, and the direction of that.
type Found = Option<(FlowId, Direction)>;

/// What a packet that may pass belongs to.
enum Admission {
    /// A flow.
    Known(Admitted),
    /// One that it begins.
    New(Draft),
}

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
    match consider((headers, hash), found, shard, tables, recorder)? {
        Admission::Known(admitted) => Ok(admitted),
        Admission::New(draft) => draft.commit(shard, tables),
    }
}

/// Judges one packet, and drafts its flow if it begins one.
fn consider<R: Recorder>(
    (headers, hash): (&Headers, u64),
    found: Found,
    shard: &mut Shard,
    tables: &Tables,
    recorder: &mut R,
) -> Result<Admission, Refusal> {
    let is_over = |(flow, direction)| {
        let hot = shard.flows.hot(flow);
        hot.is_some_and(|hot| reopens(hot.phase(), direction, headers.tcp_flags))
    };
    let over = match found {
        None => None,
        // Its successor takes its place, if it comes through.
        Some(over) if headers.error.is_none() && is_over(over) => Some(over.0),
        Some(known) => return revisit((headers, hash), known, shard, tables, recorder),
    };
    open((headers, hash), over, shard, tables, recorder).map(Admission::New)
}

/// The first packet of a conversation, in the place of one that is over.
fn open<R: Recorder>(
    (headers, hash): (&Headers, u64),
    over: Option<FlowId>,
    shard: &mut Shard,
    tables: &Tables,
    recorder: &mut R,
) -> Result<Draft, Refusal> {
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
    let translation = walk.translation(exit);
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
    Draft::of(hash, &translation, meter, phase, facets, shard, tables)
}
