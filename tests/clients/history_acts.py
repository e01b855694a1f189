"""What PyIceberg and Spark do to a table in a random history, and what it must hold afterwards.

An act takes (h, table, r): the history, PyIceberg's table and the step's own random numbers. It does one thing and gives a text
and the rows of every branch that it changed ({} when it changed none); None when it does not apply. The model's rows come
from the rows before, never from what was stored.
"""

import os
import shlex
import subprocess

from pyiceberg.expressions import AlwaysTrue, In
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import ListType, MapType, StructType

from history_model import Types, literal, narrow, random_condition, random_transform, random_value

def branch_of(h, r, share=0.2):
    """`main`, or sometimes another branch."""
    others = [b for b in h.branches() if b != "main"]
    return r.choice(others) if others and r.random() < share else "main"


# -- rows

def append(h, table, r):
    branch = branch_of(h, r)
    new = h.new_rows(r, r.choice([1, 2, 3, 6, 15]))
    table.append(h.arrow(new), branch=branch)
    return f"append {len(new)} to {branch}", {branch: h.rows(branch) + new}


def delete(h, table, r):
    branch = branch_of(h, r)
    rows = h.rows(branch)
    where = random_condition(r, h.schema, rows, single=True)
    table.delete(where.iceberg, branch=branch)
    return f"delete on {branch} where {where.sql}", {branch: [row for row in rows if not where.holds(row)]}


def update(h, table, r):
    """Rows by their number go and others come."""
    branch = branch_of(h, r)
    rows = h.rows(branch)
    if not rows:
        return None
    gone = {h.number_of(row) for row in r.sample(rows, min(len(rows), r.randint(1, 4)))}
    new = h.new_rows(r, r.randint(1, 3))
    table.overwrite(h.arrow(new), overwrite_filter=In("n", sorted(gone)), branch=branch)
    return f"replace n {sorted(gone)} on {branch} by {len(new)}", {branch: [x for x in rows if h.number_of(x) not in gone] + new}


def upsert(h, table, r):
    """PyIceberg compares columns one by one, and none of them may be nested."""
    rows = h.rows("main")
    if not rows or any(isinstance(f.field_type, (StructType, ListType, MapType)) for f in h.schema.fields):
        return None
    numbers = {h.number_of(row) for row in r.sample(rows, min(len(rows), 3))}
    new = h.new_rows(r, len(numbers) + 1)
    for row, n in zip(new, numbers):
        row[h.n] = n
    table.upsert(h.arrow(new), join_cols=["n"])
    return f"upsert {len(new)}", {"main": [x for x in rows if h.number_of(x) not in numbers] + new}


def overwrite(h, table, r):
    rows = h.new_rows(r, r.randint(0, 5)) if r.random() < 0.5 else h.rows("main")
    table.overwrite(h.arrow(rows))
    return f"overwrite by {len(rows)}", {"main": rows}


def delete_all(h, table, r):
    table.delete(AlwaysTrue())
    return "delete all", {"main": []}


# -- schema and partitions

def evolve(h, table, r):
    done = []
    held = {f.source_id for spec in table.specs().values() for f in spec.fields} | h.kept | {f.source_id for f in table.sort_order().fields}
    fields = [f for f in h.schema.fields if f.field_id not in held]
    with table.update_schema() as change:
        for kind in r.sample(["add", "add", "drop", "rename", "promote", "move", "optional", "nested"], r.randint(1, 3)):
            field = r.choice(fields) if fields else None
            if kind == "add":
                name = h.new_name()
                change.add_column(name, Types(r, h.leave_out, added=True).any())
                if r.random() < 0.3:
                    change.move_first(name)
                done.append(f"add {name}")
            elif kind == "move" and len(h.schema.fields) > 1:
                one, other = r.sample([f.name for f in h.schema.fields if f in fields or f.field_id in held], 2)
                if other in (x.split()[-1] for x in done) or one in (x.split()[-1] for x in done):
                    continue
                change.move_after(one, other)
                done.append(f"move {one} after {other}")
            elif field is None:
                continue
            elif kind == "nested":
                if isinstance(field.field_type, StructType):
                    done.append(nested(h, change, r, field))
                fields.remove(field)
            else:
                said = one_field(h, change, r, kind, field)
                if said:
                    done.append(said)
                fields.remove(field)
    return "evolve: " + ", ".join(done or ["nothing"]), {}


def one_field(h, change, r, kind, field):
    if kind == "drop":
        change.delete_column(field.name)
    elif kind == "rename":
        name = h.new_name()
        change.rename_column(field.name, name)
        return f"rename {field.name} to {name}"
    elif kind == "promote" and narrow(field.field_type):
        change.update_column(field.name, narrow(field.field_type))
    elif kind == "optional" and field.required:
        change.make_column_optional(field.name)
    else:
        return None
    return f"{kind} {field.name}"


