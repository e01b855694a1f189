"""The independent judge: is what stands in the lake what the topic says?

    topic ──confluent-kafka──▶ layers.py ──▶ expected rows ─┐
    lake  ──PyIceberg───────────────────────▶ rows ─────────┼─▶ equal as multisets, doubles to the bit
    ingot serve ──ADBC Flight SQL───────────▶ rows ─────────┘

Also: PyIceberg's schema of every table is the declared one and nothing more; the positions and counts that the
streaming table records are those of the topic; the head snapshots say who made them.

Prints one line a check and the first differences; exits 1 if one fails, 2 when it could not judge.
"""

import argparse
import json
import sys
import time
from collections import Counter

import pyarrow as pa

from lake_args import add_lake_arguments, open_catalog
from layers import TABLES, difference, double, fold_positions, layers

ARROW = {"string": pa.string(), "double": pa.float64(), "int": pa.int32(), "long": pa.int64(), "binary": pa.binary(),
         "timestamptz": pa.timestamp("us", tz="UTC")}
STREAMING = "bronze.vehicle_events"
ERRORS = "bronze.vehicle_events_errors"
SHOWN = 5


class Verdict:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, right, *details):
        self.passed += bool(right)
        self.failed += not right
        print(("ok    " if right else "FAIL  ") + what, flush=True)
        if not right:
            for line in details:
                print("      " + str(line), flush=True)


def consume(brokers, topic, seconds):
    """All committed messages of a topic, and where each partition ends for a reader of committed messages."""
    from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": "ingot-judge", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "error",
        "queued.max.messages.kbytes": 65536})
    deadline = time.monotonic() + seconds
    metadata = consumer.list_topics(topic, timeout=20).topics[topic]
    if metadata.error:
        raise RuntimeError(metadata.error)
    waiting = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in waiting])
    messages, ends = [], {}
    while waiting:
        if time.monotonic() > deadline:
            raise TimeoutError(f"partitions {sorted(waiting)} did not reach their end in {seconds} s")
        for m in consumer.consume(num_messages=10_000, timeout=1.0):
            if m.error():
                if m.error().code() != KafkaError._PARTITION_EOF:
                    raise RuntimeError(m.error())
                ends[m.partition()] = m.offset()
                waiting.discard(m.partition())
                continue
            kind, timestamp = m.timestamp()
            messages.append((topic, m.partition(), m.offset(), None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
                             m.key(), m.value()))
    consumer.close()
    return messages, ends


def plain(column: pa.ChunkedArray, kind):
    """A column as Python values that compare bit for bit."""
    if kind == "double":
        return [v for chunk in column.chunks for v in chunk.view(pa.int64()).to_pylist()]
    if kind == "timestamptz":
        return column.cast(pa.timestamp("us", tz=column.type.tz)).cast(pa.int64()).to_pylist()
    values = column.to_pylist()
    return [None if v is None else tuple(v) for v in values] if kind.startswith("list<") else values


def rows_of(table: pa.Table, declared):
    return list(zip(*(plain(table.column(name), kind) for name, kind in declared)))


def shown(name, row):
    kinds = [kind for _, kind in TABLES[name]]
    return tuple(double(v) if kind == "double" else v for v, kind in zip(row, kinds))


def compare(verdict, reader, name, expected, table: pa.Table):
    declared = TABLES[name]
    missing_columns = [c for c, _ in declared if c not in table.column_names]
    if missing_columns:
        verdict.check(f"{reader}: {name}: columns", False, f"missing {missing_columns}, found {table.column_names}")
        return
    rows = rows_of(table, declared)
    if name == ERRORS:  # `code` and `reason` are the engine's words: they must be there, the rest must be equal
        blank = [r for r in rows if not r[6] or not r[7]]
        verdict.check(f"{reader}: {name}: every error has a code and a reason", not blank, *blank[:SHOWN])
        expected, rows = [r[:6] for r in expected], [r[:6] for r in rows]
    missing, extra = difference(expected, rows)
    details = [f"expected {len(expected)} rows, found {len(rows)}"]
    details += [f"missing x{n}: {shown(name, row)}" for row, n in missing[:SHOWN]]
    details += [f"extra   x{n}: {shown(name, row)}" for row, n in extra[:SHOWN]]
    verdict.check(f"{reader}: {name}: {len(rows)} rows equal", not missing and not extra, *details)


def judge_iceberg(verdict, catalog, expected):
    """Rows and schemas as PyIceberg reads them."""
    found = {".".join(t) for ns in catalog.list_namespaces() for t in catalog.list_tables(ns)}
    verdict.check("pyiceberg: the catalog holds the declared tables and no other", found == set(TABLES),
                  f"missing {sorted(set(TABLES) - found)}, extra {sorted(found - set(TABLES))}")
    for name, declared in TABLES.items():
        if name not in found:
            continue
        table = catalog.load_table(name)
        schema = [(f.name, str(f.field_type)) for f in table.schema().fields]
        verdict.check(f"pyiceberg: {name}: schema as declared", schema == declared, f"declared {declared}", f"found    {schema}")
        required = [f.name for f in table.schema().fields if f.required]
        verdict.check(f"pyiceberg: {name}: no column is required", not required, required)
        head = table.current_snapshot()
        engine = head.summary.additional_properties.get("engine-name") if head else None
        verdict.check(f"pyiceberg: {name}: the head names its engine", engine == "ingot", engine)
        spec = [(f.name, str(f.transform)) for f in table.spec().fields]
        partitioned = name in ("bronze.vehicle_events", "silver.vehicle_events")
        verdict.check(f"pyiceberg: {name}: partitioned by {'days(ts)' if partitioned else 'nothing'}",
                      [t for _, t in spec] == (["day"] if partitioned else []), spec)
        compare(verdict, "pyiceberg", name, expected[name], table.scan().to_arrow())


