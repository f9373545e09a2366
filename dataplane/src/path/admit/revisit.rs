//! May a conversation go on, where what is known does not answer for it?

use arrayvec::ArrayVec;

use crate::packet::{Direction, Reason};
use crate::path::admit::draft::{Draft, epoch_for};
use crate::path::admit::walk::{Memory, Walk};
use crate::path::admit::{
    Admission, Admitted, Denial, Headers, Passage, Passed, Recorder, Refusal,
};
use crate::path::recall::begins;
use crate::state::{Cold, Facet, Facets, FlowId, MAX_FACETS, Phase, Shard};
use crate::tables::{Choices, Tables};
use crate::time::Tick;
use crate::wire::tcp::flags;

/// A further packet, where what is known does not answer for it.
pub(super) fn revisit<R: Recorder>(
    (headers, hash): (&Headers, u64),
    (flow, direction): (FlowId, Direction),
    shard: &mut Shard,
    tables: &Tables,
    recorder: &mut R,
) -> Result<Admission, Refusal> {
    let now = shard.now;
    let gone = || Denial::silent(Reason::FlowTableFull);
    let keys = shard.flows.keys_of(flow).ok_or_else(gone)?;
    let [original, reply] = keys;
    let (hot, cold) = shard.flows.parts_mut(flow).ok_or_else(gone)?;
    cold.sync(hot);
    let memory = Memory::of((&keys, hot, cold), direction, &tables.timers, now);
    let mut walk = Walk::new(headers, memory, tables, &shard.shared, &mut shard.lessee, recorder);
    let judged = walk.run(headers.key.link);
    let outer = headers.error.is_some().then(|| walk.outer());
    // As the packet goes, and as the flow does.
    let own = shard.meters.of(walk.way, Direction::Original);
    let meter = shard.meters.of(walk.way, direction);
    let judged = judged.map_err(|denial| denial.at(own));
    if headers.error.is_some() {
        // An error says nothing about how its flow fares.
        judged?;
        return Ok(Admission::Known(Admitted { flow, direction, meter, outer }));
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
            Ok(Admission::Known(Admitted { flow, direction, meter, outer }))
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
            let draft = Draft::of(hash, &found, own, phase, give, shard, tables)?;
            Ok(Admission::New(draft))
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
