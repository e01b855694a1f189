"""Rows are erased, killed at each point on the way and done again, and judged from outside.

A table with an error table, a stream over it and two views of views; a person's rows are erased. Then, by PyIceberg, DuckDB
and SQLite: the tables hold the rows of a plain model without that person; no Parquet file, no manifest and no other file
below the warehouse holds a byte of it, beside those of the stream, which keeps what it has taken; `verify` answers; the
tables read on.
"""

import argparse
import glob
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import time
import uuid

import duckdb
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from lab import Lab

#: Not longer than what is kept of a bound.
WHO = "alice@exam.org"
PEOPLE = (WHO, "bob@exam.org", "malice@exam.org", "zoé@exam.org")
CONDITION = f"mail = '{WHO}'"
PLAIN = "TBLPROPERTIES ('write.parquet.compression-codec' = 'uncompressed')"
BY_DELETES = "TBLPROPERTIES ('write.parquet.compression-codec' = 'uncompressed', 'write.merge.mode' = 'merge-on-read', " \
             "'write.delete.mode' = 'merge-on-read')"
JUDGED = "(CONSTRAINT positive EXPECT (v > 0) ON VIOLATION QUARANTINE INTO silver.checked_bad)"
#: By name: the query, what stands before it, and the query of what is beside it.
VIEWS = {"silver.rows": ("SELECT id, mail, v FROM bronze.t WHERE v > 0", PLAIN),
         "silver.sums": ("SELECT mail, sum(v) AS total, max(v) AS most, count(*) AS n FROM silver.rows GROUP BY mail", BY_DELETES),
         "silver.pairs": ("SELECT t.id, t.mail, s.n FROM bronze.t AS t LEFT JOIN silver.sums AS s ON t.mail = s.mail", BY_DELETES),
         "silver.checked": ("SELECT id, mail, v FROM bronze.t", JUDGED)}
#: The same tables in SQLite.
QUERIES = {name: query for name, (query, _) in VIEWS.items()} | {
    "silver.checked": "SELECT id, mail, v FROM bronze.t WHERE v > 0",
    "silver.checked_bad": "SELECT id, mail, v FROM bronze.t WHERE NOT v > 0"}
#: Where it is killed, at which pass.
KILLS = [None, "erase.taken_out=kill", "erase.taken_out=kill@2", "erase.purged=kill", "erase.purged=kill@3",
         "erase.followed=kill", "erase.followed=kill@2", "erase.forgotten=kill", "erase.forgotten=kill@2",
         "erase.deleted=kill", "erase.deleted=kill@3", "commit.before_swap:bronze.t=kill", "commit.after_swap:bronze.t=kill",
         "commit.after_swap:bronze.t=kill@3", "commit.after_swap:silver.sums=kill", "commit.before_swap:silver.sums=kill@2",
         "commit.after_swap:silver.pairs=kill@2", "erase.purged=kill@6"]


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, ok, text, more=""):
        self.passed, self.failed = self.passed + bool(ok), self.failed + (not ok)
        print(("ok    " if ok else "FAIL  ") + text + ("" if ok else f"\n      {more}"), flush=True)


