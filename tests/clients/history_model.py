"""Tables as plain Python: random types and values, the rows of every snapshot, and what a reader must see of them.

A stored row is {field id: value}; a struct within it too, a list is a list, a map a list of pairs. What a schema sees of it is
a projection by field ids, as the Iceberg specification has it: renamed and moved fields keep their ids, what was added
is NULL in older rows, what was dropped is not looked at.

Not here: who changes the tables (`history_acts.py`), the comparison (`histories.py`).
"""

import datetime
import decimal
import math
import struct
import uuid
from collections import Counter
from decimal import Decimal

from pyiceberg.transforms import (
    BucketTransform, DayTransform, HourTransform, IdentityTransform, MonthTransform, TruncateTransform, YearTransform,
)
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, ListType, LongType, MapType,
    NestedField, StringType, StructType, TimestampType, TimestamptzType, TimeType, UUIDType,
)

UTC = datetime.timezone.utc
decimal.getcontext().prec = 60
WORDS = ["", "a", "b", "ab", "b\u00e9", "\u00e9 x", "z" * 20, "z" * 20 + "y", "0", "NULL", "it's", "\U0001f600", "A", "aa", "ab c"]
SCALARS = [BooleanType(), IntegerType(), LongType(), FloatType(), DoubleType(), DecimalType(9, 2), DecimalType(18, 0), DecimalType(38, 10),
           DateType(), TimeType(), TimestampType(), TimestamptzType(), StringType(), BinaryType(), FixedType(5), UUIDType()]
DDL = {BooleanType: "BOOLEAN", IntegerType: "INT", LongType: "BIGINT", FloatType: "FLOAT", DoubleType: "DOUBLE", DateType: "DATE",
       TimeType: "TIME", TimestampType: "TIMESTAMP", TimestamptzType: "TIMESTAMPTZ", StringType: "STRING", BinaryType: "BINARY",
       FixedType: "BINARY", UUIDType: "UUID"}
#: Types whose values compare alike everywhere, for conditions.
COMPARED = (BooleanType, IntegerType, LongType, DecimalType, DateType, TimestampType, TimestamptzType, StringType, BinaryType)


def ddl(of):
    """A type as `CREATE EXTERNAL TABLE` declares it."""
    if isinstance(of, DecimalType):
        return f"DECIMAL({of.precision}, {of.scale})"
    if isinstance(of, StructType):
        return "STRUCT<" + ", ".join(f'"{f.name}" {ddl(f.field_type)}' for f in of.fields) + ">"
    if isinstance(of, ListType):
        return f"ARRAY<{ddl(of.element_type)}>"
    if isinstance(of, MapType):
        return f"MAP<{ddl(of.key_type)}, {ddl(of.value_type)}>"
    return DDL[type(of)]


class Types:
    """Random types; ids count up, and PyIceberg gives its own when a table is made of them."""

    def __init__(self, r, leave_out=(), added=False):
        """`added`: of columns that older rows do not have. PyIceberg 0.12 rewrites a NULL list or map of structs as an empty one."""
        self.r, self.id, self.added = r, 100, added
        self.scalars = [t for t in SCALARS if not isinstance(t, leave_out)]
        #: PyArrow makes no UUIDs of Python values within other values.
        self.inner = [t for t in self.scalars if not isinstance(t, UUIDType)]

    def next_id(self):
        self.id += 1
        return self.id

    def struct(self, depth):
        names = self.r.sample(["a", "b", "c", "d"], self.r.randint(1, 3))
        return StructType(*[NestedField(self.next_id(), n, self.any(depth - 1), required=self.r.random() < 0.15) for n in names])

    def any(self, depth=2):
        if depth == 0 or self.r.random() < 0.75:
            return self.r.choice(self.scalars if depth == 2 else self.inner)
        shape = self.r.randrange(4)
        if shape < 2:
            return self.struct(depth)
        if self.added:
            depth = 1
        if shape == 2:
            return ListType(self.next_id(), self.any(depth - 1), element_required=self.r.random() < 0.3)
        key = self.r.choice([StringType(), IntegerType()])
        return MapType(self.next_id(), key, self.next_id(), self.any(depth - 1), value_required=self.r.random() < 0.3)


def f32(v):
    return struct.unpack("f", struct.pack("f", v))[0]


