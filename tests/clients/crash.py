"""Kills Ingot a given number of times and judges the lake after each kill, before and after recovery.

First every named point (`ingot docs crash-points`) of a run, a refresh and a recovery is hit, each for the tables that pass
it; then kills at random points and at random instants follow, while the topic grows. After each kill, on what the dead
process left behind: every file of every live snapshot is there and whole; table and error table hold the offsets of the
log, each once, up to the recorded position; every other table is its query over the snapshots that it records; `ingot
verify` agrees. After every few kills a run without one must bring all tables to the end of the log.

    crash.py --ingot BIN --brokers HOST:PORT --work DIR --kills 1000 --seed 1 [--lake s3] [--seconds S]

Prints a line a kill with -v, else a line for each ten; the last line is `N right, N wrong`.
"""

import argparse
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter

from project import (COPY, ERRORS, GOLD, REJECTED, SILVER, STREAMING, Project, add_setting_arguments, kill, said, setting,
                     stopped, wait_until)

ALL = (STREAMING, ERRORS, SILVER, REJECTED, GOLD, COPY)
COMMITS = ("commit.begun", "commit.before_metadata", "commit.before_swap", "commit.in_swap", "commit.after_swap", "commit.done")
#: Points that a run on a topic with new messages passes, and for which tables.
RUN = {point: ALL for point in (*COMMITS, "files_written")} | {
    "start.opened": (), "start.leased": (), "planned": (), "start.described": (STREAMING,), "start.side_ready": (STREAMING,),
    "start.table_ready": (STREAMING,), "polled": (STREAMING,), "decoded": (STREAMING,), "side.committed": (STREAMING,),
    "main.committed": (STREAMING,), "refresh.pinned": (SILVER, REJECTED, GOLD, COPY),
    "refresh.committed": (SILVER, REJECTED),
    "step.done": (STREAMING, SILVER, REJECTED, GOLD, COPY)}
CREATE = {point: ALL for point in ("create.before_metadata", "create.before_swap", "create.in_swap", "create.after_swap")}
#: Points that others than a plain run pass: see the functions named so below.
OTHER = {"mend": ("mend.files_written", "mend.committed"), "full": ("full.emptied", "full.side_emptied"),
         "drop": ("drop.before_catalog", "drop.after_catalog"), "conflict": ("commit.conflict",),
         "keep": ("compact.chosen", "compact.files_written", "compact.committed", "orphans.listed", "orphans.fenced",
                  "orphans.deleted"),
         "sweep": ("sweep.chosen", "sweep.deleted"), "verify": ("verify.loaded", "verify.replaying")}
ROUND = 50          # kills on one lake
CATCH_UP = 5        # kills between two runs that are left alone


class Wrong(Exception):
    """The lake is not what it should be."""


