//! Which conversation does a fragment belong to?
//!
//! Only the first fragment of a datagram (RFC 791 s. 3.2) has ports. What it says is remembered for
//! the others, and those that come before it wait; all of a datagram's fragments meet at one worker,
//! whatever queues they come by. They go on as fragments: nobody here puts a datagram together.

use crate::packet::{Addr, Key, Kind, LinkId, Packet, Reason, Verdict};
use crate::path::parse::transport_of;
use crate::state::{Held, Ports, Shard};
use crate::tables::Tables;
use crate::wire::icmpv4::Icmpv4;
use crate::wire::ipv4::Ipv4;
use crate::wire::{protocol, virtio::VirtioNetHdr};

/// Makes of a fragment a packet of its flow, or has it wait or handed over. Its IP header has been
/// looked at.
#[cold]
pub(super) fn place(
    packet: &mut Packet,
    bytes: &[u8],
    shard: &mut Shard,
    tables: &Tables,
) -> Result<(), Reason> {
    let header = Ipv4::of(bytes).ok_or(Reason::Malformed)?;
    let (transport, total) = (header.header_length(), usize::from(header.total_length.get()));
    let payload = bytes.get(transport..total).ok_or(Reason::Malformed)?;
    let datagram = datagram_of(packet.key.link, header);
    let offset = header.fragment_offset();
    // A checksum that is left to do cannot be done, and what would overwrite the TCP header of the
    // first fragment is an attack (RFC 1858 s. 4.2).
    let hides = header.protocol == protocol::TCP && offset == 8;
    if packet.offload != VirtioNetHdr::PLAIN || hides {
        return Err(Reason::Malformed);
    }
    let found = (offset == 0)
        .then(|| transport_of(header.protocol, payload, usize::from(u16::MAX)))
        .transpose()?;
    let message = (header.protocol == protocol::ICMP).then(|| Icmpv4::of(payload)).flatten();
    if offset == 0 && message.is_some_and(Icmpv4::is_error) {
        return Err(Reason::IcmpUnmatched);
    }
    let hash = shard.flows.hash(&datagram);
    if let Some(owner) = shard.meet(&datagram, hash, packet.handed) {
        packet.hash = hash;
        packet.verdict = Verdict::HandOver(owner);
        return Ok(());
    }
    let ports = if let Some(found) = found {
        packet.kind = Kind::FirstFragment;
        packet.tcp_flags = found.tcp_flags;
        packet.header = found.header;
        let icmp = message.map_or(0, Icmpv4::type_and_code);
        let ports = Ports { ports: found.ports, icmp };
        shard.fragments.learn(datagram, ports, shard.now);
        ports
    } else {
        let Some(ports) = shard.fragments.ports(&datagram) else {
            let bytes = bytes.get(..total).unwrap_or_default().to_vec();
            let sender = tables.component_at(packet.key.link);
            let oldest = shard.fragments.hold(
                datagram,
                Held { link: packet.key.link, sender, bytes },
                shard.now,
            );
            if let Some(oldest) = oldest {
                shard.counters.drop(Reason::FragmentIncomplete, oldest.sender);
            }
            packet.verdict = Verdict::Held;
            return Ok(());
        };
        packet.kind = Kind::LaterFragment;
        (packet.header, packet.tcp_flags) = (0, 0);
        ports
    };
    // Now that its flow is known, that flow's worker is who it belongs to.
    packet.handed = false;
    packet.len = u32::from(header.total_length.get());
    packet.transport = u8::try_from(transport).map_err(|_| Reason::Malformed)?;
    packet.icmp = ports.icmp;
    let ends = (Addr::v4(header.src()), Addr::v4(header.dst()));
    let key = Key::with_ports(datagram.link, header.protocol, ends, ports.ports);
    packet.hash = shard.flows.hash(&key);
    packet.key = key;
    Ok(())
}

/// What whoever gets a further fragment handed over must know beside its bytes.
#[must_use]
pub fn known(packet: &Packet) -> Option<Ports> {
    (packet.kind == Kind::LaterFragment)
        .then_some(Ports { ports: packet.key.ports, icmp: packet.icmp })
}

/// Takes in what another worker knows of a fragment that it hands over.
pub fn learn(link: LinkId, bytes: &[u8], ports: Ports, shard: &mut Shard) {
    if let Some(header) = Ipv4::of(bytes) {
        shard.fragments.learn(datagram_of(link, header), ports, shard.now);
    }
}

fn datagram_of(link: LinkId, header: &Ipv4) -> Key {
    let (src, dst) = (Addr::v4(header.src()), Addr::v4(header.dst()));
    Key::datagram(link, header.protocol, src, dst, header.identification.get())
}
