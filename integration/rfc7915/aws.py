"""Where a NAT gateway's NAT64 is not what RFC 7915 has (AWS "NAT gateway basics", "Compare NAT gateways and
NAT instances"): the strict cases stand in s4_1 and s5_1.

Bindings are those of rfc6146.
"""

from case import case
from packets import *

OUT6, OUT4 = {"sport": 2000, "dport": 4000}, {"sport": 2100, "dport": 4000}
IN4, IN6 = {"sport": 4000, "dport": 2100}, {"sport": 4000, "dport": 2000}

case("AWS beside 5.1", "UDP passes", out6() / udp(**OUT6), out4() / udp(**OUT4))
case("AWS beside 5.1", "TCP passes", out6() / tcp(**OUT6, flags="S"), out4() / tcp(**OUT4, flags="S"))
case("AWS beside 5.2", "an echo passes", echo(out6(), 128, 77), echo(out4(), 8, 99))
case("AWS beside 4.5", "UDP without checksum is summed", in4() / udp(**IN4, chksum=0), in6() / udp(**IN6))
for number, name in [(33, "DCCP"), (47, "GRE"), (50, "ESP"), (132, "SCTP"), (255, "reserved")]:
    case("AWS beside 5.5", f"only TCP, UDP and ICMP pass: {number} ({name}) does not", over(out6(), number, bytes(16)))
    case("AWS beside 4.5", f"nor does it come in: {number} ({name})", over(in4(), number, bytes(16)))

sent, expected = beyond(out6() / udp(600, **OUT6)), beyond(out4() / udp(600, **OUT4))
case(
    "AWS beside 5.1.1",
    "fragments of UDP pass",
    [fragment6(out6(), 17, sent[:304], 0, True, 5), fragment6(out6(), 17, sent[304:], 304, False, 5)],
    fragment4(out4(), 17, expected[:304], 0, True, 5),
    fragment4(out4(), 17, expected[304:], 304, False, 5),
)
sent, expected = beyond(in4() / udp(600, **IN4)), beyond(in6() / udp(600, **IN6))
case(
    "AWS beside 4.1",
    "fragments of UDP come in",
    [fragment4(in4(), 17, sent[:304], 0, True, 5), fragment4(in4(), 17, sent[304:], 304, False, 5)],
    fragment6(in6(), 17, expected[:304], 0, True, 5),
    fragment6(in6(), 17, expected[304:], 304, False, 5),
)
segment6, segment4 = beyond(out6() / tcp(600, **OUT6)), beyond(in4() / tcp(600, **IN4))
case("AWS beside 5.1.1", "fragments of TCP do not pass", fragment6(out6(), 6, segment6[:304], 0, True, 6))
case("AWS beside 4.1", "fragments of TCP do not come in", fragment4(in4(), 6, segment4[:304], 0, True, 6))
case(
    "AWS beside 5.1.1",
    "fragments of ICMPv6 do not pass",
    fragment6(out6(), 58, beyond(echo(out6(), 128, 77, length=600))[:304], 0, True, 7),
)
case(
    "AWS beside 4.1",
    "fragments of ICMP do not come in",
    fragment4(in4(), 1, beyond(echo(in4(), 0, 99, length=600))[:304], 0, True, 7),
)
case(
    "AWS beside 4.2",
    "an error about no connection does not come in",
    icmp(in4(src=ROUTER4), 3, 1, 0, out4(id=9) / udp(sport=1, dport=4000)),
)
