"""What brokers do to their readers, on three real ones, and what Ingot makes of it.

    live   a project whose `run` goes on through everything: kills, moved leaders, new partitions, and every kind of loss
    down   another project over the same topics, stopped while the losses happen, started after them
    idle   a topic with transactions alone, whose trailing markers go by retention

After each: the rows of every table and its error table are the (partition, offset, content) of the log as an independent
consumer sees it, or saw it before the loss; no live snapshot misses a file; a loss has its code and a command, names one
table and stops no other; that command makes the table go on; `ingot verify` passes.

    broker_faults.py --ingot BIN --work DIR [--seed S] [--only WORD]

The last line is `N right, N wrong`.
"""

import argparse
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

from confluent_kafka import ElectionType, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from cluster import Cluster
from lake_state import LakeState
from traffic import Log

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
MAIN = [("_partition", "int"), ("_offset", "long"), ("id", "string")]
ERRORS = [("partition", "int"), ("offset", "long"), ("payload", "binary")]
SQL = """CREATE SOURCE s_{name} (id VARCHAR, n BIGINT, filler VARCHAR)
INCLUDE PARTITION AS _partition INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '{name}') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.{name} ON DECODE ERROR INTO bronze.{name}_errors AS SELECT * FROM STREAM s_{name};
"""
LOSING = {"expired": "S0101", "remade": "S0102", "shrunk": "S0102", "cut": "S0104", "regrown": "S0104"}
began = time.monotonic()
verdict = {"passed": 0, "failed": 0}
children = []
left = []       # consumers of brokers that died and topics that went: to destroy one may wait for ever, so they go with the process


def say(text):
    print(f"== {time.monotonic() - began:4.0f}s  {text}", flush=True)


def check(what, wrong):
    """Passes when `wrong` is empty."""
    verdict["failed" if wrong else "passed"] += 1
    print(("FAIL  " if wrong else "ok    ") + what, flush=True)
    for line in wrong if isinstance(wrong, list) else [wrong] if wrong else []:
        print(f"      {line}", flush=True)


class Feed:
    """Messages for the topics, each with an id of its own."""

    def __init__(self, brokers, seed):
        self.random = random.Random(seed)
        self.brokers, self.sent = brokers, 0
        self.admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})

    def producer(self, **more):
        return Producer({"bootstrap.servers": self.brokers, "log_level": 2, "linger.ms": 5, "enable.idempotence": True, "message.max.bytes": 60_000_000,
                         "delivery.timeout.ms": 180_000, **{k.replace("_", "."): v for k, v in more.items()}})

    def message(self, filler=0):
        self.sent += 1
        payload = json.dumps({"id": f"m{self.sent}", "n": self.random.randrange(10**6), "filler": "x" * filler})
        return payload[:-2] if self.random.random() < 0.05 else payload

    def put(self, producer, topic, count, filler=0, keys=500):
        for _ in range(count):
            producer.produce(topic, self.message(filler), key=str(self.random.randrange(keys)))
            producer.poll(0)
        if producer.flush(120):
            raise RuntimeError(f"{topic}: not everything was delivered")

    def send(self, topic, count, **more):
        self.put(self.producer(), topic, count, **more)

    def transactional(self, name):
        producer = self.producer(transactional_id=name, transaction_timeout_ms=600_000)
        producer.init_transactions(60)
        return producer

    def transaction(self, producer, topic, count, commit):
        producer.begin_transaction()
        self.put(producer, topic, count)
        producer.commit_transaction(60) if commit else producer.abort_transaction(60)
        # Its markers are written after the answer; until then the log seems to end before it.
        Cluster.wait(f"{topic}: the markers", lambda: len({self.end(topic, level) for level in IsolationLevel}) == 1)

    def end(self, topic, level):
        """Where the log of partition 0 ends for a reader of this isolation level."""
        at = TopicPartition(topic, 0)
        return self.admin.list_offsets({at: OffsetSpec.latest()}, isolation_level=level)[at].result().offset


