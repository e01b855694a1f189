"""Random SQL over random data: a materialized view, Flight SQL and DuckDB must give one answer.

    random_sql.py --ingot B --brokers H --work FOLDER [--statements 20000] [--seed N] [--only SEED:INDEX] [--views-share S]

Statements come in batches, each over four tables of its own. The tables are filled in two steps by PyIceberg (rows, then more
rows and deletes), and `run --once` follows each, so that the second answer of a view is a refreshed one. DuckDB judges what
`sql_random.py` makes; `sql_rules.py` makes and judges arithmetic. A disagreement prints the statement, made as small as is
cheap, both answers, and how to make it again.

Prints `N right, M wrong` at the end.
"""

import argparse
import os
import random
import re
import sys
import time
import warnings
from collections import Counter

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb
import pyarrow as pa
from pyiceberg.expressions import In

import sql_data
import sql_rules
from answers import bag, canonical, shown
from lab import Lab, append, code_of
from sql_random import statement
from sql_tree import DUCKDB, shrink, text

BATCH = 100
#: One statement in so many is arithmetic, which the written rules judge.
ARITHMETIC_EACH = 4
#: What Ingot may refuse: why (docs/codes.md), and what the error says.
REFUSED = [
    ("a subquery in the ON of an outer join that looks at both of its sides (U0510)",
     r"a subquery in the ON of an outer join looks at both of its sides"),
]
#: Disagreements that are known and open: why, what the error says, what the statement says (regular expressions, or None for any).
#: They are counted, and a line that nothing meets any more is to be struck out.
KNOWN = []


class Asked:
    """A statement and who judges it: DuckDB, or, over one `table`, the written rules."""

    def __init__(self, name, tree, used, own, table=None):
        self.name, self.tree, self.used, self.own, self.table = name, tree, used, own, table


def types_of(schema):
    """The types of columns as the rules name them."""
    known = {pa.int32(): "INT", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}
    return [("DECIMAL", t.precision, t.scale) if pa.types.is_decimal(t) else known.get(t, str(t)) for t in schema.types]


