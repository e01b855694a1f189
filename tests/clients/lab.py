"""A project made for the occasion: tables that PyIceberg fills, views written at random, and the real binary over them.

    Lab ─▶ sql/bronze/*.sql, an empty topic ─▶ run --once ─▶ PyIceberg appends and deletes ─▶ run --once ─▶ views
                                                                                     └─▶ serve ─▶ Flight SQL
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

SECONDS_MAX = 300


class Lab:
    def __init__(self, ingot, brokers, topic, work, name):
        self.ingot, self.topic = ingot, topic
        self.folder = os.path.join(work, name)
        self.sql, self.lake = os.path.join(self.folder, "sql"), os.path.join(self.folder, "lake")
        os.makedirs(self.sql)
        self.options = ["--project", self.sql, "--set", f"kafka.bootstrap.servers={brokers}",
                        "--set", f"warehouse.location={self.lake}"]
        self.server = None
        self.tables = {}

    def write(self, path, text):
        at = os.path.join(self.sql, path)
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at, "w") as out:
            out.write(text)

    def remove(self, path):
        os.unlink(os.path.join(self.sql, path))

    def streaming_table(self, name, columns, clauses=""):
        """A streaming table of these (name, type) over the topic, in a file of its own."""
        short = name.split(".")[-1]
        declared = ", ".join(f"{c} {t}" for c, t in columns)
        self.write(name.replace(".", "/") + ".sql",
                   f"CREATE SOURCE s_{short} ({declared}) WITH ('connector' = 'kafka', 'topic' = '{self.topic}') FORMAT PLAIN ENCODE JSON;\n"
                   f"CREATE STREAMING TABLE {name} {clauses} AS SELECT * FROM STREAM s_{short};\n")

    def view(self, name, query, clauses=""):
        self.write(name.replace(".", "/") + ".sql", f"CREATE MATERIALIZED VIEW {name} {clauses} AS\n{query};\n")

    def command(self, *words):
        """Exit code, standard output and standard error of `ingot WORDS`."""
        done = subprocess.run([self.ingot, *words, *self.options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECONDS_MAX)
        return done.returncode, done.stdout, done.stderr

    def check(self):
        """Diagnostics by file."""
        code, out, err = self.command("check", "--json")
        if not out.startswith('{'):
            raise RuntimeError(f"check ended with {code}: {err[-2000:]}")
        found = {}
        for d in json.loads(out)["diagnostics"]:
            if d["severity"] == "error":
                found.setdefault(d["file"], []).append(d)
        return found

    def run(self, *words):
        """The steps of `run --once`, by table."""
        code, out, err = self.command("run", "--once", "--json", *words)
        line = next((l for l in out.splitlines() if l.startswith('{"')), None)
        if line is None:
            raise RuntimeError(f"run ended with {code}: {err[-3000:]}")
        return {step["table"]: step for step in json.loads(line)["steps"]}

    def catalog(self):
        return SqlCatalog("ingot", uri=f"sqlite:///{self.lake}/catalog.db", warehouse=f"file://{self.lake}")

    def read(self, name):
        return self.catalog().load_table(name).scan().to_arrow()

    def serve(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        log = open(os.path.join(self.folder, "serve.log"), "a")
        self.server = subprocess.Popen([self.ingot, "serve", *self.options, "--set", f"serve.listen=127.0.0.1:{port}"],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return f"grpc://127.0.0.1:{port}"
            except OSError:
                if time.monotonic() > deadline or self.server.poll() is not None:
                    raise RuntimeError(f"serve does not listen; see {log.name}") from None
                time.sleep(0.05)

    def close(self, keep=False):
        if self.server is not None and self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(10)
            except subprocess.TimeoutExpired:
                self.server.kill()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def append(catalog, name, rows):
    """Rows into a table of ours, as another engine would: columns of ours that they lack are NULL."""
    table = catalog.load_table(name)
    schema = table.schema().as_arrow()
    arrays = [rows.column(f.name).cast(f.type) if f.name in rows.column_names else pa.nulls(len(rows), f.type) for f in schema]
    table.append(pa.Table.from_arrays(arrays, schema=schema))


class Digits(float):
    """A number that is written to JSON with the digits that it came with."""

    def __new__(cls, text):
        self = super().__new__(cls, text)
        self.text = text
        return self


def encode(v):
    """JSON as text; `json.dumps` would print the digits of a float."""
    if isinstance(v, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {encode(x)}" for k, x in v.items()) + "}"
    if isinstance(v, list):
        return "[" + ", ".join(encode(x) for x in v) + "]"
    return v.text if isinstance(v, Digits) else json.dumps(v, ensure_ascii=False)


CODE = re.compile(r"\b([PNTCUSRDLQ]\d{4})\b")


def code_of(message):
    found = CODE.search(message)
    return found.group(1) if found else None
