"""What one changed row costs in a view that is kept by key, against the size of the view.

    rows.py --ingot BINARY --work FOLDER [--keys N...] [--runs N]

PyIceberg writes a table of N keys and takes one row of it for another, again and again; a view sums it by key, and another one
sums that view. Beside the CPU seconds of the whole command (process start and planning in them) stand those of a run that has
nothing to do, and the bytes that the tables of the views grew by: data, deletes and metadata.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField

SQL = """
CREATE EXTERNAL TABLE shop.facts (k BIGINT, v BIGINT);
"""
SUMS = "CREATE MATERIALIZED VIEW silver.sums AS SELECT k, sum(v) AS total, count(*) AS n FROM shop.facts GROUP BY k;"
REST = "CREATE MATERIALIZED VIEW gold.rest AS SELECT k % 100 AS g, sum(total) AS total, count(*) AS n FROM silver.sums GROUP BY 1;"


def size(folder):
    """Bytes of data and deletes, and of metadata, below a folder."""
    data = metadata = 0
    for at, _, files in os.walk(folder):
        total = sum(os.path.getsize(Path(at) / name) for name in files)
        data, metadata = (data, metadata + total) if at.endswith("metadata") else (data + total, metadata)
    return data, metadata


class Case:
    def __init__(self, args, keys):
        self.ingot, self.folder = args.ingot, Path(args.work) / f"{keys}"
        self.lake, self.project = self.folder / "lake", self.folder / "sql"
        self.lake.mkdir(parents=True)
        self.project.mkdir()
        for name, text in (("facts", SQL), ("sums", SUMS), ("rest", REST)):
            (self.project / f"{name}.sql").write_text(text)
        catalog = SqlCatalog("ingot", uri=f"sqlite:///{self.lake}/catalog.db", warehouse=f"file://{self.lake}")
        for namespace in ("shop", "silver", "gold"):
            catalog.create_namespace(namespace)
        schema = Schema(*[NestedField(i, name, LongType(), required=False) for i, name in ((1, "k"), (2, "v"))])
        self.table, self.keys = catalog.create_table("shop.facts", schema), keys
        # Keys in no order.
        self.append([(n * 7919) % keys for n in range(keys)])

    def append(self, keys):
        rows = pa.table({"k": keys, "v": [1] * len(keys)}, schema=schema_to_pyarrow(self.table.schema()))
        self.table.append(rows)

    def run(self):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        options = ["--project", str(self.project), "--set", f"warehouse.location={self.lake}", "--set", "upkeep.enabled=false"]
        done = subprocess.run([self.ingot, "run", "--once", *options], capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began

    def views(self):
        sizes = [size(self.lake / name) for name in ("silver", "gold") if (self.lake / name).exists()]
        return sum(data for data, _ in sizes), sum(metadata for _, metadata in sizes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--keys", nargs="*", type=int, default=[20_000, 200_000, 2_000_000])
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    print(f"{'keys':>9} {'build':>8} {'idle':>7} {'change':>7} {'wall':>7} {'data written':>13} {'metadata':>9}")
    for keys in args.keys:
        case = Case(args, keys)
        build, _ = case.run()
        idle = statistics.median(case.run()[0] for _ in range(3))
        changes = []
        for n in range(args.runs):
            case.append([(n * 104_729) % keys])
            before = case.views()
            cpu, wall = case.run()
            after = case.views()
            changes.append((cpu, wall, after[0] - before[0], after[1] - before[1]))
        cpu, wall, data, metadata = (statistics.median(of) for of in zip(*changes))
        print(f"{keys:>9} {build:>7.2f}s {idle:>6.2f}s {cpu:>6.2f}s {wall:>6.2f}s {data:>13,.0f} {metadata:>9,.0f}", flush=True)
        shutil.rmtree(case.folder)


main()
