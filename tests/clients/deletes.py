"""Delete files of every kind, read by Ingot to the rows that the Iceberg specification leaves (tests/e2e/deletes.sh).

    deletes.py --ingot BINARY --work FOLDER

PyIceberg writes the tables; the delete files are written here: position deletes and equality deletes as Parquet, deletion
vectors byte by byte as the Puffin and Roaring specifications have them. Every answer is written down here; where PyIceberg
reads the shape, it must agree with it.
"""

import argparse
import datetime
import json
import os
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import (
    DataFile, DataFileContent, FileFormat, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestWriterV2, write_manifest_list,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    DoubleType, FloatType, IntegerType, LongType, NestedField, StringType, StructType, TimestampType, TimestamptzType,
)

import reads
from reads import Lake, listed, optional, said, take_over


class Deletes(ManifestWriterV2):
    """A manifest of delete files; of format version 3 too, which PyIceberg does not write."""

    format = 2

    def content(self):
        return ManifestContent.DELETES

    @property
    def version(self):
        return self.format

    @property
    def _meta(self):
        return dict(super()._meta) | {"content": "deletes"}

    def new_writer(self):
        from pyiceberg.avro.file import AvroOutputFile
        schema = self._with_partition(self.format)
        return AvroOutputFile(output_file=self._output_file, file_schema=schema, record_schema=schema, schema_name="manifest_entry", metadata=self._meta)


def entry(version, path, table, content, format, rows, partition=(), spec=None, size=None, **more):
    fields = dict(
        content=content, file_path=path, file_format=format, partition=Record(*partition), record_count=rows,
        file_size_in_bytes=size or os.path.getsize(path.removeprefix("file://")), column_sizes={}, value_counts={}, null_value_counts={},
        nan_value_counts={}, lower_bounds={}, upper_bounds={}, key_metadata=None, split_offsets=None, equality_ids=None, sort_order_id=None,
    )
    if version == 3:
        fields |= dict(first_row_id=None, referenced_data_file=None, content_offset=None, content_size_in_bytes=None)
    file = DataFile.from_args(_table_format_version=version, **(fields | more))
    file.spec_id = table.spec().spec_id if spec is None else spec
    return file


def commit(lake, name, files, version=2, gone=(), spec=None):
    """A snapshot with these delete files, beside those of the head but for `gone`."""
    table = lake.catalog.load_table(name)
    head, id, number = table.current_snapshot(), time.monotonic_ns(), table.metadata.last_sequence_number + 1
    spec = table.specs()[spec] if spec is not None else table.spec()
    manifests = [m for m in head.manifests(table.io) if m.content == ManifestContent.DATA or not gone]
    kept = [e for m in head.manifests(table.io) if m.content == ManifestContent.DELETES and gone for e in m.fetch_manifest_entry(table.io)]
    kept = [e for e in kept if e.data_file.file_path not in gone]
    assert not kept, "no test needs a manifest rewritten in part"
    if files:
        writer = Deletes(spec, table.schema(), table.io.new_output(f"file://{lake.folder}/d-{id}.avro"), id, "deflate")
        writer.format = version
        with writer:
            for file in files:
                writer.add_entry(ManifestEntry.from_args(
                    status=ManifestEntryStatus.ADDED, snapshot_id=id, sequence_number=number, file_sequence_number=number, data_file=file,
                ))
        manifest = writer.to_manifest_file()
        manifest.sequence_number = manifest.min_sequence_number = number
        manifests = [*manifests, manifest]
    at = f"file://{lake.folder}/list-{id}.avro"
    with write_manifest_list(
        format_version=2, output_file=table.io.new_output(at), snapshot_id=id, parent_snapshot_id=head.snapshot_id,
        sequence_number=number, avro_compression="deflate",
    ) as out:
        out.add_manifests(manifests)

    def change(metadata):
        when = metadata["last-updated-ms"] + 1
        metadata["snapshots"].append({
            "snapshot-id": id, "parent-snapshot-id": head.snapshot_id, "sequence-number": number, "timestamp-ms": when,
            "manifest-list": at, "summary": {"operation": "delete"}, "schema-id": metadata["current-schema-id"],
        })
        metadata["snapshot-log"].append({"snapshot-id": id, "timestamp-ms": when})
        metadata |= {"current-snapshot-id": id, "last-sequence-number": number, "last-updated-ms": when}
        metadata["refs"]["main"]["snapshot-id"] = id
        if version == 3:
            metadata["format-version"] = 3
            metadata.setdefault("next-row-id", 1000)
            for snapshot in metadata["snapshots"]:
                snapshot.setdefault("first-row-id", 0)
                snapshot.setdefault("added-rows", 0)

    lake.edit(name, change)
    return id


