"""Other engines' acts on the tables of a project that runs, and whether the tables are right afterwards.

    foreign.py LAKE act delete|add_column bronze.t                           an act by PyIceberg
    foreign.py LAKE judge --brokers B --topic T SET... [--lost ENDS SET...]  every set of tables against the log
    foreign.py LAKE settled --brokers B --topic T SET...                     exit 0 when all sets have read the log
    foreign.py LAKE ends --brokers B --topic T                               where the log ends, for --lost

A set is bronze.x with bronze.x_errors, silver.x with silver.x_rejected, and gold.x (see tests/e2e/foreign.sh). The law:
the (partition, offset) pairs of bronze.x are the log's, less what snapshots of other engines took away and more what
they brought; likewise the errors. Everything above is computed anew from the rows of bronze.x. Where the history that tells
what was taken is lost (--lost), the errors are some of the log's, each once, and from ENDS on all of them.

Not here: what a message means (`layers.py`), the topic's consumer (`judge.py`).
"""

import argparse
import json
import math
import sys
from collections import Counter, defaultdict

from judge import Verdict, ancestry, consume
from lake_args import add_lake_arguments, open_catalog
from layers import bronze as decode_log
from layers import fold_positions

POSITIONS = "ingot.kafka.positions"


def pairs(table, snapshot, columns):
    """(partition, offset) pairs of a snapshot, as a multiset."""
    if snapshot is None:
        return Counter()
    arrow = table.scan(snapshot_id=snapshot, selected_fields=columns).to_arrow()
    return Counter(zip(*(arrow.column(c).to_pylist() for c in columns)))


def columns_of(name):
    return ("partition", "offset") if name.endswith("_errors") else ("kafka_partition", "kafka_offset")


def foreign_changes(table, columns):
    """What other engines took and brought in the retained history: two multisets, and the snapshots that did."""
    gone, came, who = Counter(), Counter(), []
    for snapshot in ancestry(table):
        properties = snapshot.summary.additional_properties
        if properties.get("engine-name") == "ingot" or snapshot.parent_snapshot_id is None:
            continue
        if table.metadata.snapshot_by_id(snapshot.parent_snapshot_id) is None:
            continue
        # A snapshot's own schema may call the columns otherwise: they are read by the names of today's ids.
        before = pairs(table, snapshot.parent_snapshot_id, columns)
        after = pairs(table, snapshot.snapshot_id, columns)
        gone += before - after
        came += after - before
        if before != after:
            who.append(snapshot.snapshot_id)
    return gone, came, who


def positions(table):
    return fold_positions(s.summary.additional_properties.get(POSITIONS) for s in ancestry(table))


def judge_log(verdict, catalog, name, wanted, lost_before=None):
    columns = columns_of(name)
    table = catalog.load_table(name)
    if lost_before is not None:
        head = table.current_snapshot()
        found = pairs(table, head.snapshot_id if head else None, columns)
        later = Counter(w for w in wanted if w[1] >= lost_before.get(w[0], 0))
        missing, extra = later - found, found - Counter(wanted)
        verdict.check(f"{name}: {sum(found.values())} rows are the log's, the last {sum(later.values())} complete",
                      not missing and not extra, f"missing {sorted(missing)[:5]}", f"extra {sorted(extra)[:5]}")
        return
    gone, came, who = foreign_changes(table, columns)
    head = table.current_snapshot()
    found = pairs(table, head.snapshot_id if head else None, columns)
    expected = Counter(wanted) - gone + came
    missing, extra = expected - found, found - expected
    verdict.check(f"{name}: {sum(found.values())} rows are the log's, less {sum(gone.values())} and more "
                  f"{sum(came.values())} by {len(who)} foreign snapshots", not missing and not extra,
                  f"missing {sum(missing.values())}: {sorted(missing)[:5]}", f"extra {sum(extra.values())}: {sorted(extra)[:5]}")


def same(verdict, name, expected, found):
    missing, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    verdict.check(f"{name}: {len(found)} rows are its query over what is below", not missing and not extra,
                  f"missing {list(missing)[:3]}", f"extra {list(extra)[:3]}")


def rows(catalog, name, columns):
    arrow = catalog.load_table(name).scan(selected_fields=columns).to_arrow()
    return list(zip(*(arrow.column(c).to_pylist() for c in columns)))


def judge_views(verdict, catalog, name):
    below = rows(catalog, f"bronze.{name}", ("id", "type", "battery", "kafka_partition", "kafka_offset"))
    known = ("car", "bike", "scoot")
    good = [r for r in below if r[1] in known]
    same(verdict, f"silver.{name}", good, rows(catalog, f"silver.{name}", ("id", "type", "battery", "kafka_partition", "kafka_offset")))
    rejected = rows(catalog, f"silver.{name}_rejected", ("id", "type", "battery", "kafka_partition", "kafka_offset"))
    same(verdict, f"silver.{name}_rejected", [r for r in below if r[1] not in known], rejected)
    groups = defaultdict(list)
    for r in good:
        groups[r[1]].append(r[2])
    values = lambda v: [x for x in v if x is not None]
    stats = [(t, len(v), math.fsum(values(v)) if values(v) else None, max(values(v), default=None)) for t, v in groups.items()]
    same(verdict, f"gold.{name}", stats, rows(catalog, f"gold.{name}", ("type", "total", "charge", "highest")))


def settled(catalog, name, ends):
    _, newest = positions(catalog.load_table(f"bronze.{name}"))
    behind = {p: e for p, e in ends.items() if newest.get(p, {}).get("to") != e}
    return not behind, behind


def act(catalog, what, name):
    table = catalog.load_table(name)
    if what == "delete":
        column = "total" if name.startswith("gold.") else columns_of(name)[1]
        table.delete(f"{column} >= 40 and {column} < 60")
    elif what == "add_column":
        from pyiceberg.types import StringType
        with table.update_schema() as update:
            update.add_column("marked", StringType())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("act")
    one.add_argument("what", choices=("delete", "add_column"))
    one.add_argument("table")
    for name in ("judge", "settled", "ends"):
        command = commands.add_parser(name)
        command.add_argument("--brokers", required=True)
        command.add_argument("--topic", required=True)
        command.add_argument("sets", nargs="*")
        command.add_argument("--lost", nargs="+", default=[])
    args = parser.parse_args()
    catalog = open_catalog(args)
    if args.command == "act":
        act(catalog, args.what, args.table)
        return 0
    messages, ends = consume(args.brokers, args.topic, 120)
    if args.command == "ends":
        print(json.dumps(ends))
        return 0
    if args.command == "settled":
        behind = {name: left for name in args.sets for done, left in [settled(catalog, name, ends)] if not done}
        print(json.dumps(behind))
        return 1 if behind else 0
    decoded, errors = decode_log(messages)
    verdict = Verdict()
    lost, before = set(args.lost[1:]), {}
    if lost:
        with open(args.lost[0]) as file:
            before = {int(p): o for p, o in json.load(file).items()}
    for name in args.sets:
        judge_log(verdict, catalog, f"bronze.{name}", [(r[6], r[7]) for r in decoded])
        judge_log(verdict, catalog, f"bronze.{name}_errors", [(r[1], r[2]) for r in errors], before if name in lost else None)
        judge_views(verdict, catalog, name)
    print(f"judge: {verdict.passed} passed, {verdict.failed} failed", flush=True)
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(main())
