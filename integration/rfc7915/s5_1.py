"""RFC 7915 s. 5, 5.1, 5.1.1 and 5.4: IPv6 headers as IPv4 headers, and errors of the translator's own."""

from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting

from case import TRANSLATOR6, case
from packets import *

for tc in (0x00, 0x01, 0x03, 0x28, 0xB8, 0xFF):
    case("5.1", f"TOS is traffic class: {tc:#04x}", out6(tc=tc) / udp(), out4(tos=tc) / udp())
case("5.1", "the flow label is lost", out6(fl=0x12345) / udp(), out4() / udp())
case("5.1", "total length is payload length and the header", out6() / udp(977), out4() / udp(977))
case("5.1", "a packet without payload", over(out6(), 59, b""), over(out4(), 59, b""))
case("5.1", "protocol is next header: TCP", out6() / tcp(), out4() / tcp())
case("5.1", "protocol is next header: UDP", out6() / udp(), out4() / udp())
case("5.1", "protocol of ICMPv6 is ICMPv4", echo(out6(), 128), echo(out4(), 8))
for number, name in [
    (33, "DCCP"),
    (4, "IPv4"),
    (47, "GRE"),
    (50, "ESP"),
    (59, "none"),
    (132, "SCTP"),
    (136, "UDP-Lite"),
    (255, "reserved"),
]:
    case(
        "5.1",
        f"protocol is next header: {number} ({name})",
        over(out6(), number, b"any bytes"),
        over(out4(), number, b"any bytes"),
    )
for number, name in [(1, "ICMPv4"), (2, "IGMP")]:
    case("5.1", f"next header {number} would be {name}", over(out6(), number, bytes(16)))
for limit in (255, 64, 2):
    case("5.1", f"time to live is hop limit less one: {limit}", out6(hlim=limit) / udp(), out4(ttl=limit - 1) / udp())


def rejected(clause, title, sent, kind, code, rest=0):
    """A packet that its sender is told about."""
    told = raw(sent)[: 1280 - 48]
    case(clause, title, sent, icmp(IPv6(src=TRANSLATOR6, dst=HOST6), kind, code, rest, told))


rejected("5.1", "a hop limit of one ends here", out6(hlim=1) / udp(), 3, 0)
case("5.4", "of an error, too, but nobody is told", icmp(out6(hlim=1), 1, 4, 0, in6() / udp()))

DATAGRAM = beyond(out6() / udp())


def behind(*headers, last=DATAGRAM, number=17, base=None):
    """The datagram behind extension headers, as pairs of a number and bytes with a next header to be set."""
    numbers = [it for it, _ in headers[1:]] + [number]
    chain = b"".join(bytes([following]) + raw(it)[1:] for (_, it), following in zip(headers, numbers))
    return over(base or out6(), headers[0][0], chain + last)


HOP_BY_HOP, OPTIONS = (0, IPv6ExtHdrHopByHop()), (60, IPv6ExtHdrDestOpt())
LONG = (60, bytes([0, 2]) + bytes([1, 20]) + bytes(20))
USED_UP, LEFT = ((43, IPv6ExtHdrRouting(addresses=[HOST6], segleft=left)) for left in (0, 1))
for title, headers in {
    "hop-by-hop options": [HOP_BY_HOP],
    "destination options": [OPTIONS],
    "longer destination options": [LONG],
    "a routing header that is used up": [USED_UP],
    "options twice": [OPTIONS, OPTIONS],
    "hop-by-hop options, then destination options": [HOP_BY_HOP, OPTIONS],
    "all of them": [HOP_BY_HOP, OPTIONS, USED_UP, OPTIONS],
}.items():
    case("5.1", f"skipped: {title}", behind(*headers), out4() / udp())
case("5.1", "skipped before TCP", behind(OPTIONS, last=beyond(out6() / tcp()), number=6), out4() / tcp())
case("5.1", "skipped before an echo", behind(OPTIONS, last=beyond(echo(out6(), 128)), number=58), echo(out4(), 8))
case("5.1", "skipped before no next header", behind(OPTIONS, last=b"", number=59), over(out4(), 59, b""))
authenticated = bytes([17, 4]) + bytes(22) + DATAGRAM
case("5.1", "an authentication header is payload", over(out6(), 51, authenticated), over(out4(), 51, authenticated))
for title, headers, pointer in [
    ("first", [LEFT], 43),
    ("behind hop-by-hop options", [HOP_BY_HOP, LEFT], 51),
    ("behind both kinds of options", [HOP_BY_HOP, OPTIONS, LEFT], 59),
]:
    rejected("5.1", f"a routing header with segments left, {title}", behind(*headers), 4, 0, pointer)