class Load(threading.Thread):
    """A steady feed that outlives brokers."""

    def __init__(self, brokers, topic):
        super().__init__(daemon=True)
        self.feed, self.topic, self.over, self.error = Feed(brokers, 99), topic, threading.Event(), None
        self.feed.sent = 10**9

    def run(self):
        try:
            producer = self.feed.producer()
            while not self.over.is_set():
                self.feed.put(producer, self.topic, 100)
                time.sleep(0.1)
        except Exception as e:
            self.error = e

    def end(self):
        self.over.set()
        self.join(180)
        return self.error or self.is_alive()


class Project:
    """One lake over some topics."""

    def __init__(self, args, name, brokers, topics):
        self.ingot, self.brokers, self.topics = args.ingot, brokers, topics
        self.folder = os.path.join(args.work, name)
        os.makedirs(os.path.join(self.folder, "sql/bronze"))
        for topic in topics:
            with open(os.path.join(self.folder, f"sql/bronze/{topic}.sql"), "w") as out:
                out.write(SQL.format(name=topic))
        lake = os.path.join(self.folder, "lake")
        self.options = ["--project", os.path.join(self.folder, "sql"), "--set", f"kafka.bootstrap.servers={brokers}",
                        "--set", f"warehouse.location={lake}", "--set", "run.commit_interval_ms=300",
                        "--set", "kafka.topic.metadata.refresh.interval.ms=2000"]
        self.state = LakeState(os.path.join(lake, "catalog.db"), "file://" + lake)
        self.logs = {}
        self.calls = 0

    def spawn(self, *words):
        self.calls += 1
        self.log = os.path.join(self.folder, f"{self.calls:03d}-{words[0]}.log")
        with open(self.log, "w") as out:
            child = subprocess.Popen([self.ingot, words[0], *self.options, *words[1:]], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        children.append(child)
        return child

    def run(self, *words, seconds=240):
        """The exit code, and what it said."""
        child = self.spawn(*words)
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            raise RuntimeError(f"{' '.join(words)} did not end in {seconds} s: {self.log}") from None
        return code, self.said()

    def ended(self, what, wanted, *words):
        code, said = self.run(*words)
        check(what, [] if code == wanted else [f"exit {code}, not {wanted}", *said.splitlines()[-15:]])
        return said

    def said(self):
        with open(self.log) as f:
            return f.read()

    def log_of(self, topic):
        if topic not in self.logs:
            self.logs[topic] = Log(self.brokers, topic)
            left.append(self.logs[topic])
        return self.logs[topic]

    def wanted(self, topic):
        self.log_of(topic).catch_up(120)
        return Counter(row(place, m.raw[5]) for place, m in self.log_of(topic).messages.items())

    def found(self, topic):
        self.state.load()
        main = self.state.rows(f"bronze.{topic}", declared=MAIN)
        return Counter(main) + Counter(self.state.rows(f"bronze.{topic}_errors", declared=ERRORS))

    def positions(self, topic):
        self.state.load()
        table = self.state.tables.get(f"bronze.{topic}")
        return {} if table is None else {p: e["to"] for p, e in table.positions().items()}

    def reaches(self, topic, seconds=120):
        """Waits until the table stands at the end of the log; a partition that never held anything needs no position."""
        ends = self.log_of(topic).catch_up(120)
        Cluster.wait(f"{topic} at {ends}", lambda: dict.fromkeys(ends, 0) | self.positions(topic) == ends, seconds)

    def exact(self, what, topics, wanted=None):
        wrong = []
        for topic in topics:
            want, have = wanted or self.wanted(topic), self.found(topic)
            lost, extra = want - have, have - want
            if lost or extra:
                wrong.append(f"bronze.{topic}: {sum(want.values())} rows wanted, {sum(have.values())} found; lost "
                             f"{shown(lost)}; too many {shown(extra)}")
        check(what, wrong + self.state.missing())


def row(place, payload):
    """A message as it stands in the table or, if it is malformed, in the error table."""
    try:
        return (*place, json.loads(payload)["id"])
    except ValueError:
        return (*place, payload)


def shown(rows):
    return f"{sum(rows.values())}: {[tuple(str(v)[:40] for v in r) for r in list(rows)[:3]]}"


def named(what, said, losses):
    """Each loss is told with its code and a command that names its table, and nothing else is called lost."""
    wrong = []
    commands = {}
    for topic, code in losses.items():
        lines = [line for line in said.splitlines() if re.search(rf"bronze\.{topic}\b", line)]
        if not any(code in line for line in lines):
            wrong.append(f"no {code} for bronze.{topic} in {lines[-3:]}")
        found = re.findall(rf"`(ingot refresh bronze\.{topic} [^`]*--accept-loss)`", said)
        if not found:
            wrong.append(f"no command for bronze.{topic}")
        commands[topic] = found[-1:] and shlex.split(found[-1])[1:]
    others = set(re.findall(r"ingot refresh bronze\.(\w+)", said)) - set(losses)
    check(what, wrong + [f"called lost, too: {sorted(others)}" for _ in [0] if others])
    return commands


def codecs(cluster, feed):
    for codec in CODECS:
        feed.put(feed.producer(compression_type=codec, linger_ms=50), "codecs", 400, filler=200)


def compacted(cluster, feed):
    """A log with holes that stay as they are."""
    for _ in range(4):
        feed.send("compacted", 500, keys=50)
        time.sleep(0.3)
    log = lambda: Log(cluster.brokers, "compacted")

    def holed():
        seen = log()
        seen.catch_up()
        seen.close()
        return len(seen.messages) < 1500
    cluster.wait("compaction", holed)
    cluster.set_topic("compacted", min_compaction_lag_ms=3_600_000)
    time.sleep(1)


def losses_without_leaders(cluster, feed):
    """Retention, topics made again, a topic with fewer partitions, a topic gone."""
    feed.send("expired", 200)
    cluster.forget("expired", 350)
    for topic, partitions, count in (("remade", 2, 900), ("shrunk", 1, 300)):
        cluster.delete(topic)
        cluster.create(topic, [[1]] * partitions)
        feed.send(topic, count)
    cluster.delete("gone")


def broker_kills(cluster, feed, live, down, runner):
    """Every broker is killed under load; two topics lose records to an unclean election."""
    say("broker 2 is killed; what comes then is on broker 3 alone")
    cluster.kill(2)
    for topic in ("cut", "regrown"):
        cluster.wait(f"{topic} on broker 3 alone", lambda t=topic: [p.isrs for p in cluster.partitions(t)] == [[3]])
        feed.send(topic, 200)
        live.reaches(topic)
    down.ended("down: run --once with a broker less", 0, "run", "--once")
    before = {topic: live.found(topic) for topic in ("cut", "regrown")}
    say("broker 3 is killed, broker 2 comes back and leads with what it had; `run` stands still meanwhile")
    runner.send_signal(signal.SIGSTOP)
    cluster.kill(3)
    cluster.start(2)
    for topic in ("cut", "regrown"):
        cluster.wait(f"{topic} led by broker 2", lambda t=topic: cluster.led_by(t, 2))
    feed.send("regrown", 400)
    runner.send_signal(signal.SIGCONT)
    cluster.start(3)
    say("leaders move")
    cluster.wait("load in sync", lambda: cluster.in_sync("load", 2))
    moved = [TopicPartition("load", p.id) for p in cluster.partitions("load")]
    before_move = [p.leader for p in cluster.partitions("load")]
    cluster.admin.elect_leaders(ElectionType.PREFERRED, moved).result()
    cluster.wait("leaders moved", lambda: [p.leader for p in cluster.partitions("load")] == [1, 2, 3])
    check(f"leaders moved from {before_move} to [1, 2, 3]", [] if before_move != [1, 2, 3] else ["they were there"])
    say("broker 1, with the controller, is killed and comes back")
    cluster.kill(1)
    time.sleep(3)
    cluster.start(1)
    cluster.wait("load in sync", lambda: cluster.in_sync("load", 2))
    cluster.grow("load", 5)
    feed.send("load", 300)      # by a producer that knows the new partitions
    held = {p for p, end in live.log_of("load").catch_up(120).items() if end}
    check("the new partitions hold messages", [] if held == set(range(5)) else [f"only {held} do"])
    check("live: run is still there", [] if runner.poll() is None else [live.said()[-2000:]])
    return before


def idle(args, cluster, feed):
    """Trailing markers that retention takes are no loss, also after kill -9."""
    say("an idle topic with transactions")
    cluster.create("idle", [[1]])
    project = Project(args, "idle", cluster.brokers, ["idle"])
    writer = feed.transactional("idle-writer")
    runner = project.spawn("run")
    Cluster.wait("idle: table", lambda: project.positions("idle"))
    feed.transaction(writer, "idle", 100, commit=True)
    project.reaches("idle")
    feed.transaction(writer, "idle", 20, commit=False)
    project.reaches("idle")
    rows = project.wanted("idle")
    check("idle: a position that moved past markers alone is recorded soon", [])
    runner.kill()
    runner.wait(30)
    cluster.forget("idle")
    said = project.ended("idle: run --once after kill -9 and retention", 0, "run", "--once")
    check("idle: no loss is named", re.findall(r"S01\d\d.*", said))
    feed.transaction(writer, "idle", 50, commit=True)
    project.ended("idle: run --once", 0, "run", "--once")
    project.exact("idle: rows of before and after", ["idle"], rows | project.wanted("idle"))
    say("what came and went while nobody looked cannot be told from a loss, and giving it up costs nothing")
    rows = project.found("idle")
    feed.transaction(writer, "idle", 20, commit=False)
    cluster.forget("idle")
    code, said = project.run("run", "--once")
    commands = named("idle: markers that came and went while stopped are named", said, {"idle": "S0101"})
    check("idle: with exit code 1", [] if code == 1 else [str(code)])
    project.ended("idle: the command goes on", 0, *commands["idle"])
    check("idle: and keeps every row", [] if project.found("idle") == rows else ["rows went"])
    project.ended("idle: verify", 0, "verify")


def go_on(project, commands):
    """Carries out what the errors said."""
    for topic, command in commands.items():
        if command:
            project.ended(f"{' '.join(command)}", 0, *command)
    said = project.ended("run --once after the commands", 0, "run", "--once")
    check("nothing is lost any more", re.findall(r"S01\d\d.*", said))
    project.ended("verify", 0, "verify")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="printed when not given")
    parser.add_argument("--only", default="", help="only the part with this in its name: losses, idle")
    args = parser.parse_args()
    say(f"three brokers (seed {args.seed})")
    cluster = Cluster(os.path.join(args.work, "servers"))
    try:
        feed = Feed(cluster.brokers, args.seed)
        for part in (losses, idle):
            if args.only in part.__name__:
                part(args, cluster, feed)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
        cluster.stop()


