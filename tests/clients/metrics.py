"""Reads /metrics of a running `ingot up` while things go well and while they fail (tests/e2e/metrics.sh).

Every metric of the list (`ingot docs metrics`) must be seen to move, with the outcomes that matter: a counter or a
histogram grows, a gauge takes two values. What never moves is wrong, and so is a series that is not on the list.
Figures are compared with what was sent, read and fetched. Prints a line for each check, and at last
`N right, M wrong`.
"""

import argparse
import glob
import os
import re
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request

import adbc_driver_flightsql.dbapi as flight_sql

SERIES = re.compile(r'^(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
BRONZE = "bronze.vehicle_events"


class Checks:
    def __init__(self):
        self.right = self.wrong = 0

    def check(self, what, holds, note=""):
        self.right += bool(holds)
        self.wrong += not holds
        print(f"{'ok   ' if holds else 'FAIL '} {what}{'' if holds or not note else f': {note}'}", flush=True)


class Watch(threading.Thread):
    """Scrapes again and again; keeps the least and the greatest value of each series."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.seen, self.now, self.errors, self.stopped = address, {}, {}, [], False

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read().decode()

    def scrape(self):
        now = {}
        status, headers, text = self.get("/metrics")
        if status != 200 or headers["content-type"] != "text/plain; version=0.0.4; charset=utf-8":
            self.errors.append(f"{status} {headers['content-type']}")
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            found = SERIES.match(line)
            if not found:
                self.errors.append(f"not a series: {line}")
                continue
            key = (found["name"], tuple(sorted(LABEL.findall(found["labels"] or ""))))
            now[key] = value = float(found["value"])
            low, high = self.seen.get(key, (value, value))
            self.seen[key] = (min(low, value), max(high, value))
        self.now = now
        return now

    def run(self):
        while not self.stopped:
            try:
                self.scrape()
            except OSError as e:
                self.errors.append(str(e))
            time.sleep(0.1)

    def total(self, name, **labels):
        """The sum of the series of this name that have these labels."""
        return sum(v for (n, ls), v in self.scrape().items() if n == name and labels.items() <= dict(ls).items())


def until(what, seconds=60):
    """What `what` gives once that is true, or the last it gave."""
    deadline = time.monotonic() + seconds
    while True:
        last = what()
        if last or time.monotonic() > deadline:
            return last
        time.sleep(0.2)


def listed(ingot):
    """The list, as (name, kind)."""
    page = subprocess.run([ingot, "docs", "metrics"], check=True, capture_output=True, text=True).stdout
    return re.findall(r"^\| `(ingot_[a-z_]+)` \| (\w+) \|", page, re.M)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--http", required=True)
    parser.add_argument("--flight", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--lake", required=True, help="the warehouse's folder, with its catalog.db")
    args = parser.parse_args()
    checks, watch = Checks(), Watch(args.http)
    check, total = checks.check, watch.total

    def produce(events, seed):
        command = [args.ingot, "produce", "--set", f"kafka.bootstrap.servers={args.brokers}", "--topic", args.topic]
        command += ["--events", str(events), "--seed", str(seed), "--malformed", "0.05"]
        subprocess.run(command, check=True, capture_output=True)

    def fetched(cursor, sql):
        cursor.execute(sql)
        return cursor.fetchall()

    check("it lives", watch.get("/healthz")[0] == 200)
    check("it is ready", until(lambda: watch.get("/readyz")[0] == 200))
    check("there is nothing else", watch.get("/")[0] == 404)
    watch.start()

    produce(6000, 1)
    messages = {"table": BRONZE, "topic": args.topic}
    stored = lambda: total("ingot_rows_total", table=BRONZE) + total("ingot_errors_rows_total", table=BRONZE)
    check("all messages are rows or errors", until(lambda: stored() == 6000), f"{stored()}")
    check("  and were read once", total("ingot_source_messages_total", **messages) == 6000)
    check("  of four partitions", len([k for k in watch.now if k[0] == "ingot_source_messages_total"]) == 4)
    check("some did not decode", 0 < total("ingot_errors_rows_total", table=BRONZE) < 6000)
    check("  and are in the error table", total("ingot_rows_total", table=BRONZE + "_errors")
          == total("ingot_errors_rows_total", table=BRONZE))
    check("the view is refreshed", until(lambda: total("ingot_refresh_duration_seconds_count", table="gold.stats") > 0))
    check("files hold bytes", total("ingot_written_bytes_total", table=BRONZE) > 10_000)
    files = glob.glob(f"{args.lake}/bronze/vehicle_events/data/**/*.parquet", recursive=True)
    check("  as many as there are", total("ingot_written_bytes_total", table=BRONZE) == sum(map(os.path.getsize, files)))
    fresh = lambda: 0 < total("ingot_table_freshness_seconds", table="gold.stats") < 6
    check("gold is fresh", until(fresh, 30))
    check("a broker that is not there is waited for", until(lambda: total("ingot_source_waits_total", topic="away") > 1))
    check("a view that fails has its code", until(lambda: total("ingot_table_errors_total", table="gold.failing") > 0))

    with flight_sql.connect(args.flight, autocommit=True) as connection:
        with connection.cursor() as cursor:
            before = total("ingot_query_rows_total")
            rows = len(fetched(cursor, f"SELECT * FROM {BRONZE}"))
            check("rows of a query are counted", total("ingot_query_rows_total") - before == rows > 0, f"{rows}")
            check("  and its bytes", total("ingot_query_bytes_total") > rows * 50)
            check("  and it ended well", total("ingot_query_duration_seconds_count", outcome="ok") >= 1)
        check("none is running", until(lambda: total("ingot_queries_running") == 0))
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT a.id, b.* FROM {BRONZE} a CROSS JOIN (SELECT * FROM {BRONZE} LIMIT 300) b ORDER BY b.lat, a.id")
            batches = cursor.fetch_record_batch()
            next(batches)
            check("one is running", total("ingot_queries_running") == 1)
            check("  and holds memory", until(lambda: total("ingot_memory_bytes") > 100_000, 10))
            del batches
        check("it is given up", until(lambda: total("ingot_query_duration_seconds_count", outcome="cancelled") == 1))
    check("its memory is free", until(lambda: total("ingot_memory_bytes") == 0), f"{watch.now}")

    # Commits wait for another writer of the catalog; readers do not.
    catalog = sqlite3.connect(f"{args.lake}/catalog.db", isolation_level=None, timeout=30)
    catalog.execute("BEGIN IMMEDIATE")
    produce(2000, 2)
    check("what is not committed is lag", until(lambda: total("ingot_source_lag_messages", table=BRONZE) > 0, 25))
    age = total("ingot_table_freshness_seconds", table=BRONZE)
    check("  and makes the table older", until(lambda: total("ingot_table_freshness_seconds", table=BRONZE) > age, 15))
    catalog.execute("ALTER TABLE iceberg_tables RENAME TO gone")
    catalog.execute("COMMIT")
    failed = {"outcome": "failed"}
    check("a commit fails", until(lambda: total("ingot_commit_duration_seconds_count", **failed) > 0))
    check("calls to the catalog fail", until(lambda: total("ingot_catalog_call_duration_seconds_count", **failed) > 1))
    check("it is not ready", until(lambda: watch.get("/readyz")[0] == 503))
    check("  and says why", "L0" in watch.get("/readyz")[2], watch.get("/readyz")[2])
    check("  and lives", watch.get("/healthz")[0] == 200)
    check("the table's error has a code", until(lambda: total("ingot_table_errors_total", table=BRONZE) > 0))
    catalog.execute("ALTER TABLE gone RENAME TO iceberg_tables")
    catalog.close()
    check("it is ready again", until(lambda: watch.get("/readyz")[0] == 200))
    check("what was missed is read", until(lambda: stored() == 8000), f"{stored()}")
    check("there is no lag", until(lambda: total("ingot_source_lag_messages", table=BRONZE) == 0, 30))
    check("gold is fresh again", until(fresh, 30))

    kept_up = ["ingot_snapshots_forgotten_total", "ingot_compacted_files_total", "ingot_deleted_files_total", "ingot_upkeep_duration_seconds_count"]
    seeds = iter(range(3, 1000))

    def in_shape():
        produce(100, next(seeds))
        return all(total(name) > 0 for name in kept_up)

    check("tables are kept in shape", until(in_shape, 90), str({name: total(name) for name in kept_up}))

    for file in glob.glob(f"{args.lake}/bronze/vehicle_events_errors/data/**/*.parquet", recursive=True):
        os.remove(file)
    with flight_sql.connect(args.flight, autocommit=True) as connection, connection.cursor() as cursor:
        try:
            fetched(cursor, f"SELECT reason FROM {BRONZE}_errors")
            check("a query over files that are gone fails", False)
        except flight_sql.Error:
            check("a query over files that are gone fails", True)
    check("  as the metrics have it", until(lambda: total("ingot_query_duration_seconds_count", **failed) >= 1))
    check("  and its reads", total("ingot_store_request_duration_seconds_count", operation="read", **failed) >= 1)

    watch.stopped = True
    watch.join()
    check("every scrape was good", not watch.errors, str(watch.errors[:3]))
    names = listed(args.ingot)
    check("the list has metrics", len(names) > 10)
    for name, kind in names:
        suffix = "_count" if kind == "histogram" else ""
        series = [span for (n, _), span in watch.seen.items() if n == name + suffix]
        moved = any(low != high for low, high in series) if kind == "gauge" else any(high > 0 for _, high in series)
        check(f"{name} moved", moved, str(series[:4]))
    base = lambda name: re.sub(r"_(bucket|sum|count)$", "", name)
    known = {name for name, _ in names}
    stray = {name for name, _ in watch.seen if name not in known and base(name) not in known}
    check("no series is missing in the list", not stray, str(stray))
    for name, labels in [
        ("ingot_commit_duration_seconds_count", {"outcome": "ok"}),
        ("ingot_refresh_duration_seconds_count", {"outcome": "ok"}),
        ("ingot_refresh_duration_seconds_count", failed),
        ("ingot_catalog_call_duration_seconds_count", {"operation": "commit", "outcome": "ok"}),
        ("ingot_catalog_call_duration_seconds_count", {"operation": "load", "outcome": "ok"}),
        ("ingot_catalog_call_duration_seconds_count", {"operation": "list", "outcome": "ok"}),
        ("ingot_catalog_call_duration_seconds_count", {"operation": "create", "outcome": "ok"}),
        ("ingot_store_request_duration_seconds_count", {"operation": "read", "outcome": "ok"}),
        ("ingot_store_request_duration_seconds_count", {"operation": "write", "outcome": "ok"}),
    ]:
        check(f"{name} {labels}", any(n == name and labels.items() <= dict(ls).items() for n, ls in watch.seen))
    print(f"{checks.right} right, {checks.wrong} wrong")


if __name__ == "__main__":
    main()
