"""External tables: PyIceberg writes them, views of Ingot read them (tests/e2e/external.sh).

    external.py --ingot BINARY --work FOLDER

What a view must hold is computed by DuckDB over PyIceberg's scan of the tables, never by Ingot; how it must have been
refreshed is written down at each step.
"""

import argparse
import datetime
import json
import subprocess
import uuid
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType,
    NestedField, StringType, StructType, TimestampType, TimestamptzType, TimeType, UUIDType,
)

RIGHT = WRONG = 0
ORDERS, KINDS = "shop.eu.orders", "shop.kinds"


def said(ok, text, detail=""):
    global RIGHT, WRONG
    RIGHT, WRONG = RIGHT + bool(ok), WRONG + (not ok)
    print(("ok    " if ok else "FAIL  ") + text, flush=True)
    if not ok and detail:
        print("      " + str(detail).strip()[-1500:].replace("\n", "\n      "), flush=True)


def field(id, name, of, required=False, doc=None):
    return NestedField(field_id=id, name=name, field_type=of, required=required, doc=doc)


def plain(value):
    if isinstance(value, dict):
        return sorted((k, plain(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, uuid.UUID):
        return value.bytes
    return value


def rows_of(table):
    return sorted(([plain(v) for v in row.values()] for row in table.to_pylist()), key=repr)


class Project:
    """A folder of SQL over the lake."""

    def __init__(self, lake, name, **files):
        self.lake, self.name, self.folder = lake, name, lake.work / name
        self.folder.mkdir()
        for file, text in files.items():
            self.write(file, text)

    def write(self, file, text):
        (self.folder / f"{file}.sql").write_text(text)

    def run(self, *command, code=0, text=None):
        """A command ends with this exit code; its output, both streams."""
        options = ["--project", str(self.folder), "--set", f"warehouse.location={self.lake.folder}", "--set", f"project.name={self.name}"]
        done = subprocess.run([self.lake.ingot, command[0], *options, *command[1:]], capture_output=True, timeout=120)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode()
        if code is not None:
            said(done.returncode == code, text or f"{self.name}: {' '.join(command)} ends with {code}", f"{done.returncode}\n{out[-500:]}{err}")
        return out + err if "--json" not in command else out

    def says(self, text, *words):
        said(all(word in text for word in words), f"{self.name}: it says {', '.join(words)}", text)

    def ask(self, sql):
        options = ["--project", str(self.folder), "--set", f"warehouse.location={self.lake.folder}", "--format", "arrow"]
        done = subprocess.run([self.lake.ingot, "sql", *options, sql], capture_output=True, timeout=120)
        if done.returncode != 0:
            raise ValueError(done.stderr.decode()[-800:])
        return pa.ipc.open_stream(done.stdout).read_all()

    def refreshed(self, step, code=0, **modes):
        """`run --once`, and how each table was refreshed: its mode, or the code of its reason or error."""
        report = self.lake.work / "report.json"
        report.unlink(missing_ok=True)
        said_by = self.run("run", "--once", "--report", str(report), code=code, text=f"{self.name}: run --once after {step}")
        done = {}
        for entry in json.loads(report.read_text())["steps"] if report.exists() else []:
            error, reason = entry.get("error"), entry.get("reason")
            done[entry["table"].rpartition(".")[2]] = error["code"] if error else reason["code"] if reason else entry["mode"]
        found = {name: done.get(name, "nothing") for name in modes}
        said(found == modes, f"{self.name}: {step}: {modes}", f"{found}\n{said_by}")


class Lake:
    def __init__(self, args):
        self.ingot, self.work = args.ingot, Path(args.work)
        self.folder = self.work / "lake"
        self.folder.mkdir(parents=True)
        self.catalog = SqlCatalog("ingot", uri=f"sqlite:///{self.folder}/catalog.db", warehouse=f"file://{self.folder}")
        for namespace in ("shop", "shop.eu", "gold", "silver", "bronze"):
            self.catalog.create_namespace(namespace)

    def table(self, name):
        return self.catalog.load_table(name)

    def scan(self, name):
        return self.table(name).scan().to_arrow()

    def made(self, name, *fields):
        return self.catalog.create_table(name, Schema(*fields))

    def equal(self, project, step, **queries):
        """Each view equals DuckDB's answer over PyIceberg's scans, as Ingot reads it and as PyIceberg does."""
        duck = duckdb.connect()
        for name, of in (("orders", ORDERS), ("kinds", KINDS)):
            duck.register(name, self.scan(of))
        for view, sql in queries.items():
            name = view.replace("__", ".")
            wanted = rows_of(duck.sql(sql).to_arrow_table())
            try:
                found = rows_of(project.ask(f"SELECT * FROM {name}"))
            except ValueError as error:
                found = str(error)
            said(found == wanted, f"{step}: {name} equals DuckDB's answer, {len(wanted)} rows", f"{found}\nnot\n{wanted}")


def rows(table, **columns):
    return pa.table(columns, schema=schema_to_pyarrow(table.schema()))


def orders(table, ids, kind, amount):
    return rows(table, id=ids, kind=[kind] * len(ids), amount=[amount] * len(ids), spare=["s"] * len(ids))


def made_orders(lake, amount=IntegerType()):
    """Its columns are not in the order in which they are declared, and there are more of them."""
    return lake.made(ORDERS, field(1, "spare", StringType()), field(2, "amount", amount), field(3, "id", LongType(), True),
                     field(4, "kind", StringType()))


DECLARED = """
CREATE EXTERNAL TABLE shop.eu.orders (id BIGINT NOT NULL, kind STRING, amount INT);
CREATE EXTERNAL TABLE shop.kinds (kind STRING, label STRING);
CREATE VIEW gold.shown AS SELECT id, shop.eu.orders.kind FROM ingot.shop.eu.orders;
"""
MODELS = {
    "by_kind": "CREATE MATERIALIZED VIEW gold.by_kind AS SELECT kind, count(*) AS n, sum(amount) AS total, max(amount) AS most\n"
               "FROM shop.eu.orders GROUP BY kind;",
    "big": "CREATE MATERIALIZED VIEW silver.big AS SELECT id, kind, amount + 1 AS more FROM shop.eu.orders AS o WHERE o.amount >= 10;",
    "labelled": "CREATE MATERIALIZED VIEW gold.labelled AS SELECT o.id, k.label FROM shop.eu.orders AS o JOIN shop.kinds AS k ON k.kind = o.kind;",
    "upper": "CREATE MATERIALIZED VIEW silver.upper AS SELECT upper(label) AS label FROM shop.kinds;",
}
ANSWERS = {
    "gold__by_kind": "SELECT kind, count(*)::BIGINT, sum(amount)::BIGINT, max(amount) FROM orders GROUP BY kind",
    "silver__big": "SELECT id, kind, (amount + 1)::BIGINT FROM orders WHERE amount >= 10",
    "gold__labelled": "SELECT o.id, k.label FROM orders o JOIN kinds k ON k.kind = o.kind",
    "silver__upper": "SELECT upper(label) FROM kinds",
    "gold__shown": "SELECT id, kind FROM orders",
}
STREAM = DECLARED + "CREATE STREAMING TABLE bronze.taken AS SELECT id, kind FROM STREAM shop.eu.orders;"
# A view of the other project, which another project owns, read here.
READER = """CREATE EXTERNAL TABLE gold.by_kind (total BIGINT, kind STRING);
CREATE MATERIALIZED VIEW gold.whole AS SELECT sum(total) AS total FROM gold.by_kind;"""


def whole(lake, project, step, **modes):
    project.refreshed(step, **modes)
    lake.equal(project, step, **ANSWERS)
    tables = [name.replace("__", ".") for name in ANSWERS if name != "gold__shown"]
    project.run("verify", *tables, text=f"verify holds after {step}")
    project.run("plan", "--exit-code", text=f"plan has nothing left after {step}")


def changes(lake):
    """Append, overwrite, delete, columns, expiry, made anew, missing."""
    kinds = lake.made(KINDS, field(1, "kind", StringType()), field(2, "label", StringType()))
    kinds.append(rows(kinds, kind=["a", "b", None], label=["first", "second", "none"]))
    project = Project(lake, "main", declared=DECLARED, **MODELS)
    project.run("check", text="check asks no catalog: the table is not there yet")
    project.refreshed("a table is missing", code=3, by_kind="L0135", big="L0135", labelled="L0135", upper="create")
    project.says(project.run("plan"), 'external table "shop.eu.orders", declared in declared.sql, does not exist', "L0135")
    table = made_orders(lake)
    whole(lake, project, "a table without a snapshot", by_kind="create", big="create", labelled="create", upper="nothing")
    table.append(orders(table, [1, 2, 3], "a", 10))
    taken = Project(lake, "taken", all=STREAM)
    taken.refreshed("the stream", taken="append")
    whole(lake, project, "the first rows", by_kind="incremental", big="incremental", labelled="R0501", upper="nothing")
    table.append(orders(table, [4, 5], "b", 5))
    table.append(orders(table, [6], "b", 50))
    whole(lake, project, "two appends", by_kind="incremental", big="incremental", labelled="R0501", upper="nothing")
    taken.refreshed("two appends", taken="append")
    said(rows_of(taken.ask("SELECT id FROM bronze.taken")) == [[n] for n in range(1, 7)], "the stream took each row once")
    reader = Project(lake, "reader", all=READER)
    reader.refreshed("another project's view", whole="create")
    said(rows_of(reader.ask("SELECT * FROM gold.whole")) == [[90]], "another project's view is read")
    table.delete("id = 2")
    whole(lake, project, "a delete within a file", by_kind="incremental", big="incremental", labelled="R0501", upper="nothing")
    table.overwrite(orders(table, [7, 8], "b", 70), overwrite_filter="kind == 'b'")
    whole(lake, project, "an overwrite", by_kind="incremental", big="incremental", labelled="R0501", upper="nothing")
    reader.refreshed("the view below moved", whole="incremental")
    taken.refreshed("rows were taken away", code=1, taken="R0309")
    taken.run("refresh", "bronze.taken", "--full")
    said(rows_of(taken.ask("SELECT id FROM bronze.taken")) == [[1], [3], [7], [8]], "read again, the stream has what is there")
    table.overwrite(orders(table, [9], "c", 1))
    whole(lake, project, "everything was replaced", by_kind="incremental", big="incremental", labelled="R0501", upper="nothing")
    kinds.append(rows(kinds, kind=["c"], label=["third"]))
    whole(lake, project, "the other side of the join", by_kind="nothing", big="nothing", labelled="R0501", upper="incremental")

    with table.update_schema() as change:
        change.add_column("note", StringType())
        change.rename_column("spare", "unused")
    table = lake.table(ORDERS)
    table.append(rows(table, unused=["x"], amount=[11], id=[10], kind=["a"], note=["new"]))
    whole(lake, project, "a column more", by_kind="incremental", big="incremental", labelled="R0501", upper="nothing")
    project.write("declared", DECLARED.replace("amount INT", "note STRING, amount INT"))
    whole(lake, project, "it is declared, and nobody names it", by_kind="nothing", big="nothing", labelled="nothing", upper="nothing")

    table.append(rows(table, unused=["x"], amount=[12], id=[11], kind=["a"], note=["y"]))
    table.maintenance.expire_snapshots().older_than(datetime.datetime(2100, 1, 1)).commit()
    whole(lake, project, "what was recorded has expired", by_kind="R0534", big="R0534", labelled="R0534", upper="nothing")

    with lake.table(ORDERS).update_schema() as change:
        change.update_column("amount", LongType())
    project.refreshed("a wider type", code=1, by_kind="L0136", big="L0136", labelled="L0136", upper="nothing")
    project.says(project.run("plan"), "L0136", '"amount" is BIGINT and declared INT')
    project.says(project.run("status", "--json"), "ingot infer shop.eu.orders")
    project.says(project.run("status"), "external table", "L0136")
    project.write("declared", DECLARED.replace("amount INT", "amount BIGINT"))
    whole(lake, project, "it is declared so", by_kind="R0532", big="R0532", labelled="nothing", upper="nothing")

    lake.catalog.drop_table(ORDERS)
    project.refreshed("it was dropped", code=3, by_kind="L0135", upper="nothing")
    table = made_orders(lake, LongType())
    table.append(orders(table, [1], "a", 1))
    whole(lake, project, "it was made anew", by_kind="R0533", big="R0533", labelled="R0533", upper="nothing")
    lake.catalog.drop_table(ORDERS)
    lake.made(ORDERS, field(1, "id", LongType()), field(2, "amounts", LongType()), field(3, "kind", BinaryType()))
    project.refreshed("other columns", code=1, by_kind="L0136", upper="nothing")
    project.says(project.run("plan"), '"id" may be NULL and is declared NOT NULL', 'no column "amount" (the nearest is "amounts")',
                 '"kind" is BINARY and declared STRING')
    for command in (["refresh", ORDERS], ["verify", ORDERS], ["prune", ORDERS]):
        project.says(project.run(*command, code=2), "external table", "another engine writes it")
    project.says(project.run("ls"), "shop.eu.orders", "external table")
    owner = lake.table(ORDERS).properties.get("ingot.project"), lake.table(KINDS).properties.get("ingot.project")
    said(owner == (None, None), "no external table was made ours", owner)


def inferred(lake):
    """Every type, by infer, check, a view and both readers."""
    every = lake.made(
        "shop.every",
        field(1, "flag", BooleanType(), True, "it's a flag"), field(2, "i", IntegerType()), field(3, "l", LongType()), field(4, "f", FloatType()),
        field(5, "d", DoubleType()), field(6, "dec", DecimalType(38, 10)), field(7, "day", DateType()), field(8, "at", TimeType()),
        field(9, "ts", TimestampType()), field(10, "tz", TimestamptzType()), field(11, "select", StringType()), field(12, "u", UUIDType()),
        field(13, "fix", FixedType(3)), field(14, "fix16", FixedType(16)), field(15, "bin", BinaryType()),
        field(16, "Mixed Name", StringType()),
        field(17, "items", ListType(element_id=30, element=StructType(field(31, "x y", LongType(), True), field(32, "fx", FixedType(2))), element_required=True)),
        field(18, "by", MapType(key_id=40, key=StringType(), value_id=41, value=ListType(element_id=42, element=DecimalType(5, 2), element_required=False), value_required=True)),
        field(19, "st", StructType(field(50, "deep", StructType(field(51, "n", IntegerType(), True)), True))),
    )
    zone = datetime.timezone.utc
    one = dict(
        flag=True, i=-1, l=2**40, f=1.5, d=-0.25, dec=Decimal("12345678901234567890.0123456789"), day=datetime.date(1969, 12, 31),
        at=datetime.time(23, 59, 59, 999999), ts=datetime.datetime(1969, 1, 1, 0, 0, 0, 1), tz=datetime.datetime(2026, 2, 3, tzinfo=zone),
        select="word", u=uuid.UUID(int=7).bytes, fix=b"abc", fix16=b"0123456789abcdef", bin=b"\x00\xff", **{"Mixed Name": "m"},
        items=[{"x y": 1, "fx": b"zz"}], by=[("k", [Decimal("1.50"), None])], st={"deep": {"n": 3}})
    nothing = {name: None for name in one} | {"flag": False}
    every.append(pa.Table.from_pylist([one, nothing], schema=schema_to_pyarrow(every.schema())))
    project = Project(lake, "every")
    text = project.run("infer", "--quiet", "shop.every", text="infer prints every type")
    project.write("declared", text)
    project.run("check", text="what infer prints is right")
    said(project.run("fmt", "--check", code=0, text="and in canonical form") is not None, "fmt has nothing to do")
    project.write("copy", "CREATE MATERIALIZED VIEW silver.every AS SELECT * FROM shop.every;")
    project.refreshed("every type", every="create")
    wanted = rows_of(lake.scan("shop.every"))
    said(rows_of(project.ask("SELECT * FROM silver.every")) == wanted, "a view of all columns has the table's rows", wanted)
    # PyIceberg reads the view; `fixed` is stored as binary.
    said(rows_of(lake.scan("silver.every")) == wanted, "as PyIceberg reads it, too", lake.scan("silver.every").to_pylist())
    every.append(pa.Table.from_pylist([one | {"i": 9}], schema=schema_to_pyarrow(every.schema())))
    project.refreshed("a row more", every="incremental")
    project.run("verify", "silver.every")
    project.write("some", "CREATE MATERIALIZED VIEW silver.some AS SELECT fix, fix16, st FROM shop.every WHERE fix = X'616263' AND st['deep']['n'] = 3 AND i = 9;")
    project.refreshed("filters on them", some="create")
    said(len(rows_of(project.ask("SELECT * FROM silver.some"))) == 1, "filters on fixed and nested columns find their row")
    as_json = json.loads(project.run("infer", "--json", "shop.every", text="infer as JSON"))
    said(as_json["tables"][0]["sql"].strip() == text.strip() and as_json["tables"][0]["left_out"] == [], "the same as JSON", as_json)
    project.says(project.run("infer", "shop.nothing", code=1), "L0108", "shop.nothing")
    # A type that is not read is left out by name.
    lake.made("shop.newer", field(1, "id", LongType()), field(2, "v", StringType()))
    path = Path(lake.table("shop.newer").metadata_location.removeprefix("file://"))
    metadata = json.loads(path.read_text())
    metadata["format-version"] = 3
    metadata["next-row-id"] = 0
    for schema in metadata["schemas"]:
        schema["fields"][1]["type"] = "variant"
    path.write_text(json.dumps(metadata))
    project.says(project.run("infer", "shop.newer"), "id BIGINT", '-- left out: column "v": the type variant is not read')


PARTS = {"changes": changes, "inferred": inferred}


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
