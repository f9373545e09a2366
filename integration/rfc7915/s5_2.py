"""RFC 7915 s. 5.2: ICMPv6 messages as ICMPv4 messages."""

from case import ANY_ID, case
from packets import *

for identifier, sequence in [(0, 0), (77, 3), (0xFFFF, 0xFFFF)]:
    case(
        "5.2",
        f"echo request, identifier {identifier}",
        echo(out6(), 128, identifier, sequence),
        echo(out4(), 8, identifier, sequence),
    )
    case(
        "5.2",
        f"echo reply, identifier {identifier}",
        echo(out6(), 129, identifier, sequence),
        echo(out4(), 0, identifier, sequence),
    )
case("5.2", "an echo without data", echo(out6(), 128, length=0), echo(out4(), 8, length=0))
case("5.2", "an echo of odd length", echo(out6(), 128, length=33), echo(out4(), 8, length=33))

DROPPED = {
    130: "listener query",
    131: "listener report",
    132: "listener done",
    143: "listener report, version 2",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    137: "redirect",
    138: "router renumbering",
    139: "node information",
    160: "extended echo",
    200: "experimental",
    255: "reserved",
}
for kind, name in DROPPED.items():
    case("5.2", f"dropped: {name} ({kind})", icmp(out6(), kind, 0, 0, bytes(16)))

QUOTED6, QUOTED4 = in6(hlim=5) / udp(), in4(ttl=5, id=ANY_ID, flags=0) / udp()


def error(title, kind, code, rest, *translated, about=(QUOTED6, QUOTED4)):
    """An error of the IPv6 host, and what it becomes: type, code and second word; nothing where none is given."""
    expected = [icmp(out4(), *translated, about[1])] if translated else []
    case("5.2", title, icmp(out6(), kind, code, rest, about[0]), *expected)


for code, name, translated in [
    (0, "no route", (3, 1, 0)),
    (1, "prohibited", (3, 10, 0)),
    (2, "beyond the scope of the source", (3, 1, 0)),
    (3, "address unreachable", (3, 1, 0)),
    (4, "port unreachable", (3, 3, 0)),
    (5, "source failed policy", ()),
    (6, "reject route", ()),
    (7, "a code that nobody knows", ()),
]:
    error(f"destination unreachable {code}: {name}", 1, code, 0, *translated)
error("what is unused is cleared", 1, 0, 0x00345678, 3, 1, 0)

# The IPv4 next hop takes 1500 bytes.
for told, becomes in [
    (1280, 1260),
    (1420, 1400),
    (1520, 1500),
    (1521, 1500),
    (9000, 1500),
    (0xFFFFFFFF, 1500),
    (600, 580),
]:
    error(f"packet too big: MTU {told} becomes {becomes}", 2, 0, told, 3, 4, becomes)
part6, part4 = (beyond(it / udp(100))[:80] for it in (in6(), in4()))
error(
    "packet too big, about a fragment: its header counts",
    2,
    0,
    1400,
    3,
    4,
    1372,
    about=(fragment6(in6(hlim=5), 17, part6, 0, True, 9), fragment4(in4(ttl=5, flags=0), 17, part4, 0, True, 9)),
)

error("time exceeded in transit", 3, 0, 0, 11, 0, 0)
error("time exceeded in reassembly", 3, 1, 0, 11, 1, 0)

POINTERS = {0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8, 8: 12, 15: 12, 23: 12, 24: 16, 39: 16}
for pointer in sorted([*POINTERS, 2, 3, 40, 100]):
    becomes = (12, 0, POINTERS[pointer] << 24) if pointer in POINTERS else ()
    words = f"becomes {POINTERS[pointer]}" if becomes else "has no counterpart"
    error(f"parameter problem: pointer {pointer} {words}", 4, 0, pointer, *becomes)
error("parameter problem: unrecognized next header", 4, 1, 6, 3, 2, 0)
error("parameter problem: unrecognized option", 4, 2, 42)
error("parameter problem: a code that nobody knows", 4, 3, 0)
for kind in (0, 5, 100, 127):
    error(f"an error that nobody knows ({kind})", kind, 0, 0)
