"""RFC 7915 s. 4.2: ICMPv4 messages as ICMPv6 messages."""

from case import case
from packets import *

for identifier, sequence in [(0, 0), (77, 3), (0xFFFF, 0xFFFF)]:
    case(
        "4.2",
        f"echo request, identifier {identifier}",
        echo(in4(), 8, identifier, sequence),
        echo(in6(), 128, identifier, sequence),
    )
    case(
        "4.2",
        f"echo reply, identifier {identifier}",
        echo(in4(), 0, identifier, sequence),
        echo(in6(), 129, identifier, sequence),
    )
case("4.2", "an echo without data", echo(in4(), 8, length=0), echo(in6(), 128, length=0))
case("4.2", "an echo of odd length", echo(in4(), 8, length=33), echo(in6(), 128, length=33))

SINGLE_HOP = {5: "redirect", 9: "router advertisement", 10: "router solicitation"}
OBSOLETE = {
    4: "source quench",
    6: "alternative host address",
    13: "timestamp",
    14: "timestamp reply",
    15: "information request",
    16: "information reply",
    17: "address mask request",
    18: "address mask reply",
}
UNKNOWN = {1: "unassigned", 30: "traceroute", 41: "experimental", 42: "extended echo", 255: "reserved"}
for kind, name in {**SINGLE_HOP, **OBSOLETE, **UNKNOWN}.items():
    case("4.2", f"dropped: {name} ({kind})", icmp(in4(), kind, 0, 0, out4(id=9) / udp()))
case("4.2", "dropped: IGMP", over(in4(ttl=2), 2, b"\x16\0\x09\x04\xe0\0\0\x63"))

QUOTED4, QUOTED6 = out4(id=9, ttl=5) / udp(), out6(hlim=5) / udp()


def error(title, kind, code, rest, *translated, about=(QUOTED4, QUOTED6)):
    """A router's error, and what it becomes: type, code and second word; nothing where none is given."""
    sent = icmp(in4(src=ROUTER4), kind, code, rest, about[0])
    expected = [icmp(in6(src=ROUTER4_AS_6), *translated, about[1])] if translated else []
    case("4.2", title, sent, *expected)


NO_ROUTE, PROHIBITED, NO_PORT = (1, 0, 0), (1, 1, 0), (1, 4, 0)
UNREACHABLE = {
    0: ("net unreachable", NO_ROUTE),
    1: ("host unreachable", NO_ROUTE),
    2: ("protocol unreachable points to next header", (4, 1, 6)),
    3: ("port unreachable", NO_PORT),
    5: ("source route failed", NO_ROUTE),
    6: ("net unknown", NO_ROUTE),
    7: ("host unknown", NO_ROUTE),
    8: ("host isolated", NO_ROUTE),
    9: ("net prohibited", PROHIBITED),
    10: ("host prohibited", PROHIBITED),
    11: ("net unreachable for TOS", NO_ROUTE),
    12: ("host unreachable for TOS", NO_ROUTE),
    13: ("administratively prohibited", PROHIBITED),
    14: ("host precedence violation", ()),
    15: ("precedence cutoff", PROHIBITED),
    16: ("a code that nobody knows", ()),
}
for code, (name, translated) in UNREACHABLE.items():
    error(f"destination unreachable {code}: {name}", 3, code, 0, *translated)
error("what is unused is cleared", 3, 1, 0x12345678, *NO_ROUTE)

# The next hops take 1500 bytes over IPv4, and more over IPv6.
for told, becomes in [
    (1500, 1520),
    (1400, 1420),
    (1261, 1281),
    (1260, 1280),
    (1259, 1280),
    (576, 1280),
    (68, 1280),
    (9000, 1520),
    (65535, 1520),
]:
    error(f"fragmentation needed: MTU {told} becomes {becomes}", 3, 4, told, 2, 0, becomes)
for total, becomes in [(1473, 1280), (1493, 1512), (2002, 1512), (2003, 1520), (65535, 1520), (576, 1280)]:
    # As much as routers of old quote: eight bytes, and the length that was too much.
    cut4 = out4(id=9, ttl=5, len=total) / Raw(beyond(out4() / udp())[:8])
    cut6 = out6(hlim=5, plen=total - 20) / Raw(beyond(out6() / udp())[:8])
    cut4.proto, cut6.nh = 17, 17
    error(f"fragmentation needed without MTU: a plateau below {total}", 3, 4, 0, 2, 0, becomes, about=(cut4, cut6))

error("time exceeded in transit", 11, 0, 0, 3, 0, 0)
error("time exceeded in reassembly", 11, 1, 0, 3, 1, 0)

POINTERS = {0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6, 12: 8, 13: 8, 14: 8, 15: 8, 16: 24, 17: 24, 18: 24, 19: 24}
for pointer in range(21):
    becomes = (4, 0, POINTERS[pointer]) if pointer in POINTERS else ()
    words = f"becomes {POINTERS[pointer]}" if becomes else "has no counterpart"
    error(f"parameter problem: pointer {pointer} {words}", 12, 0, pointer << 24, *becomes)
error("parameter problem: a required option is missing", 12, 1, 0)
error("parameter problem: bad length", 12, 2, 2 << 24, 4, 0, 4)
error("parameter problem: bad length that points to nothing", 12, 2, 20 << 24)
error("parameter problem: a code that nobody knows", 12, 3, 0)
