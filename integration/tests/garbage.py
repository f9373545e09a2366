"""Sends packets that no socket would send: `garbage.py random|mutated COUNT`, seeded."""
import random
import socket
import struct
import sys

kind, count = sys.argv[1], int(sys.argv[2])
random.seed(7)
device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
device.bind(("eth0", 0x0800))


def total(data):
    if len(data) % 2:
        data += b"\0"
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    value = (value & 0xFFFF) + (value >> 16)
    return ~(value + (value >> 16)) & 0xFFFF


def ipv4(protocol, payload):
    src, dst = socket.inet_aton("10.0.1.10"), socket.inet_aton("203.0.113.90")
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, src, dst)
    return header[:10] + struct.pack("!H", total(header)) + header[12:] + payload


TCP = ipv4(6, struct.pack("!HHIIBBHHH", 40000, 80, 1, 0, 0x50, 2, 65535, 0, 0) + b"data")
UDP = ipv4(17, struct.pack("!HHHH", 40000, 7, 12, 0) + b"data")
ECHO = ipv4(1, struct.pack("!BBHHH", 8, 0, 0xF7FE, 1, 0) + b"")
ERROR = ipv4(1, struct.pack("!BBHI", 3, 4, 0, 1400) + UDP)


def mutated():
    packet = bytearray(random.choice([TCP, UDP, ECHO, ERROR]))
    for _ in range(random.randint(1, 4)):
        packet[random.randrange(len(packet))] = random.randrange(256)
    if random.random() < 0.2:
        packet = packet[: random.randint(1, len(packet))]
    return bytes(packet)


def noise():
    packet = bytearray(random.randbytes(random.randint(1, 120)))
    if random.random() < 0.5:
        packet[0] = 0x40 | random.choice([5, 5, 5, 6, 15])
    return bytes(packet)


make = noise if kind == "random" else mutated
for _ in range(count):
    device.send(make())
