"""A store and a catalog that fail, and what Ingot makes of it.

On MinIO behind a proxy (`s3_proxy.py`): every fault on every kind of file, written and read; a storm of all faults under a
seed while `run` goes on; an outage; queries over Flight SQL during faults; upkeep by hand under each of them. On local disk: a full disk, a file size limit,
the SQLite catalog locked for a while and for longer than its busy timeout, a read-only catalog and a read-only folder.

After each, on what is left: the rows of Bronze and its error table are the log's up to the recorded position, every other
table is its query over the snapshots that it records, every file of every live snapshot is there and whole. A command that
failed said why, with its code and what to do, and ended with 3, as what lies outside does; the next one without a fault
brings all tables to the end of the log.

    store_faults.py --ingot BIN --brokers HOST:PORT --work DIR [--seed S] [--only WORD] [--share] [-v]

The last line is `N right, N wrong`.
"""

import argparse
import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa

from project import SILVER, STREAMING, Project, add_setting_arguments, kill, said, setting, wait_until
from s3_proxy import FAULTS, KINDS, Rule, S3Proxy

OUTSIDE = 3
TIMEOUT = 2             # seconds a request may take
NOBODY = 65534
began = time.monotonic()


class Report:
    def __init__(self, verbose):
        self.passed = self.failed = 0
        self.lock, self.verbose, self.errors = threading.Lock(), verbose, {}

    def say(self, text):
        print(f"== {time.monotonic() - began:4.0f}s  {text}", flush=True)

    def check(self, what, wrong=()):
        """Passes when `wrong` is empty."""
        with self.lock:
            self.failed += bool(wrong)
            self.passed += not wrong
            print(f"{'FAIL ' if wrong else 'ok   '} {what}", flush=True)
            for line in wrong:
                print("      " + str(line), flush=True)

    def note(self, log):
        """Remembers the errors that a user saw, one of each kind."""
        for m in re.finditer(r"error\[(\w+)\]: (.*)(?:\n[^\n]*)*?\n\s*= help: (.*)", log):
            self.errors.setdefault((m[1], re.sub(r"[0-9a-f-]{8,}", "~", m[2])[:60]), (m[2], m[3]))


class Draw:
    """What of a scenario is run: all of it, or a share under the seed."""

    def __init__(self, args):
        self.seed, self.all, self.random = args.seed, not args.share, random.Random(args.seed)

    def some(self, of, count):
        """As many of them, in their order."""
        of = list(of)
        return of if self.all or count >= len(of) else [of[i] for i in sorted(self.random.sample(range(len(of)), count))]


class Store(Project):
    """A project whose store stands behind a proxy."""

    def __init__(self, shared, seed, proxy):
        self.proxy = proxy
        super().__init__(shared, seed, partitions=2)

    def fresh_lake(self):
        super().fresh_lake()
        direct = f"s3.endpoint={os.environ['INGOT_TEST_S3_ENDPOINT']}"
        self.lake_options = [o if o != direct else f"s3.endpoint={self.proxy.url}" for o in self.lake_options]
        self.lake_options += ["--set", f"s3.timeout={TIMEOUT} s"]


def once(report, project, what, codes=(0, OUTSIDE), wrapper=()):
    """`run --once` under a fault: ends with one of these codes, says why and what to do, and leaves a lake that is right."""
    child = project.spawn("run", "--once", wrapper=wrapper)
    code = project.end(child, 120)
    log = said(child, 400)
    report.note(log)
    wrong = [] if code in codes else [f"exit {code}, not one of {codes}", log[-1500:]]
    if code != 0:
        wrong += explained(log)
    report.check(f"{what}: exit {code}", wrong + project.problems())
    return code


def explained(log):
    """Every error has a code and says what to do."""
    errors = re.split(r"(?=error\[\w+\])", log)[1:]
    silent = [f"no help behind {error[:300]}" for error in errors if "= help:" not in error]
    return silent if errors else ["failed without an error that has a code: " + log[-500:]]


def recovered(report, project, what):
    code, child = project.run("run", "--once")
    wrong = [] if code == 0 else [f"exit {code}", said(child, 30)]
    report.check(f"{what}: the next run ends well, with all of the log", wrong + project.problems() + project.behind())


