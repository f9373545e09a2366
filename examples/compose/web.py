"""The shop. `GET /` asks the partner, by a pool of connections, and tells what became of that, attempt by attempt;
`GET /history` tells how often that was which, from the database.
"""

import http.client
import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import postgres

PARTNER = os.environ["PARTNER"]
DATABASE = os.environ["DATABASE"]
KEEP_ALIVE = int(os.environ.get("KEEP_ALIVE") or 0)
TIMEOUT = 2


class Pool:
    """Connections to the partner that wait for the next request."""

    def __init__(self):
        self.idle = []

    def take(self):
        try:
            return self.idle.pop(), True
        except IndexError:
            return http.client.HTTPConnection(PARTNER, timeout=TIMEOUT), False

    def give_back(self, connection):
        self.idle.append(connection)

    def ask(self):
        """What became of a request: one attempt, or another where a connection that had waited was dead."""
        attempts = []
        while not attempts or attempts[-1]["reused"] and "reset" in attempts[-1].get("error", ""):
            attempts.append(self.attempt())
        return attempts

    def attempt(self):
        connection, reused = self.take()
        attempt = {"reused": reused}
        try:
            if not reused:
                connect(connection)
            attempt["port"] = connection.sock.getsockname()[1]
            connection.request("GET", "/")
            attempt |= json.load(connection.getresponse())
            self.give_back(connection)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            attempt["error"] = (getattr(error, "strerror", None) or str(error)).lower()
        return attempt


def connect(connection):
    connection.connect()
    if KEEP_ALIVE:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_ALIVE)


class History:
    """What became of requests, in the database."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connection = None

    def query(self, sql):
        with self.lock:
            try:
                if not self.connection:
                    self.connection = postgres.Connection(DATABASE, timeout=TIMEOUT)
                    self.connection.query("create table if not exists requests (outcome text not null)")
                return self.connection.query(sql)
            except (OSError, RuntimeError):
                self.connection = None
                raise

    def note(self, attempts):
        outcome = ", then ".join(attempt.get("error", "answered") for attempt in attempts)
        self.query("insert into requests values ('%s')" % outcome.replace("'", "''"))

    def told(self):
        rows = self.query("select outcome, count(*) from requests group by outcome order by outcome")
        return {outcome: int(count) for outcome, count in rows}


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        if self.path == "/":
            attempts = POOL.ask()
            print(json.dumps(attempts), flush=True)
            HISTORY.note(attempts)
            self.answer(502 if "error" in attempts[-1] else 200, attempts)
        elif self.path == "/history":
            self.answer(200, HISTORY.told())
        else:
            self.answer(404, "there are / and /history")

    def log_message(self, *_):
        """What became of it is told already."""

    def answer(self, status, told):
        body = json.dumps(told).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


POOL = Pool()
HISTORY = History()
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ThreadingHTTPServer(("", 80), Shop).serve_forever()
