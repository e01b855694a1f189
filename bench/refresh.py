"""Refresh: Silver and Gold after few new events, beside computing them as a whole and beside Spark's three jobs.

New events go on where the topic ended. A refresh is two processes, Bronze alone and then Silver and Gold, so that each
has a cost of its own; Spark's are one process a table, Bronze incremental, Silver and Gold as a whole. Then the same
change at two sizes of the table: what it costs must depend on the change.
"""

import json

import measure
from scene import say

NAME = "Refresh"
VIEWS = ("silver.vehicle_events", "gold.stats")


class Lake:
    """A topic and the tables that stand on it."""

    def __init__(self, scene, rows):
        self.scene = scene
        self.topic = scene.topic("refresh")
        self.project = scene.project(self.topic)
        self.events = 0
        self.more(rows)
        self.first = self.project.run_once()[0]

    def more(self, events):
        self.scene.produce(self.topic, events, skip=self.events)
        self.events += events

    def step(self):
        """What bringing everything up to date costs: Bronze, and Silver with Gold."""
        bronze = self.project.run_once("bronze.vehicle_events")[0]
        views, steps = self.project.run_once(*VIEWS)
        wrong = [name for name in VIEWS if steps[name]["mode"] != "incremental"]
        if wrong:
            raise measure.Failed(f"not incremental: {json.dumps([steps[n] for n in wrong])}")
        return bronze, views

    def full(self):
        return [self.project.measured("refresh", "--full", name) for name in VIEWS]

    def spark(self, folder):
        """What Spark's three jobs cost. They must have come to the same rows."""
        bronze, silver, gold = (self.scene.spark(job, folder, self.topic) for job in ("bronze", "silver", "gold"))
        ours = self.project.rows(VIEWS[0])
        if not silver[1] == gold[1] == ours:
            raise measure.Failed(f"Spark's silver has {silver[1]} rows, its gold counts {gold[1]}, Ingot has {ours}")
        return sum(cost.cpu for cost, _ in (bronze, silver, gold))

    def end(self):
        self.scene.topics.remove(self.topic)
        self.scene.drop_topic(self.topic)
        self.project.forget()


def run(scene, figures):
    rows = scene.args.events or scene.by_scale(20_000, 1_000_000, 5_000_000)
    with_spark(scene, figures, rows)
    by_size(scene, figures, *scene.by_scale((5_000, 20_000), (500_000, 5_000_000), (1_000_000, 30_000_000)))


def with_spark(scene, figures, rows):
    say(f"{NAME}: {rows:,} rows")

    def add(what, values, **goal):
        return figures.add(f"{NAME}, {rows:,} rows", what, values, **goal)

    lake = Lake(scene, rows)
    add("from nothing: Bronze, Silver and Gold in one process, CPU-s", lake.first.cpu)
    add("from nothing: peak MiB", lake.first.peak_mib)
    folder = scene.work / "spark-refresh"
    if scene.args.spark:
        folder.mkdir()
        add("from nothing: Spark's three jobs, CPU-s", lake.spark(folder))
    shares = {0.01: ("1 %", 100), 0.0001: ("0.01 %", 500)}
    ours = {share: [] for share in shares}
    spark = {share: [] for share in shares}
    for turn in range(scene.runs(quick=5, full=5)):
        for share in shares:
            lake.more(max(int(rows * share), 1))
            ours[share].append(lake.step())
            if scene.args.spark and turn == 0:
                spark[share].append(lake.spark(folder))
    fulls = [lake.full() for _ in range(scene.runs())]
    full = add("Silver and Gold as a whole (refresh --full), CPU-s", [sum(c.cpu for c in costs) for costs in fulls])
    add("Silver and Gold as a whole, peak MiB", [max(c.peak_mib for c in costs) for costs in fulls])
    for share, (name, goal) in shares.items():
        views = add(f"{name} new: Silver and Gold, CPU-s", [v.cpu for _, v in ours[share]])
        add(f"{name} new: Silver and Gold, wall s", [v.wall for _, v in ours[share]])
        all_three = add(f"{name} new: Bronze, Silver and Gold, CPU-s", [b.cpu + v.cpu for b, v in ours[share]])
        add(f"{name} new: as a whole / Silver and Gold, CPU", full / views)
        if spark[share]:
            theirs = add(f"{name} new: Spark's three jobs, CPU-s", spark[share])
            add(f"{name} new: Spark's three jobs / Silver and Gold, CPU", theirs / views, at_least=goal)
            add(f"{name} new: Spark's three jobs / Bronze, Silver and Gold, CPU", theirs / all_three)
    lake.end()


def by_size(scene, figures, small, large):
    change = small // 100
    costs = {}
    for rows in (small, large):
        say(f"{NAME}: {change:,} new events at {rows:,} rows")
        lake = Lake(scene, rows)
        costs[rows] = []
        for _ in range(scene.runs(quick=5, full=5)):
            lake.more(change)
            costs[rows].append(lake.step()[1])
        lake.end()

    def add(what, values, **goal):
        return figures.add(f"{NAME}, {change:,} new events", what, values, **goal)

    few = add(f"Silver and Gold at {small:,} rows, CPU-s", [c.cpu for c in costs[small]])
    many = add(f"Silver and Gold at {large:,} rows, CPU-s", [c.cpu for c in costs[large]])
    add("the larger / the smaller, CPU", many / few, at_most=1.5)