def parquet(lake, columns):
    """A Parquet file of (name, type, field id, values); a struct's fields are given in its place."""
    fields = [pa.field(name, of, metadata={b"PARQUET:field_id": str(id).encode()}) for name, of, id, _ in columns]
    path = lake.folder / f"delete-{time.monotonic_ns()}.parquet"
    arrays = [pa.array(values, of) for _, of, _, values in columns]
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path)
    return f"file://{path}", len(columns[0][3])


def positions(lake, table, rows, version=2, partition=(), **more):
    """A position delete file of (location, position), sorted as the specification wants."""
    rows = sorted(rows)
    path, count = parquet(lake, [
        ("file_path", pa.string(), 2147483546, [r[0] for r in rows]), ("pos", pa.int64(), 2147483545, [r[1] for r in rows]),
    ])
    return entry(version, path, table, DataFileContent.POSITION_DELETES, FileFormat.PARQUET, count, partition, **more)


def equality(lake, table, columns, ids=None, version=2, partition=(), **more):
    path, count = parquet(lake, columns)
    ids = ids or [id for _, _, id, _ in columns]
    return entry(version, path, table, DataFileContent.EQUALITY_DELETES, FileFormat.PARQUET, count, partition, equality_ids=ids, **more)


# RoaringFormatSpec: keys are the upper 16 bits; containers are sorted arrays, bitmaps of 8 kB, or runs.
def container(low, kind):
    if kind == "array":
        return struct.pack(f"<{len(low)}H", *low)
    if kind == "bitmap":
        bits = bytearray(8192)
        for n in low:
            bits[n >> 3] |= 1 << (n & 7)
        return bytes(bits)
    runs, rest = [], sorted(low)
    while rest:
        length = next((n for n in range(1, len(rest)) if rest[n] != rest[0] + n), len(rest))
        runs.append((rest[0], length - 1))
        rest = rest[length:]
    return struct.pack("<H", len(runs)) + b"".join(struct.pack("<HH", *run) for run in runs)


