"""Kafka to Bronze: a topic from its first to its last event into the Bronze table, in one process.

Beside it, on the same topic and in turn: the same client with the same settings that only polls (the ceiling), and
Spark's Structured Streaming with `availableNow` into an Iceberg table of the same columns and partitions.
"""

import shutil

import measure
from scene import say

NAME = "Kafka to Bronze"


def run(scene, figures):
    events = scene.args.events or scene.by_scale(20_000, 2_000_000, 10_000_000)
    topic = scene.topic("kafka")
    say(f"{NAME}: {events:,} events")
    size = scene.produce(topic, events)
    millions = events / 1e6
    project = scene.project(topic)
    ours, polls, brokers = [], [], []
    for _ in range(scene.runs()):
        project.forget()
        before = scene.broker_cpu()
        cost, steps = project.run_once("bronze.vehicle_events")
        after = scene.broker_cpu()
        rows = steps["bronze.vehicle_events"]["rows_out"]
        if rows != events:
            raise measure.Failed(f"{rows} rows of {events} events")
        ours.append(cost)
        if before is not None:
            brokers.append(after - before)
        polls.append(measure.run([scene.peer("poll_only"), scene.brokers, topic, str(events)], scene.log))
    spark = []
    for i in range(1 if scene.args.spark else 0):
        folder = scene.work / f"spark-{i}"
        folder.mkdir()
        cost, rows = scene.spark("bronze", folder, topic)
        if rows != events:
            raise measure.Failed(f"Spark: {rows} rows of {events} events")
        spark.append(cost)
        shutil.rmtree(folder)

    def add(what, values, **goal):
        return figures.add(f"{NAME}, {events:,} events of {size / events:.0f} bytes", what, values, **goal)

    rate = add("Ingot, rows/s", [events / c.wall for c in ours])
    cpu = add("Ingot, CPU-s per million rows", [c.cpu / millions for c in ours])
    add("Ingot, peak MiB", [c.peak_mib for c in ours], at_most=512)
    if brokers:
        add("the broker meanwhile, CPU-s per million rows", [b / millions for b in brokers])
    ceiling = add("poll only, rows/s", [events / c.wall for c in polls])
    add("poll only, CPU-s per million rows", [c.cpu / millions for c in polls])
    add("Ingot's rate / poll only's", rate / ceiling, at_least=0.6)
    if spark:
        add("Spark, rows/s", [events / c.wall for c in spark])
        theirs = add("Spark, CPU-s per million rows", [c.cpu / millions for c in spark])
        add("Spark, peak MiB", [c.peak_mib for c in spark])
        add("Ingot's rows per CPU-second / Spark's", theirs / cpu, at_least=8)
    scene.topics.remove(topic)
    scene.drop_topic(topic)
    project.forget()
