"""RFC 6791: where ICMPv6 errors come from whose source has no IPv4 address."""

from case import ANY_ID, case
from packets import *

SOURCE = "203.0.113.8"
QUOTED4 = in4(ttl=63, id=ANY_ID, flags=0) / udp()
for router in ("4000::1", "2001:db8:ffff::1"):
    for title, kind, becomes in [
        ("unreachable", (1, 0, 0), (3, 1, 0)),
        ("too big", (2, 0, 1400), (3, 4, 1380)),
        ("time exceeded", (3, 0, 0), (11, 0, 0)),
        ("parameter problem", (4, 1, 6), (3, 2, 0)),
    ]:
        case(
            "RFC 6791",
            f"{title} from {router}",
            icmp(out6(src=router), *kind, in6() / udp()),
            icmp(out4(src=SOURCE), *becomes, QUOTED4),
        )
case(
    "RFC 6791", "a source with a mapping keeps it", icmp(out6(), 1, 4, 0, in6() / udp()), icmp(out4(), 3, 3, 0, QUOTED4)
)
case(
    "RFC 6791",
    "a source under the prefix keeps its own",
    icmp(out6(src=ROUTER4_AS_6), 1, 0, 0, in6() / udp()),
    icmp(out4(src=ROUTER4), 3, 1, 0, QUOTED4),
)
case(
    "RFC 6791",
    "an error with its extension",
    icmp(out6(src="4000::1"), 3, 0, 19 << 24, raw(in6() / udp(104)) + b"\x20\0\0\0" * 5),
    icmp(out4(src=SOURCE), 11, 0, 33 << 16, raw(in4(ttl=63, id=ANY_ID, flags=0) / udp(104)) + b"\x20\0\0\0" * 5),
)