def roaring32(values, with_runs):
    parts = {}
    for value in sorted(values):
        parts.setdefault(value >> 16, []).append(value & 0xFFFF)
    kinds = {key: "run" if with_runs and key in with_runs else "array" if len(low) <= 4096 else "bitmap" for key, low in parts.items()}
    bodies = [container(low, kinds[key]) for key, low in parts.items()]
    descriptions = b"".join(struct.pack("<HH", key, len(low) - 1) for key, low in parts.items())
    if with_runs:
        flags = bytearray((len(parts) + 7) // 8)
        for n, key in enumerate(parts):
            flags[n >> 3] |= (kinds[key] == "run") << (n & 7)
        header = struct.pack("<HH", 12347, len(parts) - 1) + bytes(flags) + descriptions
        offsets = len(parts) >= 4
    else:
        header, offsets = struct.pack("<II", 12346, len(parts)) + descriptions, True
    if offsets:
        at = len(header) + 4 * len(parts)
        for body in bodies:
            header += struct.pack("<I", at)
            at += len(body)
    return header + b"".join(bodies)


def blob(values, with_runs=()):
    """`deletion-vector-v1`."""
    upper = {}
    for value in values:
        upper.setdefault(value >> 32, []).append(value & 0xFFFFFFFF)
    bitmap = struct.pack("<Q", len(upper))
    for key in sorted(upper):
        bitmap += struct.pack("<I", key) + roaring32(upper[key], with_runs)
    checked = b"\xd1\xd3\x39\x64" + bitmap
    return struct.pack(">I", len(checked)) + checked + struct.pack(">I", zlib.crc32(checked))


def puffin(lake, table, vectors, change=lambda data: data, counts=lambda n: n, **more):
    """A Puffin file of vectors (location, positions, keys of containers with runs): its manifest entries."""
    data, blobs, places = b"PFA1", [], []
    for of, values, runs in vectors:
        body = blob(values, runs)
        blobs.append({
            "type": "deletion-vector-v1", "fields": [2147483645], "snapshot-id": -1, "sequence-number": -1, "offset": len(data),
            "length": len(body), "properties": {"referenced-data-file": of, "cardinality": str(len(values))},
        })
        places.append((of, len(data), len(body), len(values)))
        data += body
    footer = json.dumps({"blobs": blobs, "properties": {}}).encode()
    data += b"PFA1" + footer + struct.pack("<i", len(footer)) + bytes(4) + b"PFA1"
    path = lake.folder / f"vectors-{time.monotonic_ns()}.puffin"
    path.write_bytes(change(data))
    return [entry(
        3, f"file://{path}", table, DataFileContent.POSITION_DELETES, FileFormat.PUFFIN, counts(count), size=len(data), referenced_data_file=of,
        content_offset=offset, content_size_in_bytes=length, **more,
    ) for of, offset, length, count in places]


def files_of(table):
    return [e.data_file.file_path for m in table.current_snapshot().manifests(table.io) if m.content == ManifestContent.DATA
            for e in m.fetch_manifest_entry(table.io)]


def appended(lake, name, schema, batches, **more):
    """A table with a snapshot for each batch of columns, and the location of each one's file."""
    table = lake.catalog.create_table(name, schema, **more)
    paths = []
    for columns in batches:
        before = set(files_of(table)) if table.current_snapshot() else set()
        table.append(pa.table(columns, schema=schema_to_pyarrow(table.schema())))
        paths.append(next(path for path in files_of(table) if path not in before))
    return table, paths


NUMBERS = Schema(optional(1, "id", LongType()), optional(2, "k", StringType()))


def by_position(lake):
    batches = [{"id": list(range(10)), "k": list("aaaaabbbbb")}, {"id": list(range(100, 110)), "k": list("cccccddddd")}]
    table, (one, two) = appended(lake, "d.positions", NUMBERS, batches)
    commit(lake, "d.positions", [positions(lake, table, [(one, 0), (one, 9), (two, 3), (two, 3), (one, 500), ("file:///elsewhere", 1)])])
    left = [(i,) for i in range(1, 9)] + [(i,) for i in range(100, 110) if i != 103]
    lake.gives("SELECT id FROM d.positions", left)
    lake.gives("SELECT count(*), min(id), max(id) FROM d.positions", [(17, 1, 109)])
    lake.gives("SELECT k, count(*) FROM d.positions WHERE id > 2 GROUP BY k", [("a", 2), ("b", 4), ("c", 4), ("d", 5)])
    lake.gives("SELECT id FROM d.positions WHERE id IN (0, 9, 103)", [])
    lake.gives("SELECT count(*) FROM (SELECT * FROM d.positions LIMIT 16)", [(16,)])
    lake.agrees("d.positions")
    # Other spellings of the same file, and a second delete file that names one row again.
    commit(lake, "d.positions", [
        positions(lake, table, [(one.replace("file://", "file:"), 1), (one.replace("file://", "file:"), 9)]),
        positions(lake, table, [(two, 9)]),
    ])
    lake.gives("SELECT id FROM d.positions", [row for row in left if row[0] not in (1, 109)])
    lake.gives("SELECT id FROM d.positions FOR VERSION AS OF %d" % table.current_snapshot().snapshot_id, [(i,) for i in (*range(10), *range(100, 110))])


def by_vector(lake):
    rows = 200_000
    batches = [{"id": list(range(rows)), "k": None}, {"id": list(range(rows, rows + 100)), "k": None}, {"id": [7], "k": None}]
    batches = [{"id": b["id"], "k": [str(i % 10) for i in b["id"]]} for b in batches]
    table, (one, two, three) = appended(lake, "d.vectors", NUMBERS, batches)
    # An array, a bitmap, a run, and what lies beyond the file's end.
    gone = {5, 6, 65_000} | set(range(65_536, 131_072, 2)) | set(range(131_072 + 10, 131_072 + 5_010)) | {(1 << 32) + 3}
    commit(lake, "d.vectors", puffin(lake, table, [(one, sorted(gone), [2]), (two, [0, 99], [])]), version=3)
    left = (set(range(rows)) - gone) | set(range(rows + 1, rows + 99))
    lake.gives("SELECT count(*), sum(id), min(id), max(id) FROM d.vectors", [(len(left) + 1, sum(left) + 7, 0, rows + 98)])
    lake.gives("SELECT id FROM d.vectors WHERE id BETWEEN 4 AND 8", [(4,), (7,), (7,), (8,)])
    lake.gives("SELECT id FROM d.vectors WHERE id BETWEEN 65534 AND 65540", [(i,) for i in range(65_534, 65_541) if i not in gone])
    lake.gives("SELECT id FROM d.vectors WHERE id >= 200000 ORDER BY id LIMIT 2", [(rows + 1,), (rows + 2,)])
    lake.gives("SELECT k, count(*) FROM d.vectors GROUP BY k", [
        (str(n), sum(i % 10 == n for i in left) + (n == 7)) for n in range(10)])
    lake.gives('SELECT content, file_format, record_count FROM d."vectors$files" WHERE content = 1', [(1, "PUFFIN", len(gone)), (1, "PUFFIN", 2)])
    theirs = lake.catalog.load_table("d.vectors").scan(row_filter="id < 70000 or id >= 200000").to_arrow().column("id").to_pylist()
    lake.gives("SELECT id FROM d.vectors WHERE id < 70000 OR id >= 200000", [(i,) for i in theirs])


def vector_and_positions(lake):
    """A vector stands for the position delete files of its data file; equality deletes go beside it."""
    table, (one, two) = appended(lake, "d.both", NUMBERS, [{"id": [1, 2, 3, 4], "k": list("abcd")}, {"id": [5, 6], "k": ["a", None]}])
    commit(lake, "d.both", [positions(lake, table, [(one, 0), (two, 0)])])
    lake.gives("SELECT id FROM d.both", [(2,), (3,), (4,), (6,)])
    commit(lake, "d.both", puffin(lake, table, [(one.replace("file://", "file:"), [0, 1], [])]), version=3)
    lake.gives("SELECT id FROM d.both", [(3,), (4,), (6,)])
    # The specification lets a reader leave the file aside even where the vector does not hold its rows.
    commit(lake, "d.both", [positions(lake, table, [(one, 3)], version=3)], version=3)
    lake.gives("SELECT id FROM d.both", [(3,), (4,), (6,)])
    commit(lake, "d.both", [equality(lake, table, [("k", pa.string(), 2, ["c", None])], version=3)], version=3)
    lake.gives("SELECT id FROM d.both", [(4,)])


def damaged_vectors(lake):
    table, (one,) = appended(lake, "d.damaged", NUMBERS, [{"id": [1, 2, 3], "k": list("abc")}])
    read = "SELECT id FROM d.damaged"
    at = lambda place, byte: lambda data: data[:place] + bytes([data[place] ^ byte]) + data[place + 1:]
    for name, change, word in [
        ("length", at(7, 1), "length"), ("magic", at(8, 1), "begins with"), ("bitmap", at(30, 1), "checksum"),
        ("cut", lambda data: data[:20], "20 bytes"),
    ]:
        files = puffin(lake, table, [(one, [0, 2], [])], change)
        commit(lake, "d.damaged", files, version=3)
        lake.refuses(read, "L0118", word, files[0].file_path.rsplit("/", 1)[1])
        commit(lake, "d.damaged", [], version=3, gone=[files[0].file_path])
    file = puffin(lake, table, [(one, [0, 2], [])], counts=lambda _: 5)[0]
    commit(lake, "d.damaged", [file], version=3)
    lake.refuses(read, "L0118", "holds 2 positions", "says 5")
    commit(lake, "d.damaged", [], version=3, gone=[file.file_path])
    commit(lake, "d.damaged", puffin(lake, table, [(one, [0], [])]) + puffin(lake, table, [(one, [1], [])]), version=3)
    lake.refuses(read, "two deletion vectors")


def by_value(lake):
    nan, zero = float("nan"), 0.0
    schema = Schema(optional(1, "id", LongType()), optional(2, "k", StringType()), optional(3, "x", DoubleType()))
    batches = [
        {"id": [1, 2, 3, 4, 5, 6], "k": ["a", "b", None, None, "a", "c"], "x": [1.0, nan, None, zero, -zero, 1.0]},
        {"id": [7, 8], "k": ["a", None], "x": [zero, nan]},
    ]
    table, _ = appended(lake, "d.values", schema, batches)
    commit(lake, "d.values", [equality(lake, table, [("k", pa.string(), 2, ["c", "nobody"])])])
    lake.gives("SELECT id FROM d.values", [(1,), (2,), (3,), (4,), (5,), (7,), (8,)])
    lake.gives("SELECT count(*) FROM d.values", [(7,)])
    lake.gives("SELECT sum(x) FROM d.values WHERE id IN (1, 6)", [(1.0,)])
    # NULL is equal to NULL in each column, NaN to NaN, and the two zeros are two values.
    both = equality(lake, table, [("x", pa.float64(), 3, [None, nan, zero]), ("k", pa.string(), 2, [None, "b", "a"])])
    commit(lake, "d.values", [both])
    lake.gives("SELECT id FROM d.values", [(1,), (4,), (5,), (8,)])
    # Rows written later with the keys of old deletes stay.
    lake.gives("SELECT id FROM d.values WHERE k IS NULL", [(4,), (8,)])
    table = lake.catalog.load_table("d.values")
    table.append(pa.table({"id": [9, 10], "k": ["c", "b"], "x": [None, nan]}, schema=schema_to_pyarrow(table.schema())))
    lake.gives("SELECT id FROM d.values", [(1,), (4,), (5,), (8,), (9,), (10,)])
    table = lake.catalog.load_table("d.values")
    path = files_of(table)[-1]
    # Position deletes beside, for the file that these values are in as well.
    old = next(p for p in files_of(table) if pq.read_table(p.removeprefix("file://")).num_rows == 6)
    commit(lake, "d.values", [positions(lake, table, [(old, 0)]), equality(lake, table, [("id", pa.int64(), 1, [10, 4, 77])])])
    lake.gives("SELECT id FROM d.values", [(5,), (8,), (9,)])
    lake.gives("SELECT k, x FROM d.values WHERE id = 9", [("c", None)])
    lake.gives("SELECT count(k), count(x) FROM d.values", [(2, 2)])


def by_partition(lake):
    """Equality deletes of a partition are its own; those of a spec without fields are everybody's."""
    schema = Schema(optional(1, "id", LongType()), optional(2, "r", StringType()), optional(3, "n", LongType()))
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="r"))
    table = lake.catalog.create_table("d.parts", schema)
    add = lambda **columns: table.append(pa.table(columns, schema=schema_to_pyarrow(table.schema())))
    add(id=[1, 2], r=["eu", "us"], n=[1, 1])
    with table.update_spec() as change:
        change.add_field("r", IdentityTransform(), "r")
    table = lake.catalog.load_table("d.parts")
    add(id=[3, 4, 5, 6], r=["eu", "us", None, "eu"], n=[1, 1, 1, 2])
    key = lambda *n: [("n", pa.int64(), 3, list(n))]
    commit(lake, "d.parts", [equality(lake, table, key(1), partition=("eu",))])
    lake.gives("SELECT id FROM d.parts", [(1,), (2,), (4,), (5,), (6,)])
    commit(lake, "d.parts", [equality(lake, table, key(1), partition=(None,))])
    lake.gives("SELECT id FROM d.parts", [(1,), (2,), (4,), (6,)])
    commit(lake, "d.parts", [equality(lake, table, key(2), spec=0)], spec=0)
    lake.gives("SELECT id FROM d.parts", [(1,), (2,), (4,)])
    commit(lake, "d.parts", [equality(lake, table, key(1), spec=0)], spec=0)
    lake.gives("SELECT id FROM d.parts", [])
    lake.gives("SELECT count(*), max(id) FROM d.parts WHERE r = 'us'", [(0, None)])


