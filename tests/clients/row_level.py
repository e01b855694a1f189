"""Views whose rows leave by delete files, judged by others (tests/e2e/row_level.sh).

    row_level.py --ingot BINARY --work FOLDER [--only PART...]

PyIceberg writes an external table; views over it are refreshed by Ingot. What a view must hold is computed by DuckDB over
PyIceberg's scan of the source, and read of the view by PyIceberg, which applies its delete files; where DuckDB's Iceberg
extension is installed (duckdb-extension-iceberg), by DuckDB too. Totals are counted from the manifests by PyIceberg.
"""

import argparse
import json
import os
import random
import subprocess
from pathlib import Path

import duckdb
import pyarrow.compute as pc
from pyiceberg.expressions import In
from pyiceberg.manifest import DataFileContent
from pyiceberg.table.puffin import PuffinFile
from pyiceberg.types import LongType

import external
from external import Lake, Project, field, rows, rows_of, said

SOURCE = "shop.eu.orders"


def declared(version):
    """The project's files, its views in a format version of Iceberg."""
    ways = f"TBLPROPERTIES ('write.merge.mode' = 'merge-on-read', 'write.delete.mode' = 'merge-on-read', 'format-version' = '{version}')"
    return {
        "source": "CREATE EXTERNAL TABLE shop.eu.orders (id BIGINT NOT NULL, k BIGINT, v BIGINT);",
        "sums": f"CREATE MATERIALIZED VIEW silver.sums {ways} AS SELECT k, sum(v) AS total, count(*) AS n FROM shop.eu.orders GROUP BY k;",
        "large": f"CREATE MATERIALIZED VIEW silver.large {ways} AS SELECT k, total FROM silver.sums WHERE total > 100;",
        "rest": f"CREATE MATERIALIZED VIEW gold.rest PARTITIONED BY (r) {ways} "
                "AS SELECT total % 3 AS r, k % 7 AS g, count(*) AS n FROM silver.sums GROUP BY 1, 2;",
    }


SUMS = "SELECT k, sum(v)::BIGINT AS total, count(*) AS n FROM orders GROUP BY k"
VIEWS = {
    "silver.sums": SUMS,
    "silver.large": f"SELECT k, total FROM ({SUMS}) WHERE total > 100",
    "gold.rest": f"SELECT total % 3 AS r, k % 7 AS g, count(*) AS n FROM ({SUMS}) GROUP BY 1, 2",
}


def files(table):
    """The live files of a table: those of rows, and those of deletes."""
    entries = [e.data_file for m in table.current_snapshot().manifests(table.io) for e in m.fetch_manifest_entry(table.io)]
    return [f for f in entries if f.content == DataFileContent.DATA], [f for f in entries if f.content != DataFileContent.DATA]


class Judge:
    def __init__(self, lake):
        self.lake, self.had_deletes = lake, {}

    def source(self):
        duck = duckdb.connect()
        duck.register("orders", self.lake.scan(SOURCE))
        return duck

    def views(self, step):
        """Rows and totals of each view."""
        self.rows(step, totals=True)

    def rows(self, step, totals=False):
        duck = self.source()
        for name, sql in VIEWS.items():
            wanted = rows_of(duck.sql(sql).to_arrow_table())
            table = self.lake.table(name)
            found = rows_of(table.scan().to_arrow())
            said(found == wanted, f"{step}: PyIceberg reads {name} as DuckDB computes it, {len(wanted)} rows", f"{found}\nnot\n{wanted}")
            if totals:
                self.totals(step, name, table)

    def totals(self, step, name, table):
        data, deletes = files(table)
        is_third = table.metadata.format_version == 3
        vectors = [blob for f in deletes if is_third for blob in PuffinFile(table.io.new_input(f.file_path).open().read()).footer.blobs]
        summary = table.current_snapshot().summary.additional_properties
        counted = {
            "total-data-files": len(data), "total-records": sum(f.record_count for f in data),
            "total-delete-files": len(deletes), "total-position-deletes": sum(f.record_count for f in deletes),
            "total-equality-deletes": 0, # A vector counts for itself, not for the file that it is in.
            "total-files-size": sum(f.file_size_in_bytes for f in data + ([] if is_third else deletes)) + sum(v.length for v in vectors),
        }
        told = {key: int(summary.get(key, 0)) for key in counted}
        said(told == counted, f"{step}: the totals of {name} are what its manifests hold", f"{told}\nnot\n{counted}")
        paths = {f.file_path for f in data}
        # A vector names its data file; of a file of positions the bounds do.
        if is_third:
            named = [v.properties["referenced-data-file"] for v in vectors]
            held = sum(int(v.properties["cardinality"]) for v in vectors)
            said(held == counted["total-position-deletes"], f"{step}: the vectors of {name} say how many positions they hold", held)
        else:
            named = [f.lower_bounds[2147483546].decode() for f in deletes]
        said(len(set(named)) == len(named) and set(named) <= paths, f"{step}: {name} has one delete file a data file, of live ones", named)
        self.had_deletes[name] = self.had_deletes.get(name, 0) + len(deletes)


