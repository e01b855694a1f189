"""Upkeep beside ingestion and refreshes, judged from outside: nothing that a kept snapshot needs is ever missing, no row is
lost or there twice, histories and small files stay few, and views go on from what they stand on.

A project whose tables keep two seconds of history is run, killed and judged in turn; then `ingot maintain`, files that
nothing names, another engine's eyes, a view that was left alone while the others went on, a comparison that takes longer than
what it reads is kept, and a view that cannot be read.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

from pyiceberg.manifest import DataFileContent

from lake_args import open_catalog
from project import (COPY, GOLD, REJECTED, SILVER, STREAMING, Project, add_setting_arguments, kill, said, setting, stopped,
                     wait_until)

AGE_S = 2
#: Snapshots of two seconds at a commit each 100 ms, what is forgotten together, and what stands on full vectors.
SNAPSHOTS_MAX = 250
#: Of one partition: one less than 32 of a size, and what comes in a round of upkeep at 10 commits a second.
SMALL_FILES_MAX = 100
#: With three or four partitions so many commits bring more files than are left.
COMMITS_MIN = 150
DAYS_4 = 4 * 86_400


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, ok, text, more=""):
        self.passed, self.failed = self.passed + bool(ok), self.failed + (not ok)
        print(("ok    " if ok else "FAIL  ") + text + ("" if ok else f"\n      {more}"), flush=True)

    def right(self, project, text, *more):
        wrong = project.problems() + project.verify_problems()
        for problems in more:
            wrong += problems()
        self.that(not wrong, text, "\n".join(wrong[:5]))


def busy(project, seconds, *words):
    """A run with traffic for some seconds, then a kill."""
    child = project.spawn("run", *words)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and child.poll() is None:
        project.traffic.send(project.random.randrange(1, 20))
        time.sleep(0.05)
    alive = child.poll() is None
    kill(child)
    return alive, child


def once(project, checks, text):
    report = os.path.join(project.folder, "report.json")
    code, child = project.run("run", "--once", "--report", report)
    checks.that(code == 0, f"{text}: run --once", said(child))
    with open(report) as f:
        return {step["table"]: step["mode"] for step in json.load(f)["steps"]}


def shape(project, name):
    """Snapshots, data files, the most of one partition, and bytes of the metadata file of a table."""
    table = project.state.tables[name]
    at = project.state.pointers()[name]
    files = int(table.head["summary"]["total-data-files"])
    live = [e.data_file for m in project.state.manifests_of(table.head) for e in m.fetch_manifest_entry(project.state.io)]
    partitions = Counter(repr(file.partition) for file in live if file.content == DataFileContent.DATA)
    return len(table.snapshots), files, max(partitions.values(), default=0), project.state.files[at]


def read_by_pyiceberg(project, name):
    at = argparse.Namespace(catalog_uri=f"sqlite:///{project.catalog}", catalog_name="ingot", warehouse=project.warehouse)
    return open_catalog(at).load_table(name).scan().to_arrow()


def stray(project, name):
    folder = os.path.join(project.warehouse.removeprefix("file://"), *STREAMING.split("."), "data", "00")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write("x")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting_arguments(parser)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=14, help="of each round")
    args = parser.parse_args()
    checks = Checks()
    project = Project(setting(args), args.seed)
    project.options += ["--set", "upkeep.enabled=true", "--set", f"upkeep.snapshots-min-age={AGE_S} s"]
    try:
        at_work(project, checks, args)
        left_alone(project, checks)
        by_hand(project, checks)
        nameless(project, checks)
        compared_late(project, checks)
        unread(project, checks)
    finally:
        project.close()
    print(f"{checks.passed} right, {checks.failed} wrong")
    return 1 if checks.failed else 0


def at_work(project, checks, args):
    commits = n = 0
    # On a busy machine there are fewer commits in a round.
    while n < args.rounds or commits < COMMITS_MIN and n < 4 * args.rounds:
        n += 1
        alive, child = busy(project, args.seconds)
        checks.that(alive, f"round {n}: it runs until it is killed", said(child))
        checks.right(project, f"round {n}: right after the kill")
        commits = project.state.tables[STREAMING].head["sequence-number"]
    checks.that(commits >= COMMITS_MIN, f"{commits} commits", "too few to show anything")
    once(project, checks, "after the rounds")
    checks.right(project, "nothing is lost", project.behind)
    for name in (STREAMING, SILVER, GOLD, REJECTED, COPY):
        snapshots, files, most, size = shape(project, name)
        text = f"{name}: {snapshots} snapshots, {files} files, {most} of one partition, {size:,} bytes of metadata"
        checks.that(snapshots <= SNAPSHOTS_MAX and most <= SMALL_FILES_MAX, text)
    code, child = project.run("status", "--json")
    told = {t["table"]: t for line in open(child.log) if line.startswith("{") for t in json.loads(line)["tables"]}
    shown = {name: (told[name]["snapshots"], told[name]["files"]) for name in (STREAMING, SILVER)}
    checks.that(code == 0 and shown == {name: shape(project, name)[:2] for name in shown}, "status shows the same", shown)
    snapshots = project.state.tables[STREAMING].snapshots.values()
    checks.that(commits > len(snapshots), f"{STREAMING}: {commits - len(snapshots)} snapshots are forgotten")
    # A commit brings a file or more.
    files = shape(project, STREAMING)[1]
    checks.that(files < commits, f"{STREAMING}: small files were brought together", f"{files} of {commits} commits")
    for name in (STREAMING, SILVER, GOLD):
        theirs, ours = len(read_by_pyiceberg(project, name)), len(project.state.rows(name))
        checks.that(theirs == ours, f"{name}: PyIceberg reads {theirs} rows", f"{ours} are there")


def left_alone(project, checks):
    """Views that are not refreshed while what they read goes on and is kept in shape."""
    stood = project.state.tables[SILVER].sources()[STREAMING]
    busy(project, 25, "--select", STREAMING)
    project.state.load()
    table = project.state.tables[STREAMING]
    checks.that(stood in table.snapshots, "what a view stands on is kept", f"{stood} is gone")
    line = [s["snapshot-id"] for s in table.ancestry()]
    checks.that(stood not in line, "and the history before it is not", f"{len(line)} snapshots in one piece")
    modes = once(project, checks, "the view again")
    checks.that("full" not in modes.values() and modes.get(SILVER) == "incremental", "the views go on from their changes", modes)
    checks.right(project, "and hold what they should", project.behind)


def by_hand(project, checks):
    for _ in range(3):
        project.traffic.send(20)
        once(project, checks, "more")
    before = project.state.load().pointers()
    code, child = project.run("maintain", "--dry-run")
    checks.that(code == 0 and project.state.pointers() == before, "maintain --dry-run changes nothing", said(child))
    code, child = project.run("maintain", "--json")
    told = {t["table"]: t for line in open(child.log) if line.startswith("{") for t in json.loads(line)["tables"]}
    for name in (STREAMING, SILVER):
        checks.that(code == 0 and told[name]["files_in"] >= 2, f"{name}: maintain brings files together", said(child))
    checks.right(project, "and nothing else changes", project.behind)
    files, rewrites = shape(project, STREAMING)[1], told[STREAMING]
    checks.that(rewrites["files_out"] < rewrites["files_in"], f"{STREAMING}: {rewrites['files_in']} files became {rewrites['files_out']}, {files} in all")
    modes = once(project, checks, "after it")
    checks.that(set(modes.values()) <= {"nothing"}, "no view has anything to do after it", modes)
    code, child = project.run("maintain", "bronze.nothing")
    checks.that(code == 2 or code == 1, "a table that is not declared is refused", said(child))


def nameless(project, checks):
    old, new = stray(project, "old.parquet"), stray(project, "new.parquet")
    project.state.load()
    project.age(keep=[new])
    code, child = project.run("maintain", "--dry-run", "--json")
    told = {t["table"]: t for line in open(child.log) if line.startswith("{") for t in json.loads(line)["tables"]}
    checks.that(code == 0 and told[STREAMING]["orphans"] >= 1 and os.path.exists(old), "maintain --dry-run counts files without a name", said(child))
    code, child = project.run("maintain")
    checks.that(code == 0 and not os.path.exists(old), "maintain deletes them", said(child))
    checks.that(os.path.exists(new), "and none that may be of a commit in flight")
    checks.right(project, "everything that has a name is there", project.behind)
    project.state.load()
    named = set(project.state.pointers().values())
    for table in project.state.tables.values():
        named |= {log["metadata-file"] for log in table.metadata.get("metadata-log", [])}
        for snapshot in table.snapshots.values():
            named.add(snapshot["manifest-list"])
            for manifest in project.state.manifests_of(snapshot):
                named.add(manifest.manifest_path)
                named |= {path for _, path, _ in project.state.entries(manifest)}
    left = [f for f in project.state.listing() if f not in named and os.path.getmtime(f.removeprefix("file://")) < time.time() - DAYS_4 / 2]
    checks.that(not left, "no old file without a name is left", left[:5])
    busy(project, 5)
    once(project, checks, "and on it goes")
    checks.right(project, "right to the end", project.behind)


def compared_late(project, checks):
    """What a comparison reads is forgotten, and its files are deleted, while it stands still."""
    for point, table, wanted in (("loaded", STREAMING, "unverifiable"), ("loaded", SILVER, "unverifiable"),
                                 ("replaying", STREAMING, "equal")):
        head = project.state.load().tables[table].head["manifest-list"].removeprefix("file://")
        child = project.spawn("verify", table, "--json", crash=f"verify.{point}:{table}=stop")
        wait_until(lambda: stopped(child))
        run = project.spawn("run")
        # A round of upkeep takes long where the machine is busy with something else.
        deadline = time.monotonic() + 240
        while os.path.exists(head) and time.monotonic() < deadline:
            project.traffic.send(10)
            time.sleep(0.05)
        kill(run)
        checks.that(not os.path.exists(head), f"the snapshot of {table} that is compared is forgotten", said(run))
        child.send_signal(signal.SIGCONT)
        project.end(child)
        told = [json.loads(line)["tables"][0] for line in open(child.log) if line.startswith("{")]
        text = f"a comparison of {table} that stood still at verify.{point} is {wanted}"
        checks.that(told and told[0]["verdict"] == wanted, text, said(child))
        if wanted == "unverifiable" and told:
            reason = told[0].get("reason", "")
            checks.that("was forgotten" in reason and "history.expire.max-snapshot-age-ms" in reason, "and says what to set", reason)
    once(project, checks, "after the comparisons")
    checks.right(project, "nothing is lost by them", project.behind)


def unread(project, checks):
    """A view whose table cannot be read: the others go on, and somebody is told what it costs."""
    project.state.load()
    path = project.state.pointers()[GOLD].removeprefix("file://")
    with open(path, "rb") as f:
        whole = f.read()
    with open(path, "wb") as f:
        f.write(whole[:100])
    _, child = busy(project, 14)
    with open(path, "wb") as f:
        f.write(whole)
    with open(child.log) as f:
        told = [line for line in f if "the tables below it keep their history" in line]
    checks.that(len(told) == 1 and GOLD in told[0] and "L0" in told[0], "a view that cannot be read is told of, once", told or said(child))
    once(project, checks, "the view is there again")
    checks.right(project, "and it holds what it should", project.behind)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as e:
        print(f"FAIL  {type(e).__name__}: {e}\n0 right, 1 wrong")
        sys.exit(1)
