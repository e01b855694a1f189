"""Kills Ingot, edits the SQL and the batches' bounds, starts it again: every offset stands in exactly one table.

The definitions differ in which messages they refuse: one declares a column that some messages hold a text in, one also
stores it. The kills come where table and error table stand apart, and in the recovery from there. What must hold: an
offset below the recorded position never changes its table; an offset that a run has moved the position past was judged by
that run's definition; and all that holds after any other kill. Events come in any order of time, also days late.

Prints a line a step; the last line is `N right, N wrong`.
"""

import argparse
import os
import random
import signal
import sys
import time

from layers import Malformed, Number, parse_object
from project import ERRORS, STREAMING, Project, add_setting_arguments, said, setting

DECLARED = ("  ts TIMESTAMPTZ\n", "  ts TIMESTAMPTZ,\n  speed BIGINT\n")
STORED = ("SELECT * FROM STREAM vehicles", "SELECT id, type, battery, lat, lon, ts, _partition, _offset, _kafka_ts FROM STREAM vehicles")
#: Edits of the shipped file, and whether `speed` is then judged.
DEFINITIONS = {"shipped": ([], False), "judges": ([DECLARED, STORED], True), "stores": ([DECLARED], True)}
FILE = "bronze/vehicle_events.sql"
#: Where the tables stand apart, and where recovery brings them together.
APART = ["side.committed", f"commit.after_swap:{ERRORS}", f"commit.before_swap:{STREAMING}", f"files_written:{STREAMING}"]
RECOVERY = ["start.table_ready", "mend.files_written", f"commit.after_swap:{ERRORS}", "mend.committed", "polled",
            f"commit.in_swap:{STREAMING}", "main.committed"]


def dress(r, text):
    """One event in five tells its speed in words."""
    if r.random() < 0.4 and text.endswith("}"):
        text = text[:-1] + (', "speed": "fast"}' if r.random() < 0.5 else f', "speed": {r.randrange(200)}}}')
    return text


def refuses(definition, message):
    if message.row is None:
        return True
    try:
        speed = parse_object(message.raw[5]).get("speed")
    except Malformed:
        return True
    return DEFINITIONS[definition][1] and speed is not None and type(speed) is not Number


class Edits:
    def __init__(self, args):
        self.args, self.random = args, random.Random(args.seed)
        self.project = Project(setting(args), args.seed, copy=False, dress=dress)
        with open(os.path.join(self.project.sql, FILE)) as f:
            self.shipped = f.read()
        self.options = list(self.project.options)
        self.right = self.wrong = self.kills = 0
        self.definition = "shipped"

    def write(self, definition):
        text = self.shipped
        for old, new in DEFINITIONS[definition][0]:
            assert old in text
            text = text.replace(old, new)
        with open(os.path.join(self.project.sql, FILE), "w") as f:
            f.write(text)
        self.definition = definition

    def positions(self):
        table = self.project.state.load().tables.get(STREAMING)
        return {p: e["to"] for p, e in table.positions().items()} if table else {}

    def step(self, definition, crash, must=False):
        """One run by a definition, killed at a point if it comes there."""
        project = self.project
        self.write(definition)
        bytes_max = self.random.choice([500, 3000, 1 << 20])
        project.options = [*self.options, "--set", f"run.batch_bytes_max={bytes_max}"]
        before = self.positions()
        project.traffic.send(self.random.randrange(20, 80))
        code, child = project.run("run", "--once", crash=f"{crash}=kill" if crash else "")
        wrong = []
        if code not in (0, -signal.SIGKILL) or (must and code == 0):
            wrong.append(f"ended with {code}: {said(child)}")
        self.kills += code != 0
        project.log.catch_up()
        for place, message in project.log.below(self.positions()):
            if place[1] >= before.get(place[0], 0):
                project.judged[place] = refuses(definition, message)
        wrong += project.problems()
        if code == 0:
            wrong += project.verify_problems() + project.behind()
        else:       # views that stand on columns of another definition cannot be compared before a run
            wrong += project.verify_problems(STREAMING, ERRORS)
        end = f"killed at {crash}" if code == -signal.SIGKILL else "to the end"
        self.judged(f"{definition}, batches of {bytes_max} bytes, {end}", wrong)

    def judged(self, what, wrong):
        self.right += not wrong
        self.wrong += bool(wrong)
        print(("ok    " if not wrong else "FAIL  ") + what, flush=True)
        for line in wrong:
            print("      " + line.replace("\n", "\n      "), flush=True)

    def given_up(self):
        """A log is given up for its successor, and the kill comes when the error table still holds the old one's rows."""
        project = self.project
        project.recreate_topic(self.args.seed)
        project.traffic.send(60)
        project.run("refresh", STREAMING, "--full", "--accept-loss", crash="full.emptied=kill")
        self.step(self.definition, None)

    def all(self):
        others = lambda d: [x for x in DEFINITIONS if x != d]
        self.step("shipped", None)
        began = time.monotonic()
        for turn in range(self.args.steps):
            if self.args.seconds and time.monotonic() - began > self.args.seconds:
                break
            self.step(self.definition, APART[turn % len(APART)] if turn < len(APART) else self.random.choice(APART))
            # Recovery by another definition, itself killed, then by this or a third one.
            for _ in range(self.random.randrange(1, 3)):
                self.step(self.random.choice(others(self.definition)), self.random.choice(RECOVERY))
            if turn % 3 == 2:
                self.step(self.random.choice(list(DEFINITIONS)), None)
        self.step(self.random.choice(others(self.definition)), None)
        self.given_up()
        print(f"{self.kills} kills between edits")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting_arguments(parser)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0, help="no new round after this long")
    args = parser.parse_args()
    edits = Edits(args)
    try:
        edits.all()
    finally:
        edits.project.close()
    print(f"{edits.right} right, {edits.wrong} wrong")
    return 1 if edits.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