class World:
    """A topic with what was sent to it, and the project over it."""

    def __init__(self, args):
        self.topic = f"erase-{uuid.uuid4().hex[:10]}"
        admin = AdminClient({"bootstrap.servers": args.brokers})
        admin.create_topics([NewTopic(self.topic, 2, 1)])[self.topic].result(30)
        self.producer = Producer({"bootstrap.servers": args.brokers})
        self.lab = Lab(args.ingot, args.brokers, self.topic, args.work, self.topic)
        self.rows, self.bad = [], []
        self.lab.streaming_table("bronze.t", [("id", "BIGINT"), ("mail", "STRING"), ("v", "BIGINT")],
                                 f"{PLAIN} ON DECODE ERROR INTO bronze.t_errors")
        self.lab.write("silver/kept.sql", "CREATE STREAMING TABLE silver.kept AS SELECT id, mail FROM STREAM bronze.t;\n")
        for name, (query, clauses) in VIEWS.items():
            self.lab.view(name, query, clauses)

    def send(self, n, people=PEOPLE):
        for _ in range(n):
            i = len(self.rows)
            row = {"id": i, "mail": people[i % len(people)], "v": i % 7 - 2}
            self.rows.append(row)
            self.producer.produce(self.topic, json.dumps(row).encode(), partition=i % 2)
        for text in ('{"id": "none", "mail": "%s"}' % WHO, '{"id": "none", "mail": "%s"}' % PEOPLE[1]):
            self.bad.append(text)
            self.producer.produce(self.topic, text.encode(), partition=0)
        self.producer.flush(30)

    def once(self):
        steps = self.lab.run()
        return {name: step.get("error") or step["mode"] for name, step in steps.items()}

    def erase(self, crash=None, *more):
        env = os.environ | ({"INGOT_CRASH": crash} if crash else {})
        words = ["erase", "bronze.t", "WHERE", CONDITION, "--yes", "--exclude", "silver.kept", *more]
        return subprocess.run([self.lab.ingot, *words, *self.lab.options], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=300, env=env)


def model(rows):
    """What the views hold, by SQLite."""
    db = sqlite3.connect(":memory:")
    db.execute("ATTACH ':memory:' AS bronze"), db.execute("ATTACH ':memory:' AS silver")
    db.execute("CREATE TABLE bronze.t (id, mail, v)")
    db.executemany("INSERT INTO bronze.t VALUES (?, ?, ?)", [(r["id"], r["mail"], r["v"]) for r in rows])
    found = {"bronze.t": sorted(db.execute("SELECT id, mail, v FROM bronze.t"))}
    for name, query in QUERIES.items():
        db.execute(f"CREATE TABLE {name} AS {query}")
        found[name] = sorted(db.execute(f"SELECT * FROM {name}"), key=order)
    return found


def order(row):
    return [(value is None, value) for value in row]


def stored(lab, name):
    table = lab.read(name)
    names = [c for c in table.column_names if c != "_violations"]
    return sorted((tuple(row) for row in zip(*(table.column(c).to_pylist() for c in names))), key=order)


def holds(data):
    """Whether bytes hold the person, and not a longer name."""
    at, who = -1, WHO.encode()
    while (at := data.find(who, at + 1)) >= 0:
        if at == 0 or not data[at - 1:at].isalpha():
            return True
    return False


def traces(lab):
    """Files that hold a byte of what was erased: as they are, unpacked, and every value of every Parquet file."""
    found = set()
    for path in glob.glob(os.path.join(lab.lake, "**"), recursive=True):
        if not os.path.isfile(path) or "/silver/kept/" in path:
            continue
        # By another process: closing the catalog's files here would take this one's SQLite locks away.
        data = subprocess.run(["cat", path], capture_output=True, check=True).stdout
        if holds(data) or data[:2] == b"\x1f\x8b" and holds(gzip.decompress(data)):
            found.add(path)
        if path.endswith(".parquet"):
            values = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
            if any(holds(v if isinstance(v, bytes) else str(v).encode()) for row in values for v in row):
                found.add(path)
    return sorted(os.path.relpath(path, lab.lake) for path in found)


def judged(checks, world, rows, bad, what):
    wanted = model(rows)
    wrong = [name for name, of in wanted.items() if stored(world.lab, name) != of]
    checks.that(not wrong, f"{what}: tables and views are those of the model", {n: stored(world.lab, n)[:5] for n in wrong})
    errors = sorted(bytes(v).decode() for v in world.lab.read("bronze.t_errors").column("payload").to_pylist())
    checks.that(errors == sorted(bad), f"{what}: error rows", errors[:5])
    code, out, err = world.lab.command("verify")
    checks.that(code == 0, f"{what}: verify answers", out[-2000:] + err[-1000:])


