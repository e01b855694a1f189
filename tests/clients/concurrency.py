"""Eight processes write one table while clients ask: nothing is lost, nothing is there twice, nothing that is needed is gone.

    concurrency.py --ingot B --work FOLDER [--seconds 60] [--seed N]

bronze.t is a streaming table over a feed. Each of these is a process of its own, and nothing keeps them apart but the commits:

    2   ingot run                 the lock file is taken away, so that each takes itself for the only one
    1   ingot maintain, again and again
    1   ingot run --once, again and again, of the table or of a view
    3   PyIceberg: appends rows (w, i), deletes some of its own, and keeps a journal
    1   PyIceberg: fills the feed, and marks snapshots of bronze.t by tags
    +   ingot serve, and two clients that ask it

History is kept for a second, so that upkeep never rests. Judged meanwhile and at the end: every file that the newest metadata names is
there; no (w, i) is there twice; a client never sees a row come back or one of another writer go; at the end the rows
are those of the journals and of the feed, for Ingot and for PyIceberg, and the views over them are right.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import And, EqualTo, In
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField

from lake_state import LakeState
from project import kill, wait_until

TABLE, FEED = "bronze.t", "feed.f"
FEEDER, WRITERS = 0, (1, 2, 3)
FILES = {
    "feed": f"CREATE EXTERNAL TABLE {FEED} (w BIGINT, i BIGINT);\n",
    "t": f"CREATE STREAMING TABLE {TABLE} PARTITIONED BY (w) AS SELECT w, i FROM STREAM {FEED};\n",
    "by_writer": f"CREATE MATERIALIZED VIEW gold.by_writer AS SELECT w, count(*) AS n, sum(i) AS s, max(i) AS top FROM {TABLE} GROUP BY w;\n",
    "even": f"CREATE MATERIALIZED VIEW silver.even AS SELECT w, i FROM {TABLE} WHERE i % 2 = 0;\n",
}


def catalog_of(lake):
    return SqlCatalog("ingot", uri=f"sqlite:///{lake}/catalog.db", warehouse=f"file://{lake}")


def rows(w, numbers, schema):
    return pa.table({"w": [w] * len(numbers), "i": list(numbers)}, schema=schema)


def committed(change, tries=200):
    """An act of PyIceberg, again and again until nobody came first. Its errors say that nothing was committed; a file that is gone is
    one of the version that it began with, which upkeep forgot a second later."""
    for _ in range(tries):
        try:
            change()
            return
        except (CommitFailedException, ValidationException, FileNotFoundError):
            time.sleep(random.random() * 0.1)
    raise RuntimeError(f"never came through in {tries} tries")


def writer(lake, w, stop, journal, seed):
    """Appends and deletes rows of its own; the journal holds what is there when it ends."""
    warnings.filterwarnings("ignore")
    r, catalog, there, next_i, commits, lost = random.Random(seed), catalog_of(lake), set(), 0, 0, 0
    while not stop.is_set():
        new = range(next_i, next_i + r.randint(1, 5))
        gone = set(r.sample(sorted(there), min(len(there), 2))) if r.random() < 0.3 else set()

        def change():
            nonlocal lost
            lost += 1
            table = catalog.load_table(TABLE)
            if gone:
                table.delete(And(EqualTo("w", w), In("i", gone)))
            else:
                table.append(rows(w, new, table.schema().as_arrow()))

        committed(change)
        commits, lost = commits + 1, lost - 1
        there = there - gone if gone else there | set(new)
        next_i = next_i if gone else new.stop
        time.sleep(r.random() * 0.15)
    with open(journal, "w") as out:
        json.dump({"there": sorted(there), "commits": commits, "again": lost}, out)


def feeder(lake, stop, journal, seed):
    warnings.filterwarnings("ignore")
    r, catalog, next_i, tags = random.Random(seed), catalog_of(lake), 0, 0
    while not stop.is_set():
        new = range(next_i, next_i + r.randint(1, 20))
        table = catalog.load_table(FEED)
        committed(lambda: catalog.load_table(FEED).append(rows(FEEDER, new, table.schema().as_arrow())))
        next_i = new.stop

        def tag():
            table = catalog.load_table(TABLE)
            change = table.manage_snapshots()
            old = f"t{tags - 5}"
            if old in table.metadata.refs:
                change = change.remove_tag(old)
            change.create_tag(table.current_snapshot().snapshot_id, f"t{tags}").commit()

        if r.random() < 0.2:
            committed(tag)
            tags += 1
        time.sleep(r.random() * 0.2)
    with open(journal, "w") as out:
        json.dump({"there": list(range(next_i)), "commits": tags, "again": 0}, out)


class Scene:
    def __init__(self, args):
        self.args, self.right, self.wrong = args, 0, 0
        self.lake, self.sql = os.path.join(args.work, "lake"), os.path.join(args.work, "sql")
        os.makedirs(self.lake)
        os.makedirs(self.sql)
        for name, text in FILES.items():
            with open(os.path.join(self.sql, f"{name}.sql"), "w") as out:
                out.write(text)
        self.options = ["--project", self.sql, "--set", f"warehouse.location={self.lake}", "--set", "upkeep.snapshots-min-age=1 s",
                        "--set", "run.freshness=300 ms", "--set", "run.commit_interval_ms=200"]
        self.state = LakeState(f"{self.lake}/catalog.db", f"file://{self.lake}")
        self.children, self.ended, self.stop = [], [], threading.Event()
        self.told, self.queries, self.commands = [], 0, Counter()
        catalog = catalog_of(self.lake)
        for namespace in ("feed", "bronze", "silver", "gold"):
            catalog.create_namespace(namespace)
        catalog.create_table(FEED, Schema(NestedField(1, "w", LongType(), required=False), NestedField(2, "i", LongType(), required=False)))

    def check(self, ok, text, more=""):
        self.right, self.wrong = self.right + bool(ok), self.wrong + (not ok)
        print(("ok    " if ok else "FAIL  ") + text + ("" if ok else f"\n      {str(more)[-3000:]}"), flush=True)

    def spawn(self, name, *words):
        log = open(os.path.join(self.args.work, f"{name}.log"), "a")
        child = subprocess.Popen([self.args.ingot, words[0], *self.options, *words[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        child.log = log.name
        self.children.append(child)
        return child

    def once(self, *words):
        done = subprocess.run([self.args.ingot, words[0], *self.options, *words[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=300)
        return done.returncode, done.stdout + done.stderr

    def no_lease(self):
        """Takes the lock file away whenever somebody made one: as if each were on a host of its own."""
        while not self.stop.is_set():
            for name in os.listdir(self.lake):
                if name.endswith(".lock"):
                    try:
                        os.unlink(os.path.join(self.lake, name))
                    except FileNotFoundError:
                        pass
            time.sleep(0.02)

    def again(self, name, choices, allowed):
        """A command over and over; what it ended with."""
        r = random.Random(f"{self.args.seed}:{name}")
        while not self.stop.is_set():
            code, said = self.once(*r.choice(choices))
            self.commands[" ".join([name, str(code), *sorted(set(re.findall(r"error\[(\w+)\]", said)))])] += 1
            if code and self.args.verbose:
                print(said[-600:], flush=True)
            if code not in allowed:
                self.told.append(f"{name} ended with {code}: {said[-1200:]}")
                return

    def ask(self, at, number):
        """A client: what it sees of each writer only grows, but for what the writer itself takes away; nothing is there twice."""
        seen, r = {}, random.Random(number)
        with flight_sql.connect(at, autocommit=True) as connection, connection.cursor() as cursor:
            while not self.stop.is_set():
                try:
                    cursor.execute(f"SELECT w, count(*) AS n, count(DISTINCT i) AS d, max(i) AS top FROM {TABLE} GROUP BY w")
                    for row in cursor.fetch_arrow_table().to_pylist():
                        if row["n"] != row["d"]:
                            self.told.append(f"a client: rows are there twice: {row}")
                        # Of the feed nothing is ever deleted.
                        if row["w"] == FEEDER and row["n"] < seen.get("n", 0):
                            self.told.append(f"a client: {seen['n']} rows of the feed became {row['n']}")
                        if row["w"] == FEEDER:
                            seen = row
                            if row["top"] + 1 != row["n"]:
                                self.told.append(f"a client: the feed has a hole: {row}")
                    cursor.execute(f"SELECT count(*) FROM {r.choice(['gold.by_writer', 'silver.even'])}")
                    cursor.fetch_arrow_table()
                    self.queries += 1
                except Exception as e:
                    self.told.append(f"a client: {type(e).__name__} {str(e)[:500]}")
                    return

    def files(self):
        """Files of live snapshots that are missing, looked up while everything goes on: a second look at newer metadata decides."""
        wrong = self.missing()
        for _ in range(5):
            if not wrong:
                return []
            time.sleep(0.2)
            still = self.missing()
            wrong = [w for w in wrong if w in still]
        return wrong

    def missing(self):
        """What upkeep forgets between our two looks is no loss: only what the metadata read afterwards still names."""
        try:
            self.state.load()
            wrong = self.state.missing()
        except (FileNotFoundError, OSError) as e:
            return [f"{e}"]
        return wrong

    def play(self):
        args = self.args
        code, said = self.once("run", "--once")
        self.check(code == 0, "the tables are made", said)
        server = self.spawn("serve", "serve", "--set", f"serve.listen=127.0.0.1:{args.port}")
        fork = multiprocessing.get_context("fork")
        stop = fork.Event()
        journals = {w: os.path.join(args.work, f"journal-{w}") for w in (FEEDER, *WRITERS)}
        processes = [fork.Process(target=writer, args=(self.lake, w, stop, journals[w], args.seed + w)) for w in WRITERS]
        processes.append(fork.Process(target=feeder, args=(self.lake, stop, journals[FEEDER], args.seed)))
        for process in processes:
            process.start()
        threads = [threading.Thread(target=self.no_lease)]
        threads.append(threading.Thread(target=self.again, args=("maintain", [("maintain",), ("maintain", TABLE)], (0, 3))))
        threads.append(threading.Thread(target=self.again, args=("once", [("run", "--once"), ("run", "--once", "--select", TABLE)], (0, 3))))
        at = f"grpc://127.0.0.1:{args.port}"
        wait_until(lambda: listening(args.port))
        threads += [threading.Thread(target=self.ask, args=(at, n)) for n in range(2)]
        runs = [self.spawn(f"run{n}", "run") for n in range(2)]
        for thread in threads:
            thread.start()
        deadline, looks = time.monotonic() + args.seconds, 0
        missing = []
        while time.monotonic() < deadline and not self.told and not missing:
            missing = self.files()
            looks += 1
            time.sleep(1)
        self.check(not missing, f"{looks} looks at the files of all live snapshots while they are written", missing[:5])
        self.check(all(run.poll() is None for run in runs), "both runs go on to the end", [open(run.log).read()[-800:] for run in runs])
        stop.set()
        for process in processes:
            process.join(60)
        self.check(all(p.exitcode == 0 for p in processes), "the writers come through", [p.exitcode for p in processes])
        time.sleep(2)
        for run in runs:
            run.send_signal(signal.SIGTERM)
        for run in runs:
            self.check(run.wait(60) == 143, "a run ends when it is asked to", open(run.log).read()[-800:])
        self.stop.set()
        for thread in threads:
            thread.join(120)
        self.check(not self.told, f"{self.queries} queries and {dict(self.commands)} commands find nothing wrong", self.told[:4])
        self.at_the_end({w: json.load(open(path)) for w, path in journals.items()})
        kill(server)

    def at_the_end(self, journals):
        code, said = self.once("run", "--once")
        self.check(code == 0, "a run that is left alone", said)
        wanted = Counter((w, i) for w, journal in journals.items() for i in journal["there"])
        again = sum(journal["again"] for journal in journals.values())
        commits = {w: journal["commits"] for w, journal in journals.items()}
        found = self.read(TABLE)
        self.check(found == wanted, f"{wanted.total()} rows, each once, after {commits} commits of PyIceberg that were tried {again} times in vain",
                   f"missing {list((wanted - found).items())[:5]}, extra {list((found - wanted).items())[:5]}")
        self.check(self.read("silver.even") == Counter(row for row in wanted if row[1] % 2 == 0), "the view of rows is right")
        groups = {}
        for w, i in wanted:
            groups.setdefault(w, []).append(i)
        sums = Counter((w, len(of), sum(of), max(of)) for w, of in groups.items())
        self.check(self.read("gold.by_writer") == sums, "the view of groups is right", self.read("gold.by_writer"))
        code, said = self.once("verify", "silver.even", "gold.by_writer")
        self.check(code == 0, "verify agrees", said)
        for round in ("before", "after"):
            self.check(not self.missing(), f"every file of every live snapshot is there {round} the last upkeep", self.missing()[:5])
            if round == "before":
                code, said = self.once("maintain")
                self.check(code == 0, "maintain", said)
        self.check(self.read(TABLE) == wanted, "and the rows are the same after it")
        head = self.state.tables[TABLE].head
        self.check(len(self.state.tables[TABLE].snapshots) < 200, f"{len(self.state.tables[TABLE].snapshots)} snapshots are kept of {head['sequence-number']}")

    def read(self, name):
        table = catalog_of(self.lake).load_table(name).scan().to_arrow()
        return Counter(zip(*(column.to_pylist() for column in table.columns)))

    def close(self):
        self.stop.set()
        for child in self.children:
            kill(child)


def listening(port):
    import socket
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("-v", "--verbose", action="store_true", help="what commands say that do not end with 0")
    parser.add_argument("--port", type=int, required=True, help="free, for the server")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="printed when not given")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    scene = Scene(args)
    try:
        scene.play()
    finally:
        scene.close()
    print(f"{scene.right} right, {scene.wrong} wrong")
    return 1 if scene.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
