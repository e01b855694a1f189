"""The shipped project on a topic of its own, its lake, and the real binary at work on it, to be killed and judged.

    Project ─▶ spawn(INGOT_CRASH=...) ─▶ dies, stands still or ends ─▶ problems(): what is wrong in the lake as it is

`problems` needs no recovery: it judges every table by the positions and snapshots that the table itself records. Beside
the shipped tables there is `bronze.copy`, a streaming table over a streaming table.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from collections import Counter

import topics
from lake_state import LakeState
from layers import TABLES, bronze, difference, judge_rows, stats
from traffic import Log, Traffic

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STREAMING, ERRORS = "bronze.vehicle_events", "bronze.vehicle_events_errors"
SILVER, REJECTED, GOLD, COPY = "silver.vehicle_events", "silver.vehicle_events_rejected", "gold.stats", "bronze.copy"
COLUMNS = TABLES | {COPY: [("_partition", "int"), ("_offset", "long")]}
COPY_SQL = "CREATE STREAMING TABLE bronze.copy AS SELECT _partition, _offset FROM STREAM bronze.vehicle_events;\n"
SECONDS_MAX = 120


class Setting:
    """What all projects of a run share: the binary, the broker, the kind of store, a folder."""

    def __init__(self, ingot, brokers, store, work):
        self.ingot, self.brokers, self.store, self.work = ingot, brokers, store, work


def add_setting_arguments(parser):
    parser.add_argument("--ingot", required=True, help="the binary, with debug assertions")
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--work", required=True, help="an empty folder")
    parser.add_argument("--lake", choices=("local", "s3"), default="local")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="printed when not given")


def setting(args):
    print(f"seed {args.seed}, lake {args.lake}", flush=True)
    return Setting(args.ingot, args.brokers, args.lake, args.work)


class Project:
    def __init__(self, shared, seed, partitions=3, interval_ms=100, copy=True, **traffic):
        self.shared = shared
        #: Places whose messages another definition than the shipped one has judged: whether it refused them.
        self.judged = {}
        self.random = random.Random(seed)
        self.topic = f"crash-{uuid.uuid4().hex[:12]}"
        self.folder = os.path.join(shared.work, self.topic)
        self.sql = os.path.join(self.folder, "sql")
        shutil.copytree(os.path.join(ROOT, "sql"), self.sql)
        self.edit("bronze/vehicle_events.sql", "'vehicles-events'", f"'{self.topic}'")
        self.copy = copy
        if copy:
            with open(os.path.join(self.sql, "bronze/copy.sql"), "w") as out:
                out.write(COPY_SQL)
        self.at_broker = argparse.Namespace(brokers=shared.brokers, topic=self.topic, partitions=partitions)
        topics.create(self.at_broker)
        self.options = ["--project", self.sql, "--set", f"kafka.bootstrap.servers={shared.brokers}",
                        "--set", f"run.commit_interval_ms={interval_ms}", "--set", f"run.freshness={interval_ms} ms"]
        self.env = dict(os.environ)
        self.started = 0
        self.children = []
        self.fresh_lake()
        self.traffic_options = traffic
        self.join_topic(seed)

    def join_topic(self, seed):
        self.log = Log(self.shared.brokers, self.topic)
        self.traffic = Traffic(self.shared.brokers, self.topic, seed, **self.traffic_options)

    def recreate_topic(self, seed):
        """Another topic of the same name, and nothing in it."""
        self.log.close()
        topics.delete(self.at_broker)
        topics.create(self.at_broker)
        self.judged = {}
        self.join_topic(seed)

    def fresh_lake(self):
        """Begins again with an empty lake, on the same topic."""
        name = f"lake-{uuid.uuid4().hex[:8]}"
        folder = os.path.join(self.folder, name)
        self.catalog = os.path.join(folder, "catalog.db")
        if self.shared.store == "local":
            self.warehouse, s3 = "file://" + folder, None
            self.lake_options = ["--set", f"warehouse.location={folder}"]
        else:
            env = os.environ
            self.warehouse = f"s3://{env['INGOT_TEST_S3_BUCKET']}/{self.topic}/{name}"
            s3 = {"s3.endpoint": env["INGOT_TEST_S3_ENDPOINT"], "s3.access-key-id": env["INGOT_TEST_S3_ACCESS_KEY"],
                  "s3.secret-access-key": env["INGOT_TEST_S3_SECRET_KEY"], "s3.region": "us-east-1"}
            self.env |= {"INGOT_S3__ACCESS_KEY_ID": s3["s3.access-key-id"], "INGOT_S3__SECRET_ACCESS_KEY": s3["s3.secret-access-key"]}
            os.makedirs(folder)
            self.lake_options = ["--set", f"warehouse.location={self.warehouse}", "--set", f"catalog.uri=sqlite:///{self.catalog}",
                                 "--set", "s3.region=us-east-1", "--set", f"s3.endpoint={s3['s3.endpoint']}",
                                 "--set", "s3.path-style-access=true"]
        self.state = LakeState(self.catalog, self.warehouse, s3)

    def edit(self, file, old, new):
        path = os.path.join(self.sql, file)
        with open(path) as f:
            text = f.read()
        if old not in text:
            raise ValueError(f"{file} does not say {old}")
        with open(path, "w") as f:
            f.write(text.replace(old, new))

    def command(self, *words):
        return [self.shared.ingot, *words, *self.options, *self.lake_options]

    def spawn(self, *words, crash="", wrapper=()):
        """`ingot WORDS` in the background; its log in the child's `log`."""
        self.started += 1
        log = os.path.join(self.folder, f"{self.started:04d}-{words[0]}.log")
        with open(log, "w") as out:
            out.write(f"# {' '.join(words)} INGOT_CRASH={crash}\n")
            out.flush()
            child = subprocess.Popen([*wrapper, *self.command(*words)], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     env=self.env | {"INGOT_CRASH": crash})
        child.log, child.began = log, time.monotonic()
        self.children = [c for c in self.children if c.poll() is None] + [child]
        return child

    def end(self, child, seconds=SECONDS_MAX):
        """Its exit code; a child that does not end in time is killed, and that is an error."""
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            kill(child)
            raise RuntimeError(f"did not end in {seconds} s: {child.log}\n{said(child)}") from None

    def run(self, *words, crash="", wrapper=()):
        child = self.spawn(*words, crash=crash, wrapper=wrapper)
        code = self.end(child)
        return code, child

    def drop_lease(self):
        """Takes the lock file away, as if the holder's lock did not reach this host."""
        folder = os.path.dirname(self.catalog)
        for name in os.listdir(folder):
            if name.endswith(".lock"):
                os.unlink(os.path.join(folder, name))

    def age(self, keep=()):
        """Everything in a local warehouse, but for some paths, was written four days ago."""
        then = time.time() - 4 * 86_400
        for at in self.state.listing():
            path = at.removeprefix("file://")
            if path not in keep:
                os.utime(path, (then, then))

    def close(self):
        for child in self.children:
            kill(child)
        self.log.close()

    def problems(self):
        """What is wrong in the lake as it stands, a line each."""
        self.log.catch_up()
        state = self.state.load()
        wrong = state.missing()
        if wrong:
            return wrong
        wrong += self.log_problems(state)
        source = lambda name, of: (state.tables[name].sources() or {}).get(of) if name in state.tables else None
        if (at := source(COPY, STREAMING)) is not None:
            wrong += differ(f"{COPY} against its source's snapshot", [r[6:8] for r in state.rows(STREAMING, at)],
                            state.rows(COPY, declared=COLUMNS[COPY]))
        for name in (SILVER, REJECTED):
            if (at := source(name, STREAMING)) is not None:
                silver, rejected, _ = judge_rows(state.rows(STREAMING, at))
                wrong += differ(f"{name} against its source's snapshot", silver if name == SILVER else rejected, state.rows(name))
        if (at := source(GOLD, SILVER)) is not None:
            wrong += differ(f"{GOLD} against its source's snapshot", stats(state.rows(SILVER, at)), state.rows(GOLD))
        return wrong

    def refused(self, place, message):
        return self.judged.get(place, message.row is None)

    def expected(self, messages):
        """The rows of Bronze, and those of its error table without code and reason."""
        rows, _ = bronze([m.raw for place, m in messages if not self.refused(place, m)])
        errors = [(*m.raw[:3], None if m.raw[3] is None else m.raw[3] * 1000, *m.raw[4:])
                  for place, m in messages if self.refused(place, m)]
        return rows, errors

    def log_problems(self, state):
        """Bronze and its error rows against the log, up to the position that Bronze records."""
        table = state.tables.get(STREAMING)
        if table is None:
            return []
        positions = {p: e["to"] for p, e in table.positions().items()}
        messages = self.log.below(positions)
        rows, errors = self.expected(messages)
        wrong = differ(f"{STREAMING} against the log up to {positions}", rows, state.rows(STREAMING))
        stored = [r[:6] for r in state.rows(ERRORS)]
        behind = [r for r in stored if r[2] < positions.get(r[1], 0)]
        wrong += differ(f"{ERRORS} against the log up to {positions}", errors, behind)
        ahead = Counter(r for r in stored if r[2] >= positions.get(r[1], 0))
        wrong += [f"{ERRORS}: {n} times, ahead of the position: {r}" for r, n in ahead.items() if n > 1 or r[1:3] not in self.log.messages]
        for p, entry in table.positions().items():
            counted = {"delivered": 0, "main": 0, "errors": 0}
            for place, m in messages:
                if place[0] == p:
                    counted["delivered"] += 1
                    counted["errors" if self.refused(place, m) else "main"] += 1
            told = {k: entry.get(k, 0) for k in counted}
            if told != counted:
                wrong.append(f"{STREAMING}: partition {p} records {told}, the log has {counted}")
        return wrong

    def verify_problems(self, *tables):
        """What `ingot verify` finds; a table, or a lake, that has not come about yet has nothing to verify."""
        child = self.spawn("verify", *tables, "--json")
        code = self.end(child)
        if code == 0:
            return []
        with open(child.log) as f:
            lines = f.readlines()
        told = [line for line in lines if line.startswith('{"version"')]
        if not told and not self.state.tables and any(line.startswith("error[L0119]") for line in lines):
            return []  # the process ended before it had made a lake
        if not told:
            return [f"verify ended with {code} and said nothing: {child.log}"]
        wrong = []
        for table in json.loads(told[-1])["tables"]:
            main = STREAMING if table["table"] == ERRORS else table["table"]
            begun = main in self.state.tables and self.state.tables[main].head is not None
            if table["verdict"] not in ("equal", "consistent") and (begun or table["verdict"] != "unverifiable"):
                wrong.append(f"verify: {table}")
        return wrong

    def behind(self):
        """Tables that do not hold all that the log holds."""
        self.log.catch_up()
        state = self.state.load()
        messages = self.log.messages.items()
        rows, errors = self.expected(messages)
        silver, rejected, _ = judge_rows(rows)
        wanted = {STREAMING: rows, SILVER: silver, REJECTED: rejected, GOLD: stats(silver)} | (
            {COPY: [r[6:8] for r in rows]} if self.copy else {})
        wrong = []
        for name, expected in wanted.items():
            wrong += differ(f"{name} against the whole log", expected, state.rows(name, declared=COLUMNS[name]))
        wrong += differ(f"{ERRORS} against the whole log", errors, [r[:6] for r in state.rows(ERRORS)])
        return wrong


def differ(what, expected, found):
    missing, extra = difference(expected, found)
    if not missing and not extra:
        return []
    lines = [f"{what}: expected {len(expected)} rows, found {len(found)}"]
    lines += [f"    missing x{n}: {row}" for row, n in missing[:3]] + [f"    extra x{n}: {row}" for row, n in extra[:3]]
    return ["\n".join(lines)]


def said(child, lines=15):
    with open(child.log) as f:
        return "".join(f.readlines()[-lines:])


def kill(child):
    if child.poll() is None:
        child.send_signal(signal.SIGKILL)
        child.wait(30)


def stopped(child):
    """Whether the process stands still."""
    with open(f"/proc/{child.pid}/stat") as f:
        return f.read().rsplit(") ", 1)[1][0] == "T"


def wait_until(what, seconds=60, pause=0.02):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("did not come about in time")
        time.sleep(pause)