def nested(h, change, r, field):
    """A struct's fields come, go and change."""
    inner = list(field.field_type.fields)
    kind = r.choice(["add", "drop", "rename", "promote"])
    child = r.choice(inner)
    if kind == "drop" and len(inner) > 1:
        change.delete_column((field.name, child.name))
    elif kind == "rename":
        change.rename_column((field.name, child.name), h.new_name())
    elif kind == "promote" and narrow(child.field_type):
        change.update_column((field.name, child.name), narrow(child.field_type))
    else:
        change.add_column((field.name, h.new_name()), r.choice(Types(r, h.leave_out).inner))
        return f"add within {field.name}"
    return f"{kind} {child.name} within {field.name}"


def repartition(h, table, r):
    spec = table.spec()
    fields = [f for f in h.schema.fields if not isinstance(f.field_type, (StructType, ListType, MapType))]
    if spec.fields and r.random() < 0.4:
        name = r.choice(spec.fields).name
        with table.update_spec() as change:
            change.remove_field(name)
        return f"partition field {name} goes", {}
    field = r.choice(fields)
    transform = random_transform(r, field.field_type)
    if transform is None or any(f.source_id == field.field_id for f in spec.fields) or len(spec.fields) > 2:
        return None
    # As Iceberg names them, but unlike any column.
    name = f"p{table.metadata.last_partition_id + 1}"
    with table.update_spec() as change:
        change.add_field(field.name, transform, name)
    return f"partition by {transform} of {field.name}", {}


def reorder(h, table, r):
    field = r.choice([f for f in h.schema.fields if not isinstance(f.field_type, (StructType, ListType, MapType))])
    with table.update_sort_order() as change:
        (change.asc if r.random() < 0.5 else change.desc)(field.name, IdentityTransform())
    return f"sort by {field.name}", {}


# -- references and snapshots

def reference(h, table, r):
    known = h.known(table)
    refs = [name for name in table.metadata.refs if name != "main"]
    if not known:
        return None
    if refs and r.random() < 0.3:
        name = r.choice(sorted(refs))
        tag = table.metadata.refs[name].snapshot_ref_type.value == "tag"
        change = table.manage_snapshots()
        (change.remove_tag if tag else change.remove_branch)(name).commit()
        return f"{name} goes", {}
    at, name = r.choice(known), f"r{h.count('ref')}"
    change = table.manage_snapshots()
    (change.create_tag(at, name) if r.random() < 0.5 else change.create_branch(at, name)).commit()
    return f"reference {name} to {h.short(at)}", {}


def rollback(h, table, r):
    """To an ancestor, or sometimes to any snapshot."""
    head, known = table.metadata.current_snapshot_id, h.known(table)
    ancestors, at = [], table.current_snapshot()
    while at is not None:
        ancestors.append(at.snapshot_id)
        at = table.metadata.snapshot_by_id(at.parent_snapshot_id) if at.parent_snapshot_id is not None else None
    to = [s for s in known if s != head and (s in ancestors or r.random() < 0.3)]
    if not to:
        return None
    at = r.choice(to[-5:])
    table.manage_snapshots().set_current_snapshot(at).commit()
    return f"back to {h.short(at)}", {"main": None}


def expire(h, table, r):
    held = {ref.snapshot_id for ref in table.metadata.refs.values()} | h.needed(table)
    gone = [s.snapshot_id for s in table.metadata.snapshots if s.snapshot_id not in held and r.random() < 0.5]
    if not gone:
        return None
    table.maintenance.expire_snapshots().by_ids(gone).commit()
    return f"expire {len(gone)} snapshots", {}


def properties(h, table, r):
    with table.transaction() as change:
        change.set_properties({f"note{r.randrange(3)}": str(r.randrange(100)),
                               "write.parquet.row-group-limit": str(r.choice([1, 3, 1000])),
                               "commit.manifest-merge.enabled": r.choice(["true", "false"]), "commit.manifest.min-count-to-merge": "3",
                               "write.metadata.metrics.default": r.choice(["none", "counts", "truncate(3)", "full"])})
    return "properties", {}


PYICEBERG = [(append, 6), (delete, 4), (update, 3), (upsert, 2), (overwrite, 1), (delete_all, 0.3), (evolve, 3), (repartition, 2), (reorder, 0.5),
             (reference, 2), (rollback, 1.5), (expire, 1), (properties, 0.7)]
#: On a table of ours: its columns stay, and so do the snapshots that say how far it has read.
OURS = [(append, 3), (delete, 4), (update, 2), (overwrite, 0.5), (repartition, 1.5), (reference, 2), (rollback, 1), (expire, 1)]


# -- Spark

