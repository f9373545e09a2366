//! Where does it leave, and who must be told?
//!
//! The exit link of each packet that goes on, and the MTU that it must be cut to; the answer that a
//! rejected packet owes, in that packet's own slot. All drops are counted here.

use crate::io::HEADROOM;
use crate::packet::{Answer, Batch, LinkId, Packet, Slots, Verdict, Wire};
use crate::path::answer;
use crate::state::{Counters, Hot, Meters, Shard};
use crate::tables::Tables;
use crate::wire::virtio::VirtioNetHdr;

/// Decides on the way out of each packet, and counts.
pub fn emit(batch: &mut Batch, shard: &mut Shard, tables: &Tables) {
    if batch.left == 0 {
        return;
    }
    let (packets, slots) = batch.parts_mut();
    for packet in packets {
        match packet.verdict {
            Verdict::Emit { .. } => {}
            _ => stop(packet, slots, shard, tables),
        }
    }
}

/// Sends a packet on its way, which was `wire` as it came.
pub(super) fn leave(
    packet: &mut Packet,
    hot: &Hot,
    fragment: Option<u16>,
    wire: &Wire,
    counted: (&mut Counters, &mut Meters),
) {
    leave_by(packet, hot.line(packet.direction()).exit(), fragment, wire, counted);
}

/// Sends a packet on its way by `link`.
pub(super) fn leave_by(
    packet: &mut Packet,
    link: LinkId,
    fragment: Option<u16>,
    wire: &Wire,
    (counters, meters): (&mut Counters, &mut Meters),
) {
    packet.verdict = Verdict::Emit { link, fragment };
    counters.forwarded += 1;
    counters.forwarded_bytes += u64::from(packet.len);
    // Counted also where no gateway is on its way: what is lost behind here is counted off again.
    meters.pass((packet.meter, packet.direction()), wire);
}

/// Counts what does not go on from here.
#[inline(never)]
fn stop(packet: &mut Packet, slots: &mut Slots, shard: &mut Shard, tables: &Tables) {
    match packet.verdict {
        Verdict::Drop { reason, component, answer } => {
            shard.counters.drop(reason, component);
            shard.meters.stop(packet, (reason, component), tables);
            tell(packet, slots, answer, shard, tables);
        }
        Verdict::HandOver(_) => shard.counters.handed_over += 1,
        Verdict::Held => {}
        Verdict::Ignored => shard.counters.ignored += 1,
        Verdict::Pending | Verdict::Forward | Verdict::Emit { .. } => {
            debug_assert!(
                false,
                "admit judges every packet that recall left, and rewrite sends what goes on"
            );
        }
    }
}

/// Makes the answer that a drop owes, in the place of the packet.
#[expect(clippy::cast_possible_truncation, reason = "an answer is hardly longer than its packet")]
fn tell(
    packet: &mut Packet,
    slots: &mut Slots,
    answer: Answer,
    shard: &mut Shard,
    tables: &Tables,
) {
    if answer != Answer::Silence
        && let Some(told) = answer::compose(packet, slots, answer, tables)
        && answer::arrives(packet, &told, answer, tables)
        && let Some(room) = packet.room_mut(slots)
        && let Some(place) = room.get_mut(HEADROOM..HEADROOM + told.len())
    {
        place.copy_from_slice(&told);
        packet.answers = true;
        packet.len = told.len() as u32;
        packet.offload = VirtioNetHdr::PLAIN;
        packet.verdict = Verdict::Emit { link: packet.key.link, fragment: None };
        shard.counters.answers += 1;
    }
}
