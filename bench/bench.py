"""The table of benchmarks. See run.sh, which prepares what this needs."""

import argparse
import datetime
import pathlib
import shlex
import sys

import build
import fetch
import freshness
import kafka
import machine
import refresh
import release
import scan
import start
from figures import Figures
from scene import Scene

BENCHMARKS = {
    "kafka": kafka, "refresh": refresh, "freshness": freshness, "start": start, "fetch": fetch, "scan": scan,
    "build": build, "release": release,
}
ASKED_FOR = ("build", "release")  # all cores for a quarter of an hour and more
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "performance.md"


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run.sh", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", choices=[*BENCHMARKS, "all", []], default="all")
    parser.add_argument("--scale", choices=("smoke", "quick", "full"), default="quick")
    parser.add_argument("--events", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--spark", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    named = args.benchmarks if isinstance(args.benchmarks, list) else [args.benchmarks]
    args.benchmarks = [b for b in BENCHMARKS if b in named or ("all" in named and b not in ASKED_FOR)]
    return args


def main():
    args = arguments()
    began = datetime.datetime.now(datetime.timezone.utc)
    figures = Figures(goals=args.scale != "smoke")  # a smoke's figures are of nothing but the start
    failed = []
    facts = machine.facts()
    with Scene(args) as scene:
        for name in args.benchmarks:
            try:
                BENCHMARKS[name].run(scene, figures)
            except Exception as error:  # the others' figures are still worth having
                failed.append(name)
                print(f"bench: {name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    head = f"{began:%Y-%m-%d %H:%M} UTC, `{shlex.join(['bench/run.sh', *sys.argv[1:]])}`"
    text = f"### {head}\n\n{facts}\n\n{figures.table()}\n"
    print(text)
    if args.record and not failed:
        with PAGE.open("a") as page:
            page.write("\n" + text)
    if failed:
        sys.exit(f"bench: failed: {', '.join(failed)}")


main()
