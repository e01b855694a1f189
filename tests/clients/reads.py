"""Tables in the shapes that others write, read by Ingot to the values of the Iceberg specification (tests/e2e/reads.sh).

    reads.py --ingot BINARY --work FOLDER

PyIceberg writes the tables; what it cannot write (defaults, newer types) is written into its metadata by hand, with the
data files as they are. Every answer is written down here; where PyIceberg reads the shape, it must agree with it.
"""

import argparse
import datetime
import json
import os
import subprocess
import time
import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import (
    DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestWriterV2, write_manifest_list,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType,
    NestedField, StringType, StructType, TimestampType, TimestamptzType, TimeType, UUIDType,
)

RIGHT = WRONG = 0


def said(ok, text, detail=""):
    global RIGHT, WRONG
    RIGHT, WRONG = RIGHT + ok, WRONG + (not ok)
    print(("ok    " if ok else "FAIL  ") + text, flush=True)
    if not ok and detail:
        print("      " + detail, flush=True)


def plain(value):
    """A value as Python compares it: maps as lists of pairs, times without their zone."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def rows_of(table):
    return sorted(([plain(v) for v in row.values()] for row in table.to_pylist()), key=repr)


class Lake:
    def __init__(self, args):
        self.folder = Path(args.work) / "lake"
        self.folder.mkdir(parents=True)
        self.project = Path(args.work) / "project"
        self.project.mkdir()
        self.ingot = args.ingot
        self.catalog = SqlCatalog("ingot", uri=f"sqlite:///{self.folder}/catalog.db", warehouse=f"file://{self.folder}")
        self.catalog.create_namespace("a")

    def run(self, sql):
        command = [self.ingot, "sql", "--project", str(self.project), "--set", f"warehouse.location={self.folder}"]
        return subprocess.run([*command, "--format", "arrow", sql], capture_output=True, timeout=120)

    def ask(self, sql):
        done = self.run(sql)
        if done.returncode != 0:
            raise ValueError(done.stderr.decode()[-600:])
        return pa.ipc.open_stream(done.stdout).read_all()

    def gives(self, sql, wanted, columns=None):
        """A statement gives these rows, in any order."""
        try:
            answer = self.ask(sql)
        except ValueError as error:
            return said(False, sql, str(error).strip())
        found, wanted = rows_of(answer), sorted(([plain(v) for v in row] for row in wanted), key=repr)
        ok = found == wanted and (columns is None or answer.column_names == columns)
        said(ok, sql, f"{answer.column_names} {found}\n      not {columns or ''} {wanted}")

    def refuses(self, sql, *words):
        done = self.run(sql)
        text = done.stderr.decode()
        said(done.returncode != 0 and all(word in text for word in words), f"refused: {sql}", text[-400:])

    def agrees(self, name, *hidden):
        """PyIceberg reads the table to the same rows."""
        theirs = self.catalog.load_table(name).scan().to_arrow()
        columns = [column for column in theirs.column_names if column not in hidden]
        self.gives(f"SELECT {', '.join(columns)} FROM {name}", [list(row.values()) for row in theirs.select(columns).to_pylist()])

    def edit(self, name, change):
        """Changes the current metadata file of a table where it is."""
        path = Path(self.catalog.load_table(name).metadata_location.removeprefix("file://"))
        metadata = json.loads(path.read_text())
        change(metadata)
        path.write_text(json.dumps(metadata))


def optional(id, name, of):
    return NestedField(field_id=id, name=name, field_type=of, required=False)


def put(lake, table, partition=(), **columns):
    """Adds a file with these columns as they are: PyIceberg's own writer makes NULL lists of structs empty."""
    rows = pa.table(columns, schema=schema_to_pyarrow(table.schema()))
    path = lake.folder / f"put-{time.monotonic_ns()}.parquet"
    pq.write_table(rows, path)
    take_over(table, [listed(path, table, partition, rows.num_rows)])


def take_over(table, files):
    with table.transaction() as change, change.update_snapshot().fast_append() as append:
        for file in files:
            append.append_data_file(file)


def listed(path, table, partition, rows, counts=None, content=DataFileContent.DATA):
    """A file of another writer, as a manifest lists it."""
    return DataFile.from_args(
        content=content, file_path=f"file://{path}", file_format=FileFormat.PARQUET, partition=Record(*partition),
        record_count=rows, file_size_in_bytes=os.path.getsize(path), sort_order_id=None, spec_id=table.spec().spec_id,
        equality_ids=None, key_metadata=None, column_sizes={}, value_counts=counts or {}, null_value_counts={}, nan_value_counts={},
        lower_bounds={}, upper_bounds={}, split_offsets=None,
    )


