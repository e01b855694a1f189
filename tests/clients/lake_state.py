"""What stands in the lake at this moment, also right after a crash, before anything recovers.

    catalog (read-only) ─▶ metadata ─▶ every snapshot's manifests ─▶ every file: is it there, whole?
                                          └─▶ rows of any snapshot

Reads SQLite, JSON, Avro (PyIceberg) and Parquet (PyArrow); shares no code with Ingot. What cannot change under a name is
read once.

Not here: which rows are right (`crash.py`).
"""

import json
import os
import sqlite3
from contextlib import closing, suppress

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFileContent, ManifestEntryStatus, read_manifest_list

from judge import ARROW, rows_of
from layers import TABLES, fold_positions

POSITIONS = "ingot.kafka.positions"


class Table:
    def __init__(self, metadata):
        self.metadata = metadata
        self.snapshots = {s["snapshot-id"]: s for s in metadata.get("snapshots", [])}
        head = metadata.get("current-snapshot-id")
        self.head = self.snapshots.get(head)

    def ancestry(self):
        at = self.head
        while at is not None:
            yield at
            at = self.snapshots.get(at.get("parent-snapshot-id"))

    def positions(self):
        """The recorded entry of each partition."""
        return fold_positions(s["summary"].get(POSITIONS) for s in self.ancestry())[1]

    def sources(self):
        """The snapshot of each source that the newest refresh stands on; None before the first."""
        for snapshot in self.ancestry():
            if text := snapshot["summary"].get("ingot.sources"):
                return {s["table"]: s["snapshot-id"] for s in json.loads(text)}
        return None


class LakeState:
    """`s3`: PyIceberg's s3.* properties, or nothing for local disk."""

    def __init__(self, catalog, warehouse, s3=None):
        self.catalog, self.warehouse, self.s3 = catalog, warehouse, s3
        self.io = PyArrowFileIO(s3 or {})
        self.lists, self.manifests, self.columns = {}, {}, {}
        self.tables, self.files, self.lost = {}, {}, []

    def pointers(self):
        if not os.path.exists(self.catalog):
            return {}
        # Read-only: the crashed process' write-ahead log is left for Ingot to recover.
        with closing(sqlite3.connect(f"file:{self.catalog}?mode=ro", uri=True, timeout=30)) as connection:
            try:
                found = connection.execute("SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables")
                return dict(found.fetchall())
            except sqlite3.OperationalError as e:
                if "no such table" in str(e):
                    return {}
                raise

    def listing(self):
        """Every file of the warehouse with its size."""
        if self.s3 is None:
            root = self.warehouse.removeprefix("file://")
            found = {}
            for folder, _, names in os.walk(root):
                for name in names:
                    with suppress(FileNotFoundError):       # a temporary file, renamed by who is still at work
                        if not name.startswith("catalog.db"):
                            found["file://" + os.path.join(folder, name)] = os.path.getsize(os.path.join(folder, name))
            return found
        from pyarrow.fs import FileSelector
        fs = self.io.fs_by_scheme("s3", None)
        found = fs.get_file_info(FileSelector(self.warehouse.removeprefix("s3://"), recursive=True, allow_not_found=True))
        return {"s3://" + info.path: info.size for info in found if info.is_file}

    def load(self):
        """Reads the catalog and all metadata as they are now."""
        pointers = self.pointers()
        self.files = self.listing()         # after them: a file that they name is older than they are
        self.lost = [f"{name}: its metadata {at} is missing" for name, at in pointers.items() if at not in self.files]
        self.tables = {name: Table(json.loads(self.read(at))) for name, at in pointers.items() if at in self.files}
        return self

    def read(self, location):
        with self.io.new_input(location).open() as stream:
            return stream.read()

    def manifests_of(self, snapshot):
        at = snapshot["manifest-list"]
        if at not in self.lists:
            self.lists[at] = list(read_manifest_list(self.io.new_input(at)))
        return self.lists[at]

    def entries(self, manifest):
        if manifest.manifest_path not in self.manifests:
            entries = manifest.fetch_manifest_entry(self.io, discard_deleted=False)
            self.manifests[manifest.manifest_path] = [
                (e.data_file.content, e.data_file.file_path, e.data_file.file_size_in_bytes)
                for e in entries if e.status != ManifestEntryStatus.DELETED]
        return self.manifests[manifest.manifest_path]

    def missing(self):
        """What a live snapshot names and the store does not hold, or not whole."""
        wrong = list(self.lost)
        for name, table in self.tables.items():
            for snapshot in table.snapshots.values():
                if snapshot["manifest-list"] not in self.files:
                    wrong.append(f"{name}: {snapshot['manifest-list']} is missing")
                    continue
                for manifest in self.manifests_of(snapshot):
                    at = manifest.manifest_path
                    if self.files.get(at) != manifest.manifest_length:
                        wrong.append(f"{name}: {at} has {self.files.get(at)} bytes, not {manifest.manifest_length}")
                        continue
                    wrong += [f"{name}: {path} has {self.files.get(path)} bytes, not {size}"
                              for _, path, size in self.entries(manifest) if self.files.get(path) != size]
        return wrong

    def live(self, snapshot):
        """Paths of data files, and the positions in them that delete files take away."""
        data, gone = [], {}
        for manifest in self.manifests_of(snapshot):
            for content, path, _ in self.entries(manifest):
                if content == DataFileContent.DATA:
                    data.append(path)
                elif content == DataFileContent.POSITION_DELETES:
                    for of, at in self.values(path, [("file_path", "string"), ("pos", "long")]):
                        gone.setdefault(of, set()).add(at)
                else:
                    raise ValueError(f"{path}: {content}")
        return data, gone

    def values(self, path, declared):
        """The rows of a file as tuples of these columns; NULL where an older file lacks one."""
        if path not in self.columns:
            with self.io.new_input(path).open() as stream:
                table = pq.read_table(pa.BufferReader(stream.read()))
            for name, kind in declared:
                if name not in table.column_names:
                    table = table.append_column(name, pa.nulls(len(table), ARROW[kind]))
            self.columns[path] = rows_of(table.select([n for n, _ in declared]), declared)
        return self.columns[path]

    def rows(self, name, snapshot_id=None, declared=None):
        """All rows of a table, at a snapshot or at its head; doubles by their bits."""
        table = self.tables.get(name)
        if table is None or table.head is None:
            return []
        snapshot = table.head if snapshot_id is None else table.snapshots[snapshot_id]
        data, gone = self.live(snapshot)
        declared = declared or TABLES[name]
        out = []
        for path in data:
            rows = self.values(path, declared)
            taken = gone.get(path)
            out += rows if not taken else [row for at, row in enumerate(rows) if at not in taken]
        return out
