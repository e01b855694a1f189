"""Scan: what planning and reading Iceberg cost, without a server (`engine/lake/examples/scan.rs`).

TPC-H over Iceberg tables, and over the same data files listed by hand, by one DataFusion with the same settings, in turn;
a point query on many files in many partitions; and `count(*)` on many files. Data comes from `tpchgen-cli`, installed the
first time beside the judges' clients.
"""

import math
import os
import pathlib
import statistics
import subprocess
import sys

import measure
from scene import say

NAME = "Scan"
TPCHGEN = "tpchgen-cli==4.0.0"
QUERIES = pathlib.Path(__file__).parent / "tpch"


def run(scene, figures):
    peer = scene.peer("scan")
    tpch(scene, figures, peer)
    files, partitions = scene.by_scale(200, 10_000, 10_000), scene.by_scale(20, 1_000, 1_000)
    say(f"{NAME}: a point query on {files:,} files in {partitions:,} partitions")
    benchmark = f"{NAME}, {files:,} files in {partitions:,} partitions"
    said = told(scene, peer, "point", ["--files", files, "--partitions", partitions, "--runs", scene.runs(quick=21, full=51)])
    figures.add(benchmark, "a point query planned, the first time, ms", said["plan cold, ms"])
    figures.add(benchmark, "a point query planned, ms", said["plan warm, ms"], at_most=20)
    figures.add(benchmark, "files left to read", said["files left"])
    figures.add(benchmark, "metadata it read, % of that of all files", said["manifests kept, % of all"])
    files = scene.by_scale(1_000, 50_000, 50_000)
    say(f"{NAME}: count(*) on {files:,} files")
    benchmark = f"{NAME}, {files:,} files"
    said = told(scene, peer, "count", ["--files", files, "--runs", scene.runs(quick=11, full=21)])
    figures.add(benchmark, "`count(*)`, the first time, ms", said["count cold, ms"])
    figures.add(benchmark, "`count(*)`, ms", said["count warm, ms"], at_most=100)
    figures.add(benchmark, "memory after it, MiB more than before", said["memory more than before, MiB"], at_most=16)
    figures.add(benchmark, "a scan of all files planned, ms", said["plan of all files, ms"])
    figures.add(benchmark, "metadata kept in memory after that, MiB", said["kept, MiB"], at_most=64)


def tpch(scene, figures, peer):
    scale = scene.by_scale("0.01", "0.1", "1")
    say(f"{NAME}: TPC-H, scale factor {scale}")
    data = scene.work / "tpch"
    subprocess.run(
        [generator(), "parquet", "--scale-factor", scale, "--output-dir", data], check=True, stdout=subprocess.DEVNULL)
    said = told(scene, peer, "tpch", [data, QUERIES, "--runs", scene.runs(quick=5, full=11)])
    benchmark = f"{NAME}, TPC-H scale factor {scale}"
    ratios = {}
    for name in sorted({line.split()[0] for line in said}):
        ours, theirs = said[f"{name} iceberg"], said[f"{name} by hand"]
        ratios[name] = statistics.median(ours) / statistics.median(theirs)
        figures.add(benchmark, f"{name} over Iceberg, ms ({ratios[name]:.2f} times by hand)", ours)
    mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios.values()))
    figures.add(benchmark, "Iceberg / by hand, geometric mean", mean, at_most=1.05)
    worst = max(ratios, key=ratios.get)
    figures.add(benchmark, f"Iceberg / by hand, the worst ({worst})", ratios[worst], at_most=1.3)


def told(scene, peer, what, options):
    """The figures that a run prints."""
    folder = scene.work / f"scan-{what}"
    command = [str(word) for word in [peer, what, folder, *options]]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise measure.Failed(f"{' '.join(command)}: {ran.stderr.strip()}")
    lines = (line.split("\t") for line in ran.stdout.splitlines())
    return {name: [float(value) for value in values] for name, *values in lines}


def generator():
    """The generator of the data, installed where it is not there."""
    cache = pathlib.Path(os.environ.get("INGOT_TEST_CACHE", pathlib.Path.home() / ".cache" / "ingot" / "services"))
    folder = cache / TPCHGEN.replace("==", "-")
    found = folder / "bin" / "tpchgen-cli"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", TPCHGEN], check=True)
    return found