def by_old_columns(lake):
    """Keys of before a promotion, of columns that came later or are gone, and of fields within structs."""
    schema = Schema(
        optional(1, "id", LongType()), optional(2, "n", IntegerType()), optional(3, "f", FloatType()), optional(4, "old", StringType()),
        optional(5, "s", StructType(optional(6, "a", IntegerType()), optional(7, "b", StringType()))),
        optional(8, "at", TimestamptzType()),
    )
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone.utc)
    table, _ = appended(lake, "d.old", schema, [{
        "id": [1, 2, 3, 4], "n": [1, 2, 3, None], "f": [0.1, 0.2, None, 1.5], "old": ["x", "y", None, "z"],
        "s": [{"a": 1, "b": "p"}, {"a": None, "b": "q"}, None, {"a": 4, "b": None}], "at": [at, None, None, None],
    }])
    narrow = equality(lake, table, [("n", pa.int32(), 2, [2])])
    float_key = equality(lake, table, [("f", pa.float32(), 3, [0.1])])
    by_old = equality(lake, table, [("old", pa.string(), 4, ["z"])])
    with table.update_schema() as change:
        change.update_column("n", LongType())
        change.update_column("f", DoubleType())
        change.rename_column("id", "key")
        change.delete_column("old")
        change.add_column("later", StringType())
        change.add_column("old", LongType())
    table = lake.catalog.load_table("d.old")
    table.append(pa.table({
        "key": [5, 6], "n": [1 << 40, 2], "f": [0.1, 0.25], "s": [{"a": 9, "b": "r"}, None], "at": [None, at], "later": ["l", None], "old": [1, 2],
    }, schema=schema_to_pyarrow(table.schema())))
    keys = lambda: "SELECT key FROM d.old"
    lake.gives(keys(), [(i,) for i in range(1, 7)])
    commit(lake, "d.old", [narrow])
    lake.gives(keys(), [(1,), (3,), (4,), (5,)])
    # 0.1 as FLOAT is another number than 0.1 as DOUBLE.
    commit(lake, "d.old", [float_key])
    lake.gives(keys(), [(3,), (4,), (5,)])
    commit(lake, "d.old", [by_old])
    lake.gives(keys(), [(3,), (5,)])
    table = lake.catalog.load_table("d.old")
    # PyIceberg numbers the fields anew.
    outer, within = table.schema().find_field("s").field_id, table.schema().find_field("s.b").field_id
    inner = pa.struct([pa.field("b", pa.string(), metadata={b"PARQUET:field_id": str(within).encode()})])
    commit(lake, "d.old", [equality(lake, table, [("s", inner, outer, [{"b": "r"}, {"b": "nobody"}])], ids=[within])])
    lake.gives(keys(), [(3,)])
    id = next(f.field_id for f in table.schema().fields if f.name == "later")
    commit(lake, "d.old", [equality(lake, table, [("later", pa.string(), id, ["l"])])])
    lake.gives(keys(), [(3,)])
    # The file has no such column: NULL there.
    commit(lake, "d.old", [equality(lake, table, [("later", pa.string(), id, [None]), ("key", pa.int64(), 1, [3])])])
    lake.gives(keys(), [])


