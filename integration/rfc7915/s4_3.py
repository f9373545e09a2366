"""RFC 7915 s. 4.3 to 4.5: ICMPv4 errors with what they quote, errors of the translator's own, and
transport headers."""

from scapy.all import IPOption

from case import TRANSLATOR4, case
from packets import *

FROM4, FROM6 = in4(src=ROUTER4), in6(src=ROUTER4_AS_6)


def error(title, quoted4, quoted6, clause="4.3"):
    case(clause, title, icmp(FROM4, 3, 1, 0, quoted4), icmp(FROM6, 1, 0, 0, quoted6))


for ttl in (1, 0, 255):
    error(f"the quoted time to live stays: {ttl}", out4(id=9, ttl=ttl) / udp(), out6(hlim=ttl) / udp())
error("quoted TCP", out4(id=9) / tcp(), out6(hlim=63) / tcp())
error("quoted UDP", out4(id=9) / udp(), out6(hlim=63) / udp())
error("quoted echo request", echo(out4(id=9), 8), echo(out6(hlim=63), 128))
error("quoted echo reply", echo(out4(id=9), 0), echo(out6(hlim=63), 129))
error("quoted protocol that nobody knows", over(out4(id=9), 132, b"any bytes"), over(out6(hlim=63), 132, b"any bytes"))
error("the quoted traffic class is its TOS", out4(id=9, tos=0xB8) / udp(), out6(hlim=63, tc=0xB8) / udp())
error("only eight bytes of TCP are quoted", begins(out4(id=9) / tcp(), 28), begins(out6(hlim=63) / tcp(), 48))
error("only eight bytes of UDP are quoted", begins(out4(id=9) / udp(), 28), begins(out6(hlim=63) / udp(), 48))
error("only eight bytes of an echo are quoted", begins(echo(out4(id=9), 8), 28), begins(echo(out6(hlim=63), 128), 48))
error("an odd number of bytes is quoted", begins(out4(id=9) / udp(), 31), begins(out6(hlim=63) / udp(), 51))
error(
    "the beginning of TCP with its checksum is quoted",
    begins(out4(id=9) / tcp(), 38),
    begins(out6(hlim=63) / tcp(), 58),
)
error("quoted options are ignored", out4(id=9, options=[IPOption(b"\1\1\1\0")]) / udp(), out6(hlim=63) / udp())
error(
    "a quoted source route is ignored",
    over(out4(id=9, options=[IPOption(bytes([131, 7, 4, 198, 51, 100, 1, 0]))]), 17, beyond(out4() / udp())),
    out6(hlim=63) / udp(),
)
error("quoted UDP without checksum stays so", out4(id=9) / udp(chksum=0), out6(hlim=63) / udp(chksum=0))
payload4, payload6 = beyond(out4() / udp(1000)), beyond(out6() / udp(1000))
error(
    "quoted first fragment",
    fragment4(out4(), 17, payload4[:400], 0, True, 9),
    fragment6(out6(hlim=63), 17, payload6[:400], 0, True, 9),
)
error(
    "quoted later fragment",
    fragment4(out4(), 17, payload4[400:500], 400, False, 9),
    fragment6(out6(hlim=63), 17, payload6[400:500], 400, False, 9),
)
case("4.3", "an error that quotes an error is dropped", icmp(FROM4, 3, 1, 0, icmp(out4(id=9), 3, 3, 0, in4() / udp())))
case("4.3", "so is one that quotes what has no counterpart", icmp(FROM4, 3, 1, 0, icmp(out4(id=9), 13, 0)))
case("4.3", "so is one that quotes less than a header", icmp(FROM4, 3, 1, 0, begins(out4(id=9) / udp(), 19)))
error("400 bytes become 440", out4(id=9) / udp(344), out6(hlim=63) / udp(344))
for length, title in [
    (1204, "1260 bytes with headers become 1280 and a part"),
    (1224, "1280 bytes stay 1280"),
    (1444, "1500 bytes become 1280"),
]:
    error(title, out4(id=9) / udp(length), begins(out6(hlim=63) / udp(length), 1232))
error("1240 bytes become 1280", out4(id=9) / udp(1184), out6(hlim=63) / udp(1184))
case(
    "4.3",
    "options of the error itself are ignored",
    icmp(in4(src=ROUTER4, options=[IPOption(b"\1" * 8)]), 3, 1, 0, out4(id=9) / udp()),
    icmp(FROM6, 1, 0, 0, out6(hlim=63) / udp()),
)
case(
    "4.1",
    "of an error, an illegal source is translated",
    icmp(in4(src="127.0.0.1"), 3, 1, 0, out4(id=9) / udp()),
    icmp(in6(src=embed("127.0.0.1")), 1, 0, 0, out6(hlim=63) / udp()),
)

unsummed = beyond(in4() / udp(40, chksum=0))
rejected = fragment4(in4(), 17, unsummed[:32], 0, True, 77)
case(
    "4.4",
    "a fragment that cannot be summed is administratively prohibited",
    rejected,
    icmp(in4(src=TRANSLATOR4, dst=HOST4, flags=0), 3, 13, 0, rejected),
)

for length in (0, 1, 16, 1001):
    case("4.5", f"TCP checksum with {length} bytes", in4() / tcp(length), in6() / tcp(length))
    case("4.5", f"UDP checksum with {length} bytes", in4() / udp(length), in6() / udp(length))
    case("4.5", f"UDP checksum is computed over {length} bytes", in4() / udp(length, chksum=0), in6() / udp(length))
case(
    "4.5",
    "TCP options stay",
    in4() / TCP(**PORTS, flags="S", options=[("MSS", 1460), ("WScale", 7)]),
    in6() / TCP(**PORTS, flags="S", options=[("MSS", 1460), ("WScale", 7)]),
)


def damaged(title, sent, expected):
    case("4.5", title, sent, expected, damaged=True)


damaged("a wrong TCP checksum stays as wrong", wrong(in4() / tcp(), 16), wrong(in6() / tcp(), 16))
damaged("a wrong UDP checksum stays as wrong", wrong(in4() / udp(), 6), wrong(in6() / udp(), 6))
damaged("a wrong ICMP checksum stays as wrong", wrong(echo(in4(), 8), 2), wrong(echo(in6(), 128), 2))
# Data that makes the sum all ones.
zero = (0xFFFF - (~whole(in6() / UDP(**PORTS) / b"\0\0")[UDP].chksum & 0xFFFF)).to_bytes(2, "big")
case(
    "4.5",
    "a UDP checksum that becomes zero is sent as all ones",
    in4() / UDP(**PORTS) / zero,
    in6() / UDP(**PORTS, chksum=0xFFFF) / zero,
)
case("1.2", "fragments of ICMP are dropped", fragment4(in4(), 1, beyond(echo(in4(), 8, length=80))[:48], 0, True, 6))
