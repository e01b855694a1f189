"""Random filters over random tables of PyIceberg, read by Ingot to the rows that DuckDB has (tests/e2e/pruning.sh).

    pruning.py --ingot BINARY --work FOLDER [--tables N] [--seed N]

PyIceberg writes the tables: every type, every transform, format versions 1 and 2, specs and columns that change in between;
position and equality deletes are written by hand beside them. DuckDB has the rows that were written, in memory: it knows no
file, no bound and no partition. What Ingot leaves out of manifests, files and row groups must be a row of no answer.
"""

import argparse
import datetime
import math
import random
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import ManifestContent
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import (
    BucketTransform, DayTransform, HourTransform, IdentityTransform, MonthTransform, TruncateTransform, VoidTransform, YearTransform,
)
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FloatType, IntegerType, LongType, NestedField, StringType,
    TimestampType, TimestamptzType, TimeType,
)

import deletes
import reads

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
FILTERS = 36
AT_ONCE = 12
QUERIES = 10

TYPES = {
    "id": LongType(), "i": IntegerType(), "l": LongType(), "b": BooleanType(), "s": StringType(), "d": DateType(),
    "ts": TimestampType(), "tz": TimestamptzType(), "c": DecimalType(9, 2), "x": DoubleType(), "f": FloatType(),
    "bin": BinaryType(), "tm": TimeType(),
}
TIMES = [YearTransform, MonthTransform, DayTransform]
TRANSFORMS = {
    "i": [IdentityTransform, lambda: BucketTransform(4), lambda: TruncateTransform(3), VoidTransform],
    "l": [IdentityTransform, lambda: BucketTransform(3), lambda: TruncateTransform(10)],
    "b": [IdentityTransform],
    "s": [IdentityTransform, lambda: BucketTransform(4), lambda: TruncateTransform(2)],
    "d": [IdentityTransform, lambda: BucketTransform(5), *TIMES],
    "ts": [IdentityTransform, lambda: BucketTransform(5), *TIMES, HourTransform],
    "tz": [IdentityTransform, lambda: BucketTransform(5), *TIMES, HourTransform],
    "c": [IdentityTransform, lambda: BucketTransform(3), lambda: TruncateTransform(50)],
    "x": [IdentityTransform],
    "f": [IdentityTransform],
    "bin": [IdentityTransform, lambda: BucketTransform(3)],
    "tm": [IdentityTransform],
}
TEXTS = ["", "a", "ab", "aba", "b", "ba", "a_b", "a%", "aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaab", "é" * 17, "z", "\U0010ffff" * 2]


def value(dice, column):
    if column == "i":
        return dice.choice([*range(-4, 5), 100, -100])
    if column == "l":
        return dice.choice([*range(-4, 5), 2**40, -(2**40)])
    if column == "b":
        return dice.random() < 0.5
    if column == "s":
        return dice.choice(TEXTS)
    if column == "d":
        return datetime.date(1970, 1, 1) + datetime.timedelta(days=dice.choice([dice.randint(-3, 3), dice.randint(-800, 800)]))
    if column in ("ts", "tz"):
        at = EPOCH + datetime.timedelta(hours=dice.choice([dice.randint(-50, 50), dice.randint(-9000, 9000)]), microseconds=dice.choice([-1, 0, 1]))
        return at.replace(tzinfo=UTC) if column == "tz" else at
    if column == "c":
        return Decimal(dice.choice([dice.randint(-5, 5), dice.randint(-300, 300)])) / 100
    if column in ("x", "f"):
        return dice.choice([-1.5, -0.0, 0.0, 0.5, 1.0, 2.25, math.nan, math.inf, -math.inf])
    if column == "bin":
        return dice.choice([b"", b"\x00", b"a", b"ab", b"\xff", b"\xff\xff", b"\x7f\x80"])
    return datetime.time(dice.randint(0, 23), 30 * dice.randint(0, 1), 0, dice.randint(0, 1))


