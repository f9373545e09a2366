"""What is put on one side of the translator, and what must come out: a case each.

A case says what is sent and what is received, byte for byte; its side is that of its IP version. Three
values in an expected packet stand for any: ANY_ID where the translator makes up an identification, and the
two addresses of the translator itself in errors of its own, of which it also chooses how they travel.
"""

import struct
from dataclasses import dataclass

from scapy.all import raw
from scapy.utils import checksum

ANY_ID = 0xA11D
TRANSLATOR4 = "192.0.0.8"  # the dummy address of RFC 7600
TRANSLATOR6 = "100::1"  # of the prefix that RFC 6666 discards

CASES = []


@dataclass
class Case:
    clause: str
    title: str
    sent: list
    expected: list
    damaged: bool


def case(clause, title, sent, *expected, damaged=False):
    """Adds a case: all of `sent` goes in, in order; `expected` comes out, and nothing else. A `damaged`
    transport checksum is compared, but not expected to be right."""
    sent = sent if isinstance(sent, list) else [sent]
    name = (clause, title)
    assert all((it.clause, it.title) != name for it in CASES), name
    CASES.append(Case(clause, title, [raw(it) for it in sent], [raw(it) for it in expected], damaged))


def version(packet):
    return packet[0] >> 4 if packet else 0


def differences(got, want, damaged):
    """Why `got` is not `want`, in words; empty where it is."""
    wrong = [] if damaged else wrong_sums(got)
    if forgiven(got, want) != want:
        wrong.append(f"got  {got.hex()}\n    want {want.hex()}\n    first at byte {first_difference(got, want)}")
    return wrong


def first_difference(got, want):
    got = forgiven(got, want)
    return next((at for at, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))


def forgiven(got, want):
    """`got`, with what `want` leaves open as `want` has it."""
    got = bytearray(got)

    def take(start, end):
        if len(got) >= end and len(want) >= end:
            got[start:end] = want[start:end]

    if version(want) == 4:
        own = want[12:16] == bytes(map(int, TRANSLATOR4.split(".")))
        if own:
            # TOS, identification and flags, time to live, the checksum over them, and the source.
            for start, end in [(1, 2), (4, 9), (10, 12), (12, 16)]:
                take(start, end)
        if word(want, 4) == ANY_ID:
            take(4, 6)
            take(10, 12)
        if want[9] == 1 and word(want, 32) == ANY_ID and want[20] in (3, 11, 12):
            take(32, 34)
            take(38, 40)
            take(22, 24)
    elif want[8:24] == b"\x01" + bytes(14) + b"\x01":
        # Traffic class and flow label, hop limit, source, and the checksum over that.
        for start, end in [(0, 4), (7, 8), (8, 24), (42, 44)]:
            take(start, end)
    return bytes(got)


def word(packet, at):
    return struct.unpack_from("!H", packet, at)[0] if len(packet) >= at + 2 else None


def wrong_sums(packet):
    """The checksums of a packet that are not right. Of a fragment only the header's can be looked at."""
    if version(packet) == 4:
        length = (packet[0] & 15) * 4
        wrong = ["IPv4 header checksum"] if checksum(packet[:length]) else []
        fragment = word(packet, 6) & 0x3FFF
        pseudo = packet[12:20]
        protocol, payload = packet[9], packet[length:]
    elif version(packet) == 6:
        wrong = []
        fragment = packet[6] == 44
        pseudo = packet[8:40]
        protocol, payload = packet[6], packet[40:]
    else:
        return ["IP version"]
    if fragment or protocol not in (1, 6, 17, 58):
        return wrong
    pseudo += struct.pack("!II", len(payload), protocol)
    if checksum((b"" if protocol == 1 else pseudo) + payload):
        wrong.append(f"transport checksum (protocol {protocol})")
    return wrong
