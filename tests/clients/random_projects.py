"""Random projects under random steps of messages and of other engines' acts, every table compared after each.

    random_projects.py --ingot B --brokers H --work FOLDER [--comparisons 2000] [--seed N] [--only PROJECT]

Each project has three streaming tables and eight to ten views over them and over one another: keep-first, filters, aggregates,
joins, distinct, windows, set operations. A step sends messages or has PyIceberg delete, append, overwrite, rewrite, roll back or
expire, on streaming tables and on views; then `run --once`. What the streaming tables must hold is kept in Python (`Base`),
what the views must hold DuckDB computes from that (a table that was replaced and expired has lost its place: its error's command
is carried out); both are compared with what PyIceberg reads.

Prints `N right, M wrong` at the end.
"""

import argparse
import os
import random
import sys
import time
import warnings
from collections import Counter
from datetime import datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
from confluent_kafka import Producer
from pyiceberg.expressions import In

import sql_data
import topics
from answers import bag, shown
from lab import Digits, Lab, append, encode
from sql_random import BASE, Relation, Statements, statement
from sql_tree import DUCKDB, Node, text

TABLES = ["t0", "t1", "t2"]
RELATIONS = [x for x in BASE if x.plain in TABLES]
NAMES = [c for c, *_ in sql_data.COLUMNS]


def as_message(row):
    """A row as JSON; what JSON cannot say is NULL."""
    out = {}
    for name, v in row.items():
        if v is None or isinstance(v, float) and (v != v or v in (float("inf"), float("-inf"))):
            continue
        out[name] = v if isinstance(v, (int, float, str, bool)) else Digits(format(v, "f")) if isinstance(v, Decimal) else v.isoformat()
    return encode(out).encode()


class Base:
    """What a streaming table must hold: the log's rows from where it reads, and what others took and brought."""

    def __init__(self, name, topic):
        self.name, self.topic = name, topic
        self.log = []                   # rows in the order of the only partition
        self.rows = []                  # what the table holds
        self.read = 0                   # how much of the log is in it, or was
        self.history = {}               # snapshot -> (rows, read)

    def catch_up(self):
        self.rows = self.rows + self.log[self.read:]
        self.read = len(self.log)

    def remember(self, snapshot):
        if snapshot is not None:
            self.history[snapshot.snapshot_id] = (self.rows, self.read)

    def arrow(self):
        return pa.Table.from_pylist(self.rows, schema=sql_data.SCHEMA)