class Lake:
    """The tables of one batch in all three places: Iceberg, Flight SQL's server, DuckDB and Python."""

    def __init__(self, judge, number, r):
        args = judge.args
        self.lab = Lab(args.ingot, args.brokers, args.topic, args.work, f"b{number}")
        for t in sql_data.ROWS:
            self.lab.streaming_table(f"bronze.{t}", [(c, t_) for c, t_, *_ in sql_data.COLUMNS])
        self.lab.run()
        self.catalog = self.lab.catalog()
        self.later, self.gone, whole = {}, {}, {}
        for t, rows in sql_data.ROWS.items():
            first = sql_data.random_table(r, rows * 2 // 3)
            self.later[t] = sql_data.random_table(r, rows - len(first), first=len(first))
            gone = self.gone[t] = r.sample(range(rows), rows // 6)
            if rows:
                append(self.catalog, f"bronze.{t}", first)
            both = pa.concat_tables([first, self.later[t]])
            whole[t] = both.filter(pa.array([n not in gone for n in both.column("n").to_pylist()], pa.bool_()))
        self.duck = duckdb.connect()
        self.duck.execute("SET TimeZone = 'UTC'")
        for t, rows in whole.items():
            self.duck.register("arrow", rows)
            self.duck.execute(f"CREATE TABLE {t} AS SELECT * FROM arrow")
            self.duck.unregister("arrow")
        self.rows = {t: sql_rules.rows_of(rows) for t, rows in whole.items()}

    def move_on(self):
        """The second step: more rows, and some rows less."""
        for t, rows in self.later.items():
            if len(rows):
                append(self.catalog, f"bronze.{t}", rows)
                if self.gone[t]:
                    self.catalog.load_table(f"bronze.{t}").delete(In("n", self.gone[t]))

    def expected(self, asked, tree):
        """(the right rows, their types if the rules say them); None if the right answer is an error."""
        if asked.table is None:
            return bag(self.duck.sql(text(tree, DUCKDB)).to_arrow_table()), None
        try:
            rows, types = sql_rules.answer(tree, self.rows[asked.table])
            return Counter(tuple(canonical(v) for v in row) for row in rows), types
        except sql_rules.Fails:
            return None


class Judge:
    def __init__(self, args):
        self.args = args
        self.right = self.wrong = self.empty = 0
        self.compared, self.refused, self.not_duckdbs, self.features, self.errors, self.known = (Counter() for _ in range(6))

    def batch(self, seed, number, count):
        r = random.Random(f"{seed}:{number}")
        wrong_before = self.wrong
        lake = Lake(self, number, r)
        try:
            asked = []
            for at in range(count):
                own = random.Random(r.random())
                if at % ARITHMETIC_EACH == ARITHMETIC_EACH - 1:
                    rules = sql_rules.Arithmetic(own)
                    tree = rules.statement()
                    asked.append(Asked(f"s{at:03d}", tree, rules.used | {"by the rules"}, own, rules.table))
                else:
                    query, used = statement(own)
                    asked.append(Asked(f"s{at:03d}", query.node, used, own))
            if self.args.only is not None:
                asked = [asked[self.args.only]]
            self.ask(lake, number, asked)
        finally:
            lake.lab.close(self.wrong > wrong_before and self.args.keep)

    def ask(self, lake, number, asked):
        viewed = {a.name: a for a in asked if a.own.random() < self.args.views_share}
        for name, a in viewed.items():
            lake.lab.view(f"gold.{name}", text(a.tree))
        refused = self.drop_refused(lake.lab, viewed)
        lake.lab.run()
        lake.move_on()
        steps = lake.lab.run()
        with flight_sql.connect(lake.lab.serve(), autocommit=True) as connection:
            for a in asked:
                self.features.update(a.used)
                try:
                    expected = lake.expected(a, a.tree)
                except duckdb.Error as e:
                    self.not_duckdbs[str(e).split("\n")[0][:100]] += 1
                    continue
                self.empty += expected is not None and not expected[0]
                how = f"--seed {self.args.seed} --only {number}:{int(a.name[1:])}"
                self.by_flight(lake, connection, a, expected, how)
                if a.name in refused:
                    self.compare("check", how, text(a.tree), expected, (None, None, refused[a.name]))
                elif a.name in viewed:
                    self.by_view(lake, a, expected, steps, how)

    def drop_refused(self, lab, viewed):
        """Takes views that `check` refuses out of the project; what was said of each."""
        out = {}
        for _ in range(20):
            found = {file: told for file, told in lab.check().items() if file.startswith("gold/")}
            if not found:
                return out
            for file, told in found.items():
                out[file[5:-4]] = f"{told[0]['code']}: {told[0]['message']}"
                lab.remove(file)
        raise RuntimeError("check goes on refusing")

    # -- answers: (rows, types, error)

    def answer(self, connection, sql, bound=None):
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters=tuple(bound) if bound else None)
                table = cursor.fetch_arrow_table()
                return bag(table), types_of(table.schema), None
        except flight_sql.Error as e:
            return None, None, " ".join(str(e).split())

    def by_flight(self, lake, connection, a, expected, how):
        sql = text(a.tree)
        answer = self.answer(connection, sql)
        if self.agree(expected, answer) or self.args.shrink == 0:
            self.compare("Flight SQL", how, sql, expected, answer)
        else:
            small = shrink(a.tree, lambda tree: self.still_wrong(lake, connection, a, tree, answer), self.args.shrink)
            self.compare("Flight SQL", how, text(small), lake.expected(a, small), self.answer(connection, text(small)))
        bound = []
        sql = text(a.tree, bound=bound)
        if bound and a.own.random() < 0.5:
            self.compare("Flight SQL with parameters", how, f"{sql}\n      {bound}", expected, self.answer(connection, sql, bound))

    def still_wrong(self, lake, connection, a, tree, first):
        """Whether a smaller statement is wrong in the same way."""
        try:
            expected = lake.expected(a, tree)
        except (duckdb.Error, TypeError):       # TypeError: a column in the place of an aggregate
            return False
        answer = self.answer(connection, text(tree))
        if self.agree(expected, answer):
            return False
        return answer[2] == first[2] if first[2] is None or answer[2] is None else answer[2][:60] == first[2][:60]

    def by_view(self, lake, a, expected, steps, how):
        step = steps.get(f"gold.{a.name}", {"mode": "no step", "error": None})
        if step.get("error"):
            answer = None, None, f"{step['error']['code']}: {step['error']['message']}"
        else:
            table = lake.catalog.load_table(f"gold.{a.name}").scan().to_arrow()
            answer = bag(table), types_of(table.schema), None
        self.compare(f"view by {step['mode']}", how, text(a.tree), expected, answer)

    # -- verdicts

    def agree(self, expected, answer):
        rows, types, error = answer
        if expected is None:
            return error is not None
        return rows == expected[0] and expected[1] in (None, types)

    def compare(self, where, how, sql, expected, answer):
        rows, types, error = answer
        if self.agree(expected, answer):
            self.right += 1
            self.compared[where] += 1
            if error:
                self.errors[code_of(error)] += 1
            return
        for why, says in REFUSED:
            if error and re.search(says, error):
                self.refused[why] += 1
                return
        for why, says, of in KNOWN:
            if (says is None or error and re.search(says, error)) and (of is None or re.search(of, sql)) and (says or not error):
                self.known[why] += 1
                return
        self.wrong += 1
        wanted, wanted_types = expected or (None, None)
        print(f"WRONG {where} [{how}]\n      {sql}")
        print(f"      wanted {'an error' if expected is None else shown(wanted)} {wanted_types or ''}")
        print(f"      got    {f'error {error[:500]}' if error else shown(rows)} {types if wanted_types and types else ''}")
        if not error and expected is not None and rows != wanted:
            print(f"      missing {shown(wanted - rows, 3)}\n      extra   {shown(rows - wanted, 3)}")
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--statements", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30), help="printed when not given")
    parser.add_argument("--only", help="BATCH or BATCH:STATEMENT of that seed")
    parser.add_argument("--views-share", type=float, default=1, help="how many of the statements become materialized views")
    parser.add_argument("--shrink", type=int, default=150, help="tries to make a wrong statement smaller")
    parser.add_argument("--wrong-max", type=int, default=100, help="ends early after so many")
    parser.add_argument("--keep", action="store_true", help="keep the lakes of batches with disagreements")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"seed {args.seed}", flush=True)
    args.topic = make_topic(args.brokers)
    began = time.monotonic()
    judge = Judge(args)
    batches = range((args.statements + BATCH - 1) // BATCH)
    if args.only:
        batch, _, index = args.only.partition(":")
        batches, args.only = [int(batch)], int(index) if index else None
    for number in batches:
        judge.batch(args.seed, number, min(BATCH, args.statements - number * BATCH) if args.only is None else BATCH)
        print(f"batch {number}: {judge.right} right, {judge.wrong} wrong, {time.monotonic() - began:.0f} s", flush=True)
        if judge.wrong >= args.wrong_max:
            print("ends early", flush=True)
            break
    print(f"compared {dict(judge.compared)}; refused {dict(judge.refused)}; errors where the rules want one {dict(judge.errors)}")
    for why, *_ in KNOWN:
        print(f"known and open, {judge.known[why]} times: {why}")
    print(f"{judge.empty} empty answers; DuckDB could not say {dict(judge.not_duckdbs)}")
    print("uses " + ", ".join(f"{k} {v}" for k, v in judge.features.most_common()))
    print(f"{judge.right} right, {judge.wrong} wrong")
    return 1 if judge.wrong else 0


def make_topic(brokers):
    import topics
    name = f"random-{os.getpid()}-{random.SystemRandom().randrange(1 << 20)}"
    topics.create(argparse.Namespace(brokers=brokers, topic=name, partitions=1))
    return name


if __name__ == "__main__":
    sys.exit(main())
