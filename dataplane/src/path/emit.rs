//! Where does it leave, and who must be told?
//!
//! The exit link of each packet that goes on, and the MTU that it must be cut to; the answer that a
//! rejected packet owes, in that packet's own slot. All drops are counted here.

use crate::io::HEADROOM;
use crate::packet::{Answer, Batch, Packet, Verdict};
use crate::path::answer;
use crate::state::Shard;
use crate::tables::Tables;
use crate::wire::virtio::VirtioNetHdr;

/// Decides on the way out of each packet, and counts.
pub fn emit(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    for (packet, slot) in batch.slots_mut() {
        match packet.verdict {
            Verdict::Forward => {
                let Some(hot) = shard.flows.hot(packet.flow) else { continue };
                let wire = packet.wire();
                let fragment = (wire.longest > usize::from(hot.mtu)).then_some(hot.mtu);
                let link = hot.key(packet.direction.opposite()).link;
                packet.verdict = Verdict::Emit { link, fragment };
                shard.counters.forwarded += 1;
                shard.counters.forwarded_bytes += packet.len as u64;
                shard.meters.pass(packet, &wire);
            }
            Verdict::Drop { .. } => stop(packet, slot, shard, tables),
            Verdict::HandOver(_) => shard.counters.handed_over += 1,
            Verdict::Held => {}
            Verdict::Pending | Verdict::Emit { .. } => {
                debug_assert!(false, "admit judges every packet that recall left");
            }
        }
    }
}

/// Counts a drop, and makes the answer that it owes.
#[inline(never)]
fn stop(packet: &mut Packet, slot: &mut [u8], shard: &mut Shard, tables: &Tables) {
    let Verdict::Drop { reason, component, answer } = packet.verdict else { return };
    shard.counters.drop(reason, component);
    shard.meters.stop(packet, (reason, component), tables);
    if answer != Answer::Silence
        && let Some(told) = answer::compose(packet, slot, answer)
        && answer::arrives(packet, &told, answer, tables)
        && let Some(place) = slot.get_mut(HEADROOM..HEADROOM + told.len())
    {
        place.copy_from_slice(&told);
        packet.answers = true;
        packet.start = HEADROOM;
        packet.len = told.len();
        packet.offload = VirtioNetHdr::PLAIN;
        packet.verdict = Verdict::Emit { link: packet.key.link, fragment: None };
        shard.counters.answers += 1;
    }
}
