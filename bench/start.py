"""Start: from the process's start to the first answered query with 100 tables in project and catalog; then idle.

The client waits for the port and then asks for the rows of one view; what is timed ends when it has them. Idle is `up`
after it has caught up with a topic that gets no more events.
"""

import time

import flight
import measure
import pyarrow.flight
from scene import listening, say, wait_for

NAME = "Start"
VIEW = """CREATE MATERIALIZED VIEW silver.fleet_{n}
AS SELECT id, battery, ts FROM bronze.vehicle_events WHERE type = 'car' AND battery >= {n};
"""
SQL = "SELECT count(*) AS n FROM silver.fleet_7"


def run(scene, figures):
    tables = scene.by_scale(20, 100, 100)
    idle = scene.by_scale(3, 60, 60)
    say(f"{NAME}: {tables} tables")
    topic = scene.topic("start")
    scene.produce(topic, 10_000)
    project = scene.project(topic)
    # The shipped project has five tables: three, and those for errors and for rejected rows.
    for n in range(tables - 5):
        (project.sql / "silver" / f"fleet_{n}.sql").write_text(VIEW.format(n=n))
    project.run_once()
    benchmark = f"{NAME}, {tables} tables"
    for command in ("serve", "up"):
        walls, cpus = [], []
        for _ in range(scene.runs(quick=11, full=21)):
            wall, cpu = first_answer(scene, project, command)
            walls.append(wall * 1000)
            cpus.append(cpu * 1000)
        figures.add(benchmark, f"`ingot {command}` to the first answer, ms", walls, at_most=300)
        figures.add(benchmark, f"`ingot {command}` to the first answer, CPU-ms", cpus)
    process = project.serve("up")
    time.sleep(scene.by_scale(3, 20, 20))
    before, _, _ = measure.cost_of(process.pid)
    time.sleep(idle)
    after, resident, peak = measure.cost_of(process.pid)
    figures.add(benchmark, "idle `ingot up`, MiB", resident, at_most=150)
    figures.add(benchmark, "idle `ingot up`, peak MiB since the start", peak)
    figures.add(benchmark, f"idle `ingot up`, % of a core over {idle} s", (after - before) / idle * 100, at_most=1)
    scene.stop(process)
    scene.topics.remove(topic)
    scene.drop_topic(topic)
    project.forget()


def first_answer(scene, project, command):
    began = time.monotonic()
    process = scene.start(project.command(command))
    try:
        wait_for(lambda: listening(project.port) or process.poll() is not None, 60, f"ingot {command} listens")
        client = pyarrow.flight.connect(project.uri)
        rows = flight.rows(client, SQL)
        wall = time.monotonic() - began
        cpu = measure.cost_of(process.pid)[0]
        if rows[0]["n"] < 1:
            raise measure.Failed("the view is empty")
        return wall, cpu
    finally:
        scene.stop(process)