case(
    "5.4",
    "about an error with segments left nobody is told",
    behind(LEFT, last=beyond(icmp(out6(), 1, 4, 0, in6() / udp())), number=58),
)
bomb = behind(*[OPTIONS] * 40)
rejected("5.4", "a chain that does not end is prohibited", bomb, 1, 1)

for source in ("::", "::1", "ff02::1", "fe80::1"):
    case("5.1", f"illegal source: {source}", out6(src=source) / udp())

case("5", "1260 bytes may be fragmented", out6() / udp(1232), out4() / udp(1232))
case("5", "1261 bytes must not", out6() / udp(1233), out4(flags="DF") / udp(1233))
case("5", "1500 bytes must not", out6() / udp(1472), out4(flags="DF") / udp(1472))
case(
    "5",
    "without extension headers it may be 1260",
    behind(HOP_BY_HOP, last=beyond(out6() / udp(1232))),
    out4() / udp(1232),
)
rejected("1.4", "1501 bytes do not fit IPv4", out6() / udp(1473), 2, 0, 1520)
rejected("1.4", "nor do they as a fragment", fragment6(out6(), 17, beyond(out6() / udp(1480)), 0, True, 5), 2, 0, 1520)

whole6, whole4 = beyond(out6() / udp(2000)), beyond(out4() / udp(2000))


def both(start, end, identification=0x12345678, payloads=(whole6, whole4), number=17):
    """Bytes of a datagram as a fragment on either side."""
    more = end < len(payloads[0])
    return (
        fragment6(out6(), number, payloads[0][start:end], start, more, identification),
        fragment4(out4(), number, payloads[1][start:end], start, more, identification & 0xFFFF),
    )


first, middle, last = both(0, 800), both(800, 1600), both(1600, 2008)
case("5.1.1", "first fragment: MF, ports and checksum", first[0], first[1])
case("5.1.1", "fragment in the middle: offset and MF", [first[0], middle[0]], first[1], middle[1])
case("5.1.1", "last fragment: offset without MF", [first[0], middle[0], last[0]], first[1], middle[1], last[1])
for identification in (0x0000BEEF, 0xFFFF0001):
    sent, expected = both(0, 800, identification)
    case("5.1.1", f"identification is the low half: {identification:#010x}", sent, expected)
sent, expected = both(0, 1440)
case("5.1.1", "fragments never have DF", sent, expected)
segment = beyond(out6() / tcp(400)), beyond(out4() / tcp(400))
case("5.1.1", "first fragment of TCP", *both(0, 200, payloads=segment, number=6))
case("5.1.1", "a fragment of another protocol", *both(0, 80, payloads=(bytes(200), bytes(200)), number=132))
case("5.1.1", "a fragment of ESP", *both(0, 80, payloads=(bytes(200), bytes(200)), number=50))
atomic = fragment6(out6(), 17, DATAGRAM, 0, False, 0x43210408)
case("5.1.1", "an atomic fragment", atomic, out4(id=0x0408) / udp())
case(
    "5.1.1",
    "an atomic fragment without payload",
    fragment6(out6(), 59, b"", 0, False, 0x01020408),
    over(out4(id=0x0408), 59, b""),
)
split = behind(OPTIONS, (44, bytes([0, 0, 0, 1, 0, 0, 0, 7])), last=whole6[:800])
case(
    "5.1.1",
    "extension headers before a fragment header are skipped",
    split,
    fragment4(out4(), 17, whole4[:800], 0, True, 7),
)
for number, name, header in [
    (0, "hop-by-hop options", HOP_BY_HOP),
    (60, "destination options", OPTIONS),
    (43, "a routing header", USED_UP),
    (51, "an authentication header", (51, bytes([17, 4]) + bytes(22))),
]:
    inside = bytes([17]) + raw(header[1])[1:] + DATAGRAM
    rejected("5.1.1", f"{name} inside a fragment", fragment6(out6(), number, inside, 0, True, 7), 1, 1)