def losses(args, cluster, feed):
    """Everything on the topics that `live` and `down` share."""
    cluster.create("load", [[1, 2], [2, 3], [3, 1]])
    cluster.create("codecs", [[1], [1]])
    cluster.create("big", [[1]], max_message_bytes=50_000_000)
    cluster.create("compacted", [[1]], cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio=0.01,
                   delete_retention_ms=100)
    for topic, assignment in (("expired", [[1]]), ("remade", [[1], [1]]), ("shrunk", [[1]] * 3), ("gone", [[1]])):
        cluster.create(topic, assignment)
        feed.send(topic, 300)
    for topic in ("cut", "regrown"):
        cluster.create(topic, [[3, 2]], unclean_leader_election_enable="true", min_insync_replicas=1)
        feed.send(topic, 300)
    say("codecs, large messages, a compacted log")
    codecs(cluster, feed)
    large = feed.producer()
    for filler in (900_000, 3_000_000, 20_000_000):
        feed.put(large, "big", 2, filler=filler)
        large.produce("big", b"{" + b"y" * filler)
        large.flush(60)
    compacted(cluster, feed)
    live = Project(args, "live", cluster.brokers, ["load", "codecs", "big", "compacted", "gone", *LOSING])
    down = Project(args, "down", cluster.brokers, ["gone", *LOSING])
    runner = live.spawn("run")
    down.ended("down: run --once", 0, "run", "--once")
    for topic in ("codecs", "big", "compacted", "gone", *LOSING):
        live.reaches(topic)
    live.exact("every codec, large messages, a compacted log with gaps", ["codecs", "big", "compacted"])
    feed.send("compacted", 300, keys=50)
    load = Load(cluster.brokers, "load")
    load.start()
    before = broker_kills(cluster, feed, live, down, runner)
    live.reaches("compacted")
    live.exact("the compacted log goes on", ["compacted"])

    say("retention, topics made again, while `run` stands still and does not see it happen")
    for project in (live, down):
        before |= {(project, topic): project.found(topic) for topic in ("expired",)}
        project.wanted("expired")
    runner.send_signal(signal.SIGSTOP)
    time.sleep(2)       # a fetch that waits at the broker for what comes ends first: it would bring what is to be lost
    losses_without_leaders(cluster, feed)
    runner.send_signal(signal.SIGCONT)
    for topic, code in LOSING.items():
        stops = re.compile(rf"bronze\.{topic}\b.*{code}")
        cluster.wait(f"live: {code} for {topic}", lambda s=stops: s.search(live.said()))
    cluster.wait("live: S0109 or S0106 for gone", lambda: re.search(r"bronze\.gone\b.*S010[69]", live.said()))
    commands = named("live: each loss is named while running", live.said(), LOSING | {"gone": "S010"})
    check("live: rows stay as they were", [t for t in ("cut", "regrown") if live.found(t) != before[t]])
    check("the load's producer saw no error", [str(e) for e in [load.end()] if e])
    live.reaches("load")
    live.exact("live: the other tables went on, nothing lost, nothing twice", ["load", "codecs", "big"])
    runner.send_signal(signal.SIGTERM)
    code = runner.wait(120)
    check("live: run ends with the losses' exit code", [] if code == 1 else [f"exit {code}"])

    both = ((live, "live"), (down, "down"))
    for project, name in both:
        say(f"{name}: after a restart")
        code, said = project.run("run", "--once")
        named(f"{name}: each loss is named after a restart", said, LOSING | {"gone": "S0106"})
        check(f"{name}: with exit code 1", [] if code == 1 else [f"exit {code}", *said.splitlines()[-15:]])
    cluster.create("gone", [[1]])
    feed.send("gone", 50)
    for project, name in both:
        say(f"{name}: the topic that was gone is there again")
        code, said = project.run("run", "--once")
        commands = named(f"{name}: it is another one", said, LOSING | {"gone": "S0102"})
        project.logs = {}
        go_on(project, commands)
        project.exact(f"{name}: tables hold the logs of today", ["remade", "shrunk", "cut", "regrown", "gone"])
        project.exact(f"{name}: expired rows that were stored stay", ["expired"], before[project, "expired"] | project.wanted("expired"))


if __name__ == "__main__":
    try:
        main()
    except Exception:
        import traceback
        traceback.print_exc()
        verdict["failed"] += 1
    print(f"{verdict['passed']} right, {verdict['failed']} wrong", flush=True)
    sys.stderr.flush()
    os._exit(1 if verdict["failed"] else 0)
