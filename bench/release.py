"""Release: the release build of a clean clone, and how large its binary is."""

import build
import measure


def run(scene, figures):
    with build.clean_clone(scene) as (cargo, clone, target):
        command = [*cargo, "build", "--release", "--manifest-path", clone / "Cargo.toml"]
        cost = measure.run(command, scene.log, {"CARGO_TARGET_DIR": str(target)})
        figures.add(build.NAME, "the release build from nothing, s", cost.wall)
        figures.add(build.NAME, "the release build from nothing, CPU-s", cost.cpu)
        figures.add(build.NAME, "the release binary, MiB", (target / "release" / "ingot").stat().st_size / 1048576)
