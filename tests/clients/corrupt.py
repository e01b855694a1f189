"""Damages one table by one row, so that a test can see `ingot verify` find it.

    corrupt.py ... TABLE double|lose|flip --undo FILE     a row twice, a row gone, the last bit of a double turned
    corrupt.py ... --undo FILE                            point the catalog at the undamaged table again

The damage is done by PyIceberg in snapshots that carry the summary of the head they follow, so that nothing but the
rows tells that they are wrong.
"""

import argparse
import json
import random
import sqlite3
import struct

import pyarrow as pa
import pyarrow.compute
from pyiceberg.expressions import And, EqualTo

from lake_args import add_lake_arguments, open_catalog

KEYS = {
    "bronze.vehicle_events": ("_partition", "_offset"),
    "bronze.vehicle_events_errors": ("partition", "offset"),
    "silver.vehicle_events": ("id", "ts"),
    "silver.vehicle_events_rejected": ("_partition", "_offset"),
    "gold.stats": ("type",),
}


def flip_last_bit(value):
    return struct.unpack("<d", struct.pack("<q", struct.unpack("<q", struct.pack("<d", value))[0] ^ 1))[0]


def literal(value):
    return value.isoformat() if hasattr(value, "isoformat") else value


def database(args):
    return args.catalog_uri.removeprefix("sqlite:///")


def damage(args):
    table = open_catalog(args).load_table(args.table)
    arrow = table.scan().to_arrow()
    candidates = arrow
    if args.how == "flip":
        doubles = [f.name for f in arrow.schema if pa.types.is_float64(f.type)]
        column = doubles[0]
        candidates = arrow.filter(pa.compute.is_valid(arrow[column]))
    row = candidates.slice(random.Random(args.seed).randrange(len(candidates)), 1)
    ours = dict(table.current_snapshot().summary.additional_properties)
    for computed in [k for k in ours if k.startswith(("added-", "deleted-", "removed-", "total-", "changed-"))]:
        del ours[computed]
    with open(args.undo, "w") as out:
        json.dump({"table": args.table, "metadata": table.metadata_location}, out)
    values = row.to_pylist()[0]
    terms = [EqualTo(k, literal(values[k])) for k in KEYS[args.table]]
    one_row = terms[0] if len(terms) == 1 else And(*terms)
    with table.transaction() as change:
        if args.how == "double":
            change.append(row, snapshot_properties=ours)
        else:
            change.delete(one_row, snapshot_properties=ours)
        if args.how == "flip":
            at = row.schema.get_field_index(column)
            turned = pa.array([flip_last_bit(values[column])], pa.float64())
            change.append(row.set_column(at, row.schema.field(at), turned), snapshot_properties=ours)
    after = len(open_catalog(args).load_table(args.table).scan().to_arrow())
    wanted = len(arrow) + {"double": 1, "lose": -1, "flip": 0}[args.how]
    if after != wanted:
        raise SystemExit(f"the damage went wrong: {after} rows instead of {wanted}")
    print(f"{args.table}: {args.how}: {dict((k, str(values[k])) for k in KEYS[args.table])}")


def undo(args):
    with open(args.undo) as f:
        before = json.load(f)
    namespace, name = before["table"].split(".")
    with sqlite3.connect(database(args), timeout=20) as db:
        done = db.execute(
            "UPDATE iceberg_tables SET metadata_location = ? WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
            (before["metadata"], args.catalog_name, namespace, name)).rowcount
    if done != 1:
        raise SystemExit(f"undo touched {done} tables")
    print(f"{before['table']}: undone")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    parser.add_argument("table", nargs="?", choices=sorted(KEYS))
    parser.add_argument("how", nargs="?", choices=("double", "lose", "flip"))
    parser.add_argument("--undo", required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.table and not args.how:
        parser.error("say how")
    damage(args) if args.table else undo(args)


if __name__ == "__main__":
    main()
