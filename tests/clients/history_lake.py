"""A lake with some histories side by side: Ingot over it (one server, `run --once` each step), and the comparisons.

    step: every history acts ─▶ one `run --once` of some views ─▶ every history compares
"""

import datetime
import json
import os
import random
import shutil
import socket
import subprocess
import time
from collections import Counter

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType, NestedField, StructType, TimeType, UUIDType,
)

import history_acts as acts
from history_model import Types, ddl, named, random_condition, random_transform, random_value, rows_answered, rows_seen, scalar

#: Of steps in which a table's files are looked for one by one.
FILES_SHARE = 0.15


class Wrong(Exception):
    """What Ingot says is not so."""


def quoted(name):
    return f'"{name}"'


def few(rows, most=4):
    return "; ".join(f"{n}x {row}" for row, n in sorted(rows.items(), key=repr)[:most]) or "nothing"


class Group:
    def __init__(self, args, folder, members):
        self.args, self.folder = args, folder
        self.lake, self.sql = os.path.join(folder, "lake"), os.path.join(folder, "sql")
        os.makedirs(self.lake)
        os.makedirs(self.sql)
        self.counts, self.failures = Counter(), []
        self.server = self.connection = self.spark = None
        self.catalog = SqlCatalog("ingot", uri=f"sqlite:///{self.lake}/catalog.db", warehouse=f"file://{self.lake}")
        for namespace in ("h", "feed", "bronze", "gold"):
            self.catalog.create_namespace(namespace)
        if args.spark:
            self.spark = acts.Spark(args.spark, self.lake, os.path.join(folder, "spark.log"))
        self.histories = [History(self, slot, number, drop) for slot, (number, drop) in enumerate(members)]

    def options(self):
        return ["--project", self.sql, "--set", f"warehouse.location={self.lake}", "--set", "upkeep.snapshots-min-age=100 ms"]

    def command(self, *words):
        done = subprocess.run([self.args.ingot, words[0], *self.options(), *words[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=300)
        return done.returncode, done.stdout, done.stderr

    def run(self, tables):
        """`run --once` of these: its steps by table."""
        words = [w for t in tables for w in ("--select", t)]
        code, out, err = self.command("run", "--once", "--json", *words)
        line = next((l for l in out.splitlines() if l.startswith('{"')), None)
        told = json.loads(line) if line else {}
        if "steps" not in told:
            raise RuntimeError(f"run ended with {code}: {out[-2000:]} {err[-3000:]}")
        return {step["table"]: step for step in told["steps"]}

    def serve(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        log = open(os.path.join(self.folder, "serve.log"), "a")
        self.server = subprocess.Popen([self.args.ingot, "serve", *self.options(), "--set", f"serve.listen=127.0.0.1:{port}"],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline or self.server.poll() is not None:
                    raise RuntimeError(f"serve does not listen; see {log.name}") from None
                time.sleep(0.05)
        self.connection = flight_sql.connect(f"grpc://127.0.0.1:{port}", autocommit=True)

    def ask(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def going(self):
        return [h for h in self.histories if not h.over]

    def each(self, step, what, *more):
        for h in self.going():
            try:
                what(h, *more)
            except Wrong as e:
                h.failed(step, str(e))

    def play(self):
        self.each(-1, History.create)
        if not self.going():
            return
        self.together(-1)
        self.serve()
        for step in range(self.args.steps):
            self.each(step, History.act, step)
            self.together(step)
            self.each(step, History.compare, step)
        code, out, err = self.command("verify", *[v for h in self.going() for v in h.views], "--json") if self.going() else (0, "", "")
        for line in out.splitlines():
            if line.startswith('{"version"'):
                told = {t["table"]: t for t in json.loads(line)["tables"]}
                self.each(self.args.steps - 1, History.verified, told)

    def together(self, step):
        wanted = {t: h for h in self.going() for t in h.wanted}
        if wanted:
            steps = self.run(sorted(wanted))
            for h in self.going():
                try:
                    h.ran({t: steps.get(t) for t in h.wanted})
                except Wrong as e:
                    h.failed(step, str(e))
        kept = [h for h in self.going() if h.maintain]
        if kept:
            code, out, err = self.command("maintain", *[h.table_name for h in kept])
            for h in kept:
                try:
                    if code:
                        raise Wrong(f"maintain: ends with {code}: {err[-800:]}")
                    h.kept_in_shape()
                except Wrong as e:
                    h.failed(step, str(e))

    def close(self):
        if self.connection is not None:
            self.connection.close()
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
        if self.spark is not None:
            self.spark.close()
        if not self.args.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def result(self):
        return {"counts": dict(self.counts), "failures": self.failures, "histories": len(self.histories)}


class History:
    def __init__(self, group, slot, number, drop):
        self.group, self.slot, self.number, self.drop = group, slot, number, drop
        self.r = random.Random(f"{group.args.seed}:{number}")
        self.over, self.log, self.counted = False, [], Counter()
        self.states, self.wanted, self.maintain, self.viewed = {}, [], False, {}
        self.kept, self.manifests = set(), {}
        kinds = ["ours"] * 2 + (["spark2"] * 5 + ["spark3"] * 3 if group.spark else ["theirs"] * 5)
        self.kind = self.r.choice(kinds)
        self.table_name = f"bronze.t{slot}" if self.kind == "ours" else f"h.t{slot}"
        self.leave_out = (TimeType, FixedType, UUIDType) if group.spark else ()

    def failed(self, step, text):
        self.over = True
        self.group.failures.append({"number": self.number, "step": step, "drop": list(self.drop), "text": f"{self.kind} {text}", "acts": self.log})

    # -- what acts ask of a history

    def count(self, what):
        self.counted[what] += 1
        return self.counted[what]

    def new_name(self):
        n = self.count("column")
        return f"C {n}" if n % 9 == 0 and not self.group.spark else f"c{n}"

    def spark(self, sql):
        return self.group.spark.run(sql)

    def load(self):
        self.table = self.group.catalog.load_table(self.table_name)
        # PyIceberg's table goes on with its own commits; this stays.
        self.metadata, self.schema = self.table.metadata, self.table.schema()
        self.n, self.k = self.schema.find_field("n").field_id, self.schema.find_field("k").field_id
        return self.table

    def number_of(self, row):
        return row[self.n]

    def short(self, snapshot):
        ids = [s.snapshot_id for s in self.metadata.snapshots]
        return f"snapshot {ids.index(snapshot) + 1} of {len(ids)}"

    def branches(self):
        return sorted(name for name, ref in self.metadata.refs.items() if ref.snapshot_ref_type.value == "branch")

    def known(self, table):
        return [s.snapshot_id for s in table.metadata.snapshots if s.snapshot_id in self.states]

    def needed(self, table):
        return {s.snapshot_id for s in table.metadata.snapshots if any(k.startswith("ingot.") for k in s.summary.additional_properties)} \
            if self.kind == "ours" else set()

    def state(self, branch="main"):
        ref = self.metadata.refs.get(branch)
        return self.states[ref.snapshot_id] if ref else ([], 0)

    def rows(self, branch="main"):
        return self.state(branch)[0]

    def new_rows(self, r, count, schema=None):
        out = []
        for _ in range(count):
            row = {f.field_id: random_value(r, f.field_type, f.required) for f in (schema or self.schema).fields}
            out.append(row | {(schema or self.schema).find_field("n").field_id: self.count("n"),
                              (schema or self.schema).find_field("k").field_id: r.choice([None, 0, 1, 2, 3])})
        return out

    def arrow(self, rows, schema=None):
        schema = schema or self.schema
        return pa.Table.from_pylist([{f.name: named(row.get(f.field_id), f.field_type) for f in schema.fields} for row in rows],
                                    schema=schema_to_pyarrow(schema))

    # -- the beginning

    def create(self):
        r, catalog = self.r, self.group.catalog
        if self.kind.startswith("spark"):
            acts.spark_create(self, r, int(self.kind[-1]))
            self.load()
        else:
            types = Types(r, self.leave_out)
            fields = [NestedField(1, "n", LongType(), required=True), NestedField(2, "k", IntegerType(), required=False)]
            for _ in range(r.randint(2, 6)):
                of = types.any()
                fields.append(NestedField(types.next_id(), self.new_name(), of, required=r.random() < 0.2))
            r.shuffle(fields)
            schema = Schema(*fields)
            if self.kind == "ours":
                self.feed_name, self.log_rows = f"feed.f{self.slot}", []
                self.feed = catalog.create_table(self.feed_name, schema)
                self.feed_schema = self.feed.schema()
                self.feed_rows(r)
            else:
                chosen = r.sample([f for f in fields if not isinstance(f.field_type, (StructType, ListType, MapType))], r.choice([0, 1, 1, 2]))
                parts = [(f, random_transform(r, f.field_type)) for f in chosen]
                spec = PartitionSpec(*[PartitionField(f.field_id, 1000 + i, t, f"p{i}") for i, (f, t) in enumerate(parts) if t is not None])
                properties = {"format-version": r.choice("1222"), "write.parquet.row-group-limit": r.choice(["2", "1000"]),
                              "write.metadata.metrics.default": r.choice(["none", "counts", "truncate(4)", "full", "full"])}
                catalog.create_table(self.table_name, schema, partition_spec=spec, properties=properties)
                self.load()
        self.whole = self.kind != "ours" and r.random() < 0.4
        self.log.append(f"{self.kind}: " + ("" if self.kind == "ours" else f"{self.table.schema()} {self.table.spec()} v{self.table.format_version}".replace("\n", " ")))
        self.declare()

    def feed_rows(self, r):
        new = self.new_rows(r, r.choice([1, 2, 5, 9]), self.feed_schema)
        self.feed = self.group.catalog.load_table(self.feed_name)
        self.feed.append(self.arrow(new, self.feed_schema))
        self.log_rows += new
        return f"feed {len(new)}"

    def declare(self):
        """The table for Ingot, and the views over it. `whole`: all columns, and again when they change; else some, that stay."""
        r, t = self.r, self.table_name
        schema = self.feed_schema if self.kind == "ours" else self.schema
        columns = [f for f in schema.fields if self.whole or self.kind == "ours" or f.name in ("n", "k") or r.random() < 0.3]
        declared = ", ".join(f"{quoted(f.name)} {ddl(f.field_type)}{' NOT NULL' if f.required and self.whole else ''}" for f in columns)
        text = f"CREATE EXTERNAL TABLE {self.feed_name if self.kind == 'ours' else t} ({declared});\n"
        if self.kind == "ours":
            scalars = [f for f in columns if not isinstance(f.field_type, (StructType, ListType, MapType, FloatType, DoubleType, BooleanType, UUIDType))]
            field = r.choice(scalars)
            by = f" PARTITIONED BY ({r.choice(['k', 'bucket(3, n)', 'truncate(5, n)', quoted(field.name)])})" if r.random() < 0.6 else ""
            text += f"CREATE STREAMING TABLE {t}{by} AS SELECT * FROM STREAM {self.feed_name};\n"
            self.by = by
        else:
            self.kept = set() if self.whole else {f.field_id for f in columns}
            self.kept |= {self.n, self.k}
        linear, groups = f"gold.v{self.slot}", f"gold.a{self.slot}"
        self.linear = [f.name for f in columns]
        where = random_condition(random.Random(f"{self.number}"), Schema(*[f for f in columns if f.name in ("n", "k")]), []) if self.number % 3 == 0 else None
        self.where = where
        text += f"CREATE MATERIALIZED VIEW {linear} AS SELECT {', '.join(quoted(c) for c in self.linear)} FROM {t}{' WHERE ' + where.sql if where else ''};\n"
        text += f"CREATE MATERIALIZED VIEW {groups} AS SELECT k, count(*) AS c, sum(n) AS s, min(n) AS lo, max(n) AS hi FROM {t} GROUP BY k;\n"
        self.views = [linear, groups]
        for i, statement in enumerate(text.splitlines(True)):       # a file publishes one table
            with open(os.path.join(self.group.sql, f"t{self.slot}-{i}.sql"), "w") as out:
                out.write(statement)
        if self.kind == "ours":
            self.wanted = [t]

    # -- a step

    def act(self, step):
        r = random.Random(f"{self.group.args.seed}:{self.number}:{step}")
        self.wanted, self.maintain = [], False
        if step in self.drop:
            return
        self.load()
        if self.kind == "ours":
            options = acts.OURS + [("feed", 6), ("maintain", 2)] + ([(a, w) for a, w in acts.SPARK_ON_OURS] if self.group.spark else [])
        elif self.kind == "spark3":
            options = acts.SPARK
        elif self.kind == "spark2":
            options = acts.SPARK + acts.PYICEBERG
        else:
            options = acts.PYICEBERG
        for _ in range(10):
            one = acts.chosen(options, r)
            if one == "feed":
                text, self.wanted = self.feed_rows(r), [self.table_name]
                break
            if one == "maintain":
                text, self.maintain = "Ingot: maintain", True
                break
            text = self.by_others(one, r)
            if text:
                break
        self.log.append(f"{step}: {text}")
        self.wanted += [v for v in self.views if r.random() < 0.4]

    def by_others(self, one, r):
        """An act of another engine; None when it does not apply."""
        before, schema = self.table.metadata_location, self.table.metadata.current_schema_id
        reads = {branch: self.state(branch)[1] for branch in {"main", *self.branches()}}
        self.group.counts[f"act {one.__name__}"] += 1
        try:
            done = one(self, self.table, r)
        except Exception as e:
            after = self.group.catalog.load_table(self.table_name)
            if after.metadata_location != before:
                raise Wrong(f"{one.__name__}: failed after it committed: {type(e).__name__} {e}") from e
            self.group.counts[f"refused {one.__name__}: {type(e).__name__} {str(e)[:90]}"] += 1
            return f"{one.__name__}: refused"
        if done is None:
            self.group.counts[f"act {one.__name__}"] -= 1
            return None
        text, changed = done
        self.load()
        for branch, rows in changed.items():
            ref = self.table.metadata.refs.get(branch)
            if rows is not None and ref is not None:
                self.states[ref.snapshot_id] = (rows, reads[branch])
        if self.whole and self.table.metadata.current_schema_id != schema:
            self.declare()
        return text

    def ran(self, steps):
        """What `run --once` did of what was wanted."""
        for name, step in steps.items():
            if step is None:
                raise Wrong(f"run: says nothing of {name}")
            if step.get("error"):
                raise Wrong(f"run: {name}: {step['error']['code']}: {step['error']['message']}")
            self.group.counts[f"refresh {(step.get('reason') or {}).get('code') or step['mode']}"] += 1
        if self.kind == "ours":
            self.ours_went_on("run", self.table_name in steps)
        for view in self.views:
            if view in steps:
                self.viewed[view] = self.rows()

    def as_ours(self, row):
        """A row of the feed under the ids of our table."""
        def moved(v, of, to):
            if v is None or not isinstance(of, (StructType, ListType, MapType)):
                return v
            if isinstance(of, StructType):
                return {b.field_id: moved(v.get(a.field_id), a.field_type, b.field_type) for a, b in zip(of.fields, to.fields)}
            if isinstance(of, ListType):
                return [moved(x, of.element_type, to.element_type) for x in v]
            return [(k, moved(x, of.value_type, to.value_type)) for k, x in v]
        return {self.schema.find_field(f.name).field_id: moved(row.get(f.field_id), f.field_type, self.schema.find_field(f.name).field_type)
                for f in self.feed_schema.fields}

    def kept_in_shape(self):
        self.ours_went_on("maintain", False)

    def ours_went_on(self, what, reads):
        """Our own commits: rows of the feed, if it was asked for them, and rewrites, whatever it was asked for."""
        rows, read = self.state() if hasattr(self, "table") else ([], 0)
        self.load()
        at = self.table.current_snapshot()
        while at is not None and at.snapshot_id not in self.states:
            if at.summary.operation.value != "replace" and not reads and at.summary.additional_properties.get("added-records", "0") != "0":
                raise Wrong(f"{what}: adds rows: {at.summary}")
            at = self.table.metadata.snapshot_by_id(at.parent_snapshot_id) if at.parent_snapshot_id is not None else None
        if reads:
            rows, read = rows + [self.as_ours(row) for row in self.log_rows[read:]], len(self.log_rows)
        if self.table.current_snapshot() is not None:
            self.states[self.table.metadata.current_snapshot_id] = (rows, read)

    # -- comparisons

    def right(self, kind, sql, found, wanted, more=""):
        self.group.counts["comparisons"] += 1
        self.group.counts[f"check {kind}"] += 1
        if found != wanted:
            missing, extra = (wanted - found, found - wanted) if isinstance(found, Counter) else (wanted, found)
            show = few if isinstance(found, Counter) else repr
            raise Wrong(f"{kind}: {sql}\n      missing {show(missing)}\n      extra   {show(extra)}{more() if callable(more) else more}")

    def ask(self, kind, sql):
        try:
            return self.group.ask(sql)
        except Exception as e:
            raise Wrong(f"{kind}: {sql}\n      {str(e)[:600]}") from e

    def rows_of(self, kind, suffix, rows, schema, scan):
        """All columns, by their names, of the table at some time; `scan` is how PyIceberg reads the same."""
        sql = f"SELECT * FROM {self.table_name}{suffix}"
        answer = self.ask(kind, sql)
        if answer.column_names != [f.name for f in schema.fields]:
            raise Wrong(f"{kind}: {sql} has the columns {answer.column_names}, not {[f.name for f in schema.fields]}")
        found = rows_answered(answer, schema.fields)

        def theirs():
            try:
                read = rows_answered(scan(), schema.fields)
            except Exception as e:
                return f"\n      PyIceberg fails: {type(e).__name__} {str(e)[:200]}"
            return "\n      PyIceberg reads " + ("what Ingot reads" if read == found else "what is wanted" if read == rows_seen(rows, schema) else "neither")
        self.right(kind, sql, found, rows_seen(rows, schema), theirs)

    def compare(self, step):
        r = random.Random(f"{self.group.args.seed}:{self.number}:{step}:compare")
        if step in self.drop:
            return
        table, metadata = self.load(), self.table.metadata
        self.rows_of("head", "", self.rows(), self.schema, lambda: table.scan().to_arrow())
        for view in self.wanted:
            if view in self.views:
                self.view(view)
        if r.random() < 0.5 and self.rows():
            where = random_condition(r, self.schema, self.rows(), deletes=False)
            answer = self.ask("filter", f"SELECT n FROM {self.table_name} WHERE {where.sql}")
            wanted = Counter(row[self.n] for row in self.rows() if where.holds(row))
            self.right("filter", where.sql, Counter(answer.column(0).to_pylist()), wanted)
            self.right("count", where.sql, self.ask("count", f"SELECT count(*) FROM {self.table_name} WHERE {where.sql}").column(0).to_pylist(), [wanted.total()])
        if r.random() < 0.3:
            self.right("count", "all", self.ask("count", f"SELECT count(*), min(n), max(k) FROM {self.table_name}").to_pylist()[0],
                       {"count(*)": len(self.rows()), "min(n)": min((x[self.n] for x in self.rows()), default=None),
                        "max(k)": max((x[self.k] for x in self.rows() if x.get(self.k) is not None), default=None)})
        if r.random() < 0.6:
            self.travel(r, table, metadata)
        if r.random() < 0.6:
            self.about(r, table, metadata)
        if r.random() < FILES_SHARE or step == self.group.args.steps - 1:
            self.files_are_there(table, metadata)

    def view(self, view):
        rows = self.viewed[view]
        answer = self.ask("view", f"SELECT * FROM {view}")
        if view == self.views[0]:
            schema = self.feed_schema if self.kind == "ours" else self.schema
            fields = [schema.find_field(c) for c in self.linear]
            wanted = rows_seen([x for x in rows if self.where is None or self.where.holds(self.by_where(x))], self.schema, self.linear)
            return self.right("view", f"SELECT * FROM {view}", rows_answered(answer, fields), wanted)
        groups = {}
        for row in rows:
            groups.setdefault(row.get(self.k), []).append(row[self.n])
        wanted = Counter((k, len(ns), sum(ns), min(ns), max(ns)) for k, ns in groups.items())
        self.right("groups", f"SELECT * FROM {view}", Counter(tuple(row.values()) for row in answer.to_pylist()), wanted)

    def by_where(self, row):
        """Conditions of views name the feed's fields."""
        if self.kind != "ours":
            return row
        return {self.feed_schema.find_field(c).field_id: row.get(self.schema.find_field(c).field_id) for c in ("n", "k")}

    def verified(self, told):
        for view in self.views:
            if view in self.viewed and told.get(view, {}).get("verdict") not in ("equal", "unverifiable"):
                raise Wrong(f"verify: {told.get(view)}")

    def travel(self, r, table, metadata):
        kind = r.choice(["snapshot", "snapshot", "ref", "time", "time"])
        schemas = {s.schema_id: s for s in metadata.schemas}
        if kind == "snapshot":
            known = self.known(table)
            if known:
                at = table.metadata.snapshot_by_id(r.choice(known))
                self.rows_of("snapshot", f" FOR VERSION AS OF {at.snapshot_id}", self.states[at.snapshot_id][0], schemas.get(at.schema_id, self.schema),
                             lambda: table.scan(snapshot_id=at.snapshot_id).to_arrow())
        elif kind == "ref":
            refs = sorted(n for n, ref in metadata.refs.items() if ref.snapshot_id in self.states)
            if refs:
                name = r.choice(refs)
                ref = metadata.refs[name]
                tag = ref.snapshot_ref_type.value == "tag"
                schema = schemas.get(metadata.snapshot_by_id(ref.snapshot_id).schema_id, self.schema) if tag else self.schema
                self.rows_of(ref.snapshot_ref_type.value, f" FOR VERSION AS OF '{name}'", self.states[ref.snapshot_id][0], schema,
                             lambda: table.scan(snapshot_id=ref.snapshot_id).to_arrow())
        elif metadata.snapshot_log:
            log = metadata.snapshot_log
            entry = r.choice(log)
            later = [e for e in log if e.timestamp_ms > entry.timestamp_ms]
            ms = entry.timestamp_ms + (r.randrange(later[0].timestamp_ms - entry.timestamp_ms) if later and r.random() < 0.5 else 0)
            entry = [e for e in log if e.timestamp_ms <= ms][-1]
            text = (datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)).isoformat(" ")
            suffix = f" FOR TIMESTAMP AS OF TIMESTAMP '{text}'"
            at = metadata.snapshot_by_id(entry.snapshot_id)
            if at is None:
                self.refused("time", f"SELECT n FROM {self.table_name}{suffix}")
            elif at.snapshot_id in self.states:
                self.rows_of("time", suffix, self.states[at.snapshot_id][0], schemas.get(at.schema_id, self.schema),
                             lambda: table.scan(snapshot_id=at.snapshot_id).to_arrow())

    def refused(self, kind, sql):
        try:
            answer = self.group.ask(sql)
        except Exception:
            return
        raise Wrong(f"{kind}: {sql} is answered by {len(answer)} rows, of a snapshot that has expired")

    # -- tables about the table

    def entries(self, table, snapshot):
        """(content, path, rows, bytes) of the live files of a snapshot."""
        out = []
        for manifest in snapshot.manifests(table.io) if snapshot else []:
            if manifest.manifest_path not in self.manifests:
                found = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
                self.manifests[manifest.manifest_path] = [(int(e.data_file.content), e.data_file.file_path, e.data_file.record_count, e.data_file.file_size_in_bytes)
                                                          for e in found]
            out += self.manifests[manifest.manifest_path]
        return out

    def about(self, r, table, metadata):
        schema, name = self.table_name.split(".")
        what = r.choice(["snapshots", "history", "refs", "files", "files", "manifests", "partitions", "properties"])
        of, suffix, snapshot = f'{schema}."{name}${what}"', "", table.current_snapshot()
        if what in ("files", "manifests", "partitions") and metadata.snapshots and r.random() < 0.4:
            snapshot = r.choice(metadata.snapshots)
            suffix = f" FOR VERSION AS OF {snapshot.snapshot_id}"
        sql = {
            "snapshots": "snapshot_id, parent_id, operation, CAST(committed_at AS TIMESTAMP) AS at, manifest_list",
            "history": "CAST(made_current_at AS TIMESTAMP) AS at, snapshot_id, parent_id, is_current_ancestor",
            "refs": "name, type, snapshot_id", "files": "content, file_path, record_count, file_size_in_bytes",
            "manifests": "path, length", "partitions": "sum(record_count), sum(file_count)", "properties": "key, value"}[what]
        sql = f"SELECT {sql} FROM {of}{suffix}"
        found = Counter(tuple(scalar(v) for v in row.values()) for row in self.ask(what, sql).to_pylist())
        at = lambda ms: datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
        there = {s.snapshot_id: s for s in metadata.snapshots}
        if what == "snapshots":
            wanted = [(s.snapshot_id, s.parent_snapshot_id, s.summary.operation.value, at(s.timestamp_ms), s.manifest_list) for s in metadata.snapshots]
        elif what == "history":
            line, x = set(), metadata.current_snapshot_id
            while x is not None:
                line.add(x)
                x = there[x].parent_snapshot_id if x in there else None
            wanted = [(at(e.timestamp_ms), e.snapshot_id, there[e.snapshot_id].parent_snapshot_id if e.snapshot_id in there else None, e.snapshot_id in line)
                      for e in metadata.snapshot_log]
        elif what == "refs":
            wanted = [(n, ref.snapshot_ref_type.value.upper(), ref.snapshot_id) for n, ref in metadata.refs.items()]
        elif what == "files":
            wanted = self.entries(table, snapshot)
        elif what == "manifests":
            wanted = [(m.manifest_path, m.manifest_length) for m in (snapshot.manifests(table.io) if snapshot else [])]
        elif what == "partitions":
            data = [e for e in self.entries(table, snapshot) if e[0] == 0]
            wanted = [(sum(e[2] for e in data) if data else None, len(data) or None)]
        else:
            wanted = list(metadata.properties.items())
        self.right(what, sql, found, Counter(wanted))
        if what == "files" and snapshot and snapshot.snapshot_id in self.states and all(e[0] == 0 for e in wanted):
            self.right("rows in files", sql, sum(e[2] for e in wanted), len(self.states[snapshot.snapshot_id][0]))

    def files_are_there(self, table, metadata):
        for snapshot in metadata.snapshots:
            for _, path, _, size in self.entries(table, snapshot):
                at = path.removeprefix("file://").removeprefix("file:")
                if not os.path.exists(at) or os.path.getsize(at) != size:
                    raise Wrong(f"files: {path} of snapshot {self.short(snapshot.snapshot_id)} is missing, or not of {size} bytes")
        self.group.counts["comparisons"] += 1
        self.group.counts["check files are there"] += 1
