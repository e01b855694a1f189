"""Build: from a clean clone to the demo's end, without anything built before, and how large the binary is.

Crates are fetched before the clock starts: the network is not what is measured.
"""

import os
import shutil
import subprocess

import measure
from scene import ROOT, say

NAME = "Build"


def run(scene, figures):
    say(f"{NAME}: a clean clone")
    clone, target = scene.work / "clone", scene.work / "target"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    subprocess.run(["cargo", "fetch", "--locked", "--manifest-path", clone / "Cargo.toml"], check=True)
    env = {"CARGO_TARGET_DIR": str(target)}
    cargo = ["cargo", "--config", "net.offline=true"]
    at = ["--manifest-path", clone / "Cargo.toml"]
    demo = measure.run([*cargo, "run", *at, "--", "demo", "--once", "--dir", scene.work / "demo"], scene.log, env)
    figures.add(NAME, "clean clone to the demo's end (`cargo run -- demo --once`), s", demo.wall)
    figures.add(NAME, "clean clone to the demo's end, CPU-s", demo.cpu)
    again = measure.run([*cargo, "build", *at], scene.log, env)
    figures.add(NAME, "nothing changed (`cargo build`), s", again.wall)
    main = clone / "cli" / "src" / "main.rs"
    os.utime(main)
    figures.add(NAME, "cli/src/main.rs touched (`cargo build`), s", measure.run([*cargo, "build", *at], scene.log, env).wall)
    release = measure.run([*cargo, "build", "--release", *at], scene.log, env)
    figures.add(NAME, "the release build from nothing, s", release.wall)
    figures.add(NAME, "the release binary, MiB", (target / "release" / "ingot").stat().st_size / 1048576)
    shutil.rmtree(target)