def change(lake, dice, table, size):
    """PyIceberg takes some rows and brings others."""
    old = table.scan().to_arrow()
    if old.num_rows:
        gone = dice.sample(old.column("id").to_pylist(), min(old.num_rows, dice.randrange(1, 6)))
        table.delete(In("id", gone))
    first = (pc.max(old.column("id")).as_py() + 1) if old.num_rows else 0
    ids = list(range(first, first + size))
    table.append(rows(table, id=ids, k=[dice.randrange(60) for _ in ids], v=[dice.randrange(90) for _ in ids]))


def started(lake, version):
    table = lake.made(SOURCE, field(1, "id", LongType(), True), field(2, "k", LongType()), field(3, "v", LongType()))
    project = Project(lake, "rows", **declared(version))
    return table, project, Judge(lake), random.Random(7)


def steps(lake, version):
    table, project, judge, dice = started(lake, version)
    change(lake, dice, table, 200)
    project.refreshed("the first rows", sums="create", large="create", rest="create")
    judge.views("the first rows")
    for n in range(8):
        change(lake, dice, table, dice.randrange(1, 9))
        project.refreshed(f"change {n}", sums="incremental")
        judge.views(f"change {n}")
        if n % 4 == 3:
            project.run("maintain", "silver.sums", "gold.rest", text="maintain folds deletes in")
            data, deletes = files(lake.table("silver.sums"))
            said(not deletes and len(data) == 1, "nothing is left to fold in", f"{len(data)} and {len(deletes)} files")
            judge.views(f"upkeep after {n}")
            project.refreshed("upkeep, which changed no row", sums="nothing", large="nothing", rest="nothing")
    said(all(judge.had_deletes.get(name, 0) > 0 for name in VIEWS), "each view had delete files", judge.had_deletes)
    project.run("verify", "silver.sums", "silver.large", "gold.rest")


def kills(lake, version):
    """Killed where delete files are written, and around the commit that has them: the next run is right, the files orphans."""
    table, project, judge, dice = started(lake, version)
    change(lake, dice, table, 200)
    project.refreshed("the first rows", sums="create", large="create", rest="create")
    for view in VIEWS:
        # The second time that files are written, they are those of deletes.
        for point, time in (("files_written", 2), ("commit.before_swap", 1), ("commit.after_swap", 1)):
            table.refresh()
            change(lake, dice, table, 5)
            options = ["--project", str(project.folder), "--set", f"warehouse.location={lake.folder}", "--set", "project.name=rows"]
            done = subprocess.run([lake.ingot, "run", *options, "--once"], capture_output=True, timeout=120,
                                  env=os.environ | {"INGOT_CRASH": f"{point}:{view}=kill@{time}"})
            said(done.returncode == -9, f"killed at {point} of {view}", done.stderr.decode()[-400:])
            project.run("run", "--once", text=f"after {point} of {view} it goes on")
            judge.views(f"{point} of {view}")
    said(sum(judge.had_deletes.values()) > 0, "there were delete files", judge.had_deletes)
    project.run("verify", "silver.sums", "silver.large", "gold.rest")


def upgraded(lake):
    """A view that becomes one of format version 3: its next commit takes the delete files in, and upkeep folds all of them."""
    table, project, judge, dice = started(lake, 2)
    change(lake, dice, table, 200)
    project.refreshed("the first rows", sums="create", large="create", rest="create")
    change(lake, dice, table, 9)
    project.run("run", "--once", text="with delete files")
    judge.views("version 2")
    for file, text in declared(3).items():
        project.write(file, text)
    project.run("run", "--once", text="the definition applies")
    judge.rows("version 3")
    for n in range(3):
        change(lake, dice, table, 9)
        project.refreshed(f"change {n}", sums="incremental")
        judge.rows(f"change {n}")
    project.run("maintain", text="maintain")
    judge.rows("upkeep")
    versions = {name: lake.table(name).metadata.format_version for name in VIEWS}
    said(set(versions.values()) == {3}, "each view is of version 3", versions)
    project.run("verify", "silver.sums", "silver.large", "gold.rest")


