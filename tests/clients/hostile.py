"""Messages that no well-behaved producer sends, and the rows that must come of them.

    hostile.py send BROKERS WIDE ODD       makes both topics and fills them
    hostile.py judge CATALOG WAREHOUSE     compares the tables of tests/e2e/hostile.sh with what was sent

WIDE takes a message with ten thousand fields and one with none; ODD takes keys with NUL, headers, doubled and surrogate
keys, nesting, numbers past their type, bytes that are no UTF-8, a message of 90 MB and one of 104 MB.
"""

import json
import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

COLUMNS = 10_000
LARGE = 90_000_000
LARGER = 104_000_000


def odd():
    """(key, headers, payload, the column `v` of the row or None for an error row) of each message, in order."""
    padded = '{"pad":"%s","v":"%s"}'
    return [
        (b"\0", [], b'{"v":"plain"}', "plain"),
        (b"a\0b\0", [("h\u00e9", b"\0\xff"), ("h\u00e9", None)], b'{"v":"nul \\u0000 inside"}', "nul \0 inside"),
        (b"\xff\xfe", [("", b"")], b'{"v":"first","v":"second"}', "second"),
        (None, [], b'{"v":"\\ud83d\\ude00"}', "\U0001f600"),
        (None, [], b'{"v":"\\ud83d"}', None),
        (None, [], b'{"v":"\xff"}', None),
        (None, [], b'\xef\xbb\xbf{"v":"bom"}', None),
        (None, [], b'{"v":"raw \0 nul"}', None),
        (None, [], b'{"v":1e400}', None),
        (None, [], b'{"v":"x","n":9223372036854775808}', None),
        (None, [], b"[" * 100_000, None),
        (None, [], b'{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b',"v":"deep"}', None),
        (None, [], b"", None),
        (None, [], (padded % ("a" * LARGE, "large")).encode(), "large"),
        (None, [], (padded % ("b" * LARGER, "larger")).encode(), "larger"),
        (None, [], b'{"v":"last"}', "last"),
    ]


def send(brokers, wide, odd_topic):
    client = AdminClient({"bootstrap.servers": brokers})
    config = {"max.message.bytes": str(2 * LARGER)}
    for future in client.create_topics([NewTopic(t, 1, 1, config=config) for t in (wide, odd_topic)]).values():
        future.result()
    failed = []
    told = lambda error, _: failed.append(error) if error else None
    config = {"bootstrap.servers": brokers, "message.max.bytes": 2 * LARGER, "linger.ms": 0,
              "queue.buffering.max.kbytes": 4 * LARGER // 1000}
    producer = Producer(config)
    producer.produce(wide, json.dumps({f"c{i}": i for i in range(COLUMNS)}), on_delivery=told)
    producer.produce(wide, "{}", on_delivery=told)
    producer.produce(wide, json.dumps({f"c{i}": -i for i in reversed(range(COLUMNS))}), on_delivery=told)
    waiting = producer.flush(60)
    for key, headers, payload, _ in odd():
        if len(payload) > LARGER:
            # A broker refuses a request over 100 MiB (socket.request.max.bytes): it must be smaller on the way.
            waiting += producer.flush(120)
            producer = Producer(config | {"compression.type": "lz4"})
        producer.produce(odd_topic, payload, key=key, headers=headers, on_delivery=told)
    if waiting + producer.flush(120) or failed:
        sys.exit(f"hostile: not delivered: {failed}")


def judge(uri, warehouse):
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("ingot", uri=uri, warehouse=warehouse)
    rows = catalog.load_table("bronze.odd").scan().to_arrow().sort_by("at").to_pylist()
    errors = catalog.load_table("bronze.odd_errors").scan(selected_fields=("offset",)).to_arrow().to_pylist()
    wanted = {i: value for i, (_, _, _, value) in enumerate(odd())}
    found = {row["at"]: row["v"] for row in rows}
    assert found == {i: v for i, v in wanted.items() if v is not None}, found
    assert sorted(e["offset"] for e in errors) == [i for i, v in wanted.items() if v is None], errors
    keys = {row["at"]: row["k"] for row in rows}
    assert all(keys[i] == key for i, (key, *_) in enumerate(odd()) if i in keys), keys
    headers = {row["at"]: [(h["key"], h["value"]) for h in row["h"]] for row in rows}
    assert all(headers[i] == sent for i, (_, sent, *_) in enumerate(odd()) if i in headers), headers
    wide = catalog.load_table("bronze.wide").scan().to_arrow().sort_by("at").to_pylist()
    values = [[row[f"c{i}"] for i in range(COLUMNS)] for row in wide]
    assert values == [list(range(COLUMNS)), [None] * COLUMNS, [-i for i in range(COLUMNS)]], "wide rows differ"
    print(f"{len(rows)} odd rows, {len(errors)} errors, {len(wide)} wide rows")


if __name__ == "__main__":
    {"send": send, "judge": judge}[sys.argv[1]](*sys.argv[2:])
