"""A topic as bad as topics get, and what an independent consumer sees of it.

    Traffic   events, duplicates, malformed rows, tombstones, committed and aborted transactions, under a seed
    Log       every committed message of the topic, judged by `layers.py`, kept up to date

Not here: the lake (`lake_state.py`).
"""

import json
import random
import time

from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_NOT_AVAILABLE, Consumer, IsolationLevel, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec

from layers import Malformed, decode
from topics import admin, event

BAD = [b"", b"{", b"[]", b"null", b'{"id":1}', b'{"battery":"50"}', b'{"id":"\xff"}', b'{"ts":"yesterday"}', None, None]


class Traffic:
    """Writes to one topic. `dress` may add to an event's text."""

    def __init__(self, brokers, topic, seed, dress=lambda r, text: text):
        self.topic, self.dress = topic, dress
        self.random = random.Random(seed)
        self.plain = Producer({"bootstrap.servers": brokers, "linger.ms": 0, "enable.idempotence": True})
        self.transactional = Producer({"bootstrap.servers": brokers, "linger.ms": 0, "transactional.id": topic,
                                       "transaction.timeout.ms": 600_000})
        self.transactional.init_transactions(60)
        self.said = []
        self.sent = 0

    def message(self):
        r = self.random
        kind = r.random()
        if kind < 0.10:
            return r.choice(BAD)
        if kind < 0.25 and self.said:
            return r.choice(self.said[-200:])
        self.said.append(self.dress(r, event(r, r.randrange(49))).encode())
        return self.said[-1]

    def put(self, producer, count):
        for _ in range(count):
            producer.produce(self.topic, self.message(), key=str(self.random.randrange(500)))
            producer.poll(0)
        if producer.flush(60):
            raise RuntimeError("not everything was delivered")

    def send(self, count):
        """About `count` messages, something for every table among them; now and then some of them in transactions."""
        self.sent += 1
        for type_ in ("car", "truck"):
            fields = {"id": f"n{self.sent}", "type": type_, "battery": 50, "ts": f"2026-01-02T03:04:05.{self.sent:06d}Z"}
            self.plain.produce(self.topic, json.dumps(fields), key="n")
        self.plain.produce(self.topic, b"{", key="n")
        self.put(self.plain, max(1, count // 2))
        if self.random.random() < 0.4:
            for _ in range(2):
                self.transactional.begin_transaction()
                self.put(self.transactional, max(1, count // 4))
                if self.random.random() < 0.5:
                    self.transactional.commit_transaction(60)
                else:
                    self.transactional.abort_transaction(60)
            # Sometimes control records and aborted messages are the last that the log holds.
            if self.random.random() < 0.5:
                return
        self.put(self.plain, max(1, count // 4))


class Message:
    __slots__ = ("row", "raw")

    def __init__(self, topic, m):
        kind, timestamp = m.timestamp()
        self.raw = (topic, m.partition(), m.offset(), None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp, m.key(), m.value())
        try:
            self.row = decode(m.value())
        except Malformed:
            self.row = None


class Log:
    """Committed messages by partition and offset. `decode` of layers.py says which of them are rows."""

    def __init__(self, brokers, topic):
        self.topic = topic
        self.admin = admin(brokers)
        self.consumer = Consumer({
            "bootstrap.servers": brokers, "group.id": "ingot-log", "enable.auto.commit": False,
            "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10, "log_level": 2})
        self.messages = {}
        self.reached = {}
        self.assigned = set()

    def catch_up(self, seconds=60):
        """Reads all that is committed now."""
        partitions = self.admin.list_topics(self.topic, timeout=20).topics[self.topic].partitions
        new = [TopicPartition(self.topic, p, OFFSET_BEGINNING) for p in partitions if p not in self.assigned]
        if new:
            self.consumer.incremental_assign(new)
            self.assigned.update(tp.partition for tp in new)
        asked = {TopicPartition(self.topic, p): OffsetSpec.latest() for p in partitions}
        stable = self.admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
        ends = {tp.partition: future.result().offset for tp, future in stable.items()}
        deadline = time.monotonic() + seconds
        while any(self.reached.get(p, 0) < end for p, end in ends.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the log was not read to {ends} but to {self.reached}")
            for m in self.consumer.consume(num_messages=10_000, timeout=0.2):
                if m.error() and m.error().code() != KafkaError._PARTITION_EOF:
                    raise RuntimeError(m.error())
                if m.error():
                    self.reached[m.partition()] = max(self.reached.get(m.partition(), 0), m.offset())
                else:
                    self.messages[m.partition(), m.offset()] = Message(self.topic, m)
                    self.reached[m.partition()] = m.offset() + 1
        return ends

    def below(self, positions):
        """(place, message) of every message below a position of each partition."""
        return [(place, m) for place, m in self.messages.items() if place[1] < positions.get(place[0], 0)]

    def close(self):
        self.consumer.close()
