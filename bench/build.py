"""Build: from a clean clone to the demo's end, without anything built before.

Crates are fetched before the clock starts: the network is not what is measured.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import measure
from scene import ROOT, say

NAME = "Build"


@contextlib.contextmanager
def clean_clone(scene):
    """The cargo command, a clean clone, and an empty target folder; both are gone afterwards, or kept if that was asked."""
    say(f"{NAME}: a clean clone")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="build-", dir=scene.work))
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    subprocess.run(["cargo", "fetch", "--locked", "--manifest-path", clone / "Cargo.toml"], check=True)
    yield ["cargo", "--config", "net.offline=true"], clone, folder / "target"
    if not scene.args.keep:
        shutil.rmtree(folder)


def run(scene, figures):
    with clean_clone(scene) as (cargo, clone, target):
        at = ["--manifest-path", clone / "Cargo.toml"]
        env = {"CARGO_TARGET_DIR": str(target)}
        demo = measure.run([*cargo, "run", *at, "--", "demo", "--once", "--dir", scene.work / "demo"], scene.log, env)
        figures.add(NAME, "clean clone to the demo's end (`cargo run -- demo --once`), s", demo.wall)
        figures.add(NAME, "clean clone to the demo's end, CPU-s", demo.cpu)
        again = measure.run([*cargo, "build", *at], scene.log, env)
        figures.add(NAME, "nothing changed (`cargo build`), s", again.wall)
        os.utime(clone / "cli" / "src" / "main.rs")
        touched = measure.run([*cargo, "build", *at], scene.log, env)
        figures.add(NAME, "cli/src/main.rs touched (`cargo build`), s", touched.wall)
