"""RFC 4884, and RFC 7915 s. 4.2 and 5.2 ("ICMP Error Payload"): extensions behind what an error quotes.

An extension is opaque. It goes before all of the quoted packet but 128 bytes, and is kept whole or not at
all; an error has at most 1280 bytes in IPv6 and 576 in IPv4.
"""

from case import ANY_ID, case
from packets import *

FROM4, FROM6 = in4(src=ROUTER4), in6(src=ROUTER4_AS_6)


def extension(length):
    """An extension structure with one object, or bytes that look like one."""
    return (b"\x20\x00\x00\x00" + raw(data(length, 100)))[:length]


def quoted(packet, length):
    """The first `length` bytes of a packet, with zeros behind them where it has fewer."""
    return raw(packet)[:length].ljust(length, b"\0")


def from4(title, payload, before, behind, expected, kept, kind=(3, 0), becomes=(1, 0)):
    """An ICMPv4 error that quotes UDP with `payload` bytes in `before` bytes, and has an extension of `behind`
    bytes; in IPv6 it quotes `expected` bytes, and has that extension if it is `kept`."""
    sent = icmp(FROM4, *kind, before // 4 << 16, quoted(out4(id=9) / udp(payload), before) + extension(behind))
    content = quoted(out6(hlim=63) / udp(payload), expected) + (extension(behind) if kept else b"")
    case("RFC 4884", f"to IPv6: {title}", sent, icmp(FROM6, *becomes, (expected // 8 << 24) if kept else 0, content))


def from6(title, payload, before, behind, expected, kept, kind=(1, 0), becomes=(3, 1)):
    """The other way."""
    sent = icmp(out6(), *kind, before // 8 << 24, quoted(in6() / udp(payload), before) + extension(behind))
    content = quoted(in4(ttl=63, id=ANY_ID, flags=0) / udp(payload), expected) + (extension(behind) if kept else b"")
    case("RFC 4884", f"to IPv4: {title}", sent, icmp(out4(), *becomes, (expected // 4 << 16) if kept else 0, content))


from4("the length attribute counts words of eight", 104, 132, 20, 152, True)
from4("the quoted packet ends with a word", 100, 128, 20, 144, True)
from4("padding stays behind a shorter packet", 90, 132, 20, 152, True)
from4("a quoted packet of 28 bytes is padded to 128", 0, 28, 20, 128, True)
from4("the shortest extension", 104, 132, 4, 152, True)
from4("an extension of odd length", 104, 132, 21, 152, True)
from4("all of 1280 bytes", 544, 572, 640, 592, True)
from4("all of 1280 bytes, most of them quoted", 992, 1020, 192, 1040, True)
from4("all of 1280 bytes, most of them extension", 104, 132, 1080, 152, True)
from4("the quoted packet is cut for the extension", 552, 580, 640, 592, True)
from4("the quoted packet is cut by a word", 992, 1020, 200, 1032, True)
from4("the quoted packet is cut to 128 bytes", 992, 1020, 324 + 116, 792, True)
from4("an extension that fits behind 128 bytes", 104, 132, 1104, 128, True)
from4("an extension that does not is left out", 104, 132, 1105, 152, False)
from4("time exceeded has extensions", 104, 132, 20, 152, True, kind=(11, 0), becomes=(3, 0))
for title, kind, rest, becomes in [
    ("protocol unreachable becomes an error that has none", (3, 2), 0, (4, 1, 6)),
    ("fragmentation needed becomes an error that has none", (3, 4), 1400, (2, 0, 1420)),
    ("a parameter problem becomes an error that has none", (12, 0), 9 << 24, (4, 0, 6)),
]:
    content = quoted(out4(id=9) / udp(104), 132) + extension(20)
    case(
        "RFC 4884",
        f"to IPv6: {title}",
        icmp(FROM4, *kind, 33 << 16 | rest, content),
        icmp(FROM6, *becomes, quoted(out6(hlim=63) / udp(104), 152)),
    )
for title, attribute in [("an attribute beyond the end is none", 200), ("an attribute of all is none", 33)]:
    case(
        "RFC 4884",
        f"to IPv6: {title}",
        icmp(FROM4, 3, 0, attribute << 16, out4(id=9) / udp(104)),
        icmp(FROM6, 1, 0, 0, out6(hlim=63) / udp(104)),
    )

from6("the length attribute counts words of four", 104, 152, 20, 132, True)
from6("a quoted packet of 108 bytes is padded to 128", 80, 128, 20, 128, True)
from6("padding stays behind a shorter packet", 90, 152, 20, 132, True)
from6("a quoted packet of 28 bytes is padded to 128", 0, 48, 40, 128, True)
from6("an extension of odd length", 104, 152, 21, 132, True)
from6("all of 576 bytes", 480, 528, 40, 508, True)
from6("the quoted packet is cut for the extension", 488, 536, 40, 508, True)
from6("much of the quoted packet is cut for the extension", 1144, 1192, 40, 508, True)
from6("an extension that fits behind 128 bytes", 80, 128, 420, 128, True)
from6("an extension that does not is left out", 80, 128, 421, 108, False)
from6("an extension that does not, and a packet that does not", 528, 576, 521, 548, False)
from6("time exceeded has extensions", 104, 152, 20, 132, True, kind=(3, 0), becomes=(11, 0))
for title, attribute in [("an attribute beyond the end is none", 200), ("an attribute of all is none", 19)]:
    case(
        "RFC 4884",
        f"to IPv4: {title}",
        icmp(out6(), 1, 0, attribute << 24, in6() / udp(104)),
        icmp(out4(), 3, 1, 0, in4(ttl=63, id=ANY_ID, flags=0) / udp(104)),
    )
case(
    "RFC 4884",
    "to IPv4: a packet too big has no attribute",
    icmp(out6(), 2, 0, 1400, in6() / udp(104)),
    icmp(out4(), 3, 4, 1380, in4(ttl=63, id=ANY_ID, flags=0) / udp(104)),
)
