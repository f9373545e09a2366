//! Which conversation does a fragment belong to?
//!
//! Only the first fragment of a datagram (RFC 791 s. 3.2, RFC 8200 s. 4.5) has ports. What it says is remembered for
//! the others, and those that come before it wait; all of a datagram's fragments meet at one worker,
//! whatever queues they come by. They go on as fragments: nobody here puts a datagram together.

use crate::packet::{Key, Kind, LinkId, Packet, Reason, Verdict};
use crate::path::headers::{Message, Network, Part, Transport};
use crate::state::{Held, Ports, Shard};
use crate::tables::Tables;
use crate::wire::{protocol, virtio::VirtioNetHdr};

/// Makes of a fragment a packet of its flow, or has it wait or handed over.
#[cold]
pub(super) fn place(
    packet: &mut Packet,
    bytes: &[u8],
    (network, part): (&Network, Part),
    shard: &mut Shard,
    tables: &Tables,
) -> Result<(), Reason> {
    let &Network { ends, protocol, transport, total, .. } = network;
    let payload = network.payload(bytes)?;
    let datagram = Key::datagram(packet.key.link, protocol, ends, part.identification);
    // A checksum that is left to do cannot be done, and what would overwrite the TCP header of the
    // first fragment is an attack (RFC 1858 s. 4.2).
    let hides = protocol == protocol::TCP && part.offset == 8;
    if packet.offload != VirtioNetHdr::PLAIN || hides {
        return Err(Reason::Malformed);
    }
    let is_first = part.offset == 0;
    let found =
        is_first.then(|| Transport::of(protocol, payload, usize::from(u16::MAX))).transpose()?;
    let message = Message::of(protocol, payload).filter(|_| is_first);
    if message.is_some_and(Message::is_error) {
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
        let icmp = message.map_or(0, Message::type_and_code);
        let ports = Ports { ports: found.ports, icmp };
        shard.fragments.learn(datagram, ports, shard.now);
        ports
    } else {
        let Some(ports) = shard.fragments.ports(&datagram) else {
            let bytes = bytes.get(..total as usize).unwrap_or_default().to_vec();
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
    (packet.len, packet.transport) = (total, transport);
    packet.icmp = ports.icmp;
    let key = Key::with_ports(datagram.link, protocol, ends, ports.ports);
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
    if let Ok(Network { ends, protocol, part: Some(part), .. }) = Network::of(bytes) {
        let datagram = Key::datagram(link, protocol, ends, part.identification);
        shard.fragments.learn(datagram, ports, shard.now);
    }
}
