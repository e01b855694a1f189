"""The written rules of arithmetic, in Python: what an expression yields, of which type, and when it is an error.

    docs/dialect.md ─▶ types and values below ─▶ calc of a node ─▶ value(node, row) or Fails

Integers are exact and overflow is an error; sums are exact inside and an error if the result does not fit. Decimals have
Spark 3.5's types (precision loss allowed, ANSI errors), are exact inside and rounded half up once, at most 38 digits. Doubles
are IEEE 754; sums of them are exact and rounded once. DECIMAL beside DOUBLE is DOUBLE. CASE and COALESCE evaluate what they
take and nothing else; WHERE comes before SELECT.

Values: int, Fraction for decimals, float, None. `spark_rules.py` tries the rules against Spark.
"""

import math
from fractions import Fraction

from sql_data import COLUMNS
from sql_tree import Items, Node, value

INT, BIGINT, DOUBLE, BOOLEAN = "INT", "BIGINT", "DOUBLE", "BOOLEAN"
BITS = {INT: 31, BIGINT: 63}


class Fails(Exception):
    """The rules say that this statement is an error."""


# -- types

def dec(p, s):
    """A decimal type within 38 digits: digits before the point are kept, up to six behind it."""
    if p <= 38:
        return ("DECIMAL", p, s)
    return ("DECIMAL", 38, max(38 - (p - s), min(s, 6)))


def bounded(p, s):
    return ("DECIMAL", min(p, 38), min(s, 38))


def as_decimal(t):
    return {INT: ("DECIMAL", 10, 0), BIGINT: ("DECIMAL", 20, 0)}.get(t, t)


def is_decimal(t):
    return isinstance(t, tuple)


def combined(sign, left, right):
    """The type of `left sign right`."""
    if DOUBLE in (left, right):
        return DOUBLE
    if not is_decimal(left) and not is_decimal(right):
        return BIGINT if BIGINT in (left, right) else INT
    (_, p1, s1), (_, p2, s2) = as_decimal(left), as_decimal(right)
    if sign in "+-":
        s = max(s1, s2)
        return dec(max(p1 - s1, p2 - s2) + s + 1, s)
    if sign == "*":
        return dec(p1 + p2 + 1, s1 + s2)
    if sign == "/":
        s = max(6, s1 + p2 + 1)
        return dec(p1 - s1 + s2 + s, s)
    s = max(s1, s2)
    return dec(min(p1 - s1, p2 - s2) + s, s)


def digits(node):
    """How many digits a whole-number literal has; 0 for everything else."""
    if node.type == BIGINT and len(node.parts) == 1 and isinstance(node.parts[0], str) and node.parts[0].isdigit():
        return len(node.parts[0])
    return digits(node.parts[1]) if node.parts[0] == "(- " else 0


def met(node, other):
    """A node's type beside another: a literal beside a decimal counts as the digits that it has."""
    return ("DECIMAL", digits(node), 0) if digits(node) and is_decimal(other.type) else node.type


def sum_type(t):
    if is_decimal(t):
        return bounded(t[1] + 10, t[2])
    return DOUBLE if t == DOUBLE else BIGINT


def avg_type(t):
    return bounded(t[1] + 4, t[2] + 4) if is_decimal(t) else DOUBLE


def round_type(t, n):
    scale = min(t[2], n)
    return ("DECIMAL", min(t[1] - t[2] + 1 + scale, 38), scale)


# -- values

def half_up(x, scale):
    """The nearest multiple of 10^-scale; halves go away from zero."""
    scaled = abs(x) * 10**scale
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if x >= 0 else -whole, 10**scale)


def fitted(x, t):
    """An exact number as a value of a type."""
    if x is None:
        return None
    if is_decimal(t):
        x = half_up(Fraction(x), t[2])
        if abs(x) * 10**t[2] >= 10**t[1]:
            raise Fails(f"{x} does not fit {t}")
        return x
    if t in BITS and not -2**BITS[t] <= x < 2**BITS[t]:
        raise Fails(f"{x} does not fit {t}")
    return x


def as_double(x):
    if isinstance(x, float):
        return x
    return x.numerator / x.denominator if isinstance(x, Fraction) else float(x)


def operate(sign, left, right, t):
    if left is None or right is None:
        return None
    if t == DOUBLE:
        left, right = as_double(left), as_double(right)
        try:
            return {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right, "/": lambda: left / right}[sign]()
        except ZeroDivisionError:
            raise Fails("division by zero") from None
    if sign in "/%" and right == 0:
        raise Fails("division by zero")
    if sign == "/" and not is_decimal(t):
        exact = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    elif sign == "/":
        exact = Fraction(left) / Fraction(right)
    elif sign == "%":
        exact = abs(left) % abs(right) * (-1 if left < 0 else 1)
    else:
        exact = {"+": left + right, "-": left - right, "*": left * right}[sign]
    return fitted(exact, t)


