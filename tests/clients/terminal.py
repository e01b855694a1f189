"""Runs `ingot demo` on a terminal, as a user does: terminal.py INGOT PORT [EVENTS]

Waits until it says how to connect, runs the printed lines as they stand, and presses Ctrl-C.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

binary, port, events = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "60000"
child, terminal = pty.fork()
if child == 0:
    os.execv(binary, [binary, "demo", "--events", events, "--set", f"serve.listen=127.0.0.1:{port}"])

text = ""


def read_until(pattern, seconds):
    global text
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                text += os.read(terminal, 65536).decode(errors="replace").replace("\r", "")
            except OSError:  # Linux says so when the other side is gone
                return False
        if re.search(pattern, text):
            return True
    return False


problems = []
if not read_until(r'fetch_arrow_table\(\).*"\n', 120):
    problems.append("it never said how to connect")
else:
    for what, wanted in (("a progress of throughput", r"[0-9,]+/s"), ("freshness", r"gold\.stats is .+ old"),
                         ("the rows of gold.stats", r"scoot"), ("verify", r"gold\.stats +equal")):
        if not re.search(wanted, text):
            problems.append(f"it did not show {what}")
    with tempfile.TemporaryDirectory() as path:
        for name, target in (("ingot", binary), ("python3", sys.executable)):
            with open(f"{path}/{name}", "w") as f:  # not a link: a virtual environment's Python finds itself by its path
                f.write(f'#!/bin/sh\nexec {target} "$@"\n')
            os.chmod(f"{path}/{name}", 0o755)
        said = text[text.index("until Ctrl-C"):]
        sql = re.search(r"^ +(ingot sql --connect .*)$", said, re.M).group(1)
        python = re.search(r'(python3 -c "(?:[^"])*")', said).group(1)
        for command in (sql, python):
            ran = subprocess.run(["sh", "-c", command], env=os.environ | {"PATH": f"{path}:{os.environ['PATH']}"},
                                 capture_output=True, text=True, timeout=60)
            if ran.returncode or "scoot" not in ran.stdout:
                problems.append(f"{command}\n{ran.stdout}{ran.stderr}")
    os.write(terminal, b"\x03")
    read_until("$^", 15)
deadline = time.monotonic() + 15
ended, status = os.waitpid(child, os.WNOHANG)
while not ended and time.monotonic() < deadline:
    time.sleep(0.1)
    ended, status = os.waitpid(child, os.WNOHANG)
if not ended:
    problems.append("Ctrl-C did not end it")
    os.kill(child, signal.SIGKILL)
elif os.waitstatus_to_exitcode(status) not in (0, 143):
    problems.append(f"it ended with {os.waitstatus_to_exitcode(status)}")
if problems:
    print(text[-3000:])
for problem in problems:
    print("PROBLEM", problem)
sys.exit(1 if problems else 0)
