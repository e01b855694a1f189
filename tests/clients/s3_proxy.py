"""A proxy between Ingot and a real S3 server that does what networks and stores do.

    client ──▶ S3Proxy ──▶ MinIO          each request is looked up in the rules, in order; the first that matches acts

Faults: 500, 503        an error in place of an answer, nothing is forwarded
        after-500       forwarded, and the answer replaced by an error
        hang            no answer, nothing is forwarded; after-hang: forwarded, no answer
        drop            the connection ends, nothing is forwarded; after-drop: forwarded, and the answer thrown away
        slow            the bodies trickle
        cut             half of the body, then the connection ends (GET: of the answer; PUT: of what is forwarded)
        short           half of the body under a matching Content-Length: a proxy that lies
        slow-forever    the first bytes of the answer's body, then nothing

Not here: what Ingot makes of them (`store_faults.py`).
"""

import http.client
import random
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = {"data": re.compile(r"/data/.*\.parquet$"), "metadata": re.compile(r"\.metadata\.json$"), "list": re.compile(r"/snap-[^/]*\.avro$"),
         "manifest": re.compile(r"/metadata/(?!snap-)[^/]*\.avro$")}
ERROR = ('<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{text}</Message>'
         "<Resource>{path}</Resource><RequestId>0</RequestId></Error>")
FAULTS = ("500", "503", "after-500", "hang", "after-hang", "drop", "after-drop", "slow", "cut", "short", "slow-forever")


def kind_of(path):
    path = path.split("?")[0]
    return next((kind for kind, pattern in KINDS.items() if pattern.search(path)), "other")


class Rule:
    """Which requests, which fault, how often; `of` counts for each table apart."""

    def __init__(self, fault, method=None, kind=None, times=1, each_table=False, chance=1.0):
        self.fault, self.method, self.kind, self.times, self.chance = fault, method, kind, times, chance
        self.each_table, self.left, self.hits = each_table, {}, 0

    def takes(self, method, path, draw):
        if self.method not in (None, method) or self.kind not in (None, kind_of(path)):
            return False
        of = path.split("/data/")[0].split("/metadata/")[0] if self.each_table else ""
        if self.left.setdefault(of, self.times) <= 0 or draw() >= self.chance:
            return False
        self.left[of] -= 1
        self.hits += 1
        return True


class S3Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream, seed=1, hold=30):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream.removeprefix("http://")
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.rules, self.requests, self.hold = [], 0, hold
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def set(self, *rules):
        with self.lock:
            self.rules = list(rules)

    def fault_for(self, method, path):
        with self.lock:
            self.requests += 1
            return next((rule.fault for rule in self.rules if rule.takes(method, path, self.random.random)), None)

    def handle_error(self, request, client_address):
        pass        # a client that hangs up is no news here


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def anything(self):
        fault = self.server.fault_for(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if fault in ("500", "503"):
            return self.error(fault)
        if fault == "drop":
            return self.hang_up()
        if fault == "hang":
            return self.nothing()
        if fault == "slow":
            time.sleep(0.7)
        status, headers, answer = self.forward(body, fault)
        if status is None or fault == "after-drop":
            return self.hang_up()
        if fault == "after-hang":
            return self.nothing()
        if fault == "after-500":
            return self.error("500")
        self.answer(status, headers, answer, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = anything

    def forward(self, body, fault):
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            short = fault == "short" and self.command == "PUT"
            for name, value in self.headers.items():
                if name.lower() == "content-length" and short:
                    value = str(len(body) // 2)
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.endheaders()
            if fault == "cut" and self.command == "PUT":
                connection.send(body[:len(body) // 2])
                return None, None, None
            connection.send(body[:len(body) // 2] if short else body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def answer(self, status, headers, body, fault):
        got = fault if self.command == "GET" and len(body) > 1 else None
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() == "content-length" and got == "short":
                value = str(len(body) // 2)
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if got == "slow":
            for at in range(0, len(body), max(1, len(body) // 5)):
                self.wfile.write(body[at:at + max(1, len(body) // 5)])
                time.sleep(0.1)
        elif got in ("cut", "slow-forever"):
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            self.nothing() if got == "slow-forever" else self.hang_up()
        else:
            self.wfile.write(body[:len(body) // 2] if got == "short" else body)

    def error(self, status):
        code, text = ("SlowDown", "Please reduce your request rate.") if status == "503" else ("InternalError", "We encountered an internal error.")
        body = ERROR.format(code=code, text=text, path=self.path.split("?")[0]).encode()
        self.send_response_only(int(status))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def nothing(self):
        """Holds the connection until the client gives up."""
        self.connection.settimeout(self.server.hold)
        try:
            self.connection.recv(1)
        except OSError:
            pass
        self.hang_up()

    def hang_up(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