class Spark:
    """A session that answers a statement a line."""

    def __init__(self, command, lake, log):
        self.process = subprocess.Popen(
            [*shlex.split(command), os.path.join(os.path.dirname(os.path.abspath(__file__)), "spark_session.py"), "--catalog-uri", f"sqlite:///{lake}/catalog.db",
             "--warehouse", f"file://{lake}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(log, "w"), text=True)
        self.read()

    def read(self):
        for line in self.process.stdout:
            if line.startswith("ok"):
                return line[3:]
            if line.startswith("error"):
                raise ValueError(line.strip())
        raise RuntimeError("Spark has gone")

    def run(self, sql):
        self.process.stdin.write(" ".join(sql.split("\n")) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def spark_name(h, branch="main"):
    return f"ingot.{h.table_name}" + ("" if branch == "main" else f".branch_{branch}")


def spark_delete(h, table, r):
    branch = branch_of(h, r)
    rows = h.rows(branch)
    where = random_condition(r, h.schema, rows)
    h.spark(f"DELETE FROM {spark_name(h, branch)} WHERE {where.spark}")
    return f"Spark: delete on {branch} where {where.sql}", {branch: [row for row in rows if not where.holds(row)]}


def spark_update(h, table, r):
    branch = branch_of(h, r)
    rows = h.rows(branch)
    where = random_condition(r, h.schema, rows)
    value = r.choice([0, 3, 7, None])
    h.spark(f"UPDATE {spark_name(h, branch)} SET k = {'NULL' if value is None else value} WHERE {where.spark}")
    return f"Spark: k = {value} on {branch} where {where.sql}", {branch: [row | {h.k: value} if where.holds(row) else row for row in rows]}


def spark_merge(h, table, r):
    rows = h.rows("main")
    numbers = sorted({h.number_of(row) for row in r.sample(rows, min(len(rows), 5))})
    if not numbers:
        return None
    other = h.count("n")
    insert = all(not f.required for f in h.schema.fields if f.name != "n")
    source = " UNION ALL ".join(f"SELECT {n}L AS n" for n in [*numbers, other])
    h.spark(f"MERGE INTO {spark_name(h)} t USING ({source}) s ON t.n = s.n WHEN MATCHED AND t.k > 1 THEN DELETE WHEN MATCHED THEN UPDATE SET k = 4"
            + (" WHEN NOT MATCHED THEN INSERT (" + ", ".join(f"`{f.name}`" for f in h.schema.fields) + ") VALUES ("
               + ", ".join("s.n" if f.name == "n" else "9" if f.name == "k" else "NULL" for f in h.schema.fields) + ")" if insert else ""))
    left = [row | {h.k: 4} if h.number_of(row) in numbers else row for row in rows
            if h.number_of(row) not in numbers or not (row.get(h.k) is not None and row[h.k] > 1)]
    return f"Spark: merge {numbers}", {"main": left + ([{h.n: other, h.k: 9}] if insert else [])}


def spark_insert(h, table, r):
    """Copies of rows under other numbers."""
    rows = h.rows("main")
    if not rows:
        return None
    where = random_condition(r, h.schema, rows)
    chosen = [row for row in rows if where.holds(row)]
    step = 1_000_000 * h.count("copy")
    if any(h.number_of(row) > 900_000 for row in chosen):
        return None
    columns = ", ".join(f"n + {step}" if f.name == "n" else f"`{f.name}`" for f in h.schema.fields)
    h.spark(f"INSERT INTO {spark_name(h)} SELECT {columns} FROM {spark_name(h)} WHERE {where.spark}")
    return f"Spark: insert copies where {where.sql}", {"main": rows + [row | {h.n: row[h.n] + step} for row in chosen]}


def spark_rewrite(h, table, r):
    name, rows = h.table_name, h.rows("main")
    call = r.choice(["rewrite_data_files(table => '{}', options => map('rewrite-all', 'true'))",
                     "rewrite_data_files(table => '{}', options => map('min-input-files', '2', 'delete-file-threshold', '1'))",
                     "rewrite_manifests('{}')", "rewrite_position_delete_files(table => '{}', options => map('rewrite-all', 'true'))"])
    if "position" in call and table.format_version == 3:
        return None
    h.spark(f"CALL ingot.system.{call.format(name)}")
    return f"Spark: {call.split('(')[0]}", {"main": rows}


def spark_expire(h, table, r):
    h.spark(f"CALL ingot.system.expire_snapshots(table => '{h.table_name}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => {r.randint(1, 4)})")
    return "Spark: expire", {}


def spark_back(h, table, r):
    known = [s for s in h.known(table) if s != table.metadata.current_snapshot_id]
    if not known:
        return None
    at = r.choice(known[-4:])
    h.spark(f"CALL ingot.system.set_current_snapshot('{h.table_name}', {at})")
    return f"Spark: set to {h.short(at)}", {"main": None}


def spark_reference(h, table, r):
    known = h.known(table)
    if not known:
        return None
    at, name = r.choice(known), f"r{h.count('ref')}"
    h.spark(f"ALTER TABLE {spark_name(h)} CREATE {r.choice(['TAG', 'BRANCH'])} {name} AS OF VERSION {at}")
    return f"Spark: reference {name} to {h.short(at)}", {}


def spark_evolve(h, table, r):
    held = {f.source_id for spec in table.specs().values() for f in spec.fields} | h.kept
    fields = [f for f in h.schema.fields if f.field_id not in held]
    kind, name = r.choice(["add", "rename", "drop", "promote", "first"]), spark_name(h)
    field = r.choice(fields) if fields else None
    if kind == "add" or field is None:
        new = h.new_name()
        h.spark(f"ALTER TABLE {name} ADD COLUMN `{new}` {r.choice(['INT', 'STRING', 'STRUCT<a: INT, b: STRING>', 'ARRAY<DOUBLE>', 'MAP<STRING, INT>'])}")
        return f"Spark: add {new}", {}
    if kind == "rename":
        h.spark(f"ALTER TABLE {name} RENAME COLUMN `{field.name}` TO `{h.new_name()}`")
    elif kind == "drop":
        h.spark(f"ALTER TABLE {name} DROP COLUMN `{field.name}`")
    elif kind == "first":
        h.spark(f"ALTER TABLE {name} ALTER COLUMN `{field.name}` FIRST")
    elif narrow(field.field_type):
        of = narrow(field.field_type)
        h.spark(f"ALTER TABLE {name} ALTER COLUMN `{field.name}` TYPE {str(of).replace('long', 'BIGINT').upper()}")
    else:
        return None
    return f"Spark: {kind} {field.name}", {}


def spark_create(h, r, version):
    """A table that Spark makes, with rows by copies later; its first row by values."""
    types = ["INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(9, 2)", "DECIMAL(38, 10)", "DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "STRING", "BINARY", "BOOLEAN",
             "STRUCT<a: INT, b: STRING>", "ARRAY<STRUCT<x: INT>>" if version == 3 else "ARRAY<STRING>", "MAP<STRING, DOUBLE>"]
    columns = [(h.new_name(), r.choice(types)) for _ in range(r.randint(2, 5))]
    by = r.choice(["", "", "PARTITIONED BY (k)", "PARTITIONED BY (bucket(3, n))", "PARTITIONED BY (truncate(10, n), k)"])
    mode = r.choice(["merge-on-read", "merge-on-read", "copy-on-write"])
    h.spark(f"CREATE TABLE {spark_name(h)} (n BIGINT NOT NULL, k INT, {', '.join(f'`{c}` {t}' for c, t in columns)}) USING iceberg {by} TBLPROPERTIES ("
            f"'format-version' = '{version}', 'write.delete.mode' = '{mode}', 'write.update.mode' = '{mode}', 'write.merge.mode' = '{mode}', "
            f"'write.delete.granularity' = '{r.choice(['file', 'partition'])}', 'write.parquet.row-group-size-bytes' = '20000')")


def spark_append(h, table, r):
    """Rows by their values, of columns that have a literal; others are NULL."""
    rows = []
    for _ in range(r.choice([1, 2, 5, 12])):
        row = {}
        for f in h.schema.fields:
            value = h.count("n") if f.name == "n" else r.choice([None, 0, 1, 2, 3]) if f.name == "k" else random_value(r, f.field_type, f.required)
            try:
                row[f.field_id] = value if value is None or literal(value, f.field_type, True) else None
            except TypeError:
                row[f.field_id] = None
        rows.append(row)
    values = ", ".join("(" + ", ".join("NULL" if row[f.field_id] is None else literal(row[f.field_id], f.field_type, True) for f in h.schema.fields) + ")"
                       for row in rows)
    branch = branch_of(h, r)
    h.spark(f"INSERT INTO {spark_name(h, branch)} VALUES {values}")
    return f"Spark: append {len(rows)} to {branch}", {branch: h.rows(branch) + rows}


SPARK = [(spark_append, 5), (spark_delete, 4), (spark_update, 3), (spark_merge, 3), (spark_insert, 3), (spark_rewrite, 2), (spark_expire, 1), (spark_back, 1),
         (spark_reference, 1), (spark_evolve, 1.5)]
SPARK_ON_OURS = [(spark_delete, 3), (spark_update, 3), (spark_merge, 3), (spark_insert, 2), (spark_rewrite, 2)]


def chosen(acts, r):
    return r.choices([a for a, _ in acts], [w for _, w in acts])[0]