def hive(lake):
    """Files of a Hive table taken over: the partition's columns are in the folders' names alone."""
    schema = Schema(
        optional(1, "id", LongType()), optional(2, "region", StringType()), optional(3, "day", DateType()),
        optional(4, "size", DoubleType()), optional(5, "note", StringType()),
    )
    spec = PartitionSpec(
        PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="region"),
        PartitionField(source_id=3, field_id=1001, transform=IdentityTransform(), name="day"),
        PartitionField(source_id=4, field_id=1002, transform=IdentityTransform(), name="size"),
    )
    mapping = schema.name_mapping.model_dump_json()
    table = lake.catalog.create_table("a.hive", schema, partition_spec=spec, properties={"schema.name-mapping.default": mapping})
    day = datetime.date
    parts = [
        (("eu", day(2026, 1, 1), 1.5), [1, 2]), (("eu", day(2026, 1, 2), -0.0), [3]), (("us", day(2026, 1, 2), float("nan")), [4, 5, 6]),
        ((None, day(2026, 1, 3), None), [7]), (("us", None, 9.0), [8]),
    ]
    files, wanted = [], []
    for n, (partition, ids) in enumerate(parts):
        path = lake.folder / f"hive-{n}.parquet"
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64()), "note": [f"n{i}" for i in ids]}), path)
        files.append(listed(path, table, (partition[0], partition[1] and (partition[1] - day(1970, 1, 1)).days, partition[2]), len(ids)))
        wanted += [(i, *partition, f"n{i}") for i in ids]
    take_over(table, files)
    number = [r for r in wanted if r[3] is None or r[3] == r[3]]
    lake.gives("SELECT * FROM a.hive WHERE size IS NULL OR size <> 'NaN'::DOUBLE", number, schema.column_names)
    lake.gives("SELECT id, isnan(size) FROM a.hive WHERE region = 'us' AND day = DATE '2026-01-02'", [(i, True) for i in (4, 5, 6)])
    lake.gives("SELECT id FROM a.hive WHERE region = 'eu'", [(1,), (2,), (3,)])
    lake.gives("SELECT id FROM a.hive WHERE region <> 'eu'", [(4,), (5,), (6,), (8,)])
    lake.gives("SELECT id FROM a.hive WHERE region IS NULL", [(7,)])
    lake.gives("SELECT id FROM a.hive WHERE region IS NOT NULL AND day IS NULL", [(8,)])
    lake.gives("SELECT id FROM a.hive WHERE day > DATE '2026-01-01' AND note LIKE 'n%'", [(3,), (4,), (5,), (6,), (7,)])
    lake.gives("SELECT id FROM a.hive WHERE coalesce(region, 'x') IN ('x', 'us') AND id < 8", [(4,), (5,), (6,), (7,)])
    lake.gives("SELECT id FROM a.hive WHERE upper(region) = 'EU' OR day IS NULL", [(1,), (2,), (3,), (8,)])
    lake.gives("SELECT count(*), count(region), count(day), count(size) FROM a.hive", [(8, 7, 7, 7)])
    lake.gives("SELECT min(day), max(day), min(region), max(region) FROM a.hive", [(day(2026, 1, 1), day(2026, 1, 3), "eu", "us")])
    lake.gives("SELECT region, count(*) FROM a.hive GROUP BY region", [("eu", 3), ("us", 4), (None, 1)])
    lake.gives("SELECT DISTINCT day FROM a.hive", [(day(2026, 1, d),) for d in (1, 2, 3)] + [(None,)])
    lake.gives("SELECT region FROM a.hive ORDER BY region DESC NULLS LAST LIMIT 2", [("us",), ("us",)])
    lake.gives("SELECT count(*) FROM a.hive a JOIN a.hive b ON a.region = b.region AND a.day = b.day", [(4 + 1 + 9,)])
    lake.gives("SELECT sum(size) FROM a.hive WHERE size < 5", [(3.0,)])
    lake.agrees("a.hive", "size")