def by_partition_value(lake):
    """A key column that is in no data file: its value is the partition's."""
    schema = Schema(optional(1, "id", LongType()), optional(2, "r", StringType()))
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="r"))
    mapping = {"schema.name-mapping.default": schema.name_mapping.model_dump_json()}
    table = lake.catalog.create_table("d.hive", schema, partition_spec=spec, properties=mapping)
    files = []
    for n, region in enumerate(["eu", "us", None]):
        path = lake.folder / f"d-hive-{n}.parquet"
        pq.write_table(pa.table({"id": pa.array([10 * n, 10 * n + 1], pa.int64())}), path)
        files.append(listed(path, table, (region,), 2))
    take_over(table, files)
    table = lake.catalog.load_table("d.hive")
    delete = lambda region: equality(lake, table, [("r", pa.string(), 2, [region]), ("id", pa.int64(), 1, [1 if region == "eu" else 21])], partition=(region,))
    commit(lake, "d.hive", [delete("eu"), delete(None)])
    lake.gives("SELECT id, r FROM d.hive", [(0, "eu"), (10, "us"), (11, "us"), (20, None)])


def refused(lake):
    table, (one,) = appended(lake, "d.refused", NUMBERS, [{"id": [1, 2, 3], "k": list("abc")}])
    path = lake.folder / "deletes.orc"
    path.write_bytes(b"ORC")
    for kind in (DataFileContent.POSITION_DELETES, DataFileContent.EQUALITY_DELETES):
        file = entry(2, f"file://{path}", table, kind, FileFormat.ORC, 1, equality_ids=[1])
        commit(lake, "d.refused", [file])
        lake.refuses("SELECT * FROM d.refused", "L0109", "deletes.orc", "orc", '"d.refused"')
        commit(lake, "d.refused", [], gone=[file.file_path])
    lacks = equality(lake, table, [("k", pa.string(), 2, ["a"])], ids=[1, 2])
    commit(lake, "d.refused", [lacks])
    lake.refuses("SELECT * FROM d.refused", "L0118", "lacks a column")
    commit(lake, "d.refused", [], gone=[lacks.file_path])
    lake.gives("SELECT id FROM d.refused", [(1,), (2,), (3,)])
    for name, format in (("orc", FileFormat.ORC), ("avro", FileFormat.AVRO)):
        table, _ = appended(lake, f"d.{name}", NUMBERS, [{"id": [1], "k": ["a"]}])
        data = lake.folder / f"rows.{name}"
        data.write_bytes(b"rows")
        take_over(table, [entry(2, f"file://{data}", table, DataFileContent.DATA, format, 1)])
        lake.refuses(f"SELECT * FROM d.{name}", "L0109", f"rows.{name}", f"in {name}", f'"d.{name}"')
        lake.gives(f'SELECT count(*) FROM d."{name}$files"', [(2,)])
    lake.gives("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'd' AND table_name IN ('orc', 'avro')", [(2,)])