def exact_sum(values):
    """The sum of doubles, rounded once, +0.0 where it is zero."""
    if any(v != v for v in values) or {math.inf, -math.inf} <= set(values):
        return math.nan
    infinite = [v for v in values if math.isinf(v)]
    if infinite:
        return infinite[0]
    total = sum((Fraction(v) for v in values), Fraction(0))
    try:
        return total.numerator / total.denominator + 0.0
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def total(values, t):
    values = [v for v in values if v is not None]
    if not values:
        return None
    return exact_sum(values) if t == DOUBLE else fitted(sum(values), sum_type(t))


def mean(values, t):
    values = [v for v in values if v is not None]
    if not values:
        return None
    if is_decimal(t):
        return fitted(sum(values) / Fraction(len(values)), avg_type(t))
    if t == DOUBLE:
        sum_ = exact_sum(values)
        if math.isinf(sum_) and all(map(math.isfinite, values)):
            # Only the sum leaves the range.
            return as_double(sum(map(Fraction, values)) / 2**64) / len(values) * 2.0**64
        return sum_ / len(values)
    return as_double(Fraction(sum(values))) / len(values)


def larger(a, b):
    """NaN is the largest, zeros are equal."""
    if a != a or b != b:
        return a != a and b == b
    return a > b


def extreme(values, greatest):
    best = None
    for v in values:
        if v is not None and (best is None or (larger(v, best) if greatest else larger(best, v))):
            best = v
    return best + 0.0 if isinstance(best, float) else best


def compared(sign, a, b):
    if a is None or b is None:
        return None
    if isinstance(a, float) or isinstance(b, float):
        a, b = as_double(a), as_double(b)
    less, more = larger(b, a), larger(a, b)
    return {"=": not less and not more, "<>": less or more, "<": less, "<=": not more, ">": more, ">=": not less}[sign]


def attempt(call):
    try:
        return call()
    except Fails:
        return None


# -- statements

TYPES = {"INT": INT, "BIGINT": BIGINT, "DOUBLE": DOUBLE, "DECIMAL(12, 2)": ("DECIMAL", 12, 2), "DECIMAL(20, 6)": ("DECIMAL", 20, 6),
         "DECIMAL(38, 10)": ("DECIMAL", 38, 10)}


def sql_type(t):
    return f"DECIMAL({t[1]}, {t[2]})" if is_decimal(t) else t