def promoted(lake):
    """A partition's column that became wider between two files, with a delete file that names neither."""
    schema = Schema(optional(1, "id", LongType()), optional(2, "r", IntegerType()), optional(3, "n", IntegerType()))
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="r"))
    mapping = {"schema.name-mapping.default": schema.name_mapping.model_dump_json()}
    table = lake.catalog.create_table("a.promoted", schema, partition_spec=spec, properties=mapping)

    def file(name, ids):
        path = lake.folder / f"{name}.parquet"
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), path)
        return path

    first = file("narrow", [1, 2, 3])
    # Counts of a column that is not in the file say nothing of where its values are.
    take_over(table, [listed(first, table, (7,), 3, counts={1: 3, 2: 3})])
    with table.update_schema() as change:
        change.update_column("r", LongType())
    table = lake.catalog.load_table("a.promoted")
    take_over(table, [listed(file("wide", [9]), table, (7,), 1)])
    table = lake.catalog.load_table("a.promoted")
    lake.gives("SELECT id, r FROM a.promoted WHERE r = 7", [(1, 7), (2, 7), (3, 7), (9, 7)])
    lake.gives("SELECT count(*), count(r) FROM a.promoted WHERE r IS NOT NULL", [(4, 4)])
    lake.gives('SELECT "partition"[\'r\'], record_count, file_count FROM a."promoted$partitions"', [(7, 4, 2)])

    class Deletes(ManifestWriterV2):
        def content(self):
            return ManifestContent.DELETES

        @property
        def _meta(self):
            return dict(super()._meta) | {"content": "deletes"}

    names = [("file_path", pa.string(), b"2147483546"), ("pos", pa.int64(), b"2147483545")]
    rows = pa.schema([pa.field(name, of, metadata={b"PARQUET:field_id": id}) for name, of, id in names])
    path = lake.folder / "deleted.parquet"
    pq.write_table(pa.table({"file_path": [f"file://{first}"], "pos": [1]}, schema=rows), path)
    head, id, number = table.current_snapshot(), 777, table.metadata.last_sequence_number + 1
    writer = Deletes(table.spec(), table.schema(), table.io.new_output(f"file://{lake.folder}/deletes.avro"), id, "deflate")
    with writer:
        writer.add_entry(ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED, snapshot_id=id, sequence_number=number, file_sequence_number=number,
            data_file=listed(path, table, (7,), 1, content=DataFileContent.POSITION_DELETES),
        ))
    manifest = writer.to_manifest_file()
    manifest.sequence_number = manifest.min_sequence_number = number
    at = f"file://{lake.folder}/deletes-list.avro"
    with write_manifest_list(
        format_version=2, output_file=table.io.new_output(at), snapshot_id=id, parent_snapshot_id=head.snapshot_id,
        sequence_number=number, avro_compression="deflate",
    ) as manifests:
        manifests.add_manifests([*head.manifests(table.io), manifest])

    def deleted(metadata):
        when = metadata["last-updated-ms"] + 1
        metadata["snapshots"].append({
            "snapshot-id": id, "parent-snapshot-id": head.snapshot_id, "sequence-number": number, "timestamp-ms": when,
            "manifest-list": at, "summary": {"operation": "delete"}, "schema-id": metadata["current-schema-id"],
        })
        metadata["snapshot-log"].append({"snapshot-id": id, "timestamp-ms": when})
        metadata |= {"current-snapshot-id": id, "last-sequence-number": number, "last-updated-ms": when}
        metadata["refs"]["main"]["snapshot-id"] = id

    lake.edit("a.promoted", deleted)
    lake.gives("SELECT id FROM a.promoted", [(1,), (3,), (9,)])
    lake.gives("SELECT count(*) FROM a.promoted", [(3,)])
    lake.agrees("a.promoted", "n")


def kinds(lake):
    """Every type that a partition can have, its value nowhere but in the manifest."""
    utc = datetime.timezone.utc
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 6)
    us = (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    some = uuid.UUID(int=7)
    kinds = [
        (BooleanType(), True, True), (IntegerType(), -5, -5), (LongType(), 1 << 40, 1 << 40), (FloatType(), 0.5, 0.5),
        (DoubleType(), -0.25, -0.25), (DecimalType(9, 2), Decimal("4.40"), Decimal("4.40")),
        (DecimalType(38, 10), Decimal("-123456789012345678.0123456789"), Decimal("-123456789012345678.0123456789")),
        (DateType(), 20455, datetime.date(2026, 1, 2)), (TimeType(), 3_600_000_001, datetime.time(1, 0, 0, 1)),
        (TimestampType(), us, at), (TimestamptzType(), us, at.replace(tzinfo=utc)), (StringType(), "é x", "é x"),
        (BinaryType(), b"\x00\xff", b"\x00\xff"), (FixedType(3), b"abc", b"abc"), (UUIDType(), some, some.bytes),
    ]
    for n, (of, value, wanted) in enumerate(kinds):
        name = f"a.kind{n}"
        column = "my col" if n % 2 else "p"
        schema = Schema(optional(1, "id", LongType()), optional(2, column, of))
        spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name=column))
        mapping = {"schema.name-mapping.default": schema.name_mapping.model_dump_json()}
        table = lake.catalog.create_table(name, schema, partition_spec=spec, properties=mapping)
        path = lake.folder / f"kind-{n}.parquet"
        pq.write_table(pa.table({"id": pa.array([1], pa.int64())}), path)
        empty = lake.folder / f"kind-{n}-null.parquet"
        pq.write_table(pa.table({"id": pa.array([2], pa.int64())}), empty)
        take_over(table, [listed(path, table, (value,), 1), listed(empty, table, (None,), 1)])
        lake.gives(f'SELECT * FROM {name}', [(1, wanted), (2, None)], ["id", column])
        lake.gives(f'SELECT count(*), count("{column}") FROM {name}', [(2, 1)])
        lake.gives(f'SELECT a.id FROM {name} a JOIN {name} b ON a."{column}" = b."{column}"', [(1,)])
        lake.gives(f'SELECT id FROM {name} WHERE "{column}" IS NULL', [(2,)])


