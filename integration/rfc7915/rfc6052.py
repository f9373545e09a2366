"""RFC 6052 s. 2.2: packets under a prefix of any length."""

import ipaddress

from case import ANY_ID, case
from packets import *

# RFC 6052 s. 2.4, tables 1 and 2: so 192.0.2.33 is written.
for prefix, address in {
    "2001:db8::/32": "2001:db8:c000:221::",
    "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
    "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
    "2001:db8:122:344::/96": "2001:db8:122:344::c000:221",
    "64:ff9b::/96": "64:ff9b::c000:221",
}.items():
    assert embed("192.0.2.33", ipaddress.ip_network(prefix)) == str(ipaddress.ip_address(address)), prefix

CLAUSE = f"RFC 6052, {PREFIX}"
case(CLAUSE, "TCP to IPv6", in4() / tcp(), in6() / tcp())
case(CLAUSE, "UDP to IPv6", in4() / udp(), in6() / udp())
case(CLAUSE, "echo to IPv6", echo(in4(), 8), echo(in6(), 128))
case(CLAUSE, "TCP to IPv4", out6() / tcp(), out4() / tcp())
case(CLAUSE, "UDP to IPv4", out6() / udp(), out4() / udp())
case(CLAUSE, "echo to IPv4", echo(out6(), 128), echo(out4(), 8))
case(
    CLAUSE,
    "an error to IPv6, and what it quotes",
    icmp(in4(src=ROUTER4), 3, 3, 0, out4(id=9) / udp()),
    icmp(in6(src=ROUTER4_AS_6), 1, 4, 0, out6(hlim=63) / udp()),
)
case(
    CLAUSE,
    "an error to IPv4, and what it quotes",
    icmp(out6(), 1, 4, 0, in6() / udp()),
    icmp(out4(), 3, 3, 0, in4(ttl=63, id=ANY_ID, flags=0) / udp()),
)
case(
    CLAUSE,
    "a router's error keeps its address",
    icmp(out6(src=ROUTER4_AS_6), 3, 0, 0, in6() / udp()),
    icmp(out4(src=ROUTER4), 11, 0, 0, in4(ttl=63, id=ANY_ID, flags=0) / udp()),
)
