"""As much of PostgreSQL's protocol as this example needs (https://www.postgresql.org/docs/15/protocol.html): a connection
without password, and simple queries. Yours has a driver for this.
"""

import socket
import struct


class Connection:
    def __init__(self, host, user="postgres", timeout=2):
        self.socket = socket.create_connection((host, 5432), timeout)
        self.reader = self.socket.makefile("rb")
        startup = struct.pack("!i", 3 << 16) + f"user\0{user}\0\0".encode()
        self.socket.sendall(struct.pack("!i", len(startup) + 4) + startup)
        self.answer()

    def query(self, sql):
        """The rows that the server answers with, as texts."""
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        return self.answer()

    def answer(self):
        rows, error = [], None
        while True:
            kind, length = struct.unpack("!ci", self.read(5))
            body = self.read(length - 4)
            if kind == b"D":
                rows.append(row(body))
            elif kind == b"E":
                fields = {field[:1]: field[1:] for field in body.decode().split("\0")}
                error = RuntimeError(fields["M"])
                # Before it is ready for queries it says nothing more.
                if fields["S"] == "FATAL":
                    raise error
            elif kind == b"R" and struct.unpack("!i", body[:4]) != (0,):
                raise RuntimeError("the server asks for a password")
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def read(self, count):
        data = self.reader.read(count)
        if len(data) < count:
            raise ConnectionError("the server has closed the connection")
        return data


def row(body):
    (count,), at, values = struct.unpack("!h", body[:2]), 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return values