def with_defaults(metadata):
    """What a newer writer makes of the schema: fields with initial defaults at every level, none of them in a file."""
    metadata["format-version"] = 3
    metadata["next-row-id"] = 100
    for n, snapshot in enumerate(metadata["snapshots"]):
        snapshot |= {"first-row-id": n * 10, "added-rows": 10}
    new = json.loads(json.dumps(metadata["schemas"][0]))
    new["schema-id"] = 1

    def field(id, name, of, **more):
        return {"id": id, "name": name, "required": False, "type": of} | more

    by_name = {f["name"]: f for f in new["fields"]}
    by_name["s"]["type"]["fields"] += [
        field(50, "text", "string", **{"initial-default": "x"}), field(51, "none", "int"),
        field(52, "needed", "int", required=True, **{"initial-default": 3}),
        field(53, "deep", {"type": "struct", "fields": [field(54, "w", "long", **{"initial-default": 4})]}, **{"initial-default": {}}),
    ]
    by_name["l"]["type"]["element"]["fields"].append(field(55, "more", "long", **{"initial-default": 5}))
    by_name["m"]["type"]["value"]["fields"].append(field(56, "more", "date", **{"initial-default": "2026-01-02"}))
    new["fields"] += [
        field(60, "n", "int", **{"initial-default": 7}), field(61, "null_int", "int"),
        field(62, "whole", {"type": "struct", "fields": [field(63, "a", "int", **{"initial-default": 8}), field(64, "b", "int")]},
              **{"initial-default": {}}),
        field(65, "nothing", {"type": "struct", "fields": [field(66, "a", "int", **{"initial-default": 9})]}),
        field(67, "price", "decimal(9, 2)", **{"initial-default": "4.40"}),
        field(68, "at", "timestamptz", **{"initial-default": "2026-01-01T00:00:00.000000+00:00"}),
        field(69, "ns", "timestamp_ns", **{"initial-default": "2026-01-01T00:00:00.123456789"}), field(70, "ns_null", "timestamp_ns"),
    ]
    metadata["schemas"].append(new)
    metadata["current-schema-id"] = 1
    metadata["last-column-id"] = 71


def defaults(lake):
    schema = Schema(
        optional(1, "id", LongType()),
        optional(2, "s", StructType(optional(3, "a", IntegerType()))),
        optional(4, "l", ListType(5, StructType(optional(6, "a", IntegerType())), element_required=False)),
        optional(7, "m", MapType(8, StringType(), 9, StructType(optional(10, "a", IntegerType())), value_required=False)),
    )
    table = lake.catalog.create_table("a.defaults", schema)
    put(lake, table, id=[1, 2], s=[{"a": 1}, None], l=[[{"a": 1}, None], None], m=[[("k", {"a": 1}), ("z", None)], None])
    lake.edit("a.defaults", with_defaults)
    day, at = datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    s = {"a": 1, "text": "x", "none": None, "needed": 3, "deep": {"w": 4}}
    lake.gives("SELECT id, s FROM a.defaults", [(1, s), (2, None)])
    lake.gives("SELECT id, s['text'], s['none'], s['needed'] FROM a.defaults", [(1, "x", None, 3), (2, None, None, None)])
    lake.gives("SELECT id, s['deep']['w'] FROM a.defaults", [(1, 4), (2, None)])
    lake.gives("SELECT id FROM a.defaults WHERE s['text'] = 'x'", [(1,)])
    lake.gives("SELECT id FROM a.defaults WHERE s['text'] IS NULL", [(2,)])
    lake.gives("SELECT l FROM a.defaults", [([{"a": 1, "more": 5}, None],), (None,)])
    lake.gives("SELECT m FROM a.defaults", [([("k", {"a": 1, "more": day}), ("z", None)],), (None,)])
    lake.gives("SELECT n, null_int, price, at FROM a.defaults WHERE id = 1", [(7, None, Decimal("4.40"), at)])
    lake.refuses("SELECT ns FROM a.defaults", "ns", "timestamp_ns with a default")
    lake.gives("SELECT ns_null FROM a.defaults", [(None,), (None,)])
    lake.gives("SELECT whole, nothing FROM a.defaults WHERE id = 1", [({"a": 8, "b": None}, None)])
    lake.gives("SELECT id, whole['a'], nothing['a'] FROM a.defaults", [(1, 8, None), (2, 8, None)])
    lake.gives("SELECT count(*) FROM a.defaults WHERE n = 7 AND whole['a'] = 8", [(2,)])
    lake.gives("SELECT count(*) FROM a.defaults WHERE n <> 7 OR n IS NULL", [(0,)])
    lake.gives("SELECT sum(n), count(n), count(null_int), max(n) FROM a.defaults", [(14, 2, 0, 7)])


