"""Real data through three layers in three rounds with late duplicates, equal to DuckDB after each.

    real_data.py --ingot B --brokers H --work FOLDER --data FOLDER [--seed N] [--share S] {nyc,vega,jaffle}...

    files ─▶ messages: shuffled, doubled, altered, cut off ─▶ topics ─▶ run --once ─▶ PyIceberg ─┐
                                                              └─▶ real/NAME/judge.sql in DuckDB ─┴─▶ equal as multisets

`real/NAME/sql` is the project, `real/NAME/judge.sql` says in DuckDB's SQL what each table holds; the columns that it names
are compared. Prints `N right, M wrong` at the end.
"""

import argparse
import csv
import json
import os
import random
import shutil
import sys
import time
import warnings

import duckdb
import pyarrow as pa
from confluent_kafka import Producer

import topics
from answers import bag, shown
from judge import consume
from lab import Digits, Lab, encode

HERE = os.path.dirname(os.path.abspath(__file__))
NYC_TEXT = {"carrier", "tailnum", "origin", "dest", "time_hour", "name", "faa", "dst", "tzone", "type", "manufacturer", "model", "engine"}
JAFFLE_NUMBERS = {"subtotal", "tax_paid", "order_total", "price", "tax_rate", "cost"}


def csv_rows(path, is_text):
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            yield {k: None if v in ("NA", "") else v if is_text(k) else Digits(v) for k, v in row.items()}


def nyc(folder, name):
    return csv_rows(os.path.join(folder, "nyc", name + ".csv"), lambda c: c in NYC_TEXT)


def jaffle(folder, name):
    return csv_rows(os.path.join(folder, "jaffle", name + ".csv"), lambda c: c not in JAFFLE_NUMBERS)


def vega(folder, name):
    with open(os.path.join(folder, "vega", {"flights": "flights-20k"}.get(name, name) + ".json")) as f:
        found = json.load(f, parse_float=Digits, parse_int=Digits)
    return found["features"] if isinstance(found, dict) else found


#: For each set: how its files are read, and its topics with the field that a late copy changes.
SETS = {
    "nyc": (nyc, {"flights": "dep_delay", "planes": "seats", "airlines": None, "airports": None, "weather": "visib"}),
    "vega": (vega, {"movies": "IMDB Votes", "earthquakes": "properties.mag", "flights": "delay"}),
    "jaffle": (jaffle, {"orders": "order_total", "items": None, "products": None, "stores": None, "customers": None, "supplies": None,
                        "tweets": None}),
}


def payload(row):
    return encode(row).encode()


def altered(row, field, r):
    """A copy with another value in a field: one more, or none."""
    row = json.loads(encode(row), parse_float=Digits, parse_int=Digits)
    at, _, inner = field.partition(".")
    holder, name = (row[at], inner) if inner else (row, at)
    old = holder.get(name)
    holder[name] = None if old is None or r.random() < 0.3 else Digits(str(int(float(old)) + 1))
    return row