def single_faults(report, shared, draw):
    """Each fault once for each kind of file: written (for every table), then read."""
    proxy = S3Proxy(os.environ["INGOT_TEST_S3_ENDPOINT"], draw.seed, hold=TIMEOUT + 2)
    project = Store(shared, draw.seed, proxy)
    project.traffic.send(60)
    recovered(report, project, "without faults, through the proxy")
    for method, fault in ways(draw):
        project.traffic.send(30)
        rules = [Rule(fault, method, kind, each_table=method == "PUT" and "hang" not in fault) for kind in KINDS]
        proxy.set(*rules)
        code = once(report, project, f"{method} {fault}")
        missed = [kind for kind, rule in zip(KINDS, rules) if not rule.hits]
        proxy.set()
        # A command that ended early did not come to the rest.
        report.check(f"{method} {fault}: hit {sum(r.hits for r in rules)} times", [f"never on {missed}"] if missed and code == 0 else [])
        if code:
            recovered(report, project, f"after {method} {fault}")
    recovered(report, project, "after all faults")
    report.check("verify", project.verify_problems())
    queries(report, project, proxy, draw)
    outage_and_storm(report, project, proxy)
    project.close()


def ways(draw):
    """Faults on writing, then on reading. A share has each fault on one of them."""
    # Left out: what is nothing else than another one.
    found = [("PUT", fault) for fault in FAULTS if fault != "slow-forever"]
    found += [("GET", fault) for fault in FAULTS if not fault.startswith("after-")]
    if draw.all:
        return found
    chosen = {draw.random.choice([way for way in found if way[1] == fault]) for fault in FAULTS}
    return [way for way in found if way in chosen]


