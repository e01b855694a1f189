"""Fetch: `SELECT *` of a table over Flight SQL, beside a bare Arrow Flight server with the same batches in memory.

One client for both, in this process: it reads the stream to its end and keeps nothing. The bare server fetched its
batches from Ingot, so that they are the same ones.
"""

import time

import flight
import measure
import pyarrow.flight
from scene import free_port, listening, say, wait_for

NAME = "Fetch"
SQL = "SELECT * FROM bronze.vehicle_events"


def run(scene, figures):
    rows = scene.args.events or scene.by_scale(20_000, 1_000_000, 5_000_000)
    say(f"{NAME}: {rows:,} rows")
    topic = scene.topic("fetch")
    scene.produce(topic, rows)
    project = scene.project(topic)
    project.run_once("bronze.vehicle_events")
    ingot = project.serve()
    client = pyarrow.flight.connect(project.uri)
    flight.drain(client, flight.ticket(client, SQL + " LIMIT 1"))
    port = free_port()
    bare = scene.start([scene.peer("bare_flight"), project.uri, SQL, f"127.0.0.1:{port}"])
    wait_for(lambda: listening(port) or bare.poll() is not None, 300, "the bare server listens")
    bare_client = pyarrow.flight.connect(f"grpc://127.0.0.1:{port}")
    ours, theirs = [], []
    for _ in range(scene.runs(quick=5, full=5)):
        ours.append(fetched(ingot.pid, client, lambda: flight.ticket(client, SQL), rows))
        theirs.append(fetched(bare.pid, bare_client, lambda: pyarrow.flight.Ticket(b""), rows))

    def add(what, values, **goal):
        return figures.add(f"{NAME}, {rows:,} rows of {ours[0][2] / rows:.0f} bytes", what, values, **goal)

    rate = add("Ingot, rows/s", [rows / wall for wall, _, _ in ours])
    add("Ingot, MB/s", [size / wall / 1e6 for wall, _, size in ours])
    add("Ingot, CPU-s of the server per million rows", [cpu / rows * 1e6 for _, cpu, _ in ours])
    add("Ingot, peak MiB of the server", measure.cost_of(ingot.pid)[2])
    ceiling = add("bare server, rows/s", [rows / wall for wall, _, _ in theirs])
    add("bare server, MB/s", [size / wall / 1e6 for wall, _, size in theirs])
    add("bare server, CPU-s of the server per million rows", [cpu / rows * 1e6 for _, cpu, _ in theirs])
    add("Ingot's rate / the bare server's", rate / ceiling, at_least=0.6)
    scene.stop(bare)
    scene.stop(ingot)
    scene.topics.remove(topic)
    scene.drop_topic(topic)
    project.forget()


def fetched(pid, client, ticket, rows):
    """Wall time, the server's CPU-seconds, and bytes."""
    before, began = measure.cost_of(pid)[0], time.monotonic()
    count, size = flight.drain(client, ticket())
    wall = time.monotonic() - began
    if count != rows:
        raise measure.Failed(f"{count} rows of {rows}")
    return wall, measure.cost_of(pid)[0] - before, size
