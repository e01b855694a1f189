"""What other engines do to a streaming table's history and what they see of its columns (tests/e2e/lost.sh).

    lost.py LAKE expire TABLE...          expire all snapshots but the head, as PyIceberg does: the head loses its parent
    lost.py LAKE append TABLE...          append a copy of three rows, without any position
    lost.py LAKE rollback TABLE...        go back to the snapshot before the head
    lost.py LAKE forget TABLE...          remove the properties that Ingot keeps positions in
    lost.py LAKE garble TABLE...          write what is no position in their place
    lost.py LAKE purge TABLE...           delete all old metadata files
    lost.py LAKE rename TABLE...          call the column battery charge
    lost.py LAKE columns TABLE            the columns of the current schema, one a line, `name:values`, values not NULL
    lost.py LAKE partitions TABLE         every partition column: a scan that is filtered by it finds what a full scan holds

Exit 1 when something is not as it should be.
"""

import argparse
import sys
from datetime import datetime

from lake_args import add_lake_arguments, open_catalog


def expire(table):
    table.maintenance.expire_snapshots().older_than(datetime(2100, 1, 1)).commit()
    table.refresh()
    head = table.current_snapshot()
    assert [s.snapshot_id for s in table.metadata.snapshots] == [head.snapshot_id], table.metadata.snapshots
    assert head.parent_snapshot_id is None, head


def append(table):
    table.append(table.scan(limit=3).to_arrow())


def rollback(table):
    table.manage_snapshots().rollback_to_snapshot(table.current_snapshot().parent_snapshot_id).commit()


def kept(table):
    return [name for name in table.properties if name.startswith("ingot.") and "position" in name]


def forget(table):
    with table.transaction() as change:
        change.remove_properties(*kept(table))


def garble(table):
    with table.transaction() as change:
        change.set_properties({name: "{" for name in kept(table)})


def rename(table):
    with table.update_schema() as change:
        change.rename_column("battery", "charge")


def purge(table):
    for entry in table.metadata.metadata_log:
        try:
            table.io.delete(entry.metadata_file)
        except FileNotFoundError:
            pass


def columns(table):
    arrow = table.scan().to_arrow()
    for name in arrow.column_names:
        column = arrow.column(name)
        print(f"{name}:{len(column) - column.null_count}")


def partitions(table):
    from pyiceberg.expressions import EqualTo, IsNull

    arrow = table.scan().to_arrow()
    wrong = 0
    for field in table.spec().fields:
        name = table.schema().find_column_name(field.source_id)
        values = arrow.column(name).to_pylist()
        for value in sorted(set(values), key=str)[:20]:
            term = IsNull(name) if value is None else EqualTo(name, value)
            found = table.scan(row_filter=term).to_arrow()
            # Some file is skipped, or the filter shows nothing of partitions.
            plan = sum(task.file.record_count for task in table.scan(row_filter=term).plan_files())
            if len(found) != values.count(value) or len(set(values)) > 1 and plan == len(values):
                wrong += 1
                print(f"{name} = {value!r}: {len(found)} rows of {values.count(value)}, read from {plan} of {len(values)}")
    print(f"{len(arrow)} rows, {len(table.spec().fields)} partition fields")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    commands = {f.__name__: f for f in (expire, append, rollback, forget, garble, purge, rename, columns, partitions)}
    parser.add_argument("command", choices=sorted(commands))
    parser.add_argument("tables", nargs="+")
    args = parser.parse_args()
    catalog, wrong = open_catalog(args), 0
    for name in args.tables:
        table = catalog.load_table(name)
        wrong += commands[args.command](table) or 0
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
