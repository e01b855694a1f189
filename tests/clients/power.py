"""Cuts the power at named points: what was not synced by then is taken away, and the rest must be a whole lake.

    ingot under strace ── SIGKILL at a point ──▶ trace ──▶ what was durable ──▶ the files as after a power loss ──▶ judged

Taken away is, in turns, every name that its folder was not synced for ("names"), or every byte that its file was not
synced for, the name left with what came before ("bytes"). Of SQLite's files what was overwritten and not synced becomes
zeros. What must hold: the catalog points where it pointed before the loss (a commit that was reported is durable); all
that holds after any other kill; and the next run, itself cut off at the next point, goes on from there.

Prints a line a loss; the last line is `N right, N wrong`.
"""

import argparse
import os
import random
import re
import shutil
import signal
import sys
import time

from fsync_trace import DESCRIPTOR, QUOTED, calls
from project import COPY, ERRORS, GOLD, REJECTED, SILVER, STREAMING, Project, add_setting_arguments, said, setting

CALLS = ("openat,creat,write,pwrite64,pwritev,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,"
         "ftruncate,fallocate,unlink,unlinkat")
CREATED = [f"create.{at}:{table}" for at in ("before_swap", "after_swap") for table in (STREAMING, SILVER)]
POINTS = [f"{point}:{table}" for point in ("commit.before_swap", "commit.in_swap", "commit.after_swap", "commit.done")
          for table in (STREAMING, ERRORS, SILVER, GOLD)] + [
    "side.committed", "main.committed", f"files_written:{STREAMING}", f"commit.before_metadata:{SILVER}",
    f"commit.after_swap:{REJECTED}", f"commit.after_swap:{COPY}"]


class File:
    def __init__(self):
        self.size = self.synced = 0
        self.dirty = []         # what was overwritten or added since the last sync
        self.named = False      # its folder was synced since it has this name


class Disk:
    """What of a folder is durable, from the traces of all that wrote there."""

    def __init__(self, folder):
        self.folder = os.path.realpath(folder)
        self.files, self.folders = {}, {}

    def follow(self, trace, ignored=lambda path: False):
        """Takes in a trace; syncs of paths that `ignored` holds for count as not done."""
        with open(trace, errors="replace") as f:
            done = sorted(calls(f), key=lambda call: call[1])
        for _, _, name, text in done:
            self.take(name, text, ignored)

    def take(self, name, text, ignored):
        descriptor = DESCRIPTOR.match(text)
        path = os.path.realpath(descriptor.group(2)) if descriptor else ""
        names = [os.path.realpath(n) for n in QUOTED.findall(text) if n.startswith("/")]
        if name in ("openat", "creat"):
            if names and "O_CREAT" in text and self.inside(names[0]) and names[0] not in self.files:
                self.files[names[0]] = File()
        elif name.startswith("mkdir"):
            if names and self.inside(names[0]):
                self.folders[names[0]] = False
        elif name.startswith(("rename", "link")):
            if len(names) == 2 and names[0] in self.files:
                self.files[names[1]] = file = self.files.pop(names[0])
                file.named = False
        elif name.startswith("unlink"):
            for gone in names:
                self.files.pop(gone, None)
        elif name in ("fsync", "fdatasync"):
            if ignored(path):
                return
            if path in self.files:
                self.files[path].dirty = []
                self.files[path].synced = self.files[path].size
            else:
                for at, file in self.files.items():
                    file.named |= os.path.dirname(at) == path
                for at in self.folders:
                    self.folders[at] |= os.path.dirname(at) == path
        elif path in self.files:
            self.written(self.files[path], name, text)

    @staticmethod
    def written(file, name, text):
        if name == "ftruncate":
            file.size = int(re.search(r", (\d+)\s*\)", text).group(1))
            file.synced = min(file.synced, file.size)
            return
        length = int(re.search(r"=\s*(\d+)", text[text.rindex(")"):]).group(1))
        at = int(re.search(r", (\d+)\s*\)\s*=", text).group(1)) if name in ("pwrite64", "pwritev") else file.size
        file.dirty.append((at, length))
        file.size = max(file.size, at + length)

    def inside(self, path):
        return path == self.folder or path.startswith(self.folder + "/")

    def lose(self, how):
        """Makes the folder what a power loss leaves of it. How many files lost something."""
        lost = 0
        for path, file in list(self.files.items()):
            if not os.path.exists(path):
                self.files.pop(path)
                continue
            if path.endswith("-shm"):       # memory that processes shared
                os.unlink(path)
                self.files.pop(path)
                continue
            if how == "names" and not file.named:
                os.unlink(path)
                self.files.pop(path)
                lost += 1
            elif file.dirty:
                with open(path, "r+b") as f:
                    for at, length in file.dirty:
                        f.seek(at)
                        f.write(bytes(length))
                    f.truncate(file.synced)
                file.size, file.dirty = file.synced, []
                lost += 1
            file.named = True
        for path, durable in list(self.folders.items()):
            if how == "names" and not durable and os.path.isdir(path):
                shutil.rmtree(path)
                lost += 1
            self.folders[path] = True
        return lost