def nanoseconds(lake):
    """Times of nanoseconds, as columns and as what partitions are made of."""
    schema = Schema(optional(1, "id", LongType()), optional(2, "t", TimestampType()), optional(3, "z", TimestamptzType()))

    def newer(metadata):
        metadata["format-version"] = 3
        metadata["next-row-id"] = 100
        for snapshot in metadata["snapshots"]:
            snapshot |= {"first-row-id": 0, "added-rows": 10}
        for of in metadata["schemas"]:
            for field in of["fields"]:
                field["type"] = {"timestamp": "timestamp_ns", "timestamptz": "timestamptz_ns"}.get(field["type"], field["type"])

    def in_avro(part):
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
            in_avro(inner)
        if isinstance(part, dict) and part.get("logicalType") == "timestamp-micros":
            part["logicalType"] = "timestamp-nanos"

    values = [1_700_000_000_123_456, -1, None, 1_700_000_000_123_457]
    columns = {
        "id": pa.array([1, 2, 3, 4], pa.int64()), "t": pa.array(values, pa.timestamp("ns")), "z": pa.array(values, pa.timestamp("ns", "UTC")),
    }
    fields = [pa.field(name, array.type, metadata={b"PARQUET:field_id": str(n + 1).encode()}) for n, (name, array) in enumerate(columns.items())]

    def made(name, spec, parts):
        table = lake.catalog.create_table(name, schema, partition_spec=spec)
        files = []
        for partition, rows in parts:
            path = lake.folder / f"{name}-{len(files)}.parquet"
            pq.write_table(pa.Table.from_arrays([a.take(pa.array(rows)) for a in columns.values()], schema=pa.schema(fields)), path)
            files.append(listed(path, table, partition, len(rows)))
        take_over(table, files)
        lake.edit(name, newer)
        for manifest in table.current_snapshot().manifests(table.io):
            reads.edit_header(manifest.manifest_path, lambda of: newer({"snapshots": [], "schemas": [of]}))
            reads.edit_header(manifest.manifest_path, in_avro, within="avro.schema")

    ask = lambda name: f"SELECT id, CAST(t AS BIGINT), CAST(z AS BIGINT) FROM {name}"
    rows = [(n + 1, value, value) for n, value in enumerate(values)]
    made("d.ns", PartitionSpec(), [((), [0, 1, 2, 3])])
    lake.gives(ask("d.ns"), rows)
    lake.gives(f"SELECT id FROM d.ns WHERE CAST(t AS BIGINT) > {values[0]}", [(4,)])
    lake.gives("SELECT id FROM d.ns WHERE z >= TIMESTAMPTZ '1970-01-20 16:13:20Z'", [(1,), (4,)])
    lake.gives("SELECT id FROM d.ns WHERE t IS NULL", [(3,)])
    from pyiceberg.transforms import DayTransform
    day = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=DayTransform(), name="t_day"))
    made("d.ns_day", day, [((19,), [0, 3]), ((-1,), [1]), ((None,), [2])])
    lake.gives(ask("d.ns_day"), rows)
    lake.gives("SELECT id FROM d.ns_day WHERE t >= TIMESTAMP '1970-01-20'", [(1,), (4,)])
    bucket = PartitionSpec(PartitionField(source_id=3, field_id=1000, transform=BucketTransform(4), name="z_bucket"))
    made("d.ns_bucket", bucket, [((1,), [0, 3]), ((2,), [1]), ((None,), [2])])
    lake.gives(ask("d.ns_bucket"), rows)
    # The value itself: a `long` of nanoseconds in the manifest.
    identity = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="t"))
    made("d.ns_value", identity, [((values[0],), [0]), ((-1,), [1]), ((None,), [2]), ((values[3],), [3])])
    lake.gives(ask("d.ns_value"), rows)
    lake.gives("SELECT id FROM d.ns_value WHERE t < TIMESTAMP '1970-01-01 00:00:00'", [(2,)])


