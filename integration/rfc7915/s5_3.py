"""RFC 7915 s. 5.3 and 5.5: ICMPv6 errors with what they quote, and transport headers."""

from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrRouting

from case import ANY_ID, case
from packets import *


def error(title, quoted6, quoted4):
    case("5.3", title, icmp(out6(), 1, 0, 0, quoted6), icmp(out4(), 3, 1, 0, quoted4))


def sent4(**fields):
    """What an IPv4 host had sent, as far as that can be told."""
    return in4(**{"ttl": 63, "id": ANY_ID, "flags": 0, **fields})


for limit in (1, 0, 255):
    error(f"the quoted hop limit stays: {limit}", in6(hlim=limit) / udp(), sent4(ttl=limit) / udp())
error("quoted TCP", in6() / tcp(), sent4() / tcp())
error("quoted UDP", in6() / udp(), sent4() / udp())
error("quoted echo request", echo(in6(), 128), echo(sent4(), 8))
error("quoted echo reply", echo(in6(), 129), echo(sent4(), 0))
error("quoted protocol that nobody knows", over(in6(), 132, b"any bytes"), over(sent4(), 132, b"any bytes"))
error("the quoted TOS is its traffic class", in6(tc=0xB8) / udp(), sent4(tos=0xB8) / udp())
error("only eight bytes of TCP are quoted", begins(in6() / tcp(), 48), begins(sent4() / tcp(), 28))
error("only eight bytes of UDP are quoted", begins(in6() / udp(), 48), begins(sent4() / udp(), 28))
error("only eight bytes of an echo are quoted", begins(echo(in6(), 128), 48), begins(echo(sent4(), 8), 28))
error("an odd number of bytes is quoted", begins(in6() / udp(), 51), begins(sent4() / udp(), 31))
error("a quoted packet above 1260 bytes had DF", in6() / udp(1233), begins(sent4(flags="DF") / udp(1233), 548))
datagram = beyond(in6() / udp())
error(
    "quoted extension headers are skipped",
    over(in6(), 60, bytes([17]) + raw(IPv6ExtHdrDestOpt())[1:] + datagram),
    sent4() / udp(),
)
routed = bytes([17]) + raw(IPv6ExtHdrRouting(addresses=[HOST6], segleft=1))[1:] + datagram
error("quoted segments left are ignored", over(in6(), 43, routed), sent4() / udp())
payload6, payload4 = beyond(in6() / udp(1000)), beyond(in4() / udp(1000))
error(
    "quoted first fragment",
    fragment6(in6(), 17, payload6[:400], 0, True, 0x12345678),
    fragment4(sent4(), 17, payload4[:400], 0, True, 0x5678),
)
error(
    "quoted later fragment",
    fragment6(in6(), 17, payload6[400:500], 400, False, 0x12345678),
    fragment4(sent4(), 17, payload4[400:500], 400, False, 0x5678),
)
error("quoted atomic fragment", fragment6(in6(), 17, datagram, 0, False, 0x12345678), sent4(id=0x5678) / udp())
case("5.3", "an error that quotes an error is dropped", icmp(out6(), 1, 0, 0, icmp(in6(), 1, 4, 0, out6() / udp())))
case("5.3", "so is one that quotes what has no counterpart", icmp(out6(), 1, 0, 0, icmp(in6(), 135, 0, 0, bytes(16))))
case("5.3", "so is one that quotes less than a header", icmp(out6(), 1, 0, 0, begins(in6() / udp(), 39)))
error("400 bytes become 360", in6() / udp(304), sent4() / udp(304))
error("616 bytes become 576", in6() / udp(520), sent4() / udp(520))
for length, title in [(521, "617 bytes become 576"), (604, "700 bytes become 576"), (1184, "1280 bytes become 576")]:
    error(title, in6() / udp(length), begins(sent4() / udp(length), 548))
case(
    "5.3",
    "extension headers of the error itself are skipped",
    over(out6(), 60, bytes([58]) + raw(IPv6ExtHdrDestOpt())[1:] + beyond(icmp(out6(), 1, 0, 0, in6() / udp()))),
    icmp(out4(), 3, 1, 0, sent4() / udp()),
)

for length in (0, 1, 16, 1001):
    case("5.5", f"TCP checksum with {length} bytes", out6() / tcp(length), out4() / tcp(length))
    case("5.5", f"UDP checksum with {length} bytes", out6() / udp(length), out4() / udp(length))
case(
    "5.5",
    "TCP options stay",
    out6() / TCP(**PORTS, flags="S", options=[("MSS", 1440), ("WScale", 7)]),
    out4() / TCP(**PORTS, flags="S", options=[("MSS", 1440), ("WScale", 7)]),
)
case("5.5", "UDP without checksum is dropped (RFC 8200 s. 8.1)", out6() / udp(chksum=0))


def damaged(title, sent, expected):
    case("5.5", title, sent, expected, damaged=True)


damaged("a wrong TCP checksum stays as wrong", wrong(out6() / tcp(), 16), wrong(out4() / tcp(), 16))
damaged("a wrong UDP checksum stays as wrong", wrong(out6() / udp(), 6), wrong(out4() / udp(), 6))
damaged("a wrong ICMP checksum stays as wrong", wrong(echo(out6(), 128), 2), wrong(echo(out4(), 8), 2))
zero = (0xFFFF - (~whole(out4() / UDP(**PORTS) / b"\0\0")[UDP].chksum & 0xFFFF)).to_bytes(2, "big")
case(
    "5.5",
    "a UDP checksum that becomes zero is sent as all ones",
    out6() / UDP(**PORTS) / zero,
    out4() / UDP(**PORTS, chksum=0xFFFF) / zero,
)
case(
    "1.2",
    "fragments of ICMPv6 are dropped",
    fragment6(out6(), 58, beyond(echo(out6(), 128, length=80))[:48], 0, True, 6),
)
case(
    "1.2",
    "but an atomic one is none",
    fragment6(out6(), 58, beyond(echo(out6(), 128)), 0, False, 6),
    echo(out4(id=6), 8),
)