class Arithmetic:
    """Statements over one table that compute with everything, and their answers."""

    def __init__(self, r, spark=False):
        #: For Spark what it means otherwise is left out: see spark_rules.py.
        self.r, self.spark = r, spark
        self.table = r.choice(["t0", "t1", "t1", "t2", "t2", "t2"])
        self.columns = [(c, TYPES[t]) for c, t, *_ in COLUMNS if t in TYPES]
        self.used = set()

    def leaf(self, want=None):
        """A column or a literal; `want` is a function that says which types will do."""
        r = self.r
        fits = [(c, t) for c, t in self.columns if want is None or want(t)]
        if r.random() < 0.72 and fits:
            c, t = r.choice(fits)
            return Node(t, f"x.{c}", calc=lambda row: row[c])
        literals = [("1", 1, BIGINT), ("2", 2, BIGINT), ("7", 7, BIGINT), ("CAST(3 AS INT)", 3, INT), ("CAST(-1 AS BIGINT)", -1, BIGINT),
                    ("0.5", Fraction(1, 2), ("DECIMAL", 1, 1)), ("1.25", Fraction(5, 4), ("DECIMAL", 3, 2)), ("100.0", Fraction(100), ("DECIMAL", 4, 1)),
                    ("0.001", Fraction(1, 1000), ("DECIMAL", 3, 3)), ("2.5e0", 2.5, DOUBLE), ("1e10", 1e10, DOUBLE), ("0.1e0", 0.1, DOUBLE)]
        if self.spark:
            literals = [(f"CAST({sql} AS BIGINT)" if sql.isdigit() else sql, v, t) for sql, v, t in literals]
        sql, v, t = r.choice([l for l in literals if want is None or want(l[2])] or [("1", 1, BIGINT)])
        return Node(t, sql, calc=lambda row: v)

    def integer(self, depth):
        return self.expression(depth, lambda t: t in BITS)

    def number(self, depth):
        return self.expression(depth, None)

    def decimal(self, depth):
        return self.expression(depth, lambda t: is_decimal(t))

    def expression(self, depth, want):
        r = self.r
        if depth <= 0 or r.random() < 0.2:
            return self.leaf(want)
        choice = r.randrange(14)
        if choice < 6:
            return self.binary(r.choice("+-*"), self.expression(depth - 1, want), self.expression(depth - 1, want))
        if choice < 9:
            left, right = self.expression(depth - 1, want), self.leaf(want)
            sign = "/" if DOUBLE in (left.type, right.type) or r.random() < 0.75 else "%"
            if DOUBLE in (left.type, right.type):
                right = Node(DOUBLE, "2.5e0", calc=lambda row: 2.5)         # by zero: see the list of differences
            if self.spark and sign == "/" and left.type in BITS and right.type in BITS:
                sign = "%"
            return self.binary(sign, left, right)
        if choice == 9:
            inner = self.expression(depth - 1, want)
            t = inner.type
            self.used.add("negation")
            return Node(t, "(- ", inner, ")", calc=lambda row, e: None if (v := value(e, row)) is None else -v if t == DOUBLE else fitted(-v, t))
        if choice == 10:
            inner = self.expression(depth - 1, want)
            t = inner.type
            self.used.add("abs")
            return Node(t, "abs(", inner, ")", calc=lambda row, e: None if (v := value(e, row)) is None else abs(v) if t == DOUBLE else fitted(abs(v), t))
        if choice == 11:
            return self.case(depth, want)
        if choice == 12:
            inner = self.decimal(depth - 1)
            if not is_decimal(inner.type):
                return inner
            n = r.choice([0, 1, 2, 4])
            t = round_type(inner.type, n)
            self.used.add("round")
            return Node(t, "round(", inner, f", {n})", calc=lambda row, e: fitted(value(e, row), t))
        if r.random() < 0.6:
            return self.tried(depth, want)
        inner = self.expression(depth - 1, lambda t: t in BITS or is_decimal(t))
        if inner.type == DOUBLE:
            return inner
        t = r.choice([("DECIMAL", 10, 3), ("DECIMAL", 38, 6), ("DECIMAL", 5, 1)])
        self.used.add("cast to decimal")
        return Node(t, "CAST(", inner, f" AS {sql_type(t)})", calc=lambda row, e: fitted(value(e, row), t))

    def binary(self, sign, left, right):
        t = combined(sign, met(left, right), met(right, left))
        self.used.add(f"{'double' if t == DOUBLE else 'decimal' if is_decimal(t) else 'integer'} {sign}")
        return Node(t, "(", left, f" {sign} ", right, ")", calc=lambda row, a, b: operate(sign, value(a, row), value(b, row), t))

    def tried(self, depth, want):
        r = self.r
        if r.random() < 0.5 and not self.spark:
            self.used.add("TRY")
            inner = self.expression(depth - 1, want)
            return Node(inner.type, "TRY(", inner, ")", calc=lambda row, e: attempt(lambda: value(e, row)))
        name, sign = r.choice([("try_add", "+"), ("try_subtract", "-"), ("try_multiply", "*")])
        self.used.add(name)
        left, right = self.leaf(lambda t: t != DOUBLE), self.leaf(lambda t: t != DOUBLE)
        t = combined(sign, met(left, right), met(right, left))
        return Node(t, f"{name}(", left, ", ", right, ")", calc=lambda row, a, b: attempt(lambda: operate(sign, value(a, row), value(b, row), t)))

    def case(self, depth, want):
        """The branch that is not taken raises nothing."""
        self.used.add("guard")
        condition = self.condition()
        then = self.expression(depth - 1, want)
        if self.r.random() < 0.5:
            return Node(then.type, "CASE WHEN ", condition, " THEN ", then, " END",
                        calc=lambda row, c, e: value(e, row) if value(c, row) is True else None)
        # Both branches of one type, so that the type of the whole is not in question.
        other = self.leaf(lambda t: t == then.type)
        if other.type != then.type:
            return Node(then.type, "CASE WHEN ", condition, " THEN ", then, " END",
                        calc=lambda row, c, e: value(e, row) if value(c, row) is True else None)
        if self.r.random() < 0.5:
            return Node(then.type, "CASE WHEN ", condition, " THEN ", then, " ELSE ", other, " END",
                        calc=lambda row, c, e, o: value(e if value(c, row) is True else o, row))
        return Node(then.type, "coalesce(", other, ", ", then, ")",
                    calc=lambda row, o, e: v if (v := value(o, row)) is not None else value(e, row))

    def condition(self):
        """A condition that cannot fail."""
        r = self.r
        left = self.leaf(lambda t: True)
        choice = r.randrange(4)
        if choice == 0:
            return Node(BOOLEAN, "(", left, " IS NOT NULL)", calc=lambda row, e: value(e, row) is not None)
        if choice == 1 and left.type != DOUBLE:
            low, high = self.leaf(lambda t: t != DOUBLE), self.leaf(lambda t: t != DOUBLE)
            def between(row, e, l, h):
                both = compared(">=", value(e, row), value(l, row)), compared("<=", value(e, row), value(h, row))
                return False if False in both else None if None in both else True
            return Node(BOOLEAN, "(", left, " BETWEEN ", low, " AND ", high, ")", calc=between)
        sign = r.choice(["=", "<>", "<", "<=", ">", ">="])
        # DECIMAL beside DOUBLE: past 2^53 the conversion rounds, and the rules do not say how; same kinds only.
        right = self.leaf(lambda t: (t == DOUBLE) == (left.type == DOUBLE))
        return Node(BOOLEAN, "(", left, f" {sign} ", right, ")", calc=lambda row, a, b: compared(sign, value(a, row), value(b, row)))

    def aggregate(self):
        r = self.r
        choice = r.randrange(10)
        inner = self.leaf() if r.random() < 0.6 else self.expression(1, None)
        if self.spark and inner.type == DOUBLE and choice < 8:
            inner = self.leaf(is_decimal)
        t = inner.type
        if choice < 4:
            self.used.add("sum")
            return Node(sum_type(t), "sum(", inner, ")", calc=lambda rows, e: total([value(e, x) for x in rows], t))
        if choice < 7:
            if t in BITS:
                inner = self.leaf(is_decimal)
                t = inner.type
            if t in BITS:
                return Node(BIGINT, "count(*)", calc=lambda rows: len(rows))
            self.used.add("avg")
            return Node(avg_type(t), "avg(", inner, ")", calc=lambda rows, e: mean([value(e, x) for x in rows], t))
        if choice == 7:
            name, function, of = r.choice([("try_sum", total, sum_type), ("try_avg", mean, avg_type)])
            if t == DOUBLE or name == "try_avg" and t in BITS:
                inner = self.leaf(is_decimal)
                t = inner.type
            if not (t in BITS and name == "try_avg"):
                self.used.add(name)
                return Node(of(t), f"{name}(", inner, ")", calc=lambda rows, e: (
                    lambda vs: attempt(lambda: function(vs, t)))([value(e, x) for x in rows]))
        greatest = r.random() < 0.5
        return Node(t, f"{'max' if greatest else 'min'}(", inner, ")", calc=lambda rows, e: extreme([value(e, x) for x in rows], greatest))

    def statement(self):
        """The tree of a statement over `table`; `answer` has what it must give."""
        r = self.r
        where = [self.condition() for _ in range(r.choice([0, 1, 1, 2]))]
        tail = [f" FROM {'' if self.spark else 'bronze.'}{self.table} x", Items(where, " AND ", 0, " WHERE ")]
        if r.random() < 0.6:
            items = [Node(INT, "x.n", calc=lambda row: row["n"])] + [
                r.choice([self.number, self.integer, self.decimal, self.number])(r.choice([1, 1, 2, 2, 3])) for _ in range(r.choice([1, 1, 2]))]
        else:
            key = r.choice([None, "k", "k", "i"])
            items = [self.aggregate() for _ in range(r.choice([1, 2, 3]))]
            if key:
                items = [Node(INT, f"x.{key}", calc=lambda rows: rows[0][key] if rows else None)] + items
                tail.append(f" GROUP BY x.{key}")
            else:
                tail.append("")
        return Node(None, "SELECT ", Items([Node(None, n, f" AS c{i + 1}") for i, n in enumerate(items)]), *tail)


def answer(tree, rows):
    """(rows, types) that a statement must give over the rows of its table; Fails if it must be an error."""
    _, select, _, where, *group = tree.parts
    items = [n.kids()[0] for n in select.nodes]
    types = [e.type for e in items]
    kept = [x for x in rows if all(value(c, x) is True for c in where.nodes)]
    if not group:
        return [tuple(value(e, x) for e in items) for x in kept], types
    key = group[0].rpartition(".")[2]
    groups = {} if key else {None: []}
    for x in kept:
        groups.setdefault(x[key] if key else None, []).append(x)
    return [tuple(value(e, xs) for e in items) for xs in groups.values()], types


def rows_of(table):
    """An Arrow table's rows as the rules' values."""
    columns = {c: table.column(c).to_pylist() for c, t, *_ in COLUMNS if t in TYPES}
    decimals = {c for c, t, *_ in COLUMNS if t.startswith("DECIMAL")}
    return [{c: Fraction(v[i]) if c in decimals and v[i] is not None else v[i] for c, v in columns.items()} for i in range(table.num_rows)]