class Spark:
    """One session over the lake, fed with statements."""

    def __init__(self, lake):
        services = Path(__file__).parent.parent / "services"
        script = Path(__file__).parent / "spark_session.py"
        uri = f"sqlite:///{lake.folder}/catalog.db"
        self.process = subprocess.Popen(
            [services / "spark.sh", "run", script, "--catalog-uri", uri, "--warehouse", f"file://{lake.folder}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout.readline().startswith("ok")

    def ask(self, sql):
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer.startswith("ok "):
            raise ValueError(answer)
        return json.loads(answer.removeprefix("ok "))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def spark(lake):
    """Spark reads views of version 3 with their rows' ids, which stay with a row through upkeep; it rewrites and deletes itself, and
    Ingot goes on."""
    table, project, judge, dice = started(lake, 3)
    engine, ids = Spark(lake), {}

    def looked(step, same=False):
        duck = judge.source()
        for name, sql in VIEWS.items():
            columns = duck.sql(sql).columns
            wanted = sorted(tuple(row) for row in duck.sql(sql).fetchall())
            rows = engine.ask(f"SELECT {', '.join(columns)}, _row_id, _last_updated_sequence_number AS changed FROM ingot.{name}")
            found = sorted(tuple(row[column] for column in columns) for row in rows)
            said(found == wanted, f"{step}: Spark reads {name} as DuckDB computes it, {len(wanted)} rows", f"{found}\nnot\n{wanted}")
            now = {row["_row_id"]: (tuple(row[column] for column in columns), row["changed"]) for row in rows}
            said(len(now) == len(rows) and None not in now, f"{step}: each row of {name} has an id of its own")
            before = ids.get(name, {})
            moved = {row: (before[row], now[row]) for row in before.keys() & now.keys() if before[row] != now[row]}
            said(not moved, f"{step}: an id of {name} stays with its row", moved)
            if same:
                said(now == before, f"{step}: no row of {name} changed, and no id", before.items() ^ now.items())
            ids[name] = now

    change(lake, dice, table, 200)
    project.refreshed("the first rows", sums="create", large="create", rest="create")
    looked("the first rows")
    for n in range(3):
        change(lake, dice, table, 6)
        project.refreshed(f"change {n}", sums="incremental")
        looked(f"change {n}")
    project.run("maintain", text="maintain folds vectors in")
    looked("upkeep", same=True)
    vectors = engine.ask("SELECT count(*) AS n FROM ingot.silver.large.delete_files")[0]["n"]
    said(vectors == 0, "Spark sees no vector after upkeep", vectors)
    change(lake, dice, table, 6)
    project.refreshed("after upkeep", sums="incremental")
    looked("after upkeep")
    engine.ask("CALL ingot.system.rewrite_data_files(table => 'silver.large', options => map('rewrite-all', 'true'))")
    engine.ask("CALL ingot.system.rewrite_manifests('silver.large')")
    looked("Spark's rewrite", same=True)
    change(lake, dice, table, 6)
    project.run("run", "--once", text="Ingot goes on")
    looked("after Spark's rewrite")
    engine.stop()
    project.run("verify", "silver.sums", "silver.large", "gold.rest")


PARTS = {
    "steps": lambda lake: steps(lake, 2), "kills": lambda lake: kills(lake, 2),
    "steps3": lambda lake: steps(lake, 3), "kills3": lambda lake: kills(lake, 3), "upgraded": upgraded,
}
HEAVY = {"spark": spark}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--only", nargs="*", choices=PARTS | HEAVY, default=list(PARTS), help="spark: takes minutes")
    args = parser.parse_args()
    work = args.work
    for name in args.only:
        print(f"== {name}", flush=True)
        args.work = f"{work}/{name}"
        (PARTS | HEAVY)[name](Lake(args))
    print(f"{external.RIGHT} right, {external.WRONG} wrong")


if __name__ == "__main__":
    main()
