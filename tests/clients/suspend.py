"""Two processes on one project: one is suspended in the middle of its work and woken when the other has gone on.

    first   ── works ── SIGSTOP at a named point ············ SIGCONT ── goes on ── ends
    second             the lock file is taken away ── works, commits ── ends ── more events

The lock file is removed as if the two were on different hosts: the lease only saves work, what is true is decided by the
commits. After the second has ended, and again after the first has: every offset once, every view equal to its query,
`ingot verify` agrees, no live snapshot misses a file, and nothing of the log is left out in the end. Where the second
took the first one's work from it, the first says so in its log.

Upkeep by hand is the other process in two more kinds of cases. A writer stands still for four days, by its own clock too
(`clock.c`), and the removal of orphans takes its files away: woken, it must not bring them into the table. And
`maintain` itself stands still while others go on and keep the tables in shape as well.

Prints a line a case; the last line is `N right, N wrong`.
"""

import argparse
import os
import random
import signal
import struct
import subprocess
import sys
import time

from project import (COPY, ERRORS, GOLD, REJECTED, SILVER, STREAMING, Project, add_setting_arguments, said, setting, stopped,
                     wait_until)

#: Where the first stands still, for which table, and whether its work is then another's: it must say so.
CASES = [
    ("commit.before_swap", STREAMING, True),
    ("commit.before_metadata", STREAMING, True),
    ("files_written", STREAMING, True),
    ("decoded", STREAMING, True),
    ("side.committed", STREAMING, True),
    ("commit.before_swap", ERRORS, True),
    ("files_written", ERRORS, True),
    ("commit.after_swap", ERRORS, True),
    ("commit.after_swap", STREAMING, False),
    ("main.committed", STREAMING, False),
    ("commit.before_swap", SILVER, True),
    ("files_written", SILVER, True),
    ("refresh.pinned", SILVER, True),
    ("commit.after_swap", SILVER, False),
    ("commit.before_swap", GOLD, True),
    ("files_written", GOLD, True),
    ("commit.before_swap", REJECTED, True),
    ("commit.before_swap", COPY, True),
    ("files_written", COPY, True),
    ("start.described", STREAMING, False),
    ("start.table_ready", STREAMING, False),
    ("planned", "", False),
]
#: Where a writer stands still while the files that it wrote become old and are taken away.
ACROSS_ORPHANS = [("files_written", STREAMING), ("commit.before_metadata", STREAMING), ("commit.before_swap", STREAMING),
                  ("files_written", ERRORS), ("commit.before_swap", SILVER), ("files_written", COPY), ("commit.before_swap", GOLD)]
#: Where `maintain` stands still while a run and another `maintain` go on.
IN_UPKEEP = ["compact.chosen", "compact.files_written", "compact.committed", "orphans.listed", "orphans.fenced"]
DAYS_4 = 4 * 86_400
SAYS = ("another writer moved this table", "planned again", "superseded")
CREATES = [("create.before_swap", table) for table in (STREAMING, ERRORS, SILVER, GOLD)]
#: Points of `refresh --full`: the command, where, for which table, and the exit codes that are right.
FULL = [
    (STREAMING, "full.emptied", STREAMING, (0,)),
    (STREAMING, "commit.before_swap", STREAMING, (3,)),      # refused: it is being written to
    (COPY, "drop.before_catalog", COPY, (0,)),
    (COPY, "drop.after_catalog", COPY, (0,)),
    (SILVER, "commit.before_swap", SILVER, (0,)),
]


