"""Packets on both sides, built by scapy, and the addresses that hosts have there.

`in4` goes from an IPv4 host to the IPv6 host, and is `in6` behind the translator; `out6` is what the IPv6
host sends there, and is `out4` behind it. Their headers say what RFC 7915 makes of the defaults: one hop
fewer, and over IPv4 any identification, without DF.
"""

import ipaddress
import os
import struct

from scapy.all import IP, TCP, UDP, IPv6, Raw, raw
from scapy.layers.inet6 import IPv6ExtHdrFragment, in6_chksum
from scapy.utils import checksum

from case import ANY_ID

PREFIX = ipaddress.ip_network(os.environ.get("PREFIX", "64:ff9b::/96"))

# Which bytes of an IPv6 address hold the IPv4 address, by the length of the prefix (RFC 6052 s. 2.2).
PLACES = {
    32: (4, 5, 6, 7),
    40: (5, 6, 7, 9),
    48: (6, 7, 9, 10),
    56: (7, 9, 10, 11),
    64: (9, 10, 11, 12),
    96: (12, 13, 14, 15),
}


def embed(address, prefix=PREFIX):
    """The IPv6 address of an IPv4 address."""
    embedded = bytearray(prefix.network_address.packed)
    for place, byte in zip(PLACES[prefix.prefixlen], ipaddress.ip_address(address).packed):
        embedded[place] = byte
    return str(ipaddress.ip_address(bytes(embedded)))


# By a mapping (RFC 7757), or the address that a stateful translator lends it (RFC 6146).
HOST6, HOST6_AS_4 = "2001:db8:3::5", os.environ.get("POOL", "1.0.0.5")
HOST4, HOST4_AS_6 = "203.0.113.90", embed("203.0.113.90")
ROUTER4, ROUTER4_AS_6 = "203.0.113.91", embed("203.0.113.91")
PORTS = {"sport": 2000, "dport": 4000}


def in4(**fields):
    return IP(**{"src": HOST4, "dst": HOST6_AS_4, "ttl": 64, "id": 7, "flags": "DF", **fields})


def in6(**fields):
    return IPv6(**{"src": HOST4_AS_6, "dst": HOST6, "hlim": 63, **fields})


def out6(**fields):
    return IPv6(**{"src": HOST6, "dst": HOST4_AS_6, "hlim": 64, **fields})


def out4(**fields):
    return IP(**{"src": HOST6_AS_4, "dst": HOST4, "ttl": 63, "id": ANY_ID, "flags": 0, **fields})


def data(length, first=0):
    """Bytes that tell where they stand."""
    return Raw(bytes((first + at) % 251 for at in range(length)))


def udp(length=16, **fields):
    return UDP(**{**PORTS, **fields}) / data(length)


def tcp(length=16, **fields):
    return TCP(**{**PORTS, "flags": "PA", "seq": 100, "ack": 200, **fields}) / data(length)


def whole(packet):
    """As it is on the wire, read back: with lengths and checksums."""
    built = raw(packet)
    return (IP if built[0] >> 4 == 4 else IPv6)(built)


def beyond(packet):
    """The bytes behind the network header."""
    built = raw(packet)
    return built[(built[0] & 15) * 4 :] if built[0] >> 4 == 4 else built[40:]


def begins(packet, length):
    """The beginning of a packet, as an error quotes it."""
    return raw(packet)[:length]


def wrong(packet, at, by=0x0101):
    """The packet with another checksum in its transport header, at `at`."""
    built = bytearray(raw(packet))
    at += len(built) - len(beyond(packet))
    total = (built[at] << 8 | built[at + 1]) + by
    built[at : at + 2] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    return Raw(bytes(built))


def over(header, number, payload):
    """`payload` of any protocol over a network header."""
    header = header.copy()
    if isinstance(header, IP):
        header.proto = number
    else:
        header.nh = number
    return header / Raw(raw(payload) if not isinstance(payload, bytes) else payload)


def icmp(header, kind, code, rest=0, content=b"", damage=0):
    """An ICMP message of the family of `header`: `rest` is the second word of its header. `damage` is added
    to its checksum."""
    content = raw(content) if not isinstance(content, bytes) else content
    message = struct.pack("!BBHI", kind, code, 0, rest) + content
    if isinstance(header, IP):
        number, total = 1, checksum(message)
    else:
        number, total = 58, in6_chksum(58, header, message)
    total = (total + damage) & 0xFFFF
    return over(header, number, message[:2] + struct.pack("!H", total) + message[4:])


def echo(header, kind, identifier=77, sequence=3, length=16, **more):
    return icmp(header, kind, 0, identifier << 16 | sequence, raw(data(length)), **more)


def fragment4(header, number, payload, offset, more, identification):
    """A fragment of `payload`, which begins `offset` bytes into the datagram."""
    header = header.copy()
    header.frag, header.id = offset // 8, identification
    flags = int(header.flags) & ~1
    header.flags = flags | 1 if more else flags
    return over(header, number, payload)


def fragment6(header, number, payload, offset, more, identification):
    """The same over IPv6."""
    fragment = IPv6ExtHdrFragment(nh=number, offset=offset // 8, m=int(more), id=identification)
    return over(header, 44, raw(fragment) + (payload if isinstance(payload, bytes) else raw(payload)))