def evolved(lake):
    """Structs, lists of structs and values of maps whose fields changed, down to none in common."""
    inner = lambda at: StructType(optional(at, "x", IntegerType()), optional(at + 1, "y", StringType()))
    schema = Schema(
        optional(1, "id", LongType()), optional(2, "s", inner(10)),
        optional(3, "l", ListType(20, inner(21), element_required=False)),
        optional(4, "m", MapType(30, StringType(), 31, inner(32), value_required=False)),
        optional(5, "o", StructType(optional(40, "i", inner(41)))),
    )
    table = lake.catalog.create_table("a.evolved", schema)
    one = {"x": 1, "y": "p"}
    put(lake, table, id=[1, 2, 3], s=[one, None, {"x": None, "y": None}], l=[[one, None], [], None],
        m=[[("k", one)], [("k", None)], None], o=[{"i": one}, {"i": None}, None])
    with table.update_schema() as change:
        for path in ("s", "l.element", "m.value", "o.i"):
            change.add_column(f"{path}.z".split(".") if "." in path else (path, "z"), DoubleType())
            change.delete_column(f"{path}.y")
            change.update_column(f"{path}.x", LongType())
    none = {"x": 1, "z": None}
    lake.gives("SELECT id, s FROM a.evolved", [(1, none), (2, None), (3, {"x": None, "z": None})])
    lake.gives("SELECT id, l FROM a.evolved", [(1, [none, None]), (2, []), (3, None)])
    lake.gives("SELECT id, m FROM a.evolved", [(1, [("k", none)]), (2, [("k", None)]), (3, None)])
    lake.agrees("a.evolved", "l", "m")
    lake.gives("SELECT id, m['k']['x'] FROM a.evolved WHERE m IS NOT NULL", [(1, 1), (2, None)])
    with table.update_schema() as change:
        for path in ("s", "l.element", "m.value", "o.i"):
            change.delete_column(f"{path}.x")
    none = {"z": None}
    lake.gives("SELECT id, s FROM a.evolved", [(1, none), (2, None), (3, none)])
    lake.gives("SELECT id, l FROM a.evolved", [(1, [none, None]), (2, []), (3, None)])
    lake.gives("SELECT id, m FROM a.evolved", [(1, [("k", none)]), (2, [("k", None)]), (3, None)])
    lake.gives("SELECT id, o FROM a.evolved", [(1, {"i": none}), (2, {"i": None}), (3, None)])
    lake.gives("SELECT id FROM a.evolved WHERE s IS NULL", [(2,)])
    lake.gives("SELECT id, s['z'], o['i']['z'] FROM a.evolved", [(1, None, None), (2, None, None), (3, None, None)])
    table = lake.catalog.load_table("a.evolved")
    put(lake, table, id=[4], s=[{"z": 1.5}], l=[[{"z": 2.5}]], m=[[("q", {"z": 3.5})]], o=[{"i": {"z": 4.5}}])
    lake.gives("SELECT id, s['z'], o['i']['z'] FROM a.evolved WHERE s['z'] > 1", [(4, 1.5, 4.5)])
    lake.gives("SELECT l, m FROM a.evolved WHERE id = 4", [([{"z": 2.5}], [("q", {"z": 3.5})])])


def never_null(lake):
    """A field that is NOT NULL in its file, within a struct that may be NULL: Spark writes what is never NULL so."""
    schema = Schema(optional(1, "id", LongType()), optional(2, "s", StructType(optional(3, "a", IntegerType()), optional(4, "b", StringType()))))
    table = lake.catalog.create_table("a.never", schema)
    fields = [pa.field("a", pa.int32(), metadata={b"PARQUET:field_id": b"3"}), pa.field("b", pa.string(), False, {b"PARQUET:field_id": b"4"})]
    of = pa.schema([pa.field("id", pa.int64(), metadata={b"PARQUET:field_id": b"1"}), pa.field("s", pa.struct(fields), metadata={b"PARQUET:field_id": b"2"})])
    values = pa.StructArray.from_arrays(
        [pa.array([1, None, None], pa.int32()), pa.array(["x", "", "y"])], fields=fields, mask=pa.array([False, True, False]))
    path = lake.folder / "never.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1, 2, 3], pa.int64()), values], schema=of), path)
    take_over(table, [listed(path, table, (), 3)])
    lake.gives("SELECT id, s FROM a.never", [(1, {"a": 1, "b": "x"}), (2, None), (3, {"a": None, "b": "y"})])
    lake.gives("SELECT id, s['a'], s['b'] FROM a.never", [(1, 1, "x"), (2, None, None), (3, None, "y")])
    lake.gives("SELECT id FROM a.never WHERE s['b'] IS NULL", [(2,)])
    lake.gives("SELECT count(s['b']), count(*) FROM (SELECT s FROM a.never ORDER BY id LIMIT 3) t", [(2, 3)])
    lake.gives("SELECT id FROM a.never WHERE s['b'] < 'y'", [(1,)])
    lake.agrees("a.never")