def random_value(r, of, required, depth=0):
    """A value of a type; NULL one time in six where it may be."""
    if not required and r.random() < (0.17 if depth == 0 else 0.25):
        # PyIceberg's writer makes a NULL list or map of structs empty.
        if not isinstance(of, (ListType, MapType)):
            return None
    if isinstance(of, StructType):
        return {f.field_id: random_value(r, f.field_type, f.required, depth + 1) for f in of.fields}
    if isinstance(of, ListType):
        return [random_value(r, of.element_type, of.element_required, depth + 1) for _ in range(r.choice([0, 1, 1, 2, 3]))]
    if isinstance(of, MapType):
        keys = r.sample(WORDS if isinstance(of.key_type, StringType) else range(-3, 9), r.choice([0, 1, 2]))
        return [(k, random_value(r, of.value_type, of.value_required, depth + 1)) for k in keys]
    if isinstance(of, BooleanType):
        return r.random() < 0.5
    if isinstance(of, IntegerType):
        return r.choice([0, 1, -1, 5, 7, r.randint(-50, 50), 2**31 - 1, -(2**31)])
    if isinstance(of, LongType):
        return r.choice([0, 1, -1, 3, r.randint(-50, 50), 2**40, 2**63 - 1, -(2**63)])
    if isinstance(of, (FloatType, DoubleType)):
        v = r.choice([0.0, -0.0, 1.5, -2.25, math.nan, math.inf, -math.inf, r.randint(-8, 8) / 8, 0.1, 1e-30])
        return f32(v) if isinstance(of, FloatType) else v
    if isinstance(of, DecimalType):
        most = 10 ** (min(of.precision, 37) - 1) - 1      # room for the multiples that partitions cut to
        return Decimal(r.choice([0, 1, -1, 150, -255, r.randint(-999, 999), most, -most])).scaleb(-of.scale)
    if isinstance(of, DateType):
        return datetime.date(1970, 1, 1) + datetime.timedelta(days=r.choice([0, -1, 1, 20_000, r.randint(-400, 400), -30_000]))
    if isinstance(of, TimeType):
        return r.choice([datetime.time(0), datetime.time(23, 59, 59, 999_999), datetime.time(12, 0, r.randint(0, 59), 7)])
    if isinstance(of, (TimestampType, TimestamptzType)):
        at = datetime.datetime(1970, 1, 1) + datetime.timedelta(
            seconds=r.choice([0, -1, 1_700_000_000, r.randint(-100_000, 100_000)]), microseconds=r.choice([0, 0, 1, 999_999]))
        return at.replace(tzinfo=UTC) if isinstance(of, TimestamptzType) else at
    if isinstance(of, StringType):
        return r.choice(WORDS)
    if isinstance(of, FixedType):
        return bytes(r.randrange(256) for _ in range(len(of)))
    if isinstance(of, UUIDType):
        return uuid.UUID(int=r.choice([0, 7, r.getrandbits(128)]))
    return r.choice([b"", b"\x00", b"\xff\xfe", WORDS[r.randrange(len(WORDS))].encode()])


def narrow(of):
    """Types that this one may become."""
    if isinstance(of, IntegerType):
        return LongType()
    if isinstance(of, FloatType):
        return DoubleType()
    if isinstance(of, DecimalType) and of.precision < 38:
        return DecimalType(min(38, of.precision + 7), of.scale)
    return None


def scalar(v):
    """A value by which rows compare: floats by their bits, but for NaN."""
    if isinstance(v, float):
        return "nan" if v != v else (v, math.copysign(1, v))
    if isinstance(v, uuid.UUID):
        return v.bytes
    return v


def seen(v, of):
    """What a reader with this type sees of a stored value."""
    if v is None:
        return None
    if isinstance(of, StructType):
        return tuple(seen(v.get(f.field_id), f.field_type) for f in of.fields)
    if isinstance(of, ListType):
        return tuple(seen(x, of.element_type) for x in v)
    if isinstance(of, MapType):
        return tuple(sorted(((seen(k, of.key_type), seen(x, of.value_type)) for k, x in v), key=repr))
    return scalar(v)


def rows_seen(rows, schema, columns=None):
    """A multiset of what this schema sees, of all columns or of these."""
    fields = [f for f in schema.fields if columns is None or f.name in columns]
    if columns is not None:
        fields.sort(key=lambda f: columns.index(f.name))
    return Counter(tuple(seen(row.get(f.field_id), f.field_type) for f in fields) for row in rows)


def answered(v, of):
    """The same of a value as Arrow gives it."""
    if v is None:
        return None
    if isinstance(of, StructType):
        return tuple(answered(x, f.field_type) for x, f in zip(v.values(), of.fields))
    if isinstance(of, ListType):
        return tuple(answered(x, of.element_type) for x in v)
    if isinstance(of, MapType):
        return tuple(sorted(((answered(k, of.key_type), answered(x, of.value_type)) for k, x in v), key=repr))
    if isinstance(of, TimestamptzType):
        return v.astimezone(UTC)
    return scalar(v)


def rows_answered(table, fields):
    columns = [[answered(v, f.field_type) for v in column.to_pylist()] for column, f in zip(table.columns, fields)]
    return Counter(zip(*columns))


def named(v, of):
    """A stored value as PyArrow takes it."""
    if v is None:
        return None
    if isinstance(of, StructType):
        return {f.name: named(v.get(f.field_id), f.field_type) for f in of.fields}
    if isinstance(of, ListType):
        return [named(x, of.element_type) for x in v]
    if isinstance(of, MapType):
        return [(k, named(x, of.value_type)) for k, x in v]
    return v.bytes if isinstance(v, uuid.UUID) else v


