"""Answers of different engines as multisets that compare: numbers by value, NaN as one, instants in microseconds."""

import datetime
import uuid
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa


def canonical(v, zeros=False):
    """A value that compares across engines; with `zeros` -0.0 is not 0.0. Python's exact numbers are equal by value."""
    if isinstance(v, bool):
        return ("o", v)
    if v is None or isinstance(v, (str, int, Decimal, Fraction)):
        return v
    if isinstance(v, float):
        return ("f", "nan" if v != v else "-0.0" if zeros and v == 0 and str(v) == "-0.0" else v + 0.0)
    if isinstance(v, bytes):
        return ("b", v.hex())
    if isinstance(v, uuid.UUID):
        return str(v)
    if isinstance(v, (list, tuple)):
        return tuple(canonical(x, zeros) for x in v)
    if isinstance(v, dict):
        return tuple((k, canonical(x, zeros)) for k, x in v.items())
    if isinstance(v, (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)):
        return ("time", str(v))
    raise TypeError(type(v))


def column_of(column, zeros=False):
    """A column as Python values; times as whole numbers of their unit, so that every year has a value."""
    t = column.type
    if pa.types.is_timestamp(t):
        zone = "z" if t.tz else "t"
        return [None if x is None else (zone, x) for x in column.cast(pa.timestamp("us", tz=t.tz)).cast(pa.int64()).to_pylist()]
    if pa.types.is_date(t):
        return [None if x is None else ("d", x) for x in column.cast(pa.date32()).cast(pa.int32()).to_pylist()]
    if pa.types.is_fixed_size_binary(t) and t.byte_width == 16:       # a UUID, which DuckDB gives as text
        return [None if x is None else str(uuid.UUID(bytes=x)) for x in column.to_pylist()]
    values = column.to_pylist()
    same = pa.types.is_integer(t) or pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_decimal(t)
    return values if same else [canonical(x, zeros) for x in values]


def bag(table, zeros=False):
    """The rows of an Arrow table as a multiset."""
    return Counter(zip(*(column_of(c, zeros) for c in table.columns)))


def plain(v):
    return v[1] if isinstance(v, tuple) and len(v) == 2 and v[0] in ("o", "f", "b", "d", "t", "z") else v


def shown(rows, most=6):
    lines = [f"{n}x ({', '.join(str(plain(v)) for v in row)})" for row, n in sorted(rows.items(), key=str)[:most]]
    return "; ".join(lines) + (f"; ... of {sum(rows.values())}" if len(rows) > most else "") or "no rows"