def stamp(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def travel(lake):
    table = lake.catalog.create_table("a.travel", Schema(optional(1, "id", LongType()), optional(2, "old", StringType())))
    ids = []

    def append(**columns):
        time.sleep(0.02)
        table.append(pa.table(columns, schema=schema_to_pyarrow(table.schema())))
        ids.append(table.current_snapshot().snapshot_id)
        return table.metadata.snapshot_log[-1].timestamp_ms

    first = append(id=[1], old=["a"])
    table.manage_snapshots().create_tag(ids[0], "first").create_branch(ids[0], "side").commit()
    with table.update_schema() as change:
        change.rename_column("old", "new")
        change.add_column("more", LongType())
    second = append(id=[2], new=["b"], more=[20])
    with table.update_schema() as change:
        change.delete_column("more")
    third = append(id=[3], new=["c"])
    time.sleep(0.02)
    table.manage_snapshots().rollback_to_snapshot(ids[0]).commit()
    back = table.metadata.snapshot_log[-1].timestamp_ms
    fourth = append(id=[4], new=["d"])
    log = [(entry.snapshot_id, entry.timestamp_ms) for entry in table.metadata.snapshot_log]
    assert [i for i, _ in log] == [ids[0], ids[1], ids[2], ids[0], ids[3]], log
    lake.gives("SELECT * FROM a.travel", [(1, "a"), (4, "d")], ["id", "new"])
    lake.gives(f"SELECT * FROM a.travel FOR VERSION AS OF {ids[0]}", [(1, "a")], ["id", "old"])
    lake.gives(f"SELECT * FROM a.travel FOR VERSION AS OF {ids[1]}", [(1, "a", None), (2, "b", 20)], ["id", "new", "more"])
    lake.gives(f"SELECT sum(more) FROM a.travel FOR VERSION AS OF {ids[1]} WHERE more > 1 AND new = 'b'", [(20,)])
    lake.gives(f"SELECT count(*) FROM a.travel FOR VERSION AS OF {ids[0]} x JOIN a.travel y ON x.old = y.new", [(1,)])
    lake.gives("SELECT * FROM a.travel FOR VERSION AS OF 'first'", [(1, "a")], ["id", "old"])
    lake.gives("SELECT * FROM a.travel FOR VERSION AS OF 'side'", [(1, "a")], ["id", "new"])
    lake.gives("SELECT * FROM a.travel FOR VERSION AS OF 'main'", [(1, "a"), (4, "d")], ["id", "new"])
    lake.refuses("SELECT * FROM a.travel FOR VERSION AS OF 'nowhere'", "Q0102", "nowhere")
    lake.refuses(f"SELECT new FROM a.travel FOR VERSION AS OF {ids[0]}", "Q0102", '"new"')
    for ms, rows, columns in [
        (first, [(1, "a")], ["id", "old"]), (second - 1, [(1, "a")], ["id", "old"]), (second, [(1, "a", None), (2, "b", 20)], ["id", "new", "more"]),
        (third, [(1, "a"), (2, "b"), (3, "c")], ["id", "new"]), (back - 1, [(1, "a"), (2, "b"), (3, "c")], ["id", "new"]),
        (back, [(1, "a")], ["id", "old"]), (fourth, [(1, "a"), (4, "d")], ["id", "new"]),
    ]:
        lake.gives(f"SELECT * FROM a.travel FOR TIMESTAMP AS OF TIMESTAMP '{stamp(ms)}'", rows, columns)
        entry = [snapshot for snapshot, at in log if at <= ms][-1]
        said(table.snapshot_as_of_timestamp(ms).snapshot_id == entry, f"PyIceberg goes by the log at {stamp(ms)}")
    lake.refuses(f"SELECT * FROM a.travel FOR TIMESTAMP AS OF '{stamp(first - 1)}'", "Q0102", "no snapshot as old", "its log begins at")
    lake.refuses("SELECT * FROM a.travel FOR TIMESTAMP AS OF DATE '2020-02-02'", "Q0102", "no snapshot as old")
    lake.gives("SELECT count(*) FROM a.travel FOR TIMESTAMP AS OF DATE '2100-02-02'", [(2,)])


def first_version(lake):
    """Tables of the first format version keep a partition field that was dropped, as one that is always NULL."""
    schema = Schema(optional(1, "id", LongType()), optional(2, "kind", StringType()), optional(3, "day", DateType()))
    spec = PartitionSpec(
        PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="kind"),
        PartitionField(source_id=3, field_id=1001, transform=IdentityTransform(), name="day"),
    )
    table = lake.catalog.create_table("a.first", schema, partition_spec=spec, properties={"format-version": "1"})
    assert table.format_version == 1
    day = datetime.date(2026, 1, 1)

    def append(**columns):
        table.append(pa.table(columns, schema=schema_to_pyarrow(table.schema())))

    append(id=[1, 2], kind=["a", "b"], day=[day, None])
    with table.update_spec() as change:
        change.remove_field("kind")
    append(id=[3], kind=["c"], day=[day])
    rows = [(1, "a", day), (2, "b", None), (3, "c", day)]
    lake.gives("SELECT * FROM a.first", rows)
    lake.gives("SELECT id FROM a.first WHERE kind = 'c'", [(3,)])
    lake.gives("SELECT id FROM a.first WHERE kind IS NULL", [])
    lake.gives("SELECT count(kind), min(kind), max(kind) FROM a.first", [(3, "a", "c")])
    lake.gives("SELECT id FROM a.first WHERE day IS NULL", [(2,)])
    lake.agrees("a.first")
    # A writer that lets the column go as well: the field's source is nowhere.

    def forget(metadata):
        new = json.loads(json.dumps(next(s for s in metadata["schemas"] if s["schema-id"] == metadata["current-schema-id"])))
        new["schema-id"] = max(s["schema-id"] for s in metadata["schemas"]) + 1
        new["fields"] = [f for f in new["fields"] if f["name"] != "kind"]
        metadata["schemas"].append(new)
        metadata["current-schema-id"] = new["schema-id"]
        metadata["schema"] = new

    lake.edit("a.first", forget)
    for manifest in {m.manifest_path for m in table.current_snapshot().manifests(table.io)}:
        # The manifests are written anew with the current schema, as a rewrite does.
        edit_header(manifest, lambda schema: schema["fields"].remove(next(f for f in schema["fields"] if f["name"] == "kind")))
    lake.gives("SELECT * FROM a.first", [(1, day), (2, None), (3, day)], ["id", "day"])
    lake.gives(f"SELECT kind FROM a.first FOR VERSION AS OF {table.current_snapshot().snapshot_id}", [("a",), ("b",), ("c",)])


