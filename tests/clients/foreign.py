"""Other engines' acts on the tables of a project that runs, and whether the tables are right afterwards.

    foreign.py LAKE session                                                  acts by PyIceberg: `delete bronze.t` a line
    foreign.py LAKE judge --brokers B --topic T SET... [--lost ENDS SET...]  every set of tables against the log
    foreign.py LAKE red --brokers B --topic T SET...                         the judge objects to what is made wrong
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
from datetime import datetime

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


class Comparison:
    """Rows that are there, between the fewest and the most that are right; mostly these are the same."""

    def __init__(self, what, found, least, most=None):
        self.what, self.found, self.least = what, Counter(found), Counter(least)
        self.most = self.least if most is None else Counter(most)

    def objections(self):
        missing, extra = self.least - self.found, self.found - self.most
        return [f"{word} {sum(rows.values())}: {list(rows.items())[:3]}" for word, rows in
                (("missing", missing), ("extra", extra)) if rows]

    def spoilt(self):
        """Copies whose expectation has a row less, a row doubled and a row that nobody sent."""
        row = next(iter(self.least), None)
        if row is not None:
            yield "a row less", Comparison(self.what, self.found, self.least - Counter([row]), self.most - Counter([row]))
            yield "a row doubled", Comparison(self.what, self.found, self.least + Counter([row]), self.most + Counter([row]))
        stray = ("nobody", "sent", "this")
        yield "a row more", Comparison(self.what, self.found, self.least + Counter([stray]), self.most + Counter([stray]))


def compare_log(catalog, name, wanted, lost_before=None):
    columns, wanted = columns_of(name), Counter(wanted)
    table = catalog.load_table(name)
    head = table.current_snapshot()
    found = pairs(table, head.snapshot_id if head else None, columns)
    if lost_before is not None:
        later = Counter({w: n for w, n in wanted.items() if w[1] >= lost_before.get(w[0], 0)})
        return Comparison(f"{name}: {sum(found.values())} rows are the log's, the last {sum(later.values())} complete",
                          found, later, wanted)
    gone, came, who = foreign_changes(table, columns)
    # What was brought may have been taken again: first all that came.
    return Comparison(f"{name}: {sum(found.values())} rows are the log's, less {sum(gone.values())} and more "
                      f"{sum(came.values())} by {len(who)} foreign snapshots", found, wanted + came - gone)


def rows(catalog, name, columns):
    arrow = catalog.load_table(name).scan(selected_fields=columns).to_arrow()
    return list(zip(*(arrow.column(c).to_pylist() for c in columns)))


def query(name, expected, found):
    return Comparison(f"{name}: {len(found)} rows are its query over what is below", found, expected)


def compare_views(catalog, name):
    columns = ("id", "type", "battery", "kafka_partition", "kafka_offset")
    below = rows(catalog, f"bronze.{name}", columns)
    wanted = lambda r: r[1] in ("car", "bike", "scoot") and r[4] % 5 != 0
    good = [r for r in below if wanted(r)]
    yield f"silver.{name}", lambda: query(f"silver.{name}", good, rows(catalog, f"silver.{name}", columns))
    rejected = f"silver.{name}_rejected"
    yield rejected, lambda: query(rejected, [r for r in below if not wanted(r)], rows(catalog, rejected, columns))
    groups = defaultdict(list)
    for r in good:
        groups[r[1]].append(r[2])
    values = lambda v: [x for x in v if x is not None]
    stats = [(t, len(v), math.fsum(values(v)) if values(v) else None, max(values(v), default=None)) for t, v in groups.items()]
    gold, shown = f"gold.{name}", ("type", "total", "charge", "highest")
    yield gold, lambda: query(gold, stats, rows(catalog, gold, shown))


def compare_set(catalog, name, messages, lost_before):
    """The comparisons of a set, each to be made when it is asked for: a table may be missing."""
    decoded, errors = messages
    yield f"bronze.{name}", lambda: compare_log(catalog, f"bronze.{name}", [(r[6], r[7]) for r in decoded])
    yield f"bronze.{name}_errors", lambda: compare_log(
        catalog, f"bronze.{name}_errors", [(r[1], r[2]) for r in errors], lost_before)
    yield from compare_views(catalog, name)


def comparisons(verdict, catalog, name, messages, lost_before):
    try:
        for what, compare in compare_set(catalog, name, messages, lost_before):
            try:
                yield compare()
            except Exception as e:
                verdict.check(f"{what}: can be read", False, f"{type(e).__name__}: {e}")
    except Exception as e:
        verdict.check(f"bronze.{name}: can be read", False, f"{type(e).__name__}: {e}")


def settled(catalog, name, ends):
    _, newest = positions(catalog.load_table(f"bronze.{name}"))
    behind = {p: e for p, e in ends.items() if newest.get(p, {}).get("to") != e}
    return not behind, behind


def act(catalog, what, name):
    table = catalog.load_table(name)
    if what == "delete":
        column = columns_of(name)[1]
        main = name.startswith("bronze.") and not name.endswith("_errors")
        table.delete("type = 'car'" if name.startswith("gold.") else f"{column} >= 40 and {column} < {100 if main else 10**9}")
    elif what == "add_column":
        from pyiceberg.types import StringType
        with table.update_schema() as update:
            update.add_column("marked", StringType())
    elif what == "rename_column":
        with table.update_schema() as update:
            update.rename_column("total" if name.startswith("gold.") else columns_of(name)[1], "elsewhere")
    elif what == "rollback":
        with table.manage_snapshots() as manage:
            manage.rollback_to_snapshot(table.current_snapshot().parent_snapshot_id)
    elif what == "expire":
        table.maintenance.expire_snapshots().older_than(datetime(2100, 1, 1)).commit()
    else:
        raise ValueError(what)


def session(catalog):
    """Answers each line as spark_session.py does."""
    print("ok ready", flush=True)
    for line in sys.stdin:
        try:
            act(catalog, *line.split())
            answer = "ok"
        except Exception as e:
            answer = "error " + type(e).__name__ + " " + " ".join(str(e).split())[:1000]
        print(answer, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("session")
    for name in ("judge", "red", "settled", "ends"):
        command = commands.add_parser(name)
        command.add_argument("--brokers", required=True)
        command.add_argument("--topic", required=True)
        command.add_argument("sets", nargs="*")
        command.add_argument("--lost", nargs="+", default=[])
    args = parser.parse_args()
    catalog = open_catalog(args)
    if args.command == "session":
        session(catalog)
        return 0
    messages, ends = consume(args.brokers, args.topic, 120)
    if args.command == "ends":
        print(json.dumps(ends))
        return 0
    if args.command == "settled":
        behind = {name: left for name in args.sets for done, left in [settled(catalog, name, ends)] if not done}
        print(json.dumps(behind))
        return 1 if behind else 0
    verdict, decoded = Verdict(), decode_log(messages)
    lost, before = set(args.lost[1:]), {}
    if lost:
        with open(args.lost[0]) as file:
            before = {int(p): o for p, o in json.load(file).items()}
    for name in args.sets:
        for made in comparisons(verdict, catalog, name, decoded, before if name in lost else None):
            if args.command == "judge":
                objections = made.objections()
                verdict.check(made.what, not objections, *objections)
                continue
            for how, wrong in made.spoilt():
                verdict.check(f"with {how}: an objection to {made.what}", not made.objections() and wrong.objections())
    print(f"judge: {verdict.passed} passed, {verdict.failed} failed", flush=True)
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(main())