def literal(of, value):
    """A value in the words of Ingot, and in DuckDB's."""
    if of == "bin":
        return f"X'{value.hex()}'", "'" + "".join(f"\\x{b:02x}" for b in value) + "'::BLOB"
    if of == "tz":
        text = value.strftime("%Y-%m-%d %H:%M:%S.%f+00:00")
        return (f"CAST('{text}' AS TIMESTAMP WITH TIME ZONE)",) * 2
    text = {
        "i": str, "l": str, "c": str, "b": lambda v: str(v).upper(),
        "s": lambda v: "'" + v + "'",
        "d": lambda v: f"DATE '{v.isoformat()}'",
        "ts": lambda v: f"TIMESTAMP '{v.strftime('%Y-%m-%d %H:%M:%S.%f')}'",
        "tm": lambda v: f"TIME '{v.strftime('%H:%M:%S.%f')}'",
        "x": lambda v: f"CAST('{v}' AS DOUBLE)", "f": lambda v: f"CAST('{v}' AS REAL)",
    }[of](value)
    return text, text


def leaf(dice, names):
    """A filter over one column, in the words of both."""
    of = dice.choice(list(TRANSFORMS))
    name = names[of]
    one = lambda: literal(of, value(dice, of))
    op = dice.choice(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
    same = lambda text: (text, text)
    a, b = one(), one()
    forms = [
        lambda: tuple(f"{name} {op} {v}" for v in a),
        lambda: tuple(f"{v} {op} {name}" for v in a),
        lambda: same(f"{name} IS NULL"),
        lambda: same(f"{name} IS NOT NULL"),
        lambda: tuple(f"{name} BETWEEN {low} AND {high}" for low, high in zip(a, b)),
        lambda: tuple(f"{name} NOT BETWEEN {low} AND {high}" for low, high in zip(a, b)),
    ]
    many = [one() for _ in range(dice.choice([1, 2, 3, 25]))]
    null = dice.choice(["", "", ", NULL"])
    forms += [lambda side=side: tuple(f"{name} {side} ({', '.join(v[at] for v in many)}{null})" for at in (0, 1)) for side in ("IN", "NOT IN")]
    if of == "b":
        forms += [lambda: same(name), lambda: same(f"NOT {name}")]
    if of == "s":
        prefix, n = dice.choice(["", "a", "ab", "b", "aaaaaaaaaaaaaaaaaaa", "é"]), dice.randint(0, 3)
        forms += [
            lambda: same(f"{name} LIKE '{prefix}%'"), lambda: same(f"{name} NOT LIKE '{prefix}%'"),
            lambda: same(f"{name} LIKE '{prefix}_'"), lambda: same(f"{name} LIKE '%{prefix}'"), lambda: same(f"{name} LIKE '{prefix}'"),
            lambda: same(f"left({name}, {n}) {op} '{prefix}'"), lambda: same(f"substr({name}, 1, {n}) {op} '{prefix}'"),
            lambda: same(f"upper({name}) {op} '{prefix.upper()}'"), lambda: same(f"length({name}) {op} {n}"),
        ]
    if of in ("d", "ts", "tz"):
        unit = dice.choice(["year", "quarter", "month", "week", "day"] + ["hour"] * (of != "d"))
        part = dice.choice(["year", "quarter", "month", "day", "doy"] + ["hour", "minute"] * (of != "d"))
        day, number = literal("d", value(dice, "d")), dice.choice([1, 2, 4, 12, 31, 1969, 1970, 1971])
        forms += [
            lambda: same(f"extract({part} FROM {name}) {op} {number}"),
            lambda: same(f"extract({part} FROM {name}) IN ({number}, 1, 1970)"),
            lambda: same(f"CAST({name} AS DATE) {op} {day[0]}"),
            lambda: tuple(f"date_trunc('{unit}', {name}) {op} date_trunc('{unit}', {v})" for v in a),
            lambda: same(f"extract(year FROM {name}) = 1970 AND extract(month FROM {name}) {op} {number}"),
        ]
    if of in ("i", "l", "c"):
        n = dice.randint(-4, 4)
        forms += [
            lambda: same(f"CAST({name} AS DOUBLE) {op} {n}.5e0"), lambda: same(f"CAST({name} AS DECIMAL(24, 3)) {op} {n}.005"),
            lambda: same(f"-{name} {op} {n}"), lambda: same(f"{name} + 1 {op} {n}"), lambda: same(f"abs({name}) {op} {n}"),
            lambda: same(f"coalesce({name}, 0) {op} {n}"),
        ]
    if of in ("i", "l"):
        forms += [lambda: same(f"CAST({name} AS VARCHAR) {op} '{n}'"), lambda: same(f"{name} % 3 {op} {n}"),
                  lambda: same(f"TRY_CAST({names['i']} AS TINYINT) {op} {n}"), lambda: same(f"CAST({name} AS BIGINT) {op} {2 ** 33}")]
    if of == "f":
        forms += [lambda: tuple(f"CAST({name} AS DOUBLE) {op} {v}" for v in literal("x", value(dice, "x")))]
    return dice.choice(forms)()


def filter(dice, names, depth=3):
    throw = dice.random() if depth else 0
    if throw < 0.35:
        return leaf(dice, names)
    if throw < 0.5:
        return tuple(f"NOT ({v})" for v in filter(dice, names, depth - 1))
    if throw < 0.55:
        return tuple(f"coalesce({v}, FALSE)" for v in filter(dice, names, depth - 1))
    if throw < 0.6:
        when, then = filter(dice, names, depth - 1), filter(dice, names, depth - 1)
        return tuple(f"CASE WHEN {a} THEN {b} END" for a, b in zip(when, then))
    word = dice.choice(["AND", "OR"])
    return tuple(f"({a}) {word} ({b})" for a, b in zip(filter(dice, names, depth - 1), filter(dice, names, depth - 1)))


def query(dice, names, ours, theirs):
    """A query that makes filters while it runs, in the words of both: over `ours` and over `theirs`."""
    column, other = names[dice.choice(list(TRANSFORMS))], names[dice.choice(list(TRANSFORMS))]
    of = filter(dice, names, 1)
    way = lambda: f"{dice.choice(['ASC', 'DESC'])} NULLS {dice.choice(['FIRST', 'LAST'])}"
    first, second, limit = way(), way(), dice.randint(1, 4)
    side = dice.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
    forms = [
        lambda t, of: f"SELECT id FROM {t} ORDER BY {column} {first}, id LIMIT {limit}",
        lambda t, of: f"SELECT id FROM {t} WHERE {of} ORDER BY {column} {first}, {other} {second}, id LIMIT {limit}",
        lambda t, of: f"SELECT a.id, b.id FROM {t} a {side} (SELECT * FROM {t} WHERE {of} ORDER BY id LIMIT {limit}) b ON a.{column} = b.{column} ORDER BY a.id, b.id",
        lambda t, of: f"SELECT a.id, b.id FROM {t} a JOIN (SELECT * FROM {t} WHERE {of}) b ON a.{column} IS NOT DISTINCT FROM b.{column} AND a.{other} = b.{other} ORDER BY a.id, b.id",
        lambda t, of: f"SELECT id FROM {t} WHERE {column} IN (SELECT {column} FROM {t} WHERE {of} AND id < {4 * limit}) ORDER BY id",
        lambda t, of: f"SELECT id FROM {t} WHERE {column} NOT IN (SELECT {column} FROM {t} WHERE {of} AND id < {4 * limit}) ORDER BY id",
        lambda t, of: f"SELECT id FROM {t} x WHERE EXISTS (SELECT 1 FROM {t} y WHERE y.{column} = x.{column} AND y.id > {limit}) AND ({of}) ORDER BY id",
        lambda t, of: f"SELECT count(*), count({column}), min(id), max(id) FROM {t} WHERE {of}",
    ]
    form = dice.choice(forms)
    return form(ours, of[0]), form(theirs, of[1])


def spec(dice, schema):
    fields, start = [], 1000
    for column in dice.sample(list(TRANSFORMS), dice.choice([0, 1, 1, 2, 2, 3])):
        transform = dice.choice(TRANSFORMS[column])()
        fields.append(PartitionField(source_id=schema.find_field(column).field_id, field_id=start + len(fields), transform=transform, name=f"{column}_p{len(fields)}"))
    return PartitionSpec(*fields)


def entries(table):
    """The live data files of the head, with the ids of the specs that they were written by."""
    for manifest in table.current_snapshot().manifests(table.io):
        if manifest.content == ManifestContent.DATA:
            for entry in manifest.fetch_manifest_entry(table.io):
                yield manifest.partition_spec_id, entry.data_file


def partition(table, spec, file):
    return tuple(file.partition[at] for at in range(len(table.specs()[spec].fields)))


class Random:
    """One table, and the rows that it has."""

    def __init__(self, lake, dice, name):
        self.lake, self.dice, self.name = lake, dice, name
        schema = Schema(*(reads.optional(at, column, of) for at, (column, of) in enumerate(TYPES.items(), 1)))
        self.version = dice.choice([1, 2, 2])
        self.spec = spec(dice, schema)
        lake.catalog.create_table(name, schema, partition_spec=self.spec, properties={
            "format-version": str(self.version), "write.metadata.metrics.default": dice.choice(["truncate(16)", "full", "counts", "none"]),
        })
        self.names = {column: column for column in TYPES}
        self.rows, self.next, self.done = {}, 0, []
        for _ in range(dice.randint(2, 5)):
            self.step()

    @property
    def table(self):
        return self.lake.catalog.load_table(self.name)

    def step(self):
        self.append()
        for chance, act in ((0.3, self.respecified), (0.25, self.evolved), (0.4, self.deleted)):
            if self.dice.random() < chance:
                act()

    def append(self):
        dice, first = self.dice, self.next
        # Rows of one commit are alike, so that there is something to leave out.
        few = {column: [value(dice, column) for _ in range(dice.randint(1, 3))] for column in TRANSFORMS}
        rows = [
            {"id": first + at} | {column: None if dice.random() < 0.15 else dice.choice(few[column]) for column in TRANSFORMS}
            for at in range(dice.randint(1, 12))
        ]
        # PyIceberg loses the rows of a NaN partition, and writes those of zero once for each zero.
        split = {self.table.schema().find_column_name(f.source_id) for f in self.table.spec().fields}
        for row in rows:
            row |= {c: 7.5 for c in ("x", "f") if self.names[c] in split and row[c] is not None and (math.isnan(row[c]) or row[c] == 0)}
        self.rows |= {row["id"]: row for row in rows}
        self.next += len(rows)
        schema = schema_to_pyarrow(self.table.schema())
        self.table.append(self.arrow(rows, schema))

    def arrow(self, rows, schema):
        return pa.table({self.names[c]: pa.array([row[c] for row in rows], schema.field(self.names[c]).type) for c in TYPES}, schema=schema)

    def respecified(self):
        table, dice = self.table, self.dice
        column = dice.choice(list(TRANSFORMS))
        source = table.schema().find_field(self.names[column]).field_id
        # PyIceberg writes no two fields of one column.
        if source in {field.source_id for field in table.spec().fields}:
            return
        new = dice.choice([t() for t in TRANSFORMS[column] if t is not VoidTransform])
        with table.update_spec() as change:
            for field in table.spec().fields:
                if dice.random() < 0.5 and not isinstance(field.transform, VoidTransform):
                    change.remove_field(field.name)
            change.add_field(self.names[column], new, f"{column}_q{len(self.done)}")
        self.done.append("spec")

    def evolved(self):
        column, to = self.dice.choice([("i", LongType()), ("f", DoubleType()), ("c", DecimalType(12, 2)), ("l", None), ("s", None), ("ts", None)])
        table = self.table
        with table.update_schema() as change:
            if to is None:
                new = f"{column}{len(self.done)}_"
                change.rename_column(self.names[column], new)
            else:
                change.update_column(self.names[column], field_type=to)
        if to is None:
            self.names[column] = new
        self.done.append(f"{column} changed")

    def deleted(self):
        if self.version == 1:
            return
        table, dice = self.table, self.dice
        spec, file = dice.choice(list(entries(table)))
        part = partition(table, spec, file)
        if dice.random() < 0.5:
            ids = pq.read_table(file.file_path.removeprefix("file://"), columns=["id"])["id"].to_pylist()
            at = dice.sample(range(len(ids)), dice.randint(1, len(ids)))
            gone = [ids[place] for place in at]
            made = deletes.positions(self.lake, table, [(file.file_path, place) for place in at], partition=part, spec=spec)
        else:
            ids = [row["id"] for row in dice.sample(list(self.rows.values()), min(3, len(self.rows)))]
            same = [f for s, f in entries(table) if s == spec and repr(partition(table, s, f)) == repr(part)]
            if not table.specs()[spec].fields:
                same = [f for _, f in entries(table)]
            there = [id for f in same for id in pq.read_table(f.file_path.removeprefix("file://"), columns=["id"])["id"].to_pylist()]
            gone = [id for id in ids if id in there]
            made = deletes.equality(self.lake, table, [("id", pa.int64(), 1, ids)], partition=part, spec=spec)
        deletes.commit(self.lake, self.name, [made], spec=spec)
        for id in gone:
            self.rows.pop(id, None)
        self.done.append("deletes")

    def told(self):
        specs = [str([f"{f.transform}({self.table.schema().find_column_name(f.source_id)})" for f in s.fields]) for s in self.table.specs().values()]
        return f"v{self.version} {' then '.join(specs)} {' '.join(self.done)}"


def judged(lake, dice, name):
    made = Random(lake, dice, name)
    judge = duckdb.connect()
    judge.execute("SET TimeZone = 'UTC'")
    rows = made.arrow(list(made.rows.values()), schema_to_pyarrow(made.table.schema()))
    judge.register("r", rows)
    judge.execute("CREATE TABLE t AS SELECT * FROM r")
    wrong, asked, refused = [], 0, []
    filters = []
    while len(filters) < FILTERS:
        ours, theirs = filter(dice, made.names)
        try:
            found = judge.execute(f"SELECT id FROM t WHERE {theirs} ORDER BY id").fetchall()
        except duckdb.Error:
            continue
        filters.append((ours, [row[0] for row in found]))

    def check(some):
        nonlocal asked
        sql = " UNION ALL ".join(f"SELECT {at} AS q, id FROM {name} WHERE {ours}" for at, (ours, _) in enumerate(some))
        try:
            answer = lake.ask(sql).to_pydict()
        except ValueError as error:
            if len(some) > 1:
                check(some[:len(some) // 2])
                check(some[len(some) // 2:])
            else:
                refused.append(f"{some[0][0]}: {error}")
            return
        asked += len(some)
        found = [[] for _ in some]
        for q, id in zip(*answer.values()):
            found[q].append(id)
        for got, (ours, wanted) in zip(found, some):
            if sorted(got) != wanted:
                wrong.append(f"{ours}: {sorted(got)} not {wanted}")

    for first in range(0, FILTERS, AT_ONCE):
        check(filters[first:first + AT_ONCE])
    for _ in range(QUERIES):
        ours, theirs = query(dice, made.names, name, "t")
        try:
            wanted = judge.execute(theirs).fetchall()
        except duckdb.Error:
            continue
        try:
            got = [tuple(row.values()) for row in lake.ask(ours).rename_columns([str(at) for at in range(len(judge.description))]).to_pylist()]
        except ValueError as error:
            refused.append(f"{ours}: {error}")
            continue
        asked += 1
        if got != wanted:
            wrong.append(f"{ours}: {got} not {wanted}")
    told = made.told()
    reads.said(not wrong and len(refused) * 4 <= FILTERS, f"{name}: {asked} answers over {len(made.rows)} rows, {told}",
               "\n      ".join(wrong[:3] + (refused[:3] if len(refused) * 4 > FILTERS else [])))
    return len(refused), asked


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--tables", type=int, default=24)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    args = parser.parse_args()
    print(f"== seed {args.seed}", flush=True)
    lake = reads.Lake(args)
    lake.catalog.create_namespace("p")
    refused = asked = 0
    for at in range(args.tables):
        more, done = judged(lake, random.Random(f"{args.seed} {at}"), f"p.t{at}")
        refused, asked = refused + more, asked + done
    print(f"== {asked} answers, {refused} refused", flush=True)
    print(f"{reads.RIGHT} right, {reads.WRONG} wrong")


if __name__ == "__main__":
    main()
