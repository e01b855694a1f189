"""Three real brokers of one cluster, to be killed, and what the tests do to their topics.

Started by tests/services/kafka.sh; node 1 is the controller, too. Not here: what Ingot makes of it (`broker_faults.py`).
"""

import os
import subprocess
import threading
import time

from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import (AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, ResourceType)

from topics import admin

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../services/kafka.sh")
CONF = """replica.lag.time.max.ms=1500
replica.fetch.wait.max.ms=200
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.leader.rebalance.enable=false
log.cleaner.backoff.ms=500
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
message.max.bytes=67108864
replica.fetch.max.bytes=67108864
"""


class Cluster:
    def __init__(self, run_folder):
        self.env = {**os.environ, "INGOT_TEST_RUN": run_folder, "INGOT_TEST_KAFKA_CONF": CONF, "INGOT_TEST_KAFKA_HEAP": "384m",
                    # Brokers that live for a minute start sooner so.
                    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
        self.env.pop("INGOT_TEST_KAFKA", None)
        self.at = {}
        self.start(1)
        joining = [threading.Thread(target=self.start, args=(node,)) for node in (2, 3)]
        for thread in joining:
            thread.start()
        for thread in joining:
            thread.join()
        self.brokers = ",".join(self.at.values())
        self.admin = admin(self.brokers)
        self.wait("three brokers", lambda: len(self.admin.list_topics(timeout=20).brokers) == 3)

    def script(self, node, command):
        done = subprocess.run([SCRIPT, command], env={**self.env, "INGOT_TEST_KAFKA_NODE": str(node)}, capture_output=True,
                              text=True, timeout=400)
        if done.returncode:
            raise RuntimeError(f"kafka.sh {command}, node {node}: {done.stderr}")
        return done.stdout

    def start(self, node):
        self.at[node] = self.script(node, "start").strip().split("=")[-1]

    def kill(self, node):
        self.script(node, "kill")

    def stop(self):
        for node in (3, 2, 1):
            self.script(node, "stop")

    @staticmethod
    def wait(what, holds, seconds=120):
        deadline = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except Exception as e:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{what}: {e}") from e
            if time.monotonic() > deadline:
                raise TimeoutError(what)
            time.sleep(0.2)

    def topic(self, name):
        return self.admin.list_topics(name, timeout=20).topics[name]

    def create(self, name, assignment, **config):
        """A topic with the replicas of each partition, the leader first."""
        config = {key.replace("_", "."): str(value) for key, value in config.items()}
        new = NewTopic(name, num_partitions=len(assignment), replica_assignment=assignment, config=config)
        self.wait(f"{name} created", lambda: self.admin.create_topics([new])[name].result() is None)
        self.wait(f"{name} led", lambda: all(p.leader == a[0] for p, a in zip(self.partitions(name), assignment)))

    def partitions(self, name):
        found = self.topic(name).partitions
        return [found[p] for p in sorted(found)]

    def delete(self, name):
        self.admin.delete_topics([name])[name].result()
        self.wait(f"{name} gone", lambda: name not in self.admin.list_topics(timeout=20).topics)

    def grow(self, name, count):
        self.admin.create_partitions([NewPartitions(name, count)])[name].result()
        self.wait(f"{name} grown", lambda: len(self.partitions(name)) == count)

    def forget(self, name, before=OFFSET_END):
        """Deletes the records of all partitions below an offset, as retention does."""
        asked = [TopicPartition(name, p.id, before) for p in self.partitions(name)]
        for future in self.admin.delete_records(asked).values():
            future.result()

    def set(self, kind, name, **config):
        changes = [ConfigEntry(key.replace("_", "."), None if value is None else str(value), incremental_operation=(
            AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET)) for key, value in config.items()]
        resource = ConfigResource(kind, name, incremental_configs=changes)
        self.admin.incremental_alter_configs([resource])[resource].result()

    def set_topic(self, name, **config):
        self.set(ResourceType.TOPIC, name, **config)

    def set_broker(self, node, **config):
        self.set(ResourceType.BROKER, str(node), **config)

    def led_by(self, name, node):
        return all(p.leader == node for p in self.partitions(name))

    def in_sync(self, name, count):
        return all(len(p.isrs) == count for p in self.partitions(name))
