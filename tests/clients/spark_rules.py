"""Tries the written rules of arithmetic (`sql_rules.py`) against Spark 3.5 in ANSI mode.

    spark_rules.py write FILE [--statements N] [--seed N]      by the judges' Python: statements, data and what the rules say
    spark_rules.py try FILE                                    by tests/services/spark.sh run: what Spark says

Left out, because Spark means it otherwise: `/` between integers (DOUBLE there), TRY(e), sums and averages of doubles (not exact
there). Whole numbers are written with their type, because a bare one is INT there. A sum of BIGINT that fits although a part of
it does not is an error in Spark, by the order of its rows; such are counted apart.
"""

import argparse
import json
import random
import sys
from collections import Counter
from decimal import Decimal
from fractions import Fraction


def write(args):
    import sql_data
    from sql_rules import TYPES, Arithmetic, Fails, answer, rows_of
    from sql_tree import text

    r = random.Random(args.seed)
    tables = {t: sql_data.random_table(r, n) for t, n in sql_data.ROWS.items()}
    columns = [(c, t) for c, t, *_ in sql_data.COLUMNS if t in TYPES]
    data = {t: [[plain(x[c]) for c, _ in columns] for x in rows_of(table)] for t, table in tables.items()}
    rows = {t: rows_of(table) for t, table in tables.items()}
    statements = []
    for _ in range(args.statements):
        a = Arithmetic(r, spark=True)
        tree = a.statement()
        types = [n.kids()[0].type for n in tree.parts[1].nodes]
        try:
            found = [[plain(v) for v in row] for row in answer(tree, rows[a.table])[0]]
        except Fails:
            found = None
        statements.append({"sql": text(tree), "types": [kind(t) for t in types], "rows": found, "uses": sorted(a.used)})
    with open(args.file, "w") as out:
        json.dump({"columns": columns, "tables": data, "statements": statements, "seed": args.seed}, out)


def kind(t):
    return f"decimal({t[1]},{t[2]})" if isinstance(t, tuple) else {"INT": "int", "BIGINT": "bigint", "DOUBLE": "double"}[t]


def plain(v):
    if isinstance(v, float):
        return {"double": "nan" if v != v else repr(v + 0.0)}
    return v if v is None or isinstance(v, int) else str(v)


def try_them(args):
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DecimalType, DoubleType, IntegerType, LongType, StructField, StructType

    with open(args.file) as f:
        given = json.load(f)
    spark = (SparkSession.builder.appName("rules").master("local[2]").config("spark.sql.ansi.enabled", "true")
             .config("spark.ui.enabled", "false").config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
             .config("spark.sql.shuffle.partitions", "1").config("spark.ui.showConsoleProgress", "false").getOrCreate())
    spark.sparkContext.setLogLevel("OFF")
    types = {"INT": IntegerType(), "BIGINT": LongType(), "DOUBLE": DoubleType(), "DECIMAL(12, 2)": DecimalType(12, 2),
             "DECIMAL(20, 6)": DecimalType(20, 6), "DECIMAL(38, 10)": DecimalType(38, 10)}
    schema = StructType([StructField(c, types[t]) for c, t in given["columns"]])
    for name, rows in given["tables"].items():
        value = lambda v, t: None if v is None else float(v["double"]) if isinstance(v, dict) else decimal(v) if t.startswith("DEC") else int(v)
        made = [tuple(value(v, t) for v, (_, t) in zip(row, given["columns"])) for row in rows]
        spark.createDataFrame(made, schema).coalesce(1).createOrReplaceTempView(name)
    right, wrong, order, uses = 0, 0, 0, Counter()
    for s in given["statements"]:
        try:
            frame = spark.sql(s["sql"])
            kinds = [f.dataType.simpleString() for f in frame.schema.fields]
            found = Counter(tuple(same(v) for v in row) for row in frame.collect())
        except Exception as e:
            kinds, found = None, str(e).split("\n")[0][:200]
        expected = None if s["rows"] is None else Counter(tuple(same(v) for v in row) for row in s["rows"])
        if expected is None and isinstance(found, str) or expected == found and kinds == s["types"]:
            right += 1
            uses.update(s["uses"])
        elif isinstance(found, str) and "sum" in s["uses"] and "long overflow" in found:
            order += 1
        else:
            wrong += 1
            print(f"WRONG {s['sql']}\n      rules {s['types']} {sorted(map(str, expected or []))[:4] if expected is not None else 'an error'}\n"
                  f"      spark {kinds} {found if isinstance(found, str) else sorted(map(str, found))[:4]}", flush=True)
    spark.stop()
    print("uses " + ", ".join(f"{k} {v}" for k, v in uses.most_common()))
    print(f"seed {given['seed']}: {order} times a part of a sum was too large for Spark")
    print(f"{right} right, {wrong} wrong")
    return 1 if wrong else 0


def decimal(text):
    n = Fraction(text)
    return Decimal(n.numerator) / Decimal(n.denominator) if abs(n) < 10**12 else exact(n)


def exact(n):
    scale = 10
    return Decimal(int(n * 10**scale)).scaleb(-scale)


def same(v):
    if isinstance(v, dict):
        return ("double", v["double"])
    if isinstance(v, float):
        return ("double", "nan" if v != v else repr(v + 0.0))
    return v if v is None else str(Fraction(v))


def main():
    import decimal as module
    module.getcontext().prec = 80
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("write", "try"))
    parser.add_argument("file")
    parser.add_argument("--statements", type=int, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    args = parser.parse_args()
    if args.what == "write":
        write(args)
        return 0
    return try_them(args)


if __name__ == "__main__":
    sys.exit(main())
