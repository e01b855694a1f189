"""What a table of figures has to say of the machine and of the versions."""

import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).parent.parent


def first(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return "unknown"


def said(*command):
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    except OSError:
        return "none"
    return ((done.stdout + done.stderr).strip().splitlines() or ["none"])[0]


def facts():
    """One paragraph."""
    ingot = pathlib.Path(os.environ["INGOT"])
    memory = int(first("/proc/meminfo", "MemTotal").split()[0]) / 1048576
    dirty = "" if said("git", "status", "--porcelain") == "none" else ", with changes"
    flags = first("/proc/cpuinfo", "flags").split()
    wide = next((w for w in ("avx512f", "avx2", "sse4_2") if w in flags), "none")
    return (
        f"{os.cpu_count()} cores of {first('/proc/cpuinfo', 'model name')} ({wide}), {memory:.0f} GiB, Linux "
        f"{platform.release()}, load {os.getloadavg()[0]:.1f} at the start. Ingot {said('git', 'rev-parse', '--short', 'HEAD')}"
        f"{dirty}, {ingot.parent.name} build, {ingot.stat().st_size / 1048576:.0f} MiB; {said('rustc', '--version')}; "
        f"{said('java', '-version')}; Python {platform.python_version()}."
    )
