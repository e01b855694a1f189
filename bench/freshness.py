"""Freshness: from an event's production to the answer of a query over Flight SQL that counts it in `gold.stats`.

`ingot up` with the default settings; a producer at a fixed rate; a client that asks for gold's total again and again and
notes when each answer had come. Afterwards, for every single event: its time is the one that the producer's client gave
the message; it was visible with the first answer whose state of gold was made from a state of Bronze that holds its
offset. Which state that was follows from the total (Silver's number of rows at the snapshot that gold was made from),
and the snapshots say which offsets they hold. What is reported are percentiles over all events.
"""

import json
import pathlib
import sqlite3
import subprocess
import time

import duckdb
import flight
import measure
import pyarrow
import pyarrow.flight
from pyiceberg.catalog.sql import SqlCatalog
from scene import say, wait_for

NAME = "Freshness"
SQL = "SELECT sum(total) AS total FROM gold.stats"
TABLES = ("bronze.vehicle_events", "silver.vehicle_events", "gold.stats")
WARM = 2_000
PAUSE = 0.02


def run(scene, figures):
    for rate in scene.by_scale((2_000,), (20_000, 50_000), (20_000, 50_000)):
        at_rate(scene, figures, rate, scene.by_scale(8, 60, 300))


def at_rate(scene, figures, rate, seconds):
    say(f"{NAME}: {rate:,} events/s for {seconds} s")
    topic = scene.topic("freshness")
    project = scene.project(topic)
    scene.produce(topic, WARM)
    # The snapshots are read at the end.
    project.options += ["--set", "upkeep.snapshots-min-age=1 h"]
    up = project.serve("up")
    client = pyarrow.flight.connect(project.uri)
    wait_for(lambda: total(client) > 0, 120, "the first rows in gold")
    cpu, began = measure.cost_of(up.pid)[0], time.monotonic()
    producer = subprocess.Popen([str(c) for c in scene.produce_command(topic, rate * seconds, WARM, rate)], text=True,
                                stdout=subprocess.PIPE)
    scene.processes.append(producer)
    seen = watch(client, producer)
    took = time.monotonic() - began
    told = json.loads(producer.stdout.read())
    after, resident, peak = measure.cost_of(up.pid)
    scene.stop(producer)
    scene.stop(up)

    def add(what, values, **goal):
        return figures.add(f"{NAME}, {rate:,} events/s for {seconds} s", what, values, **goal)

    add("events/s that were sent", told["events"] / told["seconds"])
    events, visible, (p50, p99, most) = lag_of_events(project, seen)
    if not events == visible == rate * seconds + WARM:
        raise measure.Failed(f"{rate * seconds + WARM} events were sent, {events} came to bronze, {visible} were seen")
    add("produced to visible, p50, s", p50)
    add("produced to visible, p99, s", p99, at_most=1.0)
    add("produced to visible, the latest, s", most)
    add("answers a second", len(seen) / took)
    add("CPU of `ingot up`, % of a core", (after - cpu) / took * 100)
    add("peak MiB of `ingot up`", peak)
    for table in TABLES:
        metadata = head(project, table)
        snapshot = snapshots(metadata)[-1]
        folder = pathlib.Path(metadata["location"].removeprefix("file://")) / "metadata"
        sizes = [f.stat().st_size for f in folder.iterdir()]
        add(f"{table} at the end: data files", int(snapshot["summary"]["total-data-files"]))
        add(f"{table} at the end: snapshots", len(metadata["snapshots"]))
        add(f"{table} at the end: MiB of the newest metadata file", len(json.dumps(metadata)) / 1048576)
        add(f"{table} at the end: MiB in the metadata folder", sum(sizes) / 1048576)
    scene.topics.remove(topic)
    scene.drop_topic(topic)
    project.forget()


def total(client):
    try:
        return flight.rows(client, SQL)[0]["total"] or 0
    except pyarrow.ArrowException as error:
        if "does not exist" in str(error) or "is not built yet" in str(error):
            return 0
        raise


def watch(client, producer):
    """(when the answer had come in ms, total) of every answer, until the producer is done and nothing moves any more."""
    seen = []
    moved = time.monotonic()
    while producer.poll() is None or time.monotonic() - moved < 5:
        value = total(client)
        seen.append((time.time() * 1000, value))
        if len(seen) > 1 and seen[-2][1] != value:
            moved = time.monotonic()
        time.sleep(PAUSE)
    return seen


def head(project, table):
    """The newest metadata of a table, from the catalog's own rows."""
    with sqlite3.connect(project.lake / "catalog.db") as catalog:
        query = "SELECT metadata_location FROM iceberg_tables WHERE table_namespace = ? AND table_name = ?"
        (location,) = catalog.execute(query, table.split(".")).fetchone()
    return json.loads(pathlib.Path(location.removeprefix("file://")).read_text())


def snapshots(metadata):
    return sorted(metadata["snapshots"], key=lambda s: s["sequence-number"])


def positions(project):
    """What Bronze had read, by partition, in each state of Silver; with Silver's number of rows in that state."""
    at, read = {}, {}
    for snapshot in snapshots(head(project, "bronze.vehicle_events")):
        told = snapshot["summary"].get("ingot.kafka.positions")
        if told:
            read = read | {int(p): held["to"] for p, held in json.loads(told)["partitions"].items()}
        at[snapshot["snapshot-id"]] = read
    states = {}
    for snapshot in snapshots(head(project, "silver.vehicle_events")):
        summary = snapshot["summary"]
        if "ingot.sources" not in summary:
            continue
        source = json.loads(summary["ingot.sources"])[0]["snapshot-id"]
        rows = int(summary["total-records"]) - int(summary.get("total-position-deletes", 0))
        # Of several states with the same rows the first is taken: nobody can tell them apart.
        states.setdefault(rows, at.get(source, {}))
    return states


LAGS = """
WITH states AS (SELECT part, held, min(shown) AS shown FROM answers GROUP BY part, held)
SELECT count(*), count(s.shown),
       quantile_cont(s.shown - epoch_ms(r._kafka_ts), 0.5), quantile_cont(s.shown - epoch_ms(r._kafka_ts), 0.99),
       max(s.shown - epoch_ms(r._kafka_ts))
FROM rows r ASOF LEFT JOIN states s ON r._partition = s.part AND r._offset < s.held
"""


def lag_of_events(project, seen):
    """How many events there are, how many were seen, and the percentiles of their seconds from production to sight."""
    states = positions(project)
    known = [(when, states[value]) for when, value in seen if value in states]
    if len(known) < len(seen) / 2:
        raise measure.Failed(f"only {len(known)} of {len(seen)} answers are states that Silver had")
    answers = [{"part": p, "held": to, "shown": when} for when, held in known for p, to in held.items()]
    answers = pyarrow.Table.from_pylist(answers)
    catalog = SqlCatalog("ingot", uri=f"sqlite:///{project.lake}/catalog.db", warehouse=f"file://{project.lake}")
    scan = catalog.load_table(TABLES[0]).scan(selected_fields=("_partition", "_offset", "_kafka_ts"))
    database = duckdb.connect()
    database.register("answers", answers)
    database.register("rows", scan.to_arrow())
    events, visible, *lags = database.execute(LAGS).fetchone()
    return events, visible, [lag / 1000 for lag in lags]
