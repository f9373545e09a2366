"""RFC 6146 with bindings that are given: addresses and ports of a stateful translator, by RFC 7915.

Port 2000 of the IPv6 host is port 2100 of the pool, and its echoes of identifier 77 have 99 there.
"""

from case import ANY_ID, case
from packets import *

INSIDE, OUTSIDE = 2000, 2100
OUT6, OUT4 = {"sport": INSIDE, "dport": 4000}, {"sport": OUTSIDE, "dport": 4000}
IN4, IN6 = {"sport": 4000, "dport": OUTSIDE}, {"sport": 4000, "dport": INSIDE}
SENT4 = {"ttl": 63, "id": ANY_ID, "flags": 0}

for name, of in [("TCP", tcp), ("UDP", udp)]:
    syn = {"flags": "S"} if of is tcp else {}
    case(
        "RFC 6146 s. 3.5",
        f"{name} from IPv6 leaves by the bound port",
        out6() / of(**OUT6, **syn),
        out4() / of(**OUT4, **syn),
    )
    case(
        "RFC 6146 s. 3.5",
        f"{name} from IPv4 reaches the bound port",
        in4() / of(**IN4, **syn),
        in6() / of(**IN6, **syn),
    )
case("RFC 6146 s. 3.5", "an echo request leaves by the bound identifier", echo(out6(), 128, 77), echo(out4(), 8, 99))
case("RFC 6146 s. 3.5", "an echo reply comes back to its own", echo(in4(), 0, 99), echo(in6(), 129, 77))
case("RFC 6146 s. 3.5", "an echo request reaches the bound identifier", echo(in4(), 8, 99), echo(in6(), 128, 77))

# An error is about a session: what it quotes is sent first.
case(
    "4.3",
    "a quoted packet is given back its port",
    [out6() / udp(**OUT6), icmp(in4(src=ROUTER4), 3, 1, 0, out4(id=9) / udp(**OUT4))],
    out4() / udp(**OUT4),
    icmp(in6(src=ROUTER4_AS_6), 1, 0, 0, out6(hlim=63) / udp(**OUT6)),
)
case(
    "4.3",
    "a quoted segment, too",
    [out6() / tcp(**OUT6, flags="S"), icmp(in4(), 3, 3, 0, out4(id=9) / tcp(**OUT4, flags="S"))],
    out4() / tcp(**OUT4, flags="S"),
    icmp(in6(), 1, 4, 0, out6(hlim=63) / tcp(**OUT6, flags="S")),
)
case(
    "4.3",
    "a quoted echo is given back its identifier",
    [echo(out6(), 128, 77), icmp(in4(src=ROUTER4), 11, 0, 0, echo(out4(id=9), 8, 99))],
    echo(out4(), 8, 99),
    icmp(in6(src=ROUTER4_AS_6), 3, 0, 0, echo(out6(hlim=63), 128, 77)),
)
case(
    "4.2",
    "fragmentation needed, about a session",
    [out6() / udp(**OUT6), icmp(in4(src=ROUTER4), 3, 4, 1400, out4(id=9) / udp(**OUT4))],
    out4() / udp(**OUT4),
    icmp(in6(src=ROUTER4_AS_6), 2, 0, 1420, out6(hlim=63) / udp(**OUT6)),
)
case(
    "5.3",
    "what IPv6 quotes had the bound port",
    [in4() / udp(**IN4), icmp(out6(), 1, 4, 0, in6() / udp(**IN6))],
    in6() / udp(**IN6),
    icmp(out4(), 3, 3, 0, in4(**SENT4) / udp(**IN4)),
)
case(
    "5.2",
    "packet too big, about a session",
    [in4() / udp(**IN4), icmp(out6(), 2, 0, 1400, in6() / udp(**IN6))],
    in6() / udp(**IN6),
    icmp(out4(), 3, 4, 1380, in4(**SENT4) / udp(**IN4)),
)
case(
    "4.3",
    "an error about no session is dropped",
    icmp(in4(src=ROUTER4), 3, 1, 0, out4(id=9) / udp(sport=1, dport=4000)),
)
case("4.5", "UDP without checksum is summed over the bound port", in4() / udp(**IN4, chksum=0), in6() / udp(**IN6))

sent, expected = beyond(out6() / udp(600, **OUT6)), beyond(out4() / udp(600, **OUT4))
case(
    "5.1.1",
    "fragments of UDP leave by the bound port",
    [fragment6(out6(), 17, sent[:304], 0, True, 5), fragment6(out6(), 17, sent[304:], 304, False, 5)],
    fragment4(out4(), 17, expected[:304], 0, True, 5),
    fragment4(out4(), 17, expected[304:], 304, False, 5),
)
sent, expected = beyond(in4() / udp(600, **IN4)), beyond(in6() / udp(600, **IN6))
case(
    "4.1",
    "fragments of UDP reach the bound port",
    [fragment4(in4(), 17, sent[:304], 0, True, 5), fragment4(in4(), 17, sent[304:], 304, False, 5)],
    fragment6(in6(), 17, expected[:304], 0, True, 5),
    fragment6(in6(), 17, expected[304:], 304, False, 5),
)