class Power:
    def __init__(self, args):
        self.args, self.random = args, random.Random(args.seed)
        self.project = Project(setting(args), args.seed)
        self.right = self.wrong = 0
        self.fresh()

    def fresh(self):
        self.project.fresh_lake()
        self.disk = Disk(os.path.dirname(self.project.catalog))

    def judged(self, what, wrong):
        self.right += not wrong
        self.wrong += bool(wrong)
        print(("ok    " if not wrong else "FAIL  ") + what, flush=True)
        for line in wrong:
            print("      " + line.replace("\n", "\n      "), flush=True)

    def traced(self, crash=""):
        """A run under strace, and its trace."""
        trace = os.path.join(self.project.folder, "trace")
        wrapper = ["strace", "-f", "-y", "-qq", "-s", "0", "-o", trace, "-e", f"trace={CALLS}"]
        code, child = self.project.run("run", "--once", crash=crash, wrapper=wrapper)
        return code, child, trace

    def loss(self, point, how):
        self.project.traffic.send(40)
        code, child, trace = self.traced(f"{point}=kill")
        if code not in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return self.judged(f"{point}", [f"was not passed, the run ended with {code}: {said(child)}"])
        self.disk.follow(trace)
        before = self.project.state.pointers()
        lost = self.disk.lose(how)
        after = self.project.state.pointers()
        wrong = [] if before == after else [f"the catalog said {before} before the loss and {after} after it"]
        self.judged(f"power lost at {point}: {lost} files lost their {how}", wrong + self.project.problems())

    def whole(self):
        code, child, trace = self.traced()
        self.disk.follow(trace)
        wrong = [f"run --once ended with {code}: {said(child)}"] if code else []
        self.judged("a run afterwards", wrong + self.project.problems() + self.project.verify_problems() + self.project.behind())

    def not_fooled(self, which, ignored):
        """Without some of the syncs there must be something to object to."""
        self.fresh()
        self.project.traffic.send(40)
        _, _, trace = self.traced(f"create.after_swap:{SILVER}=kill")
        self.disk.follow(trace, ignored)
        before = self.project.state.pointers()
        self.disk.lose("bytes")
        try:
            objects = before != self.project.state.pointers() or bool(self.project.problems())
        except Exception as e:      # a damaged database or metadata file is an objection as well
            objects = bool(e)
        self.judged(f"a loss that forgets the syncs of {which} is objected to", [] if objects else ["it was not"])

    def all(self):
        points = [(p, True) for p in CREATED] + [(p, False) for p in POINTS]
        if self.args.share:
            points = sorted(self.random.sample(points, self.args.share), key=points.index)
        self.project.traffic.send(40)
        exist = False
        for turn, (point, creates) in enumerate(points):
            if creates:
                self.fresh()
            elif not exist:
                # A table's first rows come with the table itself: the points of a commit are passed by later ones.
                self.whole()
            exist = True
            self.loss(point, ("names", "bytes")[(turn + self.args.seed) % 2])
            if creates or turn % 4 == 3:
                self.whole()
        self.whole()
        self.not_fooled("data and metadata files", lambda path: "/catalog.db" not in path)
        self.not_fooled("SQLite", lambda path: "/catalog.db" in path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting_arguments(parser)
    parser.add_argument("--share", type=int, default=0, help="only so many of the points, chosen by the seed")
    args = parser.parse_args()
    began = time.monotonic()
    power = Power(args)
    try:
        power.all()
    finally:
        power.project.close()
    print(f"{time.monotonic() - began:.0f} s")
    print(f"{power.right} right, {power.wrong} wrong")
    return 1 if power.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