def random_transform(r, of):
    choices = [BucketTransform(r.choice([1, 3, 8]))] if not isinstance(of, (BooleanType, FloatType, DoubleType)) else []
    if not isinstance(of, (FloatType, DoubleType)):
        choices.append(IdentityTransform())
    if isinstance(of, (IntegerType, LongType, DecimalType, StringType)):
        choices.append(TruncateTransform(r.choice([1, 2, 10])))
    if isinstance(of, (DateType, TimestampType, TimestamptzType)):
        choices += [YearTransform(), MonthTransform(), DayTransform()]
    if isinstance(of, (TimestampType, TimestamptzType)):
        choices.append(HourTransform())
    return r.choice(choices) if choices else None


def literal(v, of, spark=False):
    """A value in SQL."""
    if isinstance(of, BooleanType):
        return "TRUE" if v else "FALSE"
    if isinstance(of, IntegerType):
        return f"CAST({v} AS INT)"
    if isinstance(of, LongType):
        return f"CAST('{v}' AS BIGINT)"
    if isinstance(of, DecimalType):
        return f"CAST('{v:f}' AS DECIMAL({of.precision}, {of.scale}))"
    if isinstance(of, DateType):
        return f"DATE '{v}'"
    if isinstance(of, (TimestampType, TimestamptzType)):
        text = v.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") if v.tzinfo else v.strftime("%Y-%m-%d %H:%M:%S.%f")
        if spark:
            return f"TIMESTAMP{'' if v.tzinfo else '_NTZ'} '{text}'"
        return f"TIMESTAMP{'TZ' if v.tzinfo else ''} '{text}{'+00' if v.tzinfo else ''}'"
    if isinstance(of, StringType):
        if spark:
            return "'" + v.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + v.replace("'", "''") + "'"
    if isinstance(of, BinaryType):
        return f"X'{v.hex()}'"
    raise TypeError(of)


class Condition:
    """One comparison, or two: for SQL, for PyIceberg, and as a function of a stored row (None where SQL says NULL)."""

    def __init__(self, sql, spark, iceberg, holds):
        self.sql, self.spark, self.iceberg, self.holds = sql, spark, iceberg, holds


def random_condition(r, schema, rows, deletes=True, single=False):
    """`deletes`: only of what all writers mean alike (Iceberg's own `<>` takes NULL). `single`: one comparison, because PyIceberg
    0.12 keeps rows of which one side of its OR is NULL and the other true."""
    from pyiceberg import expressions as e

    fields = [f for f in schema.fields if isinstance(f.field_type, COMPARED)]
    if not single and r.random() < 0.25:
        left, right = random_condition_of(r, r.choice(fields), rows, deletes, e), random_condition_of(r, r.choice(fields), rows, deletes, e)
        if r.random() < 0.5:
            return Condition(f"({left.sql} AND {right.sql})", f"({left.spark} AND {right.spark})", deletes and e.And(left.iceberg, right.iceberg),
                             lambda row: left.holds(row) and right.holds(row))
        return Condition(f"({left.sql} OR {right.sql})", f"({left.spark} OR {right.spark})", deletes and e.Or(left.iceberg, right.iceberg),
                         lambda row: left.holds(row) or right.holds(row))
    return random_condition_of(r, r.choice(fields), rows, deletes, e)


def random_condition_of(r, field, rows, deletes, e):
    id, of, name = field.field_id, field.field_type, field.name

    def value():
        there = [row.get(id) for row in rows if row.get(id) is not None]
        return r.choice(there) if there and r.random() < 0.8 else random_value(r, of, True)

    def made(sign, right, right_spark, iceberg, holds):
        return Condition(f'"{name}" {sign} {right}'.strip(), f"`{name}` {sign} {right_spark}".strip(), iceberg, holds)

    kind = r.choice(["=", "=", "<", ">=", "in", "null", "not null"] + ([] if deletes else ["<>", "not in"]))
    if isinstance(of, (BooleanType, BinaryType)) and kind not in ("null", "not null"):
        kind = "="
    if kind == "null":
        return made("IS NULL", "", "", e.IsNull(name), lambda row: row.get(id) is None)
    if kind == "not null":
        return made("IS NOT NULL", "", "", e.NotNull(name), lambda row: row.get(id) is not None)
    if kind in ("in", "not in"):
        values = [value() for _ in range(r.randint(2, 4))]
        lists = [", ".join(literal(v, of, spark) for v in values) for spark in (False, True)]
        wanted = kind == "in"
        return made("IN" if wanted else "NOT IN", f"({lists[0]})", f"({lists[1]})", e.In(name, [bound(v) for v in values]) if wanted else None,
                    lambda row: row.get(id) is not None and (row[id] in values) == wanted)
    v = value()
    of_iceberg = {"=": e.EqualTo, "<": e.LessThan, ">=": e.GreaterThanOrEqual}.get(kind)
    does = {"=": lambda x: x == v, "<": lambda x: x < v, ">=": lambda x: x >= v, "<>": lambda x: x != v}[kind]
    return made(kind, literal(v, of), literal(v, of, True), of_iceberg and of_iceberg(name, bound(v)),
                lambda row: row.get(id) is not None and does(row[id]))


def bound(v):
    """A value as PyIceberg's expressions take it."""
    return v.isoformat() if isinstance(v, (datetime.date, datetime.datetime)) else v