def rounds(rows, field, r, share):
    """Three lists of messages: a third of the rows each, then copies of what was sent before, and what does not decode."""
    rows = list(rows)
    if share < 1 and len(rows) > 200:
        rows = r.sample(rows, max(200, int(len(rows) * share)))
    r.shuffle(rows)
    sent, out = [], []
    for part in range(3):
        fresh = rows[part::3]
        messages = [payload(x) for x in fresh]
        again = r.sample(sent + fresh, min(len(sent + fresh), max(2, len(fresh) // 10)))
        messages += [payload(altered(x, field, r) if field and r.random() < 0.5 else x) for x in again]
        for x in r.sample(fresh, min(len(fresh), 1 + len(fresh) // 200)):
            whole = payload(x)
            messages.append(r.choice([whole[:-3], b"", b"[]x", None, whole + b"}"]))
        r.shuffle(messages)
        sent += fresh
        out.append(messages)
    return out


class Set:
    def __init__(self, args, name):
        self.args, self.name = args, name
        self.read, self.fields = SETS[name]
        self.right = self.wrong = 0

    def check(self, what, right, *details):
        self.right += bool(right)
        self.wrong += not right
        print(("ok    " if right else "FAIL  ") + what, flush=True)
        for line in () if right else details:
            print("      " + line, flush=True)

    def go(self):
        args, r = self.args, random.Random(f"{self.args.seed}:{self.name}")
        prefix = f"real-{os.getpid()}-{self.name}"
        lab = Lab(args.ingot, args.brokers, prefix, args.work, self.name)
        shutil.copytree(os.path.join(HERE, "real", self.name, "sql"), lab.sql, dirs_exist_ok=True)
        names = {t: f"{prefix}-{t}" for t in self.fields}
        for t, topic in names.items():
            os.environ[t.upper()] = topic
            topics.create(argparse.Namespace(brokers=args.brokers, topic=topic, partitions=2))
        sending = {t: rounds(self.read(args.data, t), field, r, args.share) for t, field in self.fields.items()}
        refused = lab.check()
        self.check(f"{self.name}: check", not refused, *(f"{f}: {[d['message'] for d in told]}" for f, told in refused.items()))
        for at in range(3):
            began = time.monotonic()
            producer = Producer({"bootstrap.servers": args.brokers, "linger.ms": 20})
            for t, topic in names.items():
                for m in sending[t][at]:
                    producer.produce(topic, m, partition=r.randrange(2))
                    producer.poll(0)
            if producer.flush(120):
                raise RuntimeError("not everything was delivered")
            steps = lab.run()
            failed = {t: s["error"] for t, s in steps.items() if s.get("error")}
            self.check(f"{self.name} round {at + 1}: run --once", not failed,
                       *(f"{t}: {e['code']} {e['message'][:300]}" for t, e in failed.items()))
            ran = time.monotonic() - began
            self.compare(lab, names, at, steps)
            modes = {t.split(".", 1)[1]: s["mode"] for t, s in steps.items() if t.startswith(("silver", "gold"))}
            print(f"      {self.name} round {at + 1}: {ran:.1f} s to send and run; {modes}", flush=True)
        code, out, err = lab.command("verify")
        self.check(f"{self.name}: verify", code == 0, out[-1500:], err[-1500:])
        lab.close()

    def compare(self, lab, names, at, steps):
        duck = duckdb.connect()
        duck.execute("SET TimeZone = 'UTC'")
        sent = 0
        for t, topic in names.items():
            messages, _ = consume(self.args.brokers, topic, 120)
            sent += len(messages)
            raw = pa.table({"_partition": pa.array([m[1] for m in messages], pa.int32()), "_offset": pa.array([m[2] for m in messages], pa.int64()),
                            "payload": pa.array([None if m[5] is None else m[5].decode() for m in messages], pa.string())})
            duck.register("arrow", raw)
            duck.execute(f"CREATE TABLE raw_{t} AS SELECT * FROM arrow")
        with open(os.path.join(HERE, "real", self.name, "judge.sql")) as f:
            duck.execute(f.read())
        catalog = lab.catalog()
        for (name,) in duck.sql("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '%.%' ORDER BY 1").fetchall():
            wanted = duck.sql(f'SELECT * FROM "{name}"').to_arrow_table()
            what = f"{self.name} round {at + 1}: {name}: {len(wanted)} rows"
            try:
                found = catalog.load_table(name).scan(selected_fields=tuple(wanted.column_names)).to_arrow().select(wanted.column_names)
            except Exception as e:
                self.check(what, False, f"{type(e).__name__}: {e}")
                continue
            want, have = bag(wanted), bag(found)
            self.check(what, want == have, f"missing {shown(want - have, 3)}", f"extra   {shown(have - want, 3)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--data", required=True, help="what datasets.sh prints")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="printed when not given")
    parser.add_argument("--share", type=float, default=1, help="of the rows of large files")
    parser.add_argument("sets", nargs="+", choices=SETS)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"seed {args.seed}", flush=True)
    right = wrong = 0
    for name in args.sets:
        one = Set(args, name)
        one.go()
        right, wrong = right + one.right, wrong + one.wrong
    print(f"{right} right, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