class Run:
    def __init__(self, args):
        self.args, self.shared = args, setting(args)
        self.random = random.Random(args.seed)
        self.project = None
        self.kills = self.checks = self.rounds = 0
        self.hit, self.missed, self.recoveries = Counter(), Counter(), []
        self.began = time.monotonic()

    def time_left(self):
        return not self.args.seconds or time.monotonic() - self.began < self.args.seconds

    def fresh(self):
        """A topic and a lake of their own."""
        if self.project:
            self.project.close()
        self.rounds += 1
        self.project = Project(self.shared, self.random.randrange(1 << 30))
        # Tables keep next to no history: what upkeep takes away wrongly is missed at once.
        self.project.options += ["--set", "upkeep.enabled=true", "--set", "upkeep.snapshots-min-age=1 s"]
        self.project.traffic.send(60)

    def judge(self, what, *more):
        self.checks += 1
        wrong = self.project.problems() + self.project.verify_problems()
        for problems in more:
            wrong += problems()
        if wrong:
            raise Wrong(f"{what}: in {self.project.folder}, seed {self.args.seed}, kill {self.kills}\n" + "\n".join(wrong))

    def catch_up(self):
        code, child = self.project.run("run", "--once")
        if code != 0:
            raise Wrong(f"run --once after {self.kills} kills ended with {code}: {child.log}\n{said(child)}")
        self.judge("after a run that was left alone", self.project.behind)

    def died(self, child, what):
        """Counts a kill and judges what it left. False if the process ended by itself."""
        if child.returncode != -signal.SIGKILL:
            self.missed[what] += 1
            if child.returncode not in (0, 143):
                raise Wrong(f"{what}: ended with {child.returncode}: {child.log}\n{said(child)}")
            return False
        self.kills += 1
        self.judge(f"after a kill {what}")
        if self.args.verbose or self.kills % 10 == 0:
            print(f"{time.monotonic() - self.began:6.1f} s  {self.kills} kills, {self.rounds} lakes; the last {what}", flush=True)
        return True

    def kill_at(self, crash, *words):
        """A command that must die at a point."""
        code, child = self.project.run(*(words or ("run", "--once")), crash=crash)
        if not self.died(child, f"at {crash} of {' '.join(words) or 'run --once'}"):
            raise Wrong(f"{crash}: was not passed, the process ended with {code}: {child.log}\n{said(child)}")
        self.hit[crash.split("=")[0].split(":")[0]] += 1

    def not_fooled(self):
        """The judge itself: a lost row, a doubled one and a missing file are each objected to."""
        project, state = self.project, self.project.state
        self.catch_up()
        place = next(place for place, m in project.log.messages.items() if m.row is not None)
        path = next(path for path in state.columns if "/bronze/vehicle_events/" in path)
        rows, message, listing = state.columns[path], project.log.messages[place], state.listing
        fooled = []
        for what, wrong, right in (
            ("a lost row", lambda: state.columns.update({path: rows[1:]}), lambda: state.columns.update({path: rows})),
            ("a doubled row", lambda: state.columns.update({path: rows + rows[:1]}), lambda: state.columns.update({path: rows})),
            ("a row of no message", lambda: project.log.messages.pop(place), lambda: project.log.messages.update({place: message})),
            ("a missing file", lambda: setattr(state, "listing", lambda: {k: v for k, v in listing().items() if k != path}),
             lambda: setattr(state, "listing", listing)),
        ):
            wrong()
            fooled += [] if project.problems() else [what]
            right()
        if fooled or project.problems():
            raise Wrong(f"the judge did not object to {fooled}")

    # Named points.

    def named(self, tables_each):
        """Every named point, for `tables_each` of its tables."""
        def some(tables):
            chosen = self.random.sample(tables, min(tables_each, len(tables)))
            return [f":{t}" for t in chosen] or [""]

        self.fresh()
        for point, tables in CREATE.items():
            for table in some(tables):
                self.project.fresh_lake()
                self.kill_at(f"{point}{table}=kill")
        self.not_fooled()
        for point, tables in RUN.items():
            for table in some(tables):
                if point == "refresh.committed":
                    # Tables are refreshed by one read where they stand on the same snapshots, and kills part them.
                    self.catch_up()
                self.project.traffic.send(40)
                self.kill_at(f"{point}{table}=kill")
        self.catch_up()
        for scenario in OTHER:
            getattr(self, scenario)()
            self.catch_up()

    def mend(self):
        """Error rows ahead of the table, then another definition, then kills while they are taken out again."""
        self.project.traffic.send(40)
        self.kill_at("side.committed=kill")
        for i, point in enumerate(OTHER["mend"]):
            self.redefine(i)
            self.kill_at(f"{point}=kill")

    def redefine(self, turn):
        """Another text of the same rows: its fingerprint differs."""
        texts = ["AS SELECT * FROM STREAM vehicles", "AS SELECT * FROM STREAM vehicles WHERE true",
                 "AS SELECT * FROM STREAM vehicles WHERE 1 = 1"]
        self.project.edit("bronze/vehicle_events.sql", texts[turn], texts[turn + 1])

    def full(self):
        for point in OTHER["full"]:
            self.kill_at(f"{point}=kill", "refresh", STREAMING, "--full", "--accept-loss")
        self.kill_at(f"commit.after_swap:{SILVER}=kill", "refresh", SILVER, "--full")

    def drop(self):
        for point in OTHER["drop"]:
            self.kill_at(f"{point}=kill", "refresh", COPY, "--full")

    def keep(self):
        """Upkeep by hand: of small files, and of files that nothing names, as killed rewrites left them."""
        for point in OTHER["keep"]:
            for _ in range(2):
                self.project.traffic.send(20)
                self.catch_up()
            self.project.age()
            self.kill_at(f"{point}=kill", "maintain")

    def sweep(self):
        """Upkeep beside a run, as it deletes what its commits left behind."""
        for point in OTHER["sweep"]:
            child = self.project.spawn("run", crash=f"{point}=kill")
            while child.poll() is None and time.monotonic() < child.began + 60:
                self.project.traffic.send(5)
                time.sleep(0.05)
            kill(child)
            if time.monotonic() > child.began + 60 or not self.died(child, f"at {point}"):
                raise Wrong(f"{point}: was not passed: {child.log}\n{said(child)}")
            self.hit[point] += 1

    def verify(self):
        """A comparison, which writes nothing."""
        for point in OTHER["verify"]:
            self.kill_at(f"{point}=kill", "verify")

    def conflict(self):
        """A process that finds another one's commit in its way, and dies right then."""
        self.project.traffic.send(40)
        late = self.project.spawn("run", "--once", crash=f"commit.before_swap:{STREAMING}=stop,commit.conflict:{STREAMING}=kill")
        wait_until(lambda: stopped(late))
        self.project.drop_lease()
        self.catch_up()
        late.send_signal(signal.SIGCONT)
        self.project.end(late)
        if not self.died(late, "at commit.conflict"):
            raise Wrong(f"commit.conflict: was not passed: {late.log}\n{said(late)}")
        self.hit["commit.conflict"] += 1

    # Random ones.

    def at_random(self):
        """One kill at a random point, or at a random instant while the topic grows."""
        project, r = self.project, self.random
        project.traffic.send(r.randrange(10, 60))
        once = r.random() < 0.5
        words = ("run", "--once") if once else ("run",)
        if r.random() < 0.5:
            point = r.choice([p for p in RUN if once or p != "step.done"])
            tables = RUN[point]
            crash = point + (f":{r.choice(tables)}" if tables and r.random() < 0.7 else "") + f"=kill@{r.choice((1, 1, 1, 2, 3))}"
            child = project.spawn(*words, crash=crash)
            what, delay = f"at {crash} of {words}", None
        else:
            delay = r.uniform(0.02, 2.0)
            child = project.spawn(*words)
            what = f"{delay:.3f} s into {words}"
        deadline = child.began + (4.0 if delay is None else delay)
        while not once and time.monotonic() < deadline - 0.2 and child.poll() is None:
            project.traffic.send(r.randrange(1, 20))
            time.sleep(0.1)
        try:
            child.wait(max(0.0, deadline - time.monotonic()) if delay is not None or not once else 120)
        except subprocess.TimeoutExpired:
            kill(child)
        return self.died(child, what)

    def recovery(self):
        """How long a new process takes, after a kill, until its first commit; there is something to commit."""
        before = self.project.state.pointers().get(STREAMING)
        self.project.traffic.send(20)
        child = self.project.spawn("run")
        try:
            wait_until(lambda: self.project.state.pointers().get(STREAMING) != before, pause=0.002)
            self.recoveries.append(time.monotonic() - child.began)
        finally:
            kill(child)
        self.died(child, "after its first commit")

    def random_part(self, wanted):
        since_fresh = since_left_alone = 0
        while self.kills < wanted and self.time_left():
            if since_fresh >= ROUND or self.project is None:
                self.catch_up() if self.project else None
                self.fresh()
                since_fresh = 0
            since_fresh += self.at_random()
            since_left_alone += 1
            if since_left_alone >= CATCH_UP:
                since_left_alone = 0
                self.recovery()
                self.catch_up()
        self.catch_up()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting_arguments(parser)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0, help="no new random kill after this long")
    parser.add_argument("--tables-each", type=int, default=6, help="for how many tables each named point is hit; 0: random kills only")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    listed = set(subprocess.run([args.ingot, "docs", "crash-points"], capture_output=True, text=True, check=True).stdout.split())
    # An erasure is no part of these runs: tests/clients/erase.py kills at its points.
    listed = {point for point in listed if not point.startswith("erase.")}
    run = Run(args)
    failed = 0
    try:
        if args.tables_each:
            run.named(args.tables_each)
            if unhit := listed - set(run.hit):
                raise Wrong(f"points that nothing was killed at: {sorted(unhit)}")
        run.random_part(args.kills)
    except (Wrong, RuntimeError, TimeoutError, OSError, ValueError, KeyError) as e:
        failed = 1
        print(f"FAIL  {type(e).__name__}: {e}", flush=True)
    finally:
        if run.project:
            run.project.close()
    if run.recoveries:
        ms = sorted(round(1000 * s) for s in run.recoveries)
        print(f"recovery: start of the process to its first commit, {len(ms)} times: median {statistics.median(ms):.0f} ms, "
              f"fastest {ms[0]} ms, slowest {ms[-1]} ms")
    print(f"{run.kills} kills at {len(run.hit)} named points and at random on {run.rounds} lakes ({args.lake}), judged {run.checks} times, "
          f"{sum(run.missed.values())} runs ended before their kill, {time.monotonic() - run.began:.0f} s")
    print(f"{run.checks - failed} right, {failed} wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