def edit_header(location, change, within="schema"):
    """Changes the table schema, or another part that is JSON, in the header of a manifest."""
    path = Path(location.removeprefix("file://"))
    data, at = path.read_bytes(), 4

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)

    def piece():
        nonlocal at
        length = number()
        at += length
        return data[at - length:at]

    def written(n):
        n, out = n << 1, b""
        while n >= 0x80:
            out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
        return out + bytes([n])

    pairs = {}
    while count := number():
        if count < 0:
            number()
        for _ in range(abs(count)):
            name = piece()
            pairs[name] = piece()
    part = json.loads(pairs[within.encode()])
    change(part)
    pairs[within.encode()] = json.dumps(part).encode()
    head = b"Obj\x01" + written(len(pairs))
    for name, value in pairs.items():
        head += written(len(name)) + name + written(len(value)) + value
    path.write_bytes(head + written(0) + data[at:])


def newer_types(schema):
    """The binary columns as columns of types that came later."""
    for field in schema["fields"]:
        if field["name"] == "v":
            field["type"] = "variant"
        if field["name"] == "s":
            field["type"]["fields"][1]["type"] = "geometry(OGC:CRS84)"
        if field["name"] == "l":
            field["type"]["element"] = "geography(OGC:CRS84, karney)"
        if field["name"] == "u":
            field["type"] = "unknown"


def unknown(lake):
    schema = Schema(
        optional(1, "id", LongType()), optional(2, "v", BinaryType()),
        optional(3, "s", StructType(optional(4, "a", IntegerType()), optional(5, "g", BinaryType()))),
        optional(6, "l", ListType(7, BinaryType(), element_required=False)), optional(8, "u", BinaryType()),
        optional(9, "name", StringType()),
    )
    table = lake.catalog.create_table("a.unknown", schema)
    table.append(pa.table(
        {"id": [1, 2], "v": [b"\x01", None], "s": [{"a": 1, "g": b"\x02"}, None], "l": [[b"\x03"], None], "u": [None, None], "name": ["p", "q"]},
        schema=schema_to_pyarrow(table.schema()),
    ))
    lake.edit("a.unknown", lambda metadata: [newer_types(schema) for schema in metadata["schemas"]])
    for manifest in table.current_snapshot().manifests(table.io):
        edit_header(manifest.manifest_path, newer_types)
    lake.gives("SELECT * FROM a.unknown", [(1, {"a": 1}, "p"), (2, None, "q")], ["id", "s", "name"])
    lake.gives("SELECT count(*), max(id) FROM a.unknown WHERE name = 'q'", [(1, 2)])
    lake.refuses("SELECT v FROM a.unknown", '"v"', '"a.unknown"', '"variant"', "not read")
    lake.refuses("SELECT id FROM a.unknown t WHERE t.l IS NULL", "geography", "not read")
    lake.refuses("SELECT count(u) FROM a.unknown", '"unknown"', "not read")
    lake.refuses("SELECT nothing FROM a.unknown", "Q0102", '"nothing"')
    lake.gives("SELECT column_name FROM information_schema.columns WHERE table_name = 'unknown'", [("id",), ("s",), ("name",)])
    lake.gives("SELECT count(*) FROM information_schema.tables WHERE table_name = 'unknown'", [(1,)])