class Suspend:
    def __init__(self, args):
        self.args = args
        self.right = self.wrong = 0
        self.project = None

    def judged(self, case, wrong):
        self.right += not wrong
        self.wrong += bool(wrong)
        print(("ok    " if not wrong else "FAIL  ") + case, flush=True)
        for line in wrong:
            print("      " + line.replace("\n", "\n      "), flush=True)

    def whole(self, run_once=True):
        """Brings the lake to the end of the log and judges it."""
        if run_once:
            code, child = self.project.run("run", "--once")
            if code != 0:
                return [f"run --once ended with {code}: {said(child)}"]
        return self.project.problems() + self.project.verify_problems() + self.project.behind()

    def case(self, point, table, says, words, codes, edited=False):
        project = self.project
        project.traffic.send(40)
        first = project.spawn(*words, crash=f"{point}{':' + table if table else ''}=stop")
        wait_until(lambda: first.poll() is not None or stopped(first))
        name = f"{' '.join(words)} suspended at {point} {table}"
        if first.poll() is not None:
            return self.judged(name, [f"it never came there: {said(first)}"])
        project.drop_lease()
        project.traffic.send(40)
        if edited:      # the second has other SQL files, for the same rows
            project.edit("bronze/vehicle_events.sql", "FROM STREAM vehicles", "FROM STREAM vehicles WHERE true")
        wrong = self.whole()
        project.traffic.send(40)
        first.send_signal(signal.SIGCONT)
        if words == ("run",):
            # It goes on with what is new, then is asked to end.
            wait_until(lambda: first.poll() is not None or not project.behind(), pause=0.3)
            first.send_signal(signal.SIGTERM)
        code = project.end(first)
        if code not in codes:
            wrong.append(f"the first ended with {code}: {said(first)}")
        with open(first.log) as f:
            told = any(any(words in line for words in (("R0312",) if edited else SAYS)) for line in f)
        if says and not told:
            wrong.append(f"the first did not say that another writer was there: {said(first)}")
        wrong += project.problems() + project.verify_problems()
        wrong += self.whole()
        self.judged(f"{name}{', and it said so' if says else ''}", wrong)

    def edited(self):
        """The late one's definition is no longer the table's: it must not go on by it."""
        self.case("commit.before_swap", STREAMING, True, ("run", "--once"), (1,), edited=True)

    def across_orphans(self, point, table):
        """Nothing that was taken away comes into the table, and no row is lost with it."""
        project = self.project
        project.traffic.send(40)
        before = set(project.state.load().files)
        library, shift = clock(project.folder)
        set_clock(shift, -DAYS_4)
        plain = project.env
        project.env = plain | {"LD_PRELOAD": library, "INGOT_TEST_CLOCK": shift}
        first = project.spawn("run", "--once", crash=f"{point}:{table}=stop")
        project.env = plain
        wait_until(lambda: first.poll() is not None or stopped(first))
        name = f"run --once stands still at {point} {table} for four days"
        if first.poll() is not None:
            return self.judged(name, [f"it never came there: {said(first)}"])
        written = {f for f in set(project.state.load().files) - before if f.endswith(".parquet")}
        project.drop_lease()
        project.age()
        code, second = project.run("maintain")
        left = set(project.state.load().files)
        folder = "/" + table.replace(".", "/") + "/data/"
        own = {f for f in written if folder in f}
        wrong = [] if code == 0 else [f"maintain ended with {code}: {said(second)}"]
        wrong += [] if own and not own & left else [f"its files were not taken away, so that this shows nothing: {own & left or 'none was written'}"]
        wrong += project.problems()
        project.traffic.send(20)
        set_clock(shift, 0)
        first.send_signal(signal.SIGCONT)
        code = project.end(first)
        if code not in (0, 3):
            wrong.append(f"the first ended with {code}: {said(first)}")
        wrong += project.problems() + project.verify_problems() + self.whole()
        self.judged(f"{name}, and {len(own)} files of it are taken away", wrong)

    def in_upkeep(self, point):
        project = self.project
        for _ in range(3):
            project.traffic.send(20)
            project.run("run", "--once")
        project.state.load()
        project.age()
        # Something that nothing names, for the removal of orphans to find.
        late = project.spawn("run", "--once", crash=f"commit.before_swap:{STREAMING}=kill")
        project.traffic.send(20)
        project.end(late)
        project.state.load()
        project.age()
        first = project.spawn("maintain", crash=f"{point}:{STREAMING}=stop")
        wait_until(lambda: first.poll() is not None or stopped(first))
        name = f"maintain stands still at {point}"
        if first.poll() is not None:
            return self.judged(name, [f"it never came there: {said(first)}"])
        project.drop_lease()
        project.traffic.send(40)
        wrong = self.whole()
        code, second = project.run("maintain")
        wrong += ([] if code in (0, 3) else [f"the second ended with {code}: {said(second)}"]) + project.problems()
        project.traffic.send(20)
        wrong += self.whole()
        first.send_signal(signal.SIGCONT)
        code = project.end(first)
        wrong += [] if code in (0, 3) else [f"the first ended with {code}: {said(first)}"]
        wrong += project.problems() + project.verify_problems() + self.whole()
        self.judged(name, wrong)

    def all(self):
        self.project = Project(setting(self.args), self.args.seed)
        self.project.traffic.send(60)
        self.judged("a first run", self.whole())
        cases = [(point, table, says, ("run", "--once"), (0,), False) for point, table, says in CASES]
        cases += [(point, table, says, ("run",), (143,), False) for point, table, says in CASES[:8] + CASES[10:12]]
        cases += [(point, table, False, ("refresh", of, "--full"), codes, False) for of, point, table, codes in FULL]
        cases += [(point, table, False, ("run", "--once"), (0,), True) for point, table in CREATES]
        cases = [case for case in cases if self.args.only in case[0]]
        if self.args.only == "edited":
            self.edited()
        upkeep = [(self.across_orphans, case) for case in ACROSS_ORPHANS] + [(self.in_upkeep, (point,)) for point in IN_UPKEEP]
        if self.args.only not in ("", "upkeep"):
            upkeep = []
        if self.args.share:
            upkeep = random.Random(self.args.seed).sample(upkeep, min(3, len(upkeep)))
        for what, case in upkeep:
            what(*case)
        if self.args.share:
            cases = sorted(random.Random(self.args.seed).sample(cases, self.args.share), key=cases.index)
        for *case, creates in cases:
            if creates:
                self.project.fresh_lake()
            self.case(*case)
        if not self.args.only:
            self.edited()


def clock(folder):
    """The library that shifts a process' clock, and the file that says by how much."""
    library, shift = os.path.join(folder, "clock.so"), os.path.join(folder, "clock")
    if not os.path.exists(library):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library, shift


def set_clock(shift, seconds):
    with open(shift, "r+b" if os.path.exists(shift) else "wb") as out:       # in place: it is mapped
        out.write(struct.pack("q", seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting_arguments(parser)
    parser.add_argument("--only", default="", help="only points with this in their name; `upkeep`: those beside upkeep")
    parser.add_argument("--share", type=int, default=0, help="only so many of the cases, chosen by the seed")
    args = parser.parse_args()
    suspend = Suspend(args)
    began = time.monotonic()
    try:
        suspend.all()
    finally:
        if suspend.project:
            suspend.project.close()
    print(f"{time.monotonic() - began:.0f} s")
    print(f"{suspend.right} right, {suspend.wrong} wrong")
    return 1 if suspend.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
