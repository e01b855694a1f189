"""Topics, and the messages that `ingot produce` does not make.

    topics.py BROKERS create TOPIC [--partitions N]
    topics.py BROKERS delete TOPIC                      and wait until it is gone
    topics.py BROKERS grow TOPIC N                      to N partitions
    topics.py BROKERS trim TOPIC                        all of its messages are forgotten, as retention does
    topics.py BROKERS send TOPIC N [--seed S]           N plain events
    topics.py BROKERS transaction TOPIC N {commit,abort} [--seed S]
    topics.py BROKERS open TOPIC N [--hold SECONDS]     a transaction left open while this process lives
    topics.py BROKERS ends TOPIC                        partition, low, last stable offset, high watermark; a line each
"""

import argparse
import json
import random
import sys
import time

from confluent_kafka import OFFSET_END, Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec


def event(r, i):
    second = 1767225600 + r.randrange(86400 * 3)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    fields = {"id": f"v{r.randrange(500)}", "type": r.choice(["car", "bike", "scoot", "Scoot ", "truck"]),
              "battery": round(r.uniform(0, 110), 3), "lat": round(59 + r.random(), 6), "lon": round(18 + r.random(), 6),
              "ts": stamp}
    payload = json.dumps(fields)
    return payload[:-3] if i % 50 == 49 else payload


def admin(brokers):
    return AdminClient({"bootstrap.servers": brokers})


def exists(client, topic):
    return topic in client.list_topics(timeout=20).topics


def wait(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            sys.exit("topics: not done in time")
        time.sleep(0.2)


def create(args):
    client = admin(args.brokers)
    deadline = time.monotonic() + 60
    while True:  # a topic just deleted can still be on its way out
        try:
            # Messages may carry the time of another day, which retention would take.
            kept = {"retention.ms": "-1"} if getattr(args, "forever", False) else {}
            topic = NewTopic(args.topic, num_partitions=args.partitions, replication_factor=1, config=kept)
            client.create_topics([topic])[args.topic].result()
            break
        except KafkaException as e:
            if e.args[0].name() != "TOPIC_ALREADY_EXISTS" or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    wait(lambda: exists(client, args.topic))


def delete(args):
    client = admin(args.brokers)
    client.delete_topics([args.topic])[args.topic].result()
    wait(lambda: not exists(client, args.topic))


def grow(args):
    client = admin(args.brokers)
    client.create_partitions([NewPartitions(args.topic, args.count)])[args.topic].result()
    wait(lambda: len(client.list_topics(args.topic, timeout=20).topics[args.topic].partitions) == args.count)


def trim(args):
    client = admin(args.brokers)
    partitions = client.list_topics(args.topic, timeout=20).topics[args.topic].partitions
    for future in client.delete_records([TopicPartition(args.topic, p, OFFSET_END) for p in partitions]).values():
        future.result()


def send(args, producer):
    r = random.Random(args.seed)
    for i in range(args.count):
        producer.produce(args.topic, event(r, i), key=str(r.randrange(500)))
        producer.poll(0)
    if producer.flush(60):
        sys.exit("topics: not everything was delivered")


def transactional(args, name):
    producer = Producer({"bootstrap.servers": args.brokers, "transactional.id": f"{args.topic}-{name}",
                         "transaction.timeout.ms": 600_000})
    producer.init_transactions(60)
    producer.begin_transaction()
    send(args, producer)
    return producer


def ends(args):
    client = admin(args.brokers)
    partitions = sorted(client.list_topics(args.topic, timeout=20).topics[args.topic].partitions)
    asked = {TopicPartition(args.topic, p): OffsetSpec.latest() for p in partitions}
    stable = client.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
    consumer = Consumer({"bootstrap.servers": args.brokers, "group.id": "ingot-topics"})
    for tp, future in stable.items():
        low, high = consumer.get_watermark_offsets(TopicPartition(args.topic, tp.partition), timeout=20)
        print(tp.partition, low, future.result().offset, high)
    consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("brokers")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("create", "delete", "grow", "trim", "send", "transaction", "open", "ends"):
        command = commands.add_parser(name)
        command.add_argument("topic")
        if name == "create":
            command.add_argument("--partitions", type=int, default=4)
            command.add_argument("--forever", action="store_true", help="no retention by age")
        if name in ("grow", "send", "transaction", "open"):
            command.add_argument("count", type=int)
        if name in ("send", "transaction", "open"):
            command.add_argument("--seed", type=int, default=1)
        if name == "transaction":
            command.add_argument("end", choices=("commit", "abort"))
        if name == "open":
            command.add_argument("--hold", type=float, default=120)
    args = parser.parse_args()
    if args.command == "send":
        send(args, Producer({"bootstrap.servers": args.brokers, "linger.ms": 20, "enable.idempotence": True}))
    elif args.command == "transaction":
        producer = transactional(args, args.end)
        producer.commit_transaction(60) if args.end == "commit" else producer.abort_transaction(60)
    elif args.command == "open":
        producer = transactional(args, "open")
        print("open", flush=True)
        time.sleep(args.hold)
        producer.abort_transaction(60)
    else:
        {"create": create, "delete": delete, "grow": grow, "trim": trim, "ends": ends}[args.command](args)


if __name__ == "__main__":
    main()