BASE = "CREATE EXTERNAL TABLE v.base (id BIGINT, k STRING, x BIGINT);\n"
KEPT = "CREATE MATERIALIZED VIEW v.kept AS SELECT id, k FROM v.base WHERE id > 1;\n"
SUMS = "CREATE MATERIALIZED VIEW v.sums AS SELECT k, count(*) AS n, sum(x) AS s FROM v.base GROUP BY k;\n"


def views(lake):
    """Views follow the deletes in a table below them from what changed, back and forth."""
    folder = lake.project / "v"
    folder.mkdir()
    for name, text in (("base", BASE), ("kept", KEPT), ("sums", SUMS)):
        (folder / f"{name}.sql").write_text(text)

    def ingot(*command):
        options = ["--project", str(lake.project), "--set", f"warehouse.location={lake.folder}"]
        done = subprocess.run([lake.ingot, *command, *options], capture_output=True, timeout=120)
        said(done.returncode == 0, " ".join(command), done.stderr.decode()[-600:])

    rows = {1: ("a", 1), 2: ("a", 2), 3: ("b", 3), 4: (None, 4), 5: ("b", 5), 6: ("c", 6), 7: ("c", 7), 8: ("d", 8), 9: ("d", 8)}

    def follow(what, *ids):
        for view in ("v.kept", "v.sums"):
            ingot("refresh", view)
        groups = {k: [x for i in ids for of, x in [rows[i]] if of == k] for k in {rows[i][0] for i in ids}}
        lake.gives("SELECT id, k FROM v.kept", [(i, rows[i][0]) for i in ids if i > 1])
        lake.gives("SELECT k, n, CAST(s AS BIGINT) FROM v.sums", [(k, len(x), sum(x)) for k, x in groups.items()])
        for view in ("kept", "sums"):
            newest = f"SELECT summary['ingot.refresh.mode'] FROM v.\"{view}$snapshots\" ORDER BY committed_at DESC LIMIT 1"
            lake.gives(newest, [("incremental",)])
        ingot("verify", "v.kept", "v.sums")
        print(f"      {what}", flush=True)

    lake.catalog.create_namespace("v")
    schema = Schema(optional(1, "id", LongType()), optional(2, "k", StringType()), optional(3, "x", LongType()))
    table, (one,) = appended(lake, "v.base", schema, [{"id": list(rows), "k": [k for k, _ in rows.values()], "x": [x for _, x in rows.values()]}])
    first = table.current_snapshot().snapshot_id
    at = list(rows).index
    ids = {f.name: f.field_id for f in table.schema().fields}
    ingot("run", "--once")
    commit(lake, "v.base", [positions(lake, table, [(one, at(2)), (one, at(8))])])
    follow("positions", 1, 3, 4, 5, 6, 7, 9)
    commit(lake, "v.base", [equality(lake, table, [("k", pa.string(), ids["k"], ["b", None])])])
    follow("values", 1, 6, 7, 9)
    # What one delete took another takes again.
    commit(lake, "v.base", [positions(lake, table, [(one, at(3)), (one, at(6))])])
    follow("positions of rows that are gone", 1, 7, 9)
    lake.catalog.load_table("v.base").manage_snapshots().rollback_to_snapshot(first).commit()
    follow("a rollback", *rows)
    commit(lake, "v.base", [equality(lake, table, [("id", pa.int64(), ids["id"], [9, 1])])])
    follow("values again", 2, 3, 4, 5, 6, 7, 8)
    commit(lake, "v.base", puffin(lake, table, [(one, sorted(at(i) for i in (2, 9)), [])]), version=3)
    follow("a vector", 3, 4, 5, 6, 7, 8)


