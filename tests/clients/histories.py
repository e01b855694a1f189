"""Random histories of tables that several engines change in turn, judged by plain lists of rows (tests/e2e/histories.sh).

    histories.py --ingot B --work FOLDER [--histories 50] [--steps 30] [--seed N] [--only NUMBER [--drop 3,4]] [--spark COMMAND]

A table has a random schema and partition spec. In each step PyIceberg, Spark (with `--spark`) or Ingot does one thing to it: rows come,
go and change, on the main branch and on others; columns and partition fields come, go and change; references, rollbacks, expiry. Of
some tables Ingot is a writer itself: they are its streaming tables, and its upkeep is one of the acts. After each step Ingot
says what it reads, and `history_model.py` what it must read:

    the head, a condition on it, a random snapshot, tag, branch or time      rows as multisets, floats by their bits
    views over the table, refreshed in some steps only                       the change between two random snapshots
    "t$snapshots", "t$history", "t$refs", "t$files" and the others            the metadata as PyIceberg parses it
    every file that a snapshot names                                         is there

Histories go side by side in one lake, so that one server and one `run --once` a step do for all of them. A wrong one is made
smaller, by leaving steps out, and printed with the command that makes it again. The last line is `N right, M wrong`.
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import random
import sys
import time
import warnings
from collections import Counter

from history_lake import Group

#: Candidates of one round of making a history smaller.
CANDIDATES = 8


def play(args, job):
    """One group of histories from its beginning to its end: (name, numbers of them with what is left out of each)."""
    warnings.filterwarnings("ignore")
    name, members = job
    group = Group(args, os.path.join(args.work, name), members)
    try:
        group.play()
    finally:
        group.close()
    return group.result()


def smaller(args, failure):
    """A failing history with as few steps as is cheap: those after the failure go, then halves, quarters and single ones."""
    number, at, text = failure["number"], failure["step"], failure["text"]
    left = [s for s in range(at + 1) if s not in failure["drop"]]
    size, rounds = max(1, len(left) // 2), 0
    kind = text.split(":")[0]
    while rounds < args.shrink and len(left) > 1:
        rounds += 1
        parts = [left[i:i + size] for i in range(0, len(left), size)]
        random.Random(rounds).shuffle(parts)
        tried = [[s for s in left if s not in part] for part in parts[:CANDIDATES]]
        members = [(number, [s for s in range(args.steps) if s not in keep]) for keep in tried]
        done = play(args, (f"smaller-{number}-{rounds}", members))
        fails = [f for f in done["failures"] if f["text"].split(":")[0] == kind]
        if fails:
            best = min(fails, key=lambda f: sum(s not in f["drop"] for s in range(f["step"] + 1)))
            text, at = best["text"], best["step"]
            left = [s for s in range(at + 1) if s not in best["drop"]]
            size = max(1, min(size, len(left) // 2))
            failure = best
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return failure


def shown(args, failure):
    drop = [s for s in range(failure["step"] + 1) if s in failure["drop"]]
    again = f"--seed {args.seed} --only {failure['number']} --steps {failure['step'] + 1}" + (f" --drop {','.join(map(str, drop))}" if drop else "")
    print(f"WRONG {failure['text']}\n      {again}\n      " + "\n      ".join(failure["acts"]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--histories", type=int, default=50)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="printed when not given")
    parser.add_argument("--only", type=int, help="one history of that seed")
    parser.add_argument("--drop", default="", help="steps of it that are left out")
    parser.add_argument("--side-by-side", type=int, default=25, help="histories in one lake")
    parser.add_argument("--workers", type=int, default=2, help="lakes at a time")
    parser.add_argument("--shrink", type=int, default=10, help="rounds of making a failing history smaller")
    parser.add_argument("--spark", help="the command that starts spark_session.py's Python: tests/services/spark.sh run")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    began, counts, failures = time.monotonic(), Counter(), []
    if args.only is not None:
        jobs = [("only", [(args.only, [int(s) for s in args.drop.split(",") if s])])]
    else:
        firsts = range(0, args.histories, args.side_by_side)
        jobs = [(f"g{a}", [(n, []) for n in range(a, min(a + args.side_by_side, args.histories))]) for a in firsts]
    done = 0
    with concurrent.futures.ProcessPoolExecutor(args.workers, mp_context=multiprocessing.get_context("fork"), max_tasks_per_child=None) as pool:
        for result in concurrent.futures.as_completed([pool.submit(play, args, job) for job in jobs]):
            result = result.result()
            counts += Counter(result["counts"])
            failures += result["failures"]
            done += result["histories"]
            print(f"{done} histories, {counts['comparisons']} comparisons, {len(failures)} wrong, {time.monotonic() - began:.0f} s", flush=True)
            for failure in result["failures"]:
                shown(args, failure)
    for failure in failures[:4] if args.shrink and args.only is None else []:
        print(f"history {failure['number']}, smaller:", flush=True)
        shown(args, smaller(args, failure))
    print("acts: " + ", ".join(f"{k} {n}" for k, n in sorted(counts.items()) if k.startswith("act ")).replace("act ", ""))
    print("refused by a writer: " + ", ".join(f"{k[8:]} {n}" for k, n in sorted(counts.items()) if k.startswith("refused ")))
    print("refreshes: " + ", ".join(f"{k[8:]} {n}" for k, n in sorted(counts.items()) if k.startswith("refresh ")))
    print("checks: " + ", ".join(f"{k[6:]} {n}" for k, n in sorted(counts.items()) if k.startswith("check ")))
    print(f"{done} histories, {counts['comparisons']} comparisons")
    print(f"{done - len(failures)} right, {len(failures)} wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
