"""How packets get to a translator and back."""

import ctypes
import os
import select
import shlex
import socket
import subprocess
import time

from scapy.all import UDP, raw

from case import version
from packets import in4, out6

PACKET_OUTGOING = 4


class Program:
    """A translator that is a program, spoken to by lines."""

    def __init__(self, command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.program = subprocess.Popen(shlex.split(command), text=True, **pipes)

    def outcome(self, sent, _expected):
        packets = []
        for packet in sent:
            print(packet.hex(), file=self.program.stdin, flush=True)
            while (line := self.program.stdout.readline().strip()) != ".":
                assert line, "the translator has ended"
                packets.append(bytes.fromhex(line))
        return packets


class Wire:
    """Two devices of a running instance: packets are put on them, and taken, beside the kernel."""

    def __init__(self, instance, six, four):
        self.sides = {6: Side(instance, six), 4: Side(instance, four)}
        self.mark = 0

    def outcome(self, sent, expected):
        for packet in sent:
            self.sides[version(packet)].send(packet)
        # What came before a packet that comes through was all that comes.
        for ip in {version(packet) for packet in sent}:
            self.pass_through(ip)
        deadline = time.monotonic() + 0.5
        while len(self.arrived()) < len(expected) and time.monotonic() < deadline:
            time.sleep(0.01)
        packets = self.arrived()
        for side in self.sides.values():
            side.packets.clear()
        return packets

    def arrived(self):
        for side in self.sides.values():
            side.receive(0)
        return [packet for side in self.sides.values() for packet in side.packets]

    def pass_through(self, ip):
        """Sends a packet from the side of `ip`, and waits until it comes out on the other."""
        self.mark += 1
        mark = b"mark %d" % self.mark
        header = out6() if ip == 6 else in4()
        far = self.sides[10 - ip]
        self.sides[ip].send(raw(header / UDP(sport=2900, dport=2901) / mark))
        deadline = time.monotonic() + 5
        while not any(packet.endswith(mark) for packet in far.packets):
            assert time.monotonic() < deadline, f"nothing comes through from IPv{ip}"
            far.receive(0.1)
        far.packets = [packet for packet in far.packets if not packet.endswith(mark)]


class Side:
    """The device of a namespace, whose kernel is told to keep out of it."""

    def __init__(self, instance, name):
        path = f"/run/netns/{instance}:{name.replace('/', ':')}"
        with Inside(path):
            silence()
            self.sockets = {
                ip: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(number))
                for ip, number in [(4, 0x0800), (6, 0x86DD)]
            }
            for one, number in zip(self.sockets.values(), [0x0800, 0x86DD]):
                one.bind(("eth0", number))
        self.packets = []

    def send(self, packet):
        self.sockets[version(packet)].send(packet)

    def receive(self, seconds):
        """Takes what has come, and waits for it for so long."""
        sockets = list(self.sockets.values())
        while ready := select.select(sockets, [], [], seconds)[0]:
            seconds = 0
            for one in ready:
                packet, source = one.recvfrom(65536)
                if source[2] != PACKET_OUTGOING:
                    self.packets.append(packet)


class Inside:
    """This thread in another network namespace, while the block lasts."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        with open(self.path) as there:
            enter(there.fileno())

    def __exit__(self, *_):
        enter(self.home)
        os.close(self.home)


def enter(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def silence():
    """Takes its addresses from the device, so that the kernel answers nothing."""
    subprocess.run(["ip", "addr", "flush", "dev", "eth0"], check=True)
    with open("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "w") as knob:
        knob.write("1")