def round_of(args, checks, crash):
    world, what = World(args), crash or "not killed"
    try:
        # The last time nearly all rows of the views stay.
        for people in (PEOPLE, PEOPLE, PEOPLE[1:2]):
            world.send(8, people)
            world.once()
        left = [r for r in world.rows if r["mail"] != WHO]
        bad = [text for text in world.bad if WHO not in text]
        before = traces(world.lab)
        parts = {p: any(t.startswith(p) for t in before) for p in
                 ("bronze/t/data", "bronze/t/metadata", "bronze/t_errors/data", "silver/rows/data", "silver/sums/data", "silver/sums/metadata",
                  "silver/pairs/data", "silver/checked/data", "silver/checked_bad/data")}
        checks.that(all(parts.values()), f"{what}: before, the files hold it", parts)
        earlier = world.lab.catalog().load_table("bronze.t").current_snapshot().snapshot_id
        deletes = {n: world.lab.catalog().load_table(n).current_snapshot().summary["total-delete-files"] for n in VIEWS}
        checks.that(deletes["silver.sums"] != "0", f"{what}: before, rows of a view left by deletes", deletes)
        if crash:
            done = world.erase(crash)
            checks.that(done.returncode == -9, f"{what}: it is killed there", (done.returncode, done.stderr[-1000:]))
        done = world.erase(None, "--json")
        checks.that(done.returncode == 0, f"{what}: erase", done.stderr[-2000:])
        checks.that(traces(world.lab) == [], f"{what}: no file holds a byte of it", traces(world.lab))
        judged(checks, world, left, bad, what)
        code, out, err = world.lab.command("sql", f"SELECT count(*) FROM bronze.t FOR VERSION AS OF {earlier}")
        checks.that(code == 1 and str(earlier) in err, f"{what}: what was before is gone for time travel", (code, out, err))
        world.send(4)
        modes = world.once()
        came = [r for r in world.rows if r["mail"] != WHO] + [r for r in world.rows[24:] if r["mail"] == WHO]
        # A join is computed as a whole.
        on = {n: m for n, m in modes.items() if n != "silver.pairs" and m not in ("append", "incremental", "nothing")}
        checks.that(not on, f"{what}: it reads on, without a recompute", modes)
        judged(checks, world, came, bad + world.bad[-2:], f"{what}: later")
    finally:
        world.lab.close(keep=bool(checks.failed))


