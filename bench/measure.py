"""Runs a command and says what it and everything that it started cost.

    measure.py FILE COMMAND...      runs it and writes {code, wall, cpu, peak_mib} to FILE as JSON

CPU is user and system time of all descendants, those that were left behind included: they become this process's
children, and it waits for each. The peak is that of the largest single process. `cost_of` is for a server that goes on.
"""

import ctypes
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Cost:
    wall: float
    cpu: float
    peak_mib: float


class Failed(Exception):
    pass


def run(command, log, env=None, may_fail=False):
    """The cost of a command, whose output goes to the file `log`."""
    with tempfile.NamedTemporaryFile(suffix=".json") as told, open(log, "ab") as out:
        # A process of its own: what it is to wait for must not be mixed with other children of ours.
        subprocess.run([sys.executable, __file__, told.name, *map(str, command)], stdin=subprocess.DEVNULL, stdout=out,
                       stderr=out, env={**os.environ, **(env or {})}, check=True)
        told = json.loads(pathlib.Path(told.name).read_text())
    if told.pop("code") and not may_fail:
        tail = b"\n".join(pathlib.Path(log).read_bytes().splitlines()[-20:]).decode(errors="replace")
        raise Failed(f"{' '.join(map(str, command))}\n{tail}")
    return Cost(**told)


def cost_of(pid):
    """CPU-seconds so far, resident MiB now and at the peak, of a process that runs."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return (int(fields[11]) + int(fields[12])) / TICKS, int(status["VmRSS"].split()[0]) / 1024, int(status["VmHWM"].split()[0]) / 1024


def main():
    file, command = sys.argv[1], sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    child = subprocess.Popen(command)
    code, cpu, peak = None, 0.0, 0
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss)
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    pathlib.Path(file).write_text(json.dumps({"code": code, "wall": wall, "cpu": cpu, "peak_mib": peak / 1024}))


if __name__ == "__main__":
    main()
