"""The lake of an earlier version: its messages, its move to another place and broker, and what PyIceberg reads of it
(tests/e2e/upgrade.sh). Shares no code with Ingot.

    upgrade.py send BROKERS TOPIC FROM TO     messages FROM to TO - 1, two partitions; message i has offset i // 2 of partition i % 2
    upgrade.py origin BROKERS TOPIC LAKE      what a lake knows of its place and its topic, as JSON
    upgrade.py adopt BROKERS TOPIC LAKE       a lake that was unpacked at LAKE, with its origin.json, goes on from here and from TOPIC
    upgrade.py types LAKE                     columns and types of all tables, one a line
    upgrade.py rows LAKE TABLE UPTO           the rows of messages before UPTO, sorted, one a line
    upgrade.py judge LAKE FROM TO             the rows of bronze.sums of messages FROM to TO - 1 against their messages
"""

import json
import os
import re
import sqlite3
import sys
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

from lake_args import open_catalog

BASE = 1767225600
NAMES = ["ann", "bob", "Åsa", "日本", "d'or", None]


def fields(i):
    """The columns of message i; None for one that does not decode."""
    if i % 23 == 11:
        return None
    n = (i * 37) % 997
    return {
        "id": i % 41, "n": None if i % 19 == 3 else n, "big": i * 10**9 - 7, "amount": f"{i * 7 % 5000}.{i % 100:02}",
        "rate": (i * 31 % 1009) / 8 - 10, "small": i / 4, "name": NAMES[i % 6], "flag": i % 3 != 0,
        "day": f"2026-01-{1 + i % 28:02}", "clock": f"{i % 24:02}:{i % 60:02}:00.25", "local": f"2026-02-{1 + i % 28:02}T01:02:03.5",
        "placed": f"2026-01-{1 + i % 3:02}T{i % 24:02}:00:00Z", "code": f"00000000-0000-4000-8000-{i:012d}",
        "tags": [f"t{i % 4}", None] if i % 5 else [], "place": {"lat": i / 16, "name": NAMES[i % 5]}, "raw": {"i": i, "a": [1, None]},
    }


def send(brokers, topic, first, last):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for i in range(int(first), int(last)):
        message = fields(i)
        # An amount is a number with all its digits.
        value = '{"id": ' if message is None else re.sub(r'"amount": "([0-9.]+)"', r'"amount": \1', json.dumps(message))
        producer.produce(topic, value, partition=i % 2, timestamp=(BASE + i) * 1000)
    if producer.flush(60):
        sys.exit("upgrade: not everything was delivered")


def topic_of(brokers, topic):
    from confluent_kafka import TopicCollection
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": brokers})
    described = admin.describe_topics(TopicCollection([topic]))[topic].result()
    return {"cluster": admin.describe_cluster().result().cluster_id, "topic": topic, "topic-id": str(described.topic_id)}


def origin(brokers, topic, lake):
    print(json.dumps({"location": lake, **topic_of(brokers, topic)}))


def adopt(brokers, topic, lake):
    """Paths are as long as they were, and ids always are: lengths in Avro files stay right."""
    was = json.loads(Path(lake, "origin.json").read_text())
    now = {"location": lake, **topic_of(brokers, topic)}
    for key in ("location", "cluster", "topic-id"):
        assert len(was[key]) == len(now[key]), (key, was[key], now[key])
    for path in sorted(Path(lake).rglob("*")):
        if path.suffix not in (".json", ".avro"):
            continue
        data = path.read_bytes()
        assert b"avro.codec" not in data or b"null" in data[data.index(b"avro.codec"):][:30], f"{path} is compressed"
        for key in ("location", "cluster", "topic-id"):
            data = data.replace(was[key].encode(), now[key].encode())
        path.write_bytes(data)
    with sqlite3.connect(Path(lake, "catalog.db")) as catalog:
        for column in ("metadata_location", "previous_metadata_location"):
            catalog.execute(f"UPDATE iceberg_tables SET {column} = replace({column}, ?, ?)", (was["location"], lake))


def catalog_of(lake):
    args = type("Args", (), {"catalog_uri": f"sqlite:///{lake}/catalog.db", "catalog_name": "ingot", "warehouse": f"file://{lake}"})
    return open_catalog(args)


def tables(lake):
    catalog = catalog_of(lake)
    for namespace in sorted(catalog.list_namespaces()):
        for name in sorted(catalog.list_tables(namespace)):
            yield ".".join(name), catalog.load_table(name)


def types(lake):
    for name, table in tables(lake):
        for field in table.schema().fields:
            print(f"{name}.{field.name}: {field.field_type}")


def message_of(row, partition, offset):
    return row[offset] * 2 + row[partition]


def rows(lake, name, upto):
    table = catalog_of(lake).load_table(name)
    partition, offset = ("partition", "offset") if name.endswith("_errors") else ("kafka_partition", "kafka_offset")
    kept = (r for r in table.scan().to_arrow().to_pylist() if message_of(r, partition, offset) < int(upto))
    for line in sorted(json.dumps(r, default=str, sort_keys=True, ensure_ascii=False) for r in kept):
        print(line)


def half_up(value, digits):
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def judge(lake, first, last):
    """What SQL makes of a message: exact decimals, then the cast to the stored type."""
    stored = catalog_of(lake).load_table("bronze.sums").scan().to_arrow().to_pylist()
    found = {message_of(r, "kafka_partition", "kafka_offset"): r for r in stored}
    assert len(found) == len(stored), "a message has two rows"
    wrong, right = [], 0
    for i in range(int(first), int(last)):
        m, row = fields(i), found.get(i)
        if m is None or m["n"] is None or m["n"] < 1 or m["name"] is None:
            wanted = None
        else:
            with localcontext() as context:
                context.prec = 76
                n, amount = Decimal(m["n"]), Decimal(m["amount"])
                wanted = {
                    "gross": n * Decimal("1.1"), "part": n * Decimal("0.5") if m["flag"] else Decimal(0), "total": amount * n,
                    "more": amount * Decimal("1.5"), "filled": amount * Decimal("1.1"), "twice": amount * 2,
                    "square": amount * amount, "rounded": half_up(amount, 1), "size": abs(amount), "fixed": Decimal("0.5"),
                    "left_over": amount % 7, "mixed": float(amount) + m["rate"],
                }
        if (row is None) != (wanted is None):
            wrong.append(f"message {i}: {row} and not {wanted}")
        for name, value in (wanted or {}).items():
            given = row[name]
            if isinstance(given, Decimal):
                value = half_up(value, -given.as_tuple().exponent)
            elif isinstance(given, float):
                value = float(value)
            if given == value:
                right += 1
            else:
                wrong.append(f"message {i}: {name} is {given!r}, not {value!r}")
    print(*wrong[:20], sep="\n")
    print(f"{right} right, {len(wrong)} wrong")
    return bool(wrong) or not right


def main():
    os.environ.setdefault("PYICEBERG_HOME", "/nonexistent")
    commands = {"send": send, "origin": origin, "adopt": adopt, "types": types, "rows": rows, "judge": judge}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    return int(commands[sys.argv[1]](*sys.argv[2:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