def by_spark(lake):
    """What Spark and Java's library deleted, step by step, is what Spark reads."""
    answers, services = lake.folder.parent / "answers.json", Path(__file__).parent.parent / "services"
    uri, warehouse = f"sqlite:///{lake.folder}/catalog.db", f"file://{lake.folder}"
    script = Path(__file__).parent / "deletes_spark.py"
    subprocess.run([services / "spark.sh", "run", script, "--catalog-uri", uri, "--warehouse", warehouse, "--answers", answers], check=True)
    told = {}
    for table, snapshot, rows in json.loads(answers.read_text()):
        lake.gives(f"SELECT id, k, CAST(d AS VARCHAR), s['a'], s['b'], r FROM {table} FOR VERSION AS OF {snapshot}", rows)
        told[table] = rows
    for table, rows in told.items():
        some = [row[:2] for row in rows if row[0] > 1000 and row[1] == "merged"]
        lake.gives(f"SELECT id, k FROM {table} WHERE id > 1000 AND k = 'merged'", some)
        kinds = lake.ask(f'SELECT content, file_format, count(*) FROM {table.replace(".", chr(46) + chr(34))}$files" GROUP BY content, file_format')
        print(f"      {table}: {kinds.to_pylist()}", flush=True)


PARTS = {
    "positions": by_position, "vectors": by_vector, "both": vector_and_positions, "damaged": damaged_vectors, "values": by_value,
    "partitions": by_partition, "old": by_old_columns, "hive": by_partition_value, "refused": refused, "nanoseconds": nanoseconds,
    "views": views,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--only", nargs="*", choices=[*PARTS, "spark"], default=list(PARTS), help="spark: takes minutes")
    args = parser.parse_args()
    lake = Lake(args)
    lake.catalog.create_namespace("d")
    for name in args.only:
        print(f"== {name}", flush=True)
        (PARTS | {"spark": by_spark})[name](lake)
    print(f"{reads.RIGHT} right, {reads.WRONG} wrong")


if __name__ == "__main__":
    main()