class Project:
    def __init__(self, args, number):
        self.args, self.number = args, number
        self.r = random.Random(f"{args.seed}:{number}")
        self.right = self.wrong = 0
        self.next_n = 0
        self.acts = []
        self.kinds, self.modes, self.unsaid = Counter(), Counter(), Counter()
        self.lab = Lab(args.ingot, args.brokers, None, args.work, f"p{number}")
        self.producer = Producer({"bootstrap.servers": args.brokers, "linger.ms": 5})

    def build(self):
        self.bases = {}
        for t in TABLES:
            topic = f"projects-{os.getpid()}-{self.args.run}-{self.number}-{t}"
            topics.create(argparse.Namespace(brokers=self.args.brokers, topic=topic, partitions=1))
            self.lab.topic = topic
            self.lab.streaming_table(f"bronze.{t}", [(c, t_) for c, t_, *_ in sql_data.COLUMNS])
            self.bases[t] = Base(f"bronze.{t}", topic)
        self.views, known = [], list(RELATIONS)
        wanted = self.r.randint(8, 10)
        for tries in range(80):
            if len(self.views) == wanted:
                break
            layer = "silver" if len(self.views) < 4 else "gold"
            plain = f"v{len(self.views)}"
            query = self.maintained(known) if self.r.random() < 0.4 else statement(self.r, known)[0]
            self.lab.view(f"{layer}.{plain}", text(query.node))
            refused = self.lab.check()
            if refused:
                self.lab.remove(f"{layer}/{plain}.sql")
                continue
            self.views.append((f"{layer}.{plain}", plain, text(query.node), text(query.node, DUCKDB)))
            known.append(Relation(f"{layer}.{plain}", plain, [(c.ref, c.kind, c.tame) for c in query.columns], 3,
                                  [c.ref for c in query.columns] == NAMES))

    def maintained(self, known):
        """A shape that is refreshed from changed rows: filters, keep-first, aggregates at the root, UNION ALL."""
        s, r = Statements(self.r, known), self.r
        form = r.randrange(4)
        node, scope = s.one_table()
        if form == 0:
            # Everything of a table under its own names, so that further views find it like a table.
            items = [(c.node(), c.kind, c.tame) for c in scope]
            select = s.select(items, [c.ref.split(".")[-1] for c in scope], node, s.where(scope, 0.9))
            query = s.finish(items, select)
            for column, c in zip(query.columns, scope):
                column.ref = c.ref.split(".")[-1]
            return query
        if form == 1:
            return s.keep_first(0, 4)
        if form == 2:
            keys = [(c.node(), c.kind, c.tame) for c in r.sample(scope, r.choice([1, 1, 2]))]
            calls = [s.aggregate(scope) for _ in range(r.randint(1, 4))]
            items = keys + calls
            return s.finish(items, s.select(items, s.names(len(items)), node, s.where(scope), [" GROUP BY ", _items(keys)]))
        kinds = [s.any_kind() for _ in range(3)]
        branches = []
        for _ in range(2):
            branch, columns = s.one_table()
            items = [(s.column(columns, k) or s.literal(k), k, False) for k in kinds]
            branches.append(s.select(items, s.names(3), branch, s.where(columns, 0.5)))
        items = [(None, k, False) for k in kinds]
        return s.finish(items, Node(None, "(", branches[0], ") UNION ALL (", branches[1], ")"))

    # -- steps

    def new_rows(self, n):
        rows = sql_data.random_table(self.r, n, first=self.next_n).to_pylist()
        self.next_n += n
        return rows

    def send(self, base, n):
        rows = self.new_rows(n)
        for row in rows:
            message = as_message(row)
            self.producer.produce(base.topic, message, partition=0)
            base.log.append({c: None if isinstance(v, float) and (v != v or abs(v) == float("inf")) else v for c, v in row.items()})
        if self.producer.flush(60):
            raise RuntimeError("not everything was delivered")
        self.acts.append(f"{n} messages to {base.name}")

    def act(self):
        """One act of another engine on a streaming table."""
        r, base = self.r, self.bases[self.r.choice(TABLES)]
        table = self.catalog.load_table(base.name)
        base.remember(table.current_snapshot())
        kind = r.choice(["delete", "delete", "append", "overwrite", "rewrite", "rollback", "expire", "view"])
        if kind == "delete" and base.rows:
            gone = r.sample([x["n"] for x in base.rows], min(len(base.rows), r.randint(1, 4)))
            table.delete(In("n", gone))
            base.rows = [x for x in base.rows if x["n"] not in gone]
        elif kind == "append":
            rows = self.new_rows(r.randint(1, 3))
            append(self.catalog, base.name, pa.Table.from_pylist(rows, schema=sql_data.SCHEMA))
            base.rows = base.rows + rows
        elif kind == "overwrite" and base.rows:
            gone = r.sample([x["n"] for x in base.rows], min(len(base.rows), 2))
            rows = self.new_rows(2)
            schema = table.schema().as_arrow()
            data = pa.Table.from_pylist(rows, schema=sql_data.SCHEMA)
            table.overwrite(pa.Table.from_arrays([data.column(f.name).cast(f.type) for f in schema], schema=schema), In("n", gone))
            base.rows = [x for x in base.rows if x["n"] not in gone] + rows
        elif kind == "rewrite" and base.rows:
            table.overwrite(table.scan().to_arrow())
        elif kind == "rollback":
            # To a snapshot that is still there; what was read since is read again.
            known = [s for s in table.metadata.snapshots if s.snapshot_id in base.history and s.snapshot_id != table.metadata.current_snapshot_id]
            ancestors = set()
            at = table.current_snapshot()
            while at is not None:
                ancestors.add(at.snapshot_id)
                at = table.metadata.snapshot_by_id(at.parent_snapshot_id) if at.parent_snapshot_id is not None else None
            known = [s for s in known if s.snapshot_id in ancestors]
            if not known:
                return
            to = r.choice(known[-4:])
            table.manage_snapshots().rollback_to_snapshot(to.snapshot_id).commit()
            base.rows, base.read = base.history[to.snapshot_id]
        elif kind == "expire":
            table.maintenance.expire_snapshots().older_than(datetime(2100, 1, 1)).commit()
        elif kind == "view" and self.views:
            name = r.choice(self.views)[0]
            if not self.catalog.table_exists(name):
                return
            view = self.catalog.load_table(name)
            rows = view.scan().to_arrow()
            if rows.num_rows == 0:
                return
            view.append(rows.slice(0, 1)) if r.random() < 0.5 else view.overwrite(rows.slice(1))
            self.acts.append(f"one row more or less in {name}")
            return
        else:
            return
        self.kinds[kind] += 1
        self.acts.append(f"{kind} on {base.name}")
        base.remember(self.catalog.load_table(base.name).current_snapshot())

    def step(self, at):
        r = self.r
        self.acts = []
        if at == 0:
            for base in self.bases.values():
                self.send(base, r.randint(5, 15))
        else:
            for base in self.bases.values():
                if r.random() < 0.6:
                    self.send(base, r.randint(1, 4))
            for _ in range(r.choice([0, 1, 1, 2, 3])):
                self.act()
        if self.args.only is not None:
            print(f"step {at}: " + "; ".join(self.acts), flush=True)
        steps = self.lab.run()
        steps |= self.begin_again(steps)
        self.catalog = self.lab.catalog()
        for base in self.bases.values():
            base.catch_up()
            base.remember(self.catalog.load_table(base.name).current_snapshot())
        self.compare(at, steps)

    def begin_again(self, steps):
        """What a replaced table's error names: nothing tells its position after a rewrite of all its rows and an expiry."""
        lost = [b for b in self.bases.values() if ((steps.get(b.name) or {}).get("error") or {}).get("code") == "L0131"
                and f"rewrite on {b.name}" in self.acts and f"expire on {b.name}" in self.acts]
        for base in lost:
            code, out, err = self.lab.command("refresh", base.name, "--full")
            if code:
                raise RuntimeError(f"refresh --full ended with {code}: {err[-2000:]}")
            self.kinds["again"] += 1
            self.acts.append(f"{base.name} from its beginning")
            base.rows, base.read = list(base.log), len(base.log)
        return self.lab.run() if lost else {}

    def compare(self, at, steps):
        duck = duckdb.connect()
        duck.execute("SET TimeZone = 'UTC'")
        for t, base in self.bases.items():
            duck.register("arrow", base.arrow())
            duck.execute(f"CREATE TABLE {t} AS SELECT * FROM arrow")
            self.one(at, base.name, bag(base.arrow(), zeros=True), steps, "", zeros=True)
        for name, plain, sql, duck_sql in self.views:
            try:
                duck.execute(f"CREATE TABLE {plain} AS {duck_sql}")
            except duckdb.Error as e:
                # A view that DuckDB cannot say, and those that read it, are not judged.
                self.unsaid[str(e).split("\n")[0][:80]] += 1
                continue
            self.one(at, name, bag(duck.sql(f"SELECT * FROM {plain}").to_arrow_table()), steps, sql)
        if at == 0:
            self.leave_out({name for name, *_ in self.views if steps.get(name, {}).get("error")})

    def leave_out(self, failed):
        """Views that cannot be built are wrong once; the rest goes on without them and what reads them."""
        left = []
        for name, plain, sql, duck_sql in self.views:
            if name in failed or any(f"{f} " in sql for f in failed):
                failed.add(name)
                self.lab.remove(name.replace(".", "/") + ".sql")
            else:
                left.append((name, plain, sql, duck_sql))
        self.views = left

    def one(self, at, name, expected, steps, sql, zeros=False):
        step = steps.get(name, {})
        self.modes[step.get("mode")] += 1
        error, found = step.get("error"), None
        if not error:
            try:
                found = bag(self.catalog.load_table(name).scan().to_arrow().select(NAMES) if not sql else self.catalog.load_table(name).scan().to_arrow(), zeros)
            except Exception as e:
                error = {"code": type(e).__name__, "message": str(e)}
        if found == expected:
            self.right += 1
            return
        self.wrong += 1
        print(f"WRONG {name} in step {at} [--seed {self.args.seed} --only {self.number}], {step.get('mode')}: {step.get('reason')}")
        print("      after " + "; ".join(self.acts))
        if sql:
            print("      " + sql)
        if error:
            print(f"      error {error['code']}: {error['message'][:400]}", flush=True)
        else:
            print(f"      missing {shown(expected - found, 3)}\n      extra   {shown(found - expected, 3)}", flush=True)

    def go(self):
        kept = False
        try:
            self.build()
            self.catalog = None
            for at in range(self.args.steps):
                self.step(at)
            code, out, err = self.lab.command("verify", "--select", "silver.*", "--select", "gold.*", "--json")
            kept = self.wrong > 0 and self.args.keep
        finally:
            self.lab.close(kept)


def _items(keys):
    from sql_tree import Items
    return Items([k for k, _, _ in keys])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--comparisons", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="printed when not given")
    parser.add_argument("--only", type=int, help="one project of that seed")
    parser.add_argument("--wrong-max", type=int, default=60)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    args.run = random.SystemRandom().randrange(1 << 20)
    warnings.filterwarnings("ignore")
    print(f"seed {args.seed}", flush=True)
    right = wrong = number = 0
    kinds, modes, unsaid, began = Counter(), Counter(), Counter(), time.monotonic()
    while right + wrong < args.comparisons and wrong < args.wrong_max:
        project = Project(args, number if args.only is None else args.only)
        project.go()
        right, wrong = right + project.right, wrong + project.wrong
        kinds += project.kinds
        modes += project.modes
        unsaid += project.unsaid
        print(f"project {project.number}: {len(project.views)} views, {right} right, {wrong} wrong, {time.monotonic() - began:.0f} s", flush=True)
        number += 1
        if args.only is not None:
            break
    print(f"acts {dict(kinds)}; refreshes {dict(modes)}; DuckDB could not say {dict(unsaid)}")
    print(f"{right} right, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
