"""RFC 7915 s. 4 and 4.1: IPv4 headers as IPv6 headers."""

from scapy.all import IPOption, Raw, raw

from case import TRANSLATOR4, case
from packets import *

for tos in (0x00, 0x01, 0x03, 0x28, 0xB8, 0xFF):
    case("4.1", f"traffic class is TOS: {tos:#04x}", in4(tos=tos) / udp(), in6(tc=tos) / udp())
case("4.1", "payload length is total length without the header", in4() / udp(977), in6() / udp(977))
case("4.1", "a packet without payload", over(in4(), 59, b""), over(in6(), 59, b""))
case("4.1", "next header is protocol: TCP", in4() / tcp(), in6() / tcp())
case("4.1", "next header is protocol: UDP", in4() / udp(), in6() / udp())
case("4.1", "next header of ICMPv4 is ICMPv6", echo(in4(), 8), echo(in6(), 128))
for number, name in [
    (33, "DCCP"),
    (41, "IPv6"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (59, "none"),
    (132, "SCTP"),
    (136, "UDP-Lite"),
    (255, "reserved"),
]:
    case(
        "4.1",
        f"next header is protocol: {number} ({name})",
        over(in4(), number, b"any bytes"),
        over(in6(), number, b"any bytes"),
    )
for number in (0, 43, 44, 60):
    case("4.1", f"protocol {number} would be an extension header", over(in4(), number, bytes(16)))
case("4.1", "protocol 58 would be ICMPv6", over(in4(), 58, bytes(16)))
for ttl in (255, 64, 2):
    case("4.1", f"hop limit is time to live less one: {ttl}", in4(ttl=ttl) / udp(), in6(hlim=ttl - 1) / udp())
expired = in4(ttl=1) / udp()
case(
    "4.1", "a time to live of one ends here", expired, icmp(in4(src=TRANSLATOR4, dst=HOST4, flags=0), 11, 0, 0, expired)
)
case("4.1", "of an error, too, but nobody is told (s. 4.4)", icmp(in4(ttl=1), 3, 3, 0, out4(id=9) / udp()))

OPTIONS = {
    "no operation": b"\1\1\1\0",
    "record route": bytes([7, 7, 4, 0, 0, 0, 0, 0]),
    "timestamp": bytes([68, 12, 5, 0]) + bytes(8),
    "security": bytes([130, 11]) + bytes(10),
    "stream identifier": bytes([136, 4, 1, 2]),
    "router alert": bytes([148, 4, 0, 0]),
    "loose source route that is used up": bytes([131, 7, 8, 198, 51, 100, 1, 0]),
    "strict source route that is used up": bytes([137, 7, 8, 198, 51, 100, 1, 0]),
}
# scapy would sum the last address of a source route instead of the destination.
DATAGRAM = beyond(in4() / udp())
for name, option in OPTIONS.items():
    case("4.1", f"option is ignored: {name}", over(in4(options=[IPOption(option)]), 17, DATAGRAM), in6() / udp())
case("4.1", "forty bytes of options are ignored", in4(options=[IPOption(b"\1" * 40)]) / udp(), in6() / udp())
for name, option in {
    "loose": bytes([131, 7, 4, 198, 51, 100, 1, 0]),
    "strict": bytes([137, 7, 4, 198, 51, 100, 1, 0]),
    "behind another option": bytes([1, 148, 4, 0, 0, 131, 7, 4, 198, 51, 100, 1]),
}.items():
    routed = over(in4(options=[IPOption(option)]), 17, DATAGRAM)
    case(
        "4.1",
        f"source route that is not used up: {name}",
        routed,
        icmp(in4(src=TRANSLATOR4, dst=HOST4, flags=0), 3, 5, 0, routed),
    )

routed = in4(src=ROUTER4, options=[IPOption(bytes([131, 7, 4, 198, 51, 100, 1, 0]))])
case("4.1", "about an error with a source route nobody is told", icmp(routed, 3, 3, 0, out4(id=9) / udp()))

for source in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"):
    case("4.1", f"illegal source: {source}", in4(src=source) / udp())

case("4", "DF alone makes no fragment header", in4(flags="DF") / udp(), in6() / udp())
case("4", "nor does its absence", in4(flags=0) / udp(), in6() / udp())
case("4", "1260 bytes become 1280, unfragmented", in4(flags=0) / udp(1232), in6() / udp(1232))
case("4", "with DF, 1500 bytes become 1520", in4() / udp(1472), in6() / udp(1472))
case("4.1", "the identification of an unfragmented packet is lost", in4(id=0xBEEF) / udp(), in6() / udp())

for length, title in [(1233, "1261 bytes without DF are cut"), (1472, "1500 bytes without DF are cut")]:
    cut = beyond(in6() / udp(length))
    case(
        "4.1",
        title,
        in4(flags=0, id=0xABCD) / udp(length),
        fragment6(in6(), 17, cut[:1232], 0, True, 0xABCD),
        fragment6(in6(), 17, cut[1232:], 1232, False, 0xABCD),
    )
cut = beyond(in6() / tcp(1221))
case(
    "4.1",
    "a TCP segment without DF is cut",
    in4(flags=0, id=1234) / tcp(1221),
    fragment6(in6(), 6, cut[:1232], 0, True, 1234),
    fragment6(in6(), 6, cut[1232:], 1232, False, 1234),
)
cut = beyond(echo(in6(), 128, length=1300))
case(
    "4.1",
    "a whole echo without DF is cut",
    echo(in4(flags=0, id=5), 8, length=1300),
    fragment6(in6(), 58, cut[:1232], 0, True, 5),
    fragment6(in6(), 58, cut[1232:], 1232, False, 5),
)

whole4, whole6 = beyond(in4() / udp(2000)), beyond(in6() / udp(2000))


def both(start, end, flags="DF", identification=0x1234):
    """Bytes of a datagram as a fragment on either side."""
    more = end < len(whole4)
    return (
        fragment4(in4(flags=flags), 17, whole4[start:end], start, more, identification),
        fragment6(in6(), 17, whole6[start:end], start, more, identification),
    )


first, middle, last = both(0, 800), both(800, 1600), both(1600, 2008)
case("4.1", "first fragment: M, ports and checksum", first[0], first[1])
case("4.1", "fragment in the middle: offset and M", [first[0], middle[0]], first[1], middle[1])
case("4.1", "last fragment: offset without M", [first[0], middle[0], last[0]], first[1], middle[1], last[1])
free = both(0, 800, flags=0)
case("4.1", "fragment without DF", free[0], free[1])
large = both(0, 800, identification=0xFFFF)
case("4.1", "identification is the low half", large[0], large[1])
wide = both(0, 1232, flags=0)
case("4.1", "a fragment of 1252 bytes becomes one of 1280", wide[0], wide[1])
again = fragment4(in4(flags=0), 17, whole4[:1240], 0, True, 99)
case(
    "4.1",
    "a fragment that is too long is cut again",
    again,
    fragment6(in6(), 17, whole6[:1232], 0, True, 99),
    fragment6(in6(), 17, whole6[1232:1240], 1232, True, 99),
)
tail = fragment4(in4(flags=0), 17, whole4[:1248], 0, True, 98), fragment4(
    in4(flags=0), 17, whole4[1248:], 1248, False, 98
)
case(
    "4.1",
    "the last of several stays the last",
    list(tail),
    fragment6(in6(), 17, whole6[:1232], 0, True, 98),
    fragment6(in6(), 17, whole6[1232:1248], 1232, True, 98),
    fragment6(in6(), 17, whole6[1248:], 1248, False, 98),
)
start = beyond(in4() / tcp(400)), beyond(in6() / tcp(400))
case(
    "4.1",
    "first fragment of TCP",
    fragment4(in4(), 6, start[0][:200], 0, True, 8),
    fragment6(in6(), 6, start[1][:200], 0, True, 8),
)
case(
    "4.1",
    "a fragment of another protocol",
    fragment4(in4(), 132, bytes(80), 0, True, 8),
    fragment6(in6(), 132, bytes(80), 0, True, 8),
)