def refused(args, checks):
    """What is refused before anything is changed."""
    world = World(args)
    try:
        world.send(8)
        world.once()
        before = stored(world.lab, "bronze.t")
        tries = {
            "R0553": ["erase", "bronze.t", "WHERE", CONDITION, "--yes"],
            "R0551": ["erase", "silver.sums", "WHERE", CONDITION, "--yes"],
            "R0554": ["erase", "bronze.t", "WHERE", "id = 1", "--yes", "--exclude", "silver.kept"],
            "confirm with --yes": ["erase", "bronze.t", "WHERE", CONDITION, "--exclude", "silver.kept"],
            "2 rows": ["erase", "bronze.t", "WHERE", CONDITION, "--dry-run", "--exclude", "silver.kept"],
        }
        for condition in ("nope = 1", "mail", "mail = (SELECT 'a')", "id IN (SELECT id FROM bronze.t)", "v > random()",
                          "mail < CAST(now() AS VARCHAR)", "count(*) > 1"):
            words = ["erase", "bronze.t", "WHERE", condition, "--yes", "--exclude", "silver.kept", "--raw-kept"]
            code, out, err = world.lab.command(*words)
            checks.that(code == 1 and "R0556" in err, f"{condition}: is no condition of a row", (code, out, err[-600:]))
        for words, text in ((["bronze.none", "WHERE", "id = 1"], "bronze.none"), (["bronze.t"], "WHERE"),
                            (["bronze.t", "WHERE", "id ="], "P0"), (["bronze.t", "WHERE", ""], "P0129"),
                            (["bronze.t", "WHERE", "id = 1; DROP TABLE t"], "P0")):
            code, out, err = world.lab.command("erase", *words, "--yes", "--exclude", "silver.kept")
            checks.that(code in (1, 2) and text in err, f"{words}: said", (code, out, err[-600:]))
        world.lab.write("other/x.sql", "CREATE EXTERNAL TABLE other.x (id BIGINT);\n")
        code, out, err = world.lab.command("erase", "other.x", "WHERE", "id = 1", "--yes")
        checks.that(code == 2 and "another engine writes it" in err, "an external table is not ours", (code, out, err[-600:]))
        world.lab.remove("other/x.sql")
        catalog = world.lab.catalog()
        for text, words in tries.items():
            code, out, err = world.lab.command(*words)
            checks.that((code == 0) == (text == "2 rows") and text in out + err, f"{text}: said", (code, out, err[-1000:]))
        table = catalog.load_table("bronze.t")
        table.manage_snapshots().create_tag(table.history()[0].snapshot_id, "kept").commit()
        code, out, err = world.lab.command(*tries["R0553"], "--exclude", "silver.kept")
        checks.that(code == 1 and "R0552" in err and "kept" in err, "a tag on an earlier snapshot is named", err[-1000:])
        checks.that(stored(world.lab, "bronze.t") == before, "nothing was changed")
        # Beside a process that keeps the tables fresh.
        table.manage_snapshots().remove_tag("kept").commit()
        beside = subprocess.Popen([args.ingot, "run", *world.lab.options], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            world.send(8)
            until = time.monotonic() + 60
            while len(stored(world.lab, "bronze.t")) < 16 and time.monotonic() < until:
                time.sleep(0.2)
            waits = subprocess.Popen([args.ingot, *tries["R0553"], "--exclude", "silver.kept", *world.lab.options],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            time.sleep(3)
            checks.that(waits.poll() is None and len(stored(world.lab, "bronze.t")) == 16, "it waits for the lease of another process")
        finally:
            beside.terminate()
            beside.wait(30)
        said = waits.communicate(timeout=120)[0]
        judged(checks, world, [r for r in world.rows if r["mail"] != WHO], [b for b in world.bad if WHO not in b], "after it")
        checks.that(waits.returncode == 0 and traces(world.lab) == [], "after it: erased", (said[-1000:], traces(world.lab)))
        # Upkeep by SQL: what it did comes as rows.
        code, out, err = world.lab.command("sql", "ALTER TABLE bronze.t EXECUTE optimize", "--format", "csv")
        checks.that(code == 0 and "rewritten_data_files_count" in out, "ALTER TABLE t EXECUTE by ingot sql", out + err[-1000:])
        code, out, err = world.lab.command("sql", "ALTER TABLE bronze.t EXECUTE optimize WHERE id = 1")
        checks.that(code == 1 and "L0143" in err, "optimize goes by partitions alone", err[-1000:])
        uri = world.lab.serve()
        done = subprocess.run([args.ingot, "sql", "--connect", uri, "ALTER TABLE bronze.t EXECUTE optimize"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        checks.that(done.returncode != 0 and "Q0104" in done.stderr and "ingot maintain" in done.stderr,
                    "a server refuses it and says where it goes", done.stderr)
    finally:
        world.lab.close(keep=bool(checks.failed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True, help="the binary, with debug assertions")
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--kills", type=int, default=len(KILLS), help="of the points, so many")
    args = parser.parse_args()
    checks, began = Checks(), time.monotonic()
    listed = subprocess.run([args.ingot, "docs", "crash-points"], capture_output=True, text=True, check=True).stdout.split()
    unhit = {point for point in listed if point.startswith("erase.")} - {kill.partition("=")[0] for kill in KILLS if kill}
    checks.that(not unhit, "every point of an erasure is killed at", unhit)
    refused(args, checks)
    for crash in KILLS[:args.kills]:
        round_of(args, checks, crash)
    print(f"{time.monotonic() - began:.0f} s")
    print(f"{checks.passed} right, {checks.failed} wrong")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