def about(lake):
    """The tables that tell about a table say what PyIceberg's own inspection says."""
    schema = Schema(optional(1, "id", LongType()), optional(2, "kind", StringType()), optional(3, "x", DoubleType()), optional(4, "day", DateType()))
    spec = PartitionSpec(
        PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="kind"),
        PartitionField(source_id=4, field_id=1001, transform=MonthTransform(), name="day_month"),
    )
    table = lake.catalog.create_table("a.about", schema, partition_spec=spec, properties={"note": "n"})
    day = datetime.date(2026, 1, 5)

    def append(**columns):
        time.sleep(0.01)
        table.append(pa.table(columns, schema=schema_to_pyarrow(table.schema())))

    lake.gives('SELECT count(*) FROM a."about$snapshots"', [(0,)])
    lake.gives('SELECT * FROM a."about$files"', [])
    append(id=[1, 2, 3], kind=["a", "b", None], x=[1.5, float("nan"), None], day=[day, None, day])
    append(id=[4], kind=["a"], x=[0.5], day=[day])
    first, second = [s.snapshot_id for s in table.metadata.snapshots]
    table.manage_snapshots().create_tag(first, "t", max_ref_age_ms=77).create_branch(first, "b", 5000, 6000, 3).commit()
    table.manage_snapshots().rollback_to_snapshot(first).commit()
    append(id=[5], kind=["b"], x=[9.0], day=[None])
    see = table.inspect

    def told(name, theirs, *columns, edit=lambda row: row):
        wanted = [list(edit(row).values()) for row in theirs.select(list(columns)).to_pylist()]
        lake.gives(f'SELECT {", ".join(columns)} FROM a."about${name}"', wanted, list(columns))

    utc = lambda name: lambda row: row | {name: row[name].replace(tzinfo=datetime.timezone.utc)}
    told("snapshots", see.snapshots(), "committed_at", "snapshot_id", "parent_id", "operation", "manifest_list", edit=utc("committed_at"))
    told("history", see.history(), "made_current_at", "snapshot_id", "parent_id", "is_current_ancestor", edit=utc("made_current_at"))
    told("refs", see.refs(), "name", "type", "snapshot_id", "max_reference_age_in_ms", "min_snapshots_to_keep", "max_snapshot_age_in_ms")
    told("manifests", see.manifests(), "path", "length", "partition_spec_id", "added_snapshot_id", "added_data_files_count",
         "existing_data_files_count", "deleted_data_files_count")
    told("files", see.files(), "content", "file_path", "file_format", "spec_id", "record_count", "file_size_in_bytes", "split_offsets",
         "equality_ids", "sort_order_id")
    lake.gives('SELECT key, value FROM a."about$properties" WHERE key = \'note\'', [("note", "n")])
    lake.gives("SELECT summary['added-records'] FROM a.\"about$snapshots\"", [("3",), ("1",), ("1",)])
    lake.gives('SELECT count(*) FROM ingot.a."about$files" f JOIN a.about ON true', [(4 * 4,)])
    lake.gives(f'SELECT count(*) FROM a."about$files" FOR VERSION AS OF {second}', [(4,)])
    told("files", see.files(), "file_path", "column_sizes", "value_counts", "null_value_counts")
    lake.gives("SELECT f.\"partition\"['kind'], lower_bounds FROM a.\"about$files\" f",
               [("b", [(1, "5"), (2, "b"), (3, "9")]), ("a", [(1, "1"), (2, "a"), (3, "1.5"), (4, "2026-01-05")]),
                ("b", [(1, "2"), (2, "b")]), (None, [(1, "3"), (4, "2026-01-05")])])
    lake.gives("SELECT content FROM a.\"about$files\" WHERE readable_metrics LIKE '%\"id\":{%\"upper_bound\":5}%'", [(0,)])
    at = {"kind": "a", "day_month": 56 * 12}
    lake.gives('SELECT "partition", record_count, file_count FROM a."about$partitions"',
               [(at, 1, 1), ({"kind": "b", "day_month": None}, 2, 2), ({"kind": None, "day_month": 56 * 12}, 1, 1)])
    lake.gives("SELECT data['id']['min'], data['id']['max'], data['x']['null_count'], data['day']['max'] FROM a.\"about$partitions\"",
               [(1, 1, 0, day), (2, 5, 0, None), (3, 3, 1, day)])
    sums = [sum(n) for n in zip(*([s.contains_null, s.lower_bound is None] for m in table.current_snapshot().manifests(table.io) for s in m.partitions))]
    lake.gives('SELECT CAST(sum(CAST(s[\'contains_null\'] AS INT)) AS BIGINT), count(*) - count(s[\'lower_bound\']) '
               'FROM a."about$manifests" m CROSS JOIN UNNEST(m.partition_summaries) AS u(s)', [tuple(sums)])
    # Before 1970, with a fraction; and bounds of before a promotion beside those after it.
    old = lake.catalog.create_table("a.old", Schema(optional(1, "n", IntegerType()), optional(2, "at", TimestamptzType())))
    zone = datetime.timezone.utc
    some = lambda table, n: pa.table({"n": n, "at": [datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000, zone)] * len(n)},
                                     schema=schema_to_pyarrow(table.schema()))
    old.append(some(old, [5, 10]))
    with old.update_schema() as change:
        change.update_column("n", LongType())
    old = lake.catalog.load_table("a.old")
    old.append(some(old, [1, 20]))
    at = "1969-12-31T23:59:59.5+00:00"
    lake.gives('SELECT upper_bounds FROM a."old$files"', [([(1, "10"), (2, at)],), ([(1, "20"), (2, at)],)])
    lake.gives(f"SELECT count(*) FROM a.\"old$files\" WHERE readable_metrics LIKE '%{at}%'", [(2,)])
    lake.gives("SELECT data['n']['min'], data['n']['max'] FROM a.\"old$partitions\"", [(1, 20)])
    lake.gives('SELECT DISTINCT u.s[\'lower_bound\'] FROM a."about$manifests" m CROSS JOIN UNNEST(m.partition_summaries) AS u(s) '
               "WHERE u.s['lower_bound'] LIKE '2026%'", [("2026-01",)])
    lake.refuses('SELECT * FROM a."about$nothing"', "Q0102")
    lake.refuses('SELECT * FROM a."nowhere$files"', "Q0102", "nowhere")


PARTS = {"hive": hive, "promoted": promoted, "kinds": kinds, "defaults": defaults, "evolved": evolved, "never": never_null, "travel": travel, "first": first_version, "unknown": unknown, "about": about}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    lake = Lake(args)
    for name in args.only:
        print(f"== {name}", flush=True)
        PARTS[name](lake)
    print(f"{RIGHT} right, {WRONG} wrong")


if __name__ == "__main__":
    main()
