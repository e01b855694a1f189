"""Random tables for random statements: small domains that join and group, NULLs, and the extremes of every type.

`tame` columns may be computed with: whatever is done to them stays exact in every engine. `wild` columns hold the extremes
and are compared, sorted, grouped and joined; arithmetic over them is judged by `sql_rules.py`.
"""

import struct
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa

#: name, type in the dialect, kind of the generator, tame?
COLUMNS = [
    ("n", "INT", "int", True), ("k", "INT", "int", True), ("i", "INT", "int", True),
    ("w", "INT", "int", False), ("b", "BIGINT", "int", False),
    ("d", "DECIMAL(12, 2)", "dec", True), ("e", "DECIMAL(20, 6)", "dec", False), ("h", "DECIMAL(38, 10)", "dec", False),
    ("g", "DOUBLE", "double", True), ("f", "DOUBLE", "double", False), ("r", "REAL", "real", False),
    ("o", "BOOLEAN", "bool", True), ("v", "VARCHAR", "text", True),
    ("a", "DATE", "date", True), ("aa", "DATE", "date", False),
    ("m", "TIMESTAMP", "ts", True), ("mm", "TIMESTAMP", "ts", False),
    ("z", "TIMESTAMPTZ", "tstz", True),
]
ARROW = {"INT": pa.int32(), "BIGINT": pa.int64(), "DECIMAL(12, 2)": pa.decimal128(12, 2), "DECIMAL(20, 6)": pa.decimal128(20, 6),
         "DECIMAL(38, 10)": pa.decimal128(38, 10), "DOUBLE": pa.float64(), "REAL": pa.float32(), "BOOLEAN": pa.bool_(),
         "VARCHAR": pa.string(), "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us"), "TIMESTAMPTZ": pa.timestamp("us", tz="UTC")}
SCHEMA = pa.schema([(name, ARROW[type_]) for name, type_, _, _ in COLUMNS])
ROWS = {"t0": 24, "t1": 18, "t2": 9, "t3": 0}

WORDS = ["", "a", "A", "b", "ab", "abc", " a", "a ", "B%", "x_y", "ä", "日本", "zz", "10", "-3"]
INT_ENDS = [-2**31, 2**31 - 1, -2**31 + 1, 0, -1, 1, 65536, 46341]
BIG_ENDS = [-2**63, 2**63 - 1, -2**63 + 1, 2**53 + 1, 2**53, -2**53 - 1, 0, 1, -1, 3037000500, 4294967296]
FLOATS = [0.0, -0.0, float("nan"), 1.0, -1.0, 0.1, 0.2, 0.30000000000000004, 1e300, -1e300, 5e-324, 1e-17, 1e20, 2.5, -2.5,
          1.7976931348623157e308, float("inf"), float("-inf"), 9007199254740993.0, 1 / 3]
REALS = [0.0, -0.0, float("nan"), 1.0, -1.0, 0.1, 0.5, 3.4028234663852886e38, 1.401298464324817e-45, 16777217.0, -2.5]
DECIMALS = ["0.00", "0.01", "-0.01", "1.00", "1.25", "-1.25", "0.05", "2.50", "99.99", "-99.99", "3.33", "0.10", "100.00"]
E_ENDS = ["0.000000", "0.000001", "-0.000001", "99999999999999.999999", "-99999999999999.999999", "0.333333", "1.5", "2.000000", "1234567.891"]
H_ENDS = ["0", "9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999", "0.0000000001", "1.1", "-1.1",
          "5000000000000000000000000000", "0.5", "123456789.987654321"]
DATE_ENDS = [date(1, 1, 1), date(9999, 12, 31), date(1582, 10, 14), date(1677, 9, 20), date(2262, 4, 12), date(1970, 1, 1),
             date(1969, 12, 31), date(2000, 2, 29)]
TIME_ENDS = [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1677, 9, 20), datetime(2262, 4, 12, 1),
             datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(1970, 1, 1), datetime(2024, 2, 29, 12, 30, 15, 250000)]


def real(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def any_instant(r):
    return datetime(2024, 1, 1) + timedelta(days=r.choice([0, 0, 1, 2, 30, 31, 59, 60, 365, 400, -1, -40, -20000]),
                                            seconds=r.choice([0, 0, 1, 59, 60, 3599, 3600, 43200, 86399]),
                                            microseconds=r.choice([0, 0, 0, 1, 500000, 999999]))


def random_value(r, name):
    """A value of a column; never NULL."""
    return {
        "k": lambda: r.choice([0, 1, 1, 2, 3, 4]), "i": lambda: r.randint(-5, 12),
        "w": lambda: r.choice(INT_ENDS) if r.random() < 0.5 else r.randint(-9, 9),
        "b": lambda: r.choice(BIG_ENDS) if r.random() < 0.5 else r.randint(-9, 9),
        "d": lambda: Decimal(r.choice(DECIMALS)), "e": lambda: Decimal(r.choice(E_ENDS)).quantize(Decimal("0.000001")),
        "h": lambda: Decimal(r.choice(H_ENDS)),
        "g": lambda: r.choice([0.0, 0.25, 0.5, -0.5, 1.0, 2.5, -2.75, 3.0, 12.25, 100.0]),
        "f": lambda: r.choice(FLOATS), "r": lambda: real(r.choice(REALS)), "o": lambda: r.random() < 0.5,
        "v": lambda: r.choice(WORDS), "a": lambda: any_instant(r).date(), "aa": lambda: r.choice(DATE_ENDS),
        "m": lambda: any_instant(r), "mm": lambda: r.choice(TIME_ENDS) if r.random() < 0.7 else any_instant(r),
        "z": lambda: any_instant(r).replace(tzinfo=timezone.utc),
    }[name]()


def random_table(r, rows, first=0, nulls=0.2):
    """Rows numbered from `first`; a column is without NULLs now and then, and now and then NULL throughout."""
    rates = {c: r.choice([0, nulls, nulls, nulls, nulls, 2 * nulls, 1 if r.random() < 0.2 else nulls]) for c, *_ in COLUMNS}
    rows = [{c: first + at if c == "n" else None if r.random() < rates[c] else random_value(r, c) for c, *_ in COLUMNS}
            for at in range(rows)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