def judge_flight(verdict, uri, expected):
    """Rows and Arrow schemas as an ADBC client gets them."""
    import adbc_driver_flightsql.dbapi as flight_sql

    with flight_sql.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        for name, declared in TABLES.items():
            cursor.execute(f"SELECT * FROM {name}")
            table = cursor.fetch_arrow_table()
            wanted = [(c, ARROW.get(kind)) for c, kind in declared]
            right = len(table.schema) == len(wanted) and all(
                f.name == c and (f.type == t if t is not None else pa.types.is_list(f.type) and f.type.value_type == pa.string())
                for f, (c, t) in zip(table.schema, wanted))
            verdict.check(f"adbc: {name}: Arrow schema", right, f"declared {wanted}", f"found    {table.schema}")
            compare(verdict, "adbc", name, expected[name], table)
        cursor.execute("SELECT count(*) AS n FROM silver.vehicle_events WHERE type = ?", parameters=("car",))
        wanted = sum(1 for r in expected["silver.vehicle_events"] if r[1] == "car")
        got = cursor.fetchone()[0]
        verdict.check("adbc: a prepared statement with a parameter", got == wanted, f"expected {wanted}, found {got}")


def ancestry(table):
    snapshot = table.current_snapshot()
    while snapshot is not None:
        yield snapshot
        snapshot = table.metadata.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id is not None else None


def judge_positions(verdict, catalog, topic, messages, ends, expected):
    """What the streaming table says it has read is what the topic holds."""
    table = catalog.load_table(STREAMING)
    summaries = (s.summary.additional_properties.get("ingot.kafka.positions") for s in ancestry(table))
    identity, newest = fold_positions(summaries)
    verdict.check("positions: of this topic", identity is not None and identity[2] == topic, identity)
    verdict.check("positions: at the end of every partition", {p: e["to"] for p, e in newest.items()} == ends,
                  f"topic ends {sorted(ends.items())}", f"recorded  {sorted((p, e['to']) for p, e in newest.items())}")
    delivered = Counter(m[1] for m in messages)
    main = Counter(r[6] for r in expected[STREAMING])
    errors = Counter(r[1] for r in expected[ERRORS])
    for name, counts in (("delivered", delivered), ("main", main), ("errors", errors)):
        recorded = {p: e.get(name, 0) for p, e in newest.items()}
        verdict.check(f"positions: {name} counted", recorded == {p: counts[p] for p in recorded},
                      f"topic {dict(counts)}", f"table {recorded}")


def write_canonical(path, expected):
    """What Judge.java prints, one fact a line."""
    text = lambda v: "null" if v is None else str(v)
    hexed = lambda v: "null" if v is None else f"{v & 0xFFFFFFFFFFFFFFFF:016x}"
    with open(path, "w") as out:
        for name in sorted(TABLES):
            out.write(f"count\t{name}\t{len(expected[name])}\n")
        for type_, total, mean, highest in sorted(expected["gold.stats"]):
            out.write(f"stats\t{text(type_)}\t{total}\t{hexed(mean)}\t{hexed(highest)}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--flight", required=True, help="grpc://127.0.0.1:32010")
    parser.add_argument("--canonical", help="write the facts for the JDBC judge to this file")
    parser.add_argument("--rejected-at-least", type=int, default=0, help="fail if the topic is too tame to show anything")
    parser.add_argument("--seconds", type=float, default=300, help="deadline for reading the topic")
    args = parser.parse_args()

    began = time.monotonic()
    messages, ends = consume(args.brokers, args.topic, args.seconds)
    expected, dropped = layers(messages)
    duplicates = len(expected[STREAMING]) - sum(dropped.values()) - len(expected["silver.vehicle_events_rejected"]) \
        - len(expected["silver.vehicle_events"])
    facts = {"messages": len(messages), "duplicates": duplicates, "dropped": dict(dropped),
             **{name: len(rows) for name, rows in expected.items()}}
    print("topic " + json.dumps(facts), flush=True)

    verdict = Verdict()
    if args.rejected_at_least:
        enough = min(duplicates, len(expected[ERRORS])) >= args.rejected_at_least
        verdict.check(f"the topic holds at least {args.rejected_at_least} duplicates and malformed messages", enough)
    catalog = open_catalog(args)
    judge_iceberg(verdict, catalog, expected)
    judge_positions(verdict, catalog, args.topic, messages, ends, expected)
    judge_flight(verdict, args.flight, expected)
    if args.canonical:
        write_canonical(args.canonical, expected)
    print(f"judge: {verdict.passed} passed, {verdict.failed} failed in {time.monotonic() - began:.1f} s", flush=True)
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as e:  # could not judge is not the same as found wrong
        import traceback
        traceback.print_exc()
        print(f"judge: could not judge: {e}", file=sys.stderr)
        sys.exit(2)