def upkeep_faults(report, shared, draw):
    """The same under upkeep by hand, which reads, writes and deletes: what it says is its own matter, the lake stays right."""
    proxy = S3Proxy(os.environ["INGOT_TEST_S3_ENDPOINT"], draw.seed, hold=TIMEOUT + 2)
    project = Store(shared, draw.seed + 1, proxy)
    project.options += ["--set", "upkeep.snapshots-min-age=1 s"]
    deletes = [("POST", fault) for fault in FAULTS if fault not in ("slow", "cut", "short", "slow-forever")]
    hits = 0
    for method, fault in draw.some(ways(draw), 5) + draw.some(deletes, 2):
        for _ in range(2):
            project.traffic.send(20)
            recovered(report, project, f"before {method} {fault} under maintain")
        proxy.set(*[Rule(fault, method, kind, times=2, each_table=True) for kind in ((*KINDS, "other") if method != "POST" else (None,))])
        child = project.spawn("maintain")
        code = project.end(child, 240)
        hits += sum(rule.hits for rule in proxy.rules)
        told = f"maintain, {method} {fault}, hit {sum(rule.hits for rule in proxy.rules)} times: exit {code}"
        proxy.set()
        report.check(told, ([] if code in (0, OUTSIDE) else [said(child, 30)]) + project.problems())
    report.check(f"{hits} faults were met", [] if hits else ["none: this shows nothing"])
    recovered(report, project, "after upkeep under faults")
    code, child = project.run("maintain")
    report.check("maintain without faults", ([] if code == 0 else [said(child, 30)]) + project.problems() + project.behind() + project.verify_problems())
    project.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def queried(port, name):
    """How many rows a table gives over Flight SQL, or the error."""
    try:
        with flight_sql.connect(f"grpc://127.0.0.1:{port}", autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {name}")
            return cursor.fetch_arrow_table().num_rows
    except (flight_sql.Error, pa.ArrowException, OSError) as e:
        return e


def queries(report, project, proxy, draw):
    """A fetch during a fault gives all rows or an error, never fewer."""
    port = free_port()
    server = project.spawn("serve", "--set", f"serve.listen=127.0.0.1:{port}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.1)
    project.state.load()
    wanted = {name: len(project.state.rows(name)) for name in (STREAMING, SILVER)}
    faults = [fault for fault in FAULTS if not fault.startswith("after-")]
    # Half of what is left comes each time with these: without an end they take long, and may end well.
    ways = [(fault, 10 if fault in ("cut", "slow-forever") else 10**6) for fault in draw.some(faults, 3)]
    for fault, times in [(fault, 1) for fault in faults] + ways:
        rule = Rule(fault, "GET", "data", times=times, each_table=True)
        proxy.set(rule)
        with ThreadPoolExecutor() as pool:
            got = dict(zip(wanted, pool.map(lambda name: queried(port, name), wanted)))
        failed = [str(e)[:600] for e in got.values() if isinstance(e, Exception)]
        wrong = [f"{name}: {n} rows of {wanted[name]} and no error" for name, n in got.items() if n != wanted[name] and isinstance(n, int)]
        if failed:
            report.errors.setdefault(("query", fault), (failed[0], None))
        if times == 10**6 and fault != "slow" and len(failed) < len(got):
            wrong.append("rows came although every read fails: they were not read")
        if times == 1 and fault != "short" and failed:
            wrong.append(f"one fault is not tried again: {failed}")
        if len(rule.left) < len(got):
            wrong.append(f"hit {list(rule.left)} only")
        told = f"{len(failed)} errors" if failed else "all rows"
        report.check(f"query, GET {fault} {'once' if times == 1 else 'again and again'}: {told}", wrong)
    proxy.set()
    server.send_signal(signal.SIGTERM)
    code = project.end(server)
    report.check(f"serve ends: exit {code}", [] if code in (0, 143) else [said(server)])


def whole_log(child):
    return said(child, 10**6)


def outage_and_storm(report, project, proxy):
    child = project.spawn("run")
    project.traffic.send(100)
    for fault in ("503", "hang"):
        told = whole_log(child).count("L0103")
        proxy.set(Rule(fault, times=10**6))
        project.traffic.send(100)
        # As long as it takes until requests are given up, and not only tried again.
        with suppress(TimeoutError):
            wait_until(lambda: whole_log(child).count("L0103") > told or child.poll() is not None, 150, 0.3)
        report.check(f"run says that the store does not answer ({fault}), with a code",
                     [] if whole_log(child).count("L0103") > told else [said(child)])
        time.sleep(3)
        proxy.set()
        report.check(f"and lives through the outage ({fault})", [] if child.poll() is None else [said(child)])
    report.say("a storm of all faults")
    proxy.set(*[Rule(fault, times=10**6, chance=0.02) for fault in FAULTS if "hang" not in fault and fault != "slow-forever"])
    for _ in range(10):
        project.traffic.send(60)
        time.sleep(1)
    wrong = [] if child.poll() is None else [said(child)]
    proxy.set()
    child.send_signal(signal.SIGTERM)
    code = project.end(child)
    told = ", ".join(sorted(set(re.findall(r'code="(\w+)"', whole_log(child)))))
    report.check(f"run lives through the storm ({proxy.requests} requests in all), exit {code}, told: {told}", wrong + project.problems())
    recovered(report, project, "after the storm")
    report.check("verify after the storm", project.verify_problems())


class Disk:
    """A small disk: a tmpfs where root, sudo or a namespace can mount one; None elsewhere."""

    def __init__(self, folder, megabytes):
        os.makedirs(folder)
        self.folder = folder
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", folder]
        self.how = next((how for how in ([], ["sudo", "-n"]) if how == [] or shutil.which("sudo")
                         if subprocess.run(how + command, capture_output=True).returncode == 0), None)

    def fill(self, leave):
        """Takes all space but `leave` bytes."""
        path = os.path.join(self.folder, "filler")
        with open(path, "wb", buffering=0) as out, suppress(OSError):
            while True:
                out.write(b"\0" * 65536)
        os.truncate(path, max(0, os.path.getsize(path) - leave))

    def free(self):
        os.unlink(os.path.join(self.folder, "filler"))

    def close(self):
        subprocess.run(self.how + ["umount", self.folder], check=True)


class OnDisk(Project):
    """A project whose lake lies in a folder of the caller's."""

    def __init__(self, shared, seed, lake):
        self.lake = lake
        super().__init__(shared, seed, partitions=2)

    def fresh_lake(self):
        super().fresh_lake()
        from lake_state import LakeState
        self.catalog, self.warehouse = os.path.join(self.lake, "catalog.db"), "file://" + self.lake
        self.lake_options = ["--set", f"warehouse.location={self.lake}"]
        self.state = LakeState(self.catalog, self.warehouse)


def full_disk(report, shared, draw):
    disk = Disk(os.path.join(shared.work, "small"), 24)
    if disk.how is None:
        report.say("no tmpfs can be mounted here: the file size limit alone stands for the full disk")
        return
    try:
        project = OnDisk(shared, draw.seed, os.path.join(disk.folder, "lake"))
        project.traffic.send(60)
        recovered(report, project, "on a small disk")
        failed = 0
        sizes = [0, 4, *draw.some((12, 28, 60, 100, 160), 1)]
        for kilobytes in sizes:
            project.traffic.send(40)
            disk.fill(kilobytes * 1024)
            failed += once(report, project, f"{kilobytes} KB left on the disk") != 0
            left_over = [f for f in project.state.listing() if f.endswith(".tmp")]
            report.check(f"{kilobytes} KB left: no temporary file stays", left_over)
            disk.free()
        report.check("the disk was too small several times", [] if failed >= min(3, len(sizes) - 1) else [f"{failed} times only"])
        recovered(report, project, "with space again")
        disk.fill(8 * 1024)
        child = project.spawn("run")
        project.traffic.send(60)
        with suppress(TimeoutError):
            wait_until(lambda: "L010" in whole_log(child), 90, 0.2)
        disk.free()
        with suppress(TimeoutError):
            wait_until(lambda: not project.behind(), 120, 0.5)
        log = said(child, 400)
        report.check("run says that the disk is full and goes on when it is not",
                     project.behind() + ([] if re.search(r"L010[24]", log) else [log[-800:]]))
        kill(child)
        report.check("verify", project.verify_problems())
        project.close()
    finally:
        disk.close()


def file_size_limit(report, shared, draw):
    """Writing beyond a limit fails as on a full disk, without any mount."""
    project = Project(shared, draw.seed, partitions=2)
    project.traffic.send(60)
    recovered(report, project, "without a limit")
    failed = 0
    for kilobytes in (1, *draw.some((4, 8, 16), 1)):
        project.traffic.send(40)
        # Whoever runs this leaves SIGXFSZ ignored, so that the write fails in place of the process.
        limit = f"ulimit -f {kilobytes}; trap '' XFSZ; exec \"$@\""
        code, child = project.run("run", "--once", wrapper=("bash", "-c", limit, "-"))
        log = said(child, 400)
        report.note(log)
        failed += code != 0
        report.check(f"files of at most {kilobytes} KB: exit {code}",
                     ([] if code in (0, OUTSIDE) else [log[-1500:]]) + (explained(log) if code else []) + project.problems())
    report.check("the limit was hit", [] if failed else ["never"])
    recovered(report, project, "after the limit")
    catalog_hits_the_limit(report, project)
    report.check("verify", project.verify_problems())
    project.close()


def catalog_hits_the_limit(report, project):
    """SQLite's log is the one file that grows beyond the limit: `run` fails to commit, and commits again without it."""
    child = project.spawn("run", wrapper=("bash", "-c", "trap '' XFSZ; exec \"$@\"", "-"))
    wal = project.catalog + "-wal"
    for _ in range(100):
        if os.path.exists(wal) and os.path.getsize(wal) > 70_000:
            break
        project.traffic.send(20)
        time.sleep(0.3)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
    for _ in range(5):
        project.traffic.send(20)
        with suppress(TimeoutError):
            wait_until(lambda: "L0102" in whole_log(child), 30, 0.2)
    log = whole_log(child)
    report.check("run says that the catalog cannot be written", [] if "L0102" in log else [log[-1500:]])
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with suppress(TimeoutError):
        wait_until(lambda: not project.behind(), 120, 0.5)
    log = whole_log(child)
    report.check("and goes on when it can", project.behind() + [line for line in log.splitlines() if "transaction depth" in line][:3])
    kill(child)


def locked_catalog(report, shared, draw):
    project = Project(shared, draw.seed, partitions=2)
    project.traffic.send(60)
    recovered(report, project, "before the lock")
    for seconds, codes in ((5, (0,)), (150, (OUTSIDE,))):        # the longer one ends with the command
        project.traffic.send(40)
        holder = sqlite3.connect(project.catalog, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        child = project.spawn("run", "--once")
        at = time.monotonic()
        while time.monotonic() - at < seconds and (seconds < 30 or child.poll() is None):
            time.sleep(0.2)
        holder.execute("ROLLBACK")
        holder.close()
        code = project.end(child)
        log = said(child, 400)
        report.note(log)
        report.check(f"another process locks the catalog for {'longer than the busy timeout' if seconds > 30 else f'{seconds} s'}: exit {code}",
                     ([] if code in codes else [log[-1500:]]) + (explained(log) if code else []) + project.problems())
    recovered(report, project, "after the locks")
    report.check("verify", project.verify_problems())
    project.close()


def read_only_catalog(report, shared, draw):
    """By a user who may not write: root may everywhere."""
    project = Project(shared, draw.seed, partitions=2)
    project.traffic.send(60)
    recovered(report, project, "before it is read-only")
    lake = os.path.dirname(project.catalog)
    is_root = os.getuid() == 0
    if is_root:
        # A binary and folders that the other user can reach.
        binary = os.path.join(project.folder, "ingot")
        shutil.copy(shared.ingot, binary)
        for folder, names, files in os.walk(project.folder):
            for name in [folder] + [os.path.join(folder, n) for n in files]:
                os.chown(name, NOBODY, NOBODY)
        for folder in (shared.work, project.folder):
            os.chmod(folder, os.stat(folder).st_mode | stat.S_IXOTH)
        project.shared = type(shared)(binary, shared.brokers, shared.store, shared.work)
    wrapper = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--") if is_root else ()
    for what, folders, files in (("the catalog's file is read-only", 0o755, 0o444), ("the folder is read-only", 0o555, 0o444),
                                 ("the warehouse is read-only, the catalog is not", 0o555, 0o644)):
        project.traffic.send(30)
        for folder, _, names in os.walk(lake):
            for name in names:
                os.chmod(os.path.join(folder, name), files if name.startswith("catalog.db") else 0o444)
            os.chmod(folder, folders)
        once(report, project, what, codes=(OUTSIDE,), wrapper=wrapper)
        child = project.spawn("verify", wrapper=wrapper)
        code = project.end(child)
        log = said(child, 400)
        report.note(log)
        report.check(f"{what}: verify, which only reads, exit {code}", [] if code in (0, OUTSIDE) else [log[-800:]])
        for folder, _, names in os.walk(lake):
            os.chmod(folder, 0o755)
            for name in names:
                os.chmod(os.path.join(folder, name), 0o644)
    recovered(report, project, "when it can be written again")
    report.check("verify", project.verify_problems())
    project.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_setting_arguments(parser)
    parser.add_argument("--only", help="a word of the name of what to do")
    parser.add_argument("--share", action="store_true", help="each fault and each scenario, but not on every way; the seed says which")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    report = Report(args.verbose)
    local = setting(args)
    local.store = "local"
    remote = type(local)(local.ingot, local.brokers, "s3", local.work)
    # Side by side: most of the time is spent waiting.
    lines = [[(single_faults, remote)], [(upkeep_faults, remote)], [(locked_catalog, local)], [(full_disk, local), (file_size_limit, local), (read_only_catalog, local)]]

    def work(line):
        for scenario, shared in line:
            if args.only and args.only not in scenario.__name__:
                continue
            report.say(scenario.__name__)
            try:
                scenario(report, shared, Draw(args))
            except Exception:
                report.check(f"{scenario.__name__} came to its end", [traceback.format_exc()])

    threads = [threading.Thread(target=work, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if args.verbose:
        for (code, _), (text, hint) in sorted(report.errors.items()):
            print(f"--- {code}: {text}\n    help: {hint}")
    print(f"{report.passed} right, {report.failed} wrong")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
