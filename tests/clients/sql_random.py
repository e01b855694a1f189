"""Random statements in the part of SQL that Ingot and DuckDB mean alike: DuckDB's answer is the right one.

Joins of all kinds, USING, IN and NOT IN in every position, set operations, windows and frames, grouping sets, top-n,
exact arithmetic over tame columns, times, CASE, FILTER. Orders are total (they end in the unique column n), so that there
is one right answer.

Not here: the values (`sql_data.py`), arithmetic that can overflow or round (`sql_rules.py`), the comparison (`random_sql.py`).

What the two mean differently, and is therefore not generated here:

* `/` between integers (DOUBLE in DuckDB), `/` and avg of decimals (DOUBLE in DuckDB), overflow and sums past BIGINT (HUGEINT),
  sums of doubles that round (order) and functions of libm: `sql_rules.py` judges these.
* CAST of a decimal or double to a whole number rounds in DuckDB and cuts in Ingot, Spark and Trino's own way.
* DATE + INTERVAL and date_trunc of a DATE are TIMESTAMP in DuckDB, DATE here: both are cast to DATE.
* extract gives BIGINT there, DOUBLE of a NULL constant, and INT here: cast to BIGINT there, a whole number as SQL has it; seconds
  with a fraction differ: whole seconds only.
* substr and left with a start below 1 or a negative length; text of a double; upper of letters that change length.
* ORDER BY without NULLS FIRST or LAST; ties.
"""

from datetime import date, datetime, timezone
from decimal import Decimal

from sql_data import COLUMNS, WORDS
from sql_tree import Items, Literal, Node

CASTS = {"int": "INT", "dec": "DECIMAL(12, 2)", "double": "DOUBLE", "real": "REAL", "bool": "BOOLEAN", "text": "VARCHAR", "date": "DATE",
         "ts": "TIMESTAMP", "tstz": "TIMESTAMPTZ"}
UTC = timezone.utc


def _time(sql):
    return datetime.fromisoformat(sql)


#: SQL and the value that a client binds in its place.
LITERALS = {
    "int": [(str(i), i) for i in (0, 1, 2, 3, 5, 9, 12)],
    "dec": [(d, Decimal(d)) for d in ("0.5", "1.25", "0.01", "2.50", "99.99", "1.0", "0.10")],
    "double": [(d, float(d)) for d in ("0e0", "1e0", "0.5e0", "-2.5e0", "2.5e0")],
    "real": [(f"CAST({d} AS REAL)", None) for d in ("0", "1", "-2.5")],
    "bool": [("TRUE", True), ("FALSE", False)],
    "text": [(f"'{w}'", w) for w in WORDS],
    "date": [(f"DATE '{d}'", date.fromisoformat(d)) for d in ("2024-01-01", "2024-02-29", "1970-01-01", "2023-12-31", "9999-12-31")],
    "ts": [(f"TIMESTAMP '{t}'", _time(t)) for t in ("2024-01-01 00:00:00", "2024-01-02 00:00:01", "1969-12-31 23:59:59.999999",
                                                    "9999-12-31 00:00:00")],
    "tstz": [(f"TIMESTAMPTZ '{t}'", _time(t + ":00").astimezone(UTC)) for t in ("2024-01-01 00:00:00+00", "2024-01-01 02:00:00+02",
                                                                              "2024-03-01 12:00:00+00")],
}


class Column:
    def __init__(self, ref, kind, tame):
        self.ref, self.kind, self.tame = ref, kind, tame

    def node(self):
        return Node(self.kind, self.ref)


class Relation:
    """What may stand in FROM: its name here and in DuckDB, (column, kind, tame), how often it is taken, whether `n` numbers it."""

    def __init__(self, name, plain, columns, weight, numbered):
        self.name, self.plain, self.columns, self.weight, self.numbered = name, plain, columns, weight, numbered


BASE = [Relation(f"bronze.{t}", t, [(c, kind, tame) for c, _, kind, tame in COLUMNS], weight, True)
        for t, weight in (("t0", 6), ("t1", 6), ("t2", 4), ("t3", 1))]


class Query:
    """A query and its output: names, kinds, whether they may be computed with."""

    def __init__(self, node, columns):
        self.node, self.columns = node, columns


def op(kind, *parts):
    return Node(kind, *parts)


class Statements:
    def __init__(self, r, relations=BASE):
        self.r, self.relations = r, relations
        self.used = set()
        self.aliases = 0
        self.bindable = False

    # -- small things

    def use(self, feature):
        self.used.add(feature)

    def chance(self, p):
        return self.r.random() < p

    def alias(self, stem):
        self.aliases += 1
        return f"{stem}{self.aliases}"

    def table(self, numbered=False):
        fits = [x for x in self.relations if x.numbered or not numbered]
        taken = self.r.choices(fits, [x.weight for x in fits])[0]
        return (taken.name, taken.plain), taken.columns

    def literal(self, kind):
        sql, bound = self.r.choice(LITERALS[kind])
        return Node(kind, Literal(sql, bound) if self.bindable and bound is not None else sql)

    def null(self, kind):
        return op(kind, f"CAST(NULL AS {CASTS[kind]})")

    def column(self, scope, kind, tame=False):
        fits = [c for c in scope if c.kind == kind and (c.tame or not tame)]
        return self.r.choice(fits).node() if fits else None

    # -- expressions; `tame` ones may be computed with further

    def expression(self, kind, scope, depth=2, tame=True):
        r = self.r
        if depth <= 0 or self.chance(0.35):
            node = self.column(scope, kind, tame) if self.chance(0.85) else None
            return node or (self.null(kind) if self.chance(0.08) else self.literal(kind))
        sub = lambda k=kind, t=tame: self.expression(k, scope, depth - 1, t)
        general = [self.case, self.coalesce, self.nullif, self.extremum]
        if self.chance(0.3):
            return r.choice(general)(kind, sub, scope, depth)
        if kind == "int":
            choice = r.randrange(9)
            if choice < 3:
                return op(kind, "(", sub(), r.choice([" + ", " - "]), sub(), ")")
            if choice == 3:
                return op(kind, "(", self.column(scope, kind, True) or self.literal(kind), " * ", self.literal(kind), ")")
            if choice == 4:
                self.use("modulo")
                return op(kind, "(", sub(), f" % {r.choice([2, 3, 7])})")
            if choice == 5:
                return op(kind, "abs(", sub(), ")")
            if choice == 6:
                return op(kind, ("character_length(", "length("), sub("text"), ")")
            if choice == 7:
                self.use("extract")
                part = r.choice(["year", "month", "day", "quarter", "week", "doy", "dow", "hour", "minute"])
                of = r.choice(["ts", "tstz"]) if part in ("hour", "minute") else r.choice(["date", "ts", "tstz"])
                return op(kind, (f"extract({part} FROM ", f"CAST(extract({part} FROM "), sub(of, False), (")", ") AS BIGINT)"))
            return op(kind, "strpos(", sub("text"), ", ", self.literal("text"), ")")
        if kind == "dec":
            self.use("decimal")
            choice = r.randrange(6)
            if choice < 3:
                return op(kind, "(", self.decimal_leaf(scope), r.choice([" + ", " - "]), self.decimal_leaf(scope), ")")
            if choice == 3:
                return op(kind, "(", self.decimal_leaf(scope), " * ", self.decimal_leaf(scope), ")")
            if choice == 4:
                return op(kind, "round(", self.decimal_leaf(scope), f", {r.choice([0, 1])})")
            return op(kind, "abs(", self.decimal_leaf(scope), ")")
        if kind == "double":
            choice = r.randrange(6)
            if choice < 2:
                return op(kind, "(", sub(), r.choice([" + ", " - "]), sub(), ")")
            if choice == 2:
                return op(kind, "(", self.column(scope, kind, True) or self.literal(kind), f" * {r.choice(['2e0', '0.5e0', '-4e0'])})")
            if choice == 3:
                return op(kind, r.choice(["floor(", "ceil(", "abs("]), sub(), ")")
            if choice == 4:
                return op(kind, "CAST(", sub("int"), " AS DOUBLE)")
            self.use("time difference")
            # Whole seconds are doubles that add up without rounding.
            whole = lambda: ("date_trunc('second', ", sub("ts", False), ")") if tame else (sub("ts", False),)
            return op(kind, "extract(epoch FROM (", *whole(), " - ", *whole(), "))")
        if kind == "text":
            choice = r.randrange(8)
            if choice < 2:
                return op(kind, "(", sub(), " || ", sub(), ")")
            if choice == 2:
                return op(kind, r.choice(["upper(", "lower(", "trim(", "ltrim(", "rtrim(", "reverse("]), sub(), ")")
            if choice == 3:
                return op(kind, "substr(", sub(), f", {r.randint(1, 3)}, {r.randint(0, 3)})")
            if choice == 4:
                return op(kind, "replace(", sub(), ", 'a', 'xy')")
            if choice == 5:
                return op(kind, "CAST(", sub(r.choice(["int", "bool", "date"])), " AS VARCHAR)")
            if choice == 6:
                return op(kind, "concat(", sub(), ", ", sub(), ")")
            return op(kind, r.choice(["left(", "right("]), sub(), f", {r.randint(0, 2)})")
        if kind == "date":
            choice = r.randrange(3)
            if choice == 0:
                self.use("date arithmetic")
                return op(kind, "CAST((", self.column(scope, kind, True) or op(kind, "DATE '2024-01-31'"), r.choice([" + ", " - "]),
                          f"INTERVAL '{r.randint(0, 40)} {r.choice(['days', 'months', 'years'])}') AS DATE)")
            if choice == 1:
                self.use("date_trunc")
                return op(kind, f"CAST(date_trunc('{r.choice(['month', 'year', 'week', 'quarter', 'day'])}', ", sub(), ") AS DATE)")
            return op(kind, "CAST(", self.expression("ts", scope, 0, tame), " AS DATE)")
        if kind in ("ts", "tstz"):
            choice = r.randrange(3)
            if choice == 0:
                self.use("timestamp arithmetic")
                return op(kind, "(", self.column(scope, kind, True) or op(kind, f"CAST('2024-01-31 10:00:00' AS {CASTS[kind]})"),
                          r.choice([" + ", " - "]), f"INTERVAL '{r.randint(0, 40)} {r.choice(['days', 'months', 'hours', 'seconds', 'minutes'])}')")
            if choice == 1:
                self.use("date_trunc")
                return op(kind, f"date_trunc('{r.choice(['hour', 'minute', 'second', 'day', 'week', 'month', 'quarter', 'year'])}', ", sub(kind, False), ")")
            return op(kind, "CAST(", self.expression("date", scope, 0, tame), f" AS {CASTS[kind]})")
        if kind == "real":
            return self.column(scope, kind) or self.literal(kind)
        return self.condition(scope, depth)

    def decimal_leaf(self, scope):
        return (self.column(scope, "dec", True) if self.chance(0.7) else None) or self.literal("dec")

    def case(self, kind, sub, scope, depth):
        self.use("CASE")
        if self.chance(0.3):
            of = self.r.choice(["int", "text"])
            base = self.expression(of, scope, depth - 1)
            return op(kind, "CASE ", base, " WHEN ", self.literal(of), " THEN ", sub(), " WHEN ", self.literal(of), " THEN ", sub(),
                      *([" ELSE ", sub()] if self.chance(0.7) else []), " END")
        return op(kind, "CASE WHEN ", self.condition(scope, depth - 1), " THEN ", sub(),
                  *([" WHEN ", self.condition(scope, depth - 1), " THEN ", sub()] if self.chance(0.4) else []),
                  *([" ELSE ", sub()] if self.chance(0.7) else []), " END")

    def coalesce(self, kind, sub, scope, depth):
        self.use("coalesce")
        return op(kind, "coalesce(", Items([sub() for _ in range(self.r.choice([2, 2, 3]))]), ")")

    def nullif(self, kind, sub, scope, depth):
        self.use("nullif")
        return op(kind, "nullif(", sub(), ", ", sub(), ")")

    def extremum(self, kind, sub, scope, depth):
        if kind in ("bool", "real"):
            return sub()
        self.use("greatest/least")
        return op(kind, self.r.choice(["greatest(", "least("]), Items([sub() for _ in range(self.r.choice([2, 3]))]), ")")

    # -- conditions

    def condition(self, scope, depth=2):
        r = self.r
        sub = lambda: self.condition(scope, depth - 1)
        if depth > 0 and self.chance(0.4):
            choice = r.randrange(6)
            if choice < 2:
                return op("bool", "(", Items([sub(), sub()], " AND "), ")")
            if choice < 4:
                return op("bool", "(", Items([sub(), sub()], " OR "), ")")
            if choice == 4:
                return op("bool", "(NOT ", sub(), ")")
            self.use("IS TRUE")
            return op("bool", "(", sub(), r.choice([" IS TRUE", " IS NOT TRUE", " IS FALSE", " IS NOT FALSE", " IS NULL", " IS NOT NULL"]), ")")
        kind = r.choice(["int", "int", "int", "dec", "double", "double", "real", "text", "text", "date", "ts", "tstz"])
        # a comparison takes the wild ones too
        left = (self.column(scope, kind) if self.chance(0.75) else None) or self.expression(kind, scope, min(depth, 1), tame=True)
        right = lambda: (self.column(scope, kind) if self.chance(0.4) else None) or (
            self.literal(kind) if self.chance(0.6) else self.expression(kind, scope, min(depth, 1), tame=True))
        choice = r.randrange(14)
        if choice < 4:
            return op("bool", "(", left, f" {r.choice(['=', '<>', '<', '<=', '>', '>='])} ", right(), ")")
        if choice == 4:
            self.use("mixed comparison")
            one, other = r.choice([("int", "dec"), ("int", "double"), ("dec", "double"), ("real", "double"), ("date", "ts")])
            get = lambda k: self.column(scope, k) or self.literal(k)
            pair = [get(one), get(other)]
            r.shuffle(pair)
            return op("bool", "(", pair[0], f" {r.choice(['=', '<>', '<', '<=', '>', '>='])} ", pair[1], ")")
        if choice == 5:
            return op("bool", "(", left, r.choice([" IS NULL", " IS NOT NULL"]), ")")
        if choice == 6:
            self.use("IS DISTINCT FROM")
            return op("bool", "(", left, r.choice([" IS DISTINCT FROM ", " IS NOT DISTINCT FROM "]), right(), ")")
        if choice == 7:
            self.use("BETWEEN")
            return op("bool", "(", left, r.choice([" BETWEEN ", " NOT BETWEEN "]), right(), " AND ", right(), ")")
        if choice == 8 or choice == 9:
            self.use("IN list")
            members = [right() if self.chance(0.3) else self.literal(kind) for _ in range(r.randint(1, 4))]
            if self.chance(0.3):
                members.append(op(kind, "NULL") if self.chance(0.5) else self.null(kind))
            return op("bool", "(", left, r.choice([" IN (", " NOT IN ("]), Items(members), "))")
        if choice == 10:
            self.use("LIKE")
            return op("bool", "(", self.expression("text", scope, 1), r.choice([" LIKE ", " NOT LIKE "]),
                      f"'{r.choice(['a%', '%b', '_', '%', 'a_c', '%a%', ''])}')")
        if choice == 11 and depth > 0:
            return self.in_subquery(scope, kind, left)
        if choice == 12 and depth > 0:
            return self.exists(scope)
        return self.column(scope, "bool") or self.literal("bool")

    # -- subqueries

    def in_subquery(self, scope, kind, left):
        self.use("IN subquery")
        (name, plain), columns = self.table(numbered=True)
        hidden = [c.ref.split(".")[0] for c in scope if "." in c.ref]
        hides = bool(hidden) and self.chance(0.2)
        if hides:
            self.use("a subquery's alias that the query has")
        a = self.r.choice(hidden) if hides else self.alias("s")
        inner = [Column(f"{a}.{c}", k, t) for c, k, t in columns]
        column = self.column(inner, kind) or self.column(inner, "int")
        if column.type != kind:
            left = self.column(scope, "int") or self.literal("int")
        conditions = [self.condition(inner, 0)] if self.chance(0.6) else []
        if not hides and self.chance(0.2):
            self.use("correlated IN")
            outer = self.column(scope, "int", True)
            if outer:
                conditions.append(op("bool", "(", self.column(inner, "int", True), " = ", outer, ")"))
        return op("bool", "(", left, self.r.choice([" IN ", " NOT IN ", " NOT IN "]), "(SELECT ", column, " FROM ", (name, plain), f" {a}",
                  Items(conditions, " AND ", 0, " WHERE "), "))")

    def exists(self, scope):
        self.use("EXISTS")
        (name, plain), columns = self.table(numbered=True)
        a = self.alias("s")
        inner = [Column(f"{a}.{c}", k, t) for c, k, t in columns]
        conditions = [self.condition(inner, 0)] if self.chance(0.6) else []
        kind = self.r.choice(["int", "int", "int", "double"])
        outer = self.column(scope, kind)
        if outer and self.chance(0.85):
            conditions.append(op("bool", "(", self.column(inner, kind), self.r.choice([" = ", " = ", " = ", " < "]), outer, ")"))
        item, joined = "1 AS one", []
        if self.chance(0.3):
            self.use("EXISTS over a join")
            (other, other_plain), columns = self.table(numbered=True)
            b = self.alias("s")
            right = [Column(f"{b}.{c}", k, t) for c, k, t in columns]
            joined = [self.r.choice([" JOIN ", " LEFT JOIN "]), (other, other_plain), f" {b} ON ", Items(self.join_condition(inner, right), " AND ")]
            item = self.r.choice(["1 AS one", f"{a}.i AS one", f"{b}.i AS one"])
        return op("bool", "(", self.r.choice(["", "NOT "]),
                  f"EXISTS (SELECT {item} FROM ", (name, plain), f" {a}", *joined, Items(conditions, " AND ", 0, " WHERE "), "))")

    def scalar_subquery(self, scope):
        self.use("scalar subquery")
        (name, plain), columns = self.table(numbered=True)
        a = self.alias("s")
        inner = [Column(f"{a}.{c}", k, t) for c, k, t in columns]
        conditions = [self.condition(inner, 0)] if self.chance(0.5) else []
        outer = self.column(scope, "int", True)
        if outer and self.chance(0.5):
            self.use("correlated scalar subquery")
            if self.chance(0.3):
                self.use("scalar subquery that may have no row")
                # Beside a condition that is always false the engine does not see that the group is the outer row's (Q0103).
                conditions = [op("bool", f"({a}.k = ", outer, ")")]
                having = op(None, " HAVING ", self.r.choice(["count(*) > 1", f"min({a}.i) > 0", "TRUE"]))
                call = self.r.choice(["count(*)", f"count({a}.i)", "7", f"sum({a}.i)", f"max({a}.n)"])
                return op("int", f"(SELECT {call} FROM ", (name, plain), f" {a}", Items(conditions, " AND ", 0, " WHERE "),
                          f" GROUP BY {a}.k", Items([having], "", 0), ")")
            conditions.append(op("bool", "(", self.column(inner, "int", True), " = ", outer, ")"))
        kind, call = self.r.choice([("int", "count(*)"), ("int", f"max({a}.i)"), ("text", f"min({a}.v)"), ("int", f"sum({a}.i)"), ("int", f"count({a}.k)")])
        return op(kind, f"(SELECT {call} FROM ", (name, plain), f" {a}", Items(conditions, " AND ", 0, " WHERE "), ")")

    # -- FROM

    def source(self, depth):
        """One relation with an alias: (node, columns)."""
        if depth > 0 and self.chance(0.2):
            self.use("derived table")
            query = self.query(depth - 1, widest=4)
            a = self.alias("q")
            return op(None, "(", query.node, f") {a}"), [Column(f"{a}.{c.ref}", c.kind, c.tame) for c in query.columns]
        (name, plain), columns = self.table()
        a = self.alias("x")
        return op(None, (name, plain), f" {a}"), [Column(f"{a}.{c}", k, t) for c, k, t in columns]

    def join_condition(self, left, right):
        kinds = sorted({c.kind for c in left} & {c.kind for c in right} - {"bool"})
        if not kinds or self.chance(0.1):
            self.use("join without equality")
            return [self.condition(left + right, 1)]
        kind = "int" if "int" in kinds and self.chance(0.6) else self.r.choice(kinds)
        pair = lambda k: op("bool", "(", self.column(left, k), self.r.choice([" = "] * 8 + [" IS NOT DISTINCT FROM "]), self.column(right, k), ")")
        conditions = [pair(kind)]
        if self.chance(0.25):
            conditions.append(pair(self.r.choice(kinds)))
        if self.chance(0.3):
            self.use("join residual")
            conditions.append(self.condition(left + right, 1))
        return conditions

    def from_clause(self, depth):
        """(node, columns); unqualified columns of USING are among them."""
        node, scope = self.source(depth)
        joins = self.r.choices([0, 1, 2], [45, 40, 15])[0]
        for at in range(joins):
            right, columns = self.source(depth)
            kind = self.r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN", "LEFT JOIN", "JOIN", "FULL JOIN", ","])
            common = [c for c in ("k", "v", "i") if at == 0 and all(any(x.ref.endswith("." + c) for x in side) for side in (scope, columns))]
            if kind == "CROSS JOIN" or kind == ",":
                self.use("cross join")
                # A comma binds less than JOIN: nothing may follow it.
                node = op(None, node, ", " if kind == "," and joins == 1 else " CROSS JOIN ", right)
                scope = scope + columns
            elif kind in ("LEFT SEMI JOIN", "LEFT ANTI JOIN"):
                self.use(kind.lower())
                node = op(None, node, (f" {kind} ", f" {kind[5:]} "), right, " ON ", Items(self.join_condition(scope, columns), " AND "))
            elif common and joins == 1 and self.chance(0.35):
                self.use(f"{kind.lower()} using")
                keys = common[:1] if self.chance(0.7) else common
                node = op(None, node, f" {kind} ", right, f" USING ({', '.join(keys)})")
                # The merged column by its own name; qualified ones of the two sides are left alone.
                kinds = {c: k for c, _, k, _ in COLUMNS}
                merged = [Column(c, kinds[c], True) for c in keys]
                scope = merged + [c for c in scope + columns if c.ref.split(".")[-1] not in keys]
            else:
                self.use(kind.lower())
                node = op(None, node, f" {kind} ", right, " ON ", Items(self.join_condition(scope, columns), " AND "))
                scope = scope + columns
        return node, scope

    # -- queries

    def any_kind(self):
        return self.r.choice(["int", "int", "int", "dec", "double", "text", "text", "bool", "date", "ts", "tstz"])

    def item(self, scope, depth=2):
        """A column of a SELECT: (node, kind, tame)."""
        choice = self.r.randrange(10)
        if choice < 4:
            c = self.r.choice(scope)
            return c.node(), c.kind, c.tame
        if choice == 4 and self.chance(0.5):
            node = self.scalar_subquery(scope)
            return node, node.type, False
        if choice == 6 and self.chance(0.3):
            self.use("a constant column")
            kind = self.r.choice(["int", "text", "bool", "date"])
            return self.literal(kind), kind, True
        if choice == 5 and self.chance(0.4):
            self.use("IN as a value")
            return self.in_subquery(scope, "int", self.column(scope, "int") or self.literal("int")), "bool", True
        kind = self.any_kind()
        return self.expression(kind, scope, depth), kind, kind not in ("int", "double", "dec") or depth < 2

    def select(self, items, names, from_node, where=(), tail=(), distinct=""):
        columns = [op(None, node, f" AS {name}") for (node, _, _), name in zip(items, names)]
        return op(None, f"SELECT {distinct}", Items(columns), " FROM ", from_node, Items(where, " AND ", 0, " WHERE "), *tail)

    def names(self, n):
        return [f"c{i + 1}" for i in range(n)]

    def where(self, scope, p=0.6):
        if not self.chance(p):
            return []
        self.bindable = True
        conditions = [self.condition(scope, 2) for _ in range(self.r.choice([1, 1, 2]))]
        self.bindable = False
        return conditions

    def finish(self, items, node):
        names = self.names(len(items))
        return Query(node, [Column(n, kind, tame) for n, (_, kind, tame) in zip(names, items)])

    def query(self, depth=1, widest=6):
        r = self.r
        forms = [(self.plain, 26), (self.grouped, 24), (self.windowed, 14), (self.distinct, 8)]
        if depth > 0:
            forms += [(self.set_operation, 10), (self.grouping_sets, 7), (self.top, 9), (self.keep_first, 5), (self.cte, 5)]
        form = r.choices([f for f, _ in forms], [w for _, w in forms])[0]
        return form(depth, widest)

    def plain(self, depth, widest):
        node, scope = self.from_clause(depth)
        items = [self.item(scope) for _ in range(r_int(self.r, 1, widest))]
        return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope)))

    def distinct(self, depth, widest):
        self.use("DISTINCT")
        node, scope = self.from_clause(depth)
        items = [self.item(scope, 1) for _ in range(r_int(self.r, 1, min(3, widest)))]
        return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope), distinct="DISTINCT "))

    def aggregate(self, scope, filters=True):
        """An aggregate call: (node, kind, tame)."""
        r = self.r
        any_column = lambda: r.choice([c for c in scope]).node()
        choice = r.randrange(12)
        kind, tame = "int", True
        if choice < 2:
            parts = ["count(*)"]
        elif choice == 2:
            parts = ["count(", any_column(), ")"]
        elif choice == 3:
            self.use("count distinct")
            parts = ["count(DISTINCT ", any_column(), ")"]
        elif choice == 4 or choice == 5:
            kind = r.choice(["int", "dec", "double"])
            tame = False
            distinct = "DISTINCT " if self.chance(0.15) else ""
            parts = [f"sum({distinct}", self.expression(kind, scope, 1) if kind != "dec" else self.decimal_leaf(scope), ")"]
        elif choice == 6:
            kind, tame = "double", False
            parts = ["avg(", self.column(scope, r.choice(["int", "double"]), True) or self.literal("double"), ")"]
        elif choice < 10:
            kind = r.choice(["int", "dec", "double", "real", "text", "date", "ts", "tstz", "int", "text"])
            tame = False
            parts = [r.choice(["min(", "max("]), self.column(scope, kind) or self.literal(kind), ")"]
        elif choice == 10:
            kind = "bool"
            self.use("bool_and/bool_or")
            parts = [r.choice(["bool_and(", "bool_or("]), self.condition(scope, 1), ")"]
        else:
            numbers = [c.ref for c in scope if c.ref.split(".")[-1] == "n"]
            # Rows of a join repeat n; the text of the same relation repeats with it.
            texts = [c for c in scope if len(numbers) == 1 and c.kind == "text" and c.ref.split(".")[0] == numbers[0].split(".")[0]]
            if not texts:
                parts = ["count(*)"]
            else:
                kind = "text"
                self.use("string_agg")
                parts = ["string_agg(", r.choice(texts).node(), f", '|' ORDER BY {numbers[0]})"]
        if filters and self.chance(0.25):
            self.use("FILTER")
            parts += [" FILTER (WHERE ", self.condition(scope, 1), ")"]
        return op(kind, *parts), kind, tame

    def group_keys(self, scope, n):
        keys = []
        for _ in range(n):
            c = self.r.choice(scope)
            node = c.node() if self.chance(0.8) else self.expression(self.any_kind(), scope, 1)
            keys.append((node, node.type, c.tame))
        return keys

    def grouped(self, depth, widest):
        self.use("GROUP BY")
        node, scope = self.from_clause(depth)
        keys = [k for k in self.group_keys(scope, self.r.choice([0, 1, 1, 2])) if any(isinstance(p, Node) for p in k[0].parts) or is_column(k[0])]
        calls = [self.aggregate(scope) for _ in range(r_int(self.r, 1, max(1, widest - len(keys))))]
        items = keys + calls
        tail = [" GROUP BY ", Items([k for k, _, _ in keys])] if keys else []
        if keys and self.chance(0.3):
            self.use("HAVING")
            call, kind, _ = self.aggregate(scope, filters=False)
            tail += [" HAVING ", op("bool", "(", call, self.r.choice([" IS NOT NULL", " > 2"]) if kind == "int" else " IS NOT NULL", ")")]
        return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope), tail))

    def grouping_sets(self, depth, widest):
        self.use("grouping sets")
        node, scope = self.from_clause(depth)
        columns = self.r.sample(scope, 2) if len(scope) > 1 else scope * 2
        keys = [(c.node(), c.kind, c.tame) for c in columns]
        calls = [self.aggregate(scope) for _ in range(r_int(self.r, 1, 3))]
        a, b = (c.ref for c in columns)
        calls.append((op("int", f"grouping({self.r.choice([a, b])})"), "int", True))
        how = self.r.choice([f"ROLLUP ({a}, {b})", f"CUBE ({a}, {b})", f"GROUPING SETS (({a}, {b}), ({a}), ())", f"GROUPING SETS (({a}), ({b}))",
                             f"GROUPING SETS (({a}, {b}), ())"])
        items = keys + calls
        return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope), [f" GROUP BY {how}"]))

    def only_n(self, scope):
        """A column that numbers the rows of this scope: there is one if it is one base table."""
        found = [c for c in scope if c.ref.split(".")[-1] == "n"]
        return found[0].ref if len(found) == 1 else None

    def one_table(self):
        (name, plain), columns = self.table(numbered=True)
        a = self.alias("x")
        return op(None, (name, plain), f" {a}"), [Column(f"{a}.{c}", k, t) for c, k, t in columns]

    def order(self, scope, n, most=2):
        parts = []
        for c in self.r.sample(scope, self.r.randint(0, most)):
            key = c.ref
            if self.chance(0.15):
                self.use("ORDER BY a condition")
                key = self.condition(scope, 0)
            parts.append(op(None, key, self.r.choice([" ASC", " DESC"]), self.r.choice([" NULLS FIRST", " NULLS LAST"])))
        return Items(parts + [op(None, f"{n}", self.r.choice([" ASC", " DESC"]), " NULLS LAST")])

    def window_call(self, scope, n):
        r = self.r
        keys = [c.node() for c in r.sample(scope, r.choice([0, 1, 1, 2]))]
        if self.chance(0.1):
            self.use("PARTITION BY a condition")
            keys.append(self.condition(scope, 0))
        partition = Items(keys, ", ", 0, "PARTITION BY ", " ")
        choice = r.randrange(10)
        total = ["ORDER BY ", self.order(scope, n)]
        if choice < 3:
            self.use("ranking window")
            call = r.choice(["row_number()", "rank()", "dense_rank()", f"ntile({r.randint(1, 4)})"])
            if call in ("rank()", "dense_rank()"):
                c = r.choice(scope)
                total = [f"ORDER BY {c.ref} {r.choice(['ASC', 'DESC'])} NULLS {r.choice(['FIRST', 'LAST'])}"]
            return op("int", call, " OVER (", partition, *total, ")"), "int", True
        if choice < 5:
            self.use("lag/lead/value window")
            c = r.choice(scope)
            fn = r.choice(["lag", "lead", "first_value", "last_value", "nth_value"])
            extra = {"lag": f", {r.randint(0, 3)}", "lead": f", {r.randint(0, 3)}", "nth_value": f", {r.randint(1, 3)}"}.get(fn, "")
            frame = "" if fn in ("lag", "lead") else " " + self.rows_frame()
            return op(c.kind, f"{fn}(", c.node(), f"{extra}) OVER (", partition, *total, frame, ")"), c.kind, c.tame
        self.use("aggregate window")
        kind = r.choice(["int", "dec", "double", "text", "date", "double", "real"])
        fn = r.choice(["count", "min", "max", "sum", "min", "max"])
        if fn == "sum" and kind not in ("int", "dec", "double"):
            fn = "min"
        column = self.column(scope, kind, fn == "sum") or self.literal(kind)
        filters = []
        if self.chance(0.2):
            self.use("window FILTER")
            filters = [" FILTER (WHERE ", self.condition(scope, 0), ")"]
        out = "int" if fn == "count" else kind
        if self.chance(0.15):
            self.use("whole-partition window")
            return op(out, f"{fn}(", column, ")", *filters, " OVER (", partition, ")"), out, False
        if self.chance(0.3):
            self.use("range or groups frame")
            c = r.choice([c for c in scope if c.kind in ("int", "double", "date", "ts") and c.tame])
            bounds = r.choice(["UNBOUNDED PRECEDING AND CURRENT ROW", "CURRENT ROW AND UNBOUNDED FOLLOWING"] + (["1 PRECEDING AND 1 FOLLOWING", "2 PRECEDING AND CURRENT ROW"] if c.kind == "int" else []))
            unit = "RANGE"
            if self.chance(0.4):
                unit, bounds = "GROUPS", r.choice(["1 PRECEDING AND CURRENT ROW", "1 PRECEDING AND 1 FOLLOWING", "CURRENT ROW AND 1 FOLLOWING"])
            return op(out, f"{fn}(", column, ")", *filters, " OVER (", partition, f"ORDER BY {c.ref} {r.choice(['ASC', 'DESC'])} NULLS {r.choice(['FIRST', 'LAST'])} {unit} BETWEEN {bounds})"), out, False
        self.use("rows frame")
        return op(out, f"{fn}(", column, ")", *filters, " OVER (", partition, *total, " ", self.rows_frame(), ")"), out, False

    def rows_frame(self):
        r = self.r
        return "ROWS BETWEEN " + r.choice([
            "UNBOUNDED PRECEDING AND CURRENT ROW", "UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING", "1 PRECEDING AND CURRENT ROW",
            "2 PRECEDING AND 1 FOLLOWING", "1 PRECEDING AND 1 PRECEDING", "CURRENT ROW AND 2 FOLLOWING", "3 PRECEDING AND 2 PRECEDING"])

    def windowed(self, depth, widest):
        node, scope = self.one_table()
        n = self.only_n(scope)
        items = [self.item(scope, 1) for _ in range(r_int(self.r, 0, 2))] + [self.window_call(scope, n) for _ in range(r_int(self.r, 1, 3))]
        tail = []
        if self.chance(0.2):
            self.use("named window")
            tail = [" WINDOW w AS (", Items([c.node() for c in self.r.sample(scope, self.r.choice([0, 1, 2]))], ", ", 0, "PARTITION BY "), ")"]
            items.append((op("int", "count(*) OVER ", self.r.choice(["w", "(w)"])), "int", True))
            if self.chance(0.6):
                tail += [", w2 AS (w ORDER BY ", self.order(scope, n, 1), ")"]
                call = self.r.choice(["row_number() OVER w2", f"row_number() OVER (w2 {self.rows_frame()})", f"sum({n}) OVER (w2 {self.rows_frame()})"])
            else:
                call = op("int", "row_number() OVER (w ORDER BY ", self.order(scope, n, 1), ")")
            items.append((op("int", call), "int", True))
            if self.chance(0.3):
                tail.append(" QUALIFY count(*) OVER (w) > 1")
        return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope, 0.4), tail))

    def keep_first(self, depth, widest):
        self.use("QUALIFY" if self.chance(0.7) else "DISTINCT ON")
        node, scope = self.one_table()
        n = self.only_n(scope)
        keys = self.r.sample(scope, self.r.choice([1, 1, 2]))
        items = [self.item(scope, 1) for _ in range(r_int(self.r, 1, 3))]
        if "QUALIFY" in self.used or depth == 0:
            first = self.r.choice([" = 1", " <= 2", " < 2", " > 1"])
            tail = [" QUALIFY row_number() OVER (PARTITION BY ", Items([c.node() for c in keys]), " ORDER BY ", self.order(scope, n, 1), f"){first}"]
            return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope, 0.4), tail))
        on = ", ".join(c.ref for c in keys)
        by = ", ".join(f"{c.ref} ASC NULLS LAST" for c in keys)
        items = [(c.node(), c.kind, c.tame) for c in keys] + items
        tail = [f" ORDER BY {by}, ", self.order(scope, n, 1)]
        return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope, 0.4), tail, distinct=f"DISTINCT ON ({on}) "))

    def top(self, depth, widest):
        self.use("top-n")
        limit = f" LIMIT {self.r.randint(0, 6)}" + (f" OFFSET {self.r.randint(0, 4)}" if self.chance(0.3) else "")
        if self.chance(0.5):
            self.use("top-n groups")
            node, scope = self.from_clause(0)
            key = self.r.choice([c for c in scope if c.kind in ("int", "text", "date", "ts", "tstz", "dec", "bool")])
            call, kind, tame = self.aggregate(scope)
            items = [(key.node(), key.kind, key.tame), (call, kind, tame)]
            direction = lambda: self.r.choice(["ASC", "DESC"]) + " NULLS " + self.r.choice(["FIRST", "LAST"])
            tail = [" GROUP BY ", key.node(), f" ORDER BY c2 {direction()}, c1 {direction()}{limit}"]
            return self.finish(items, self.select(items, self.names(2), node, self.where(scope, 0.4), tail))
        if self.chance(0.4):
            return self.top_of_join(limit)
        node, scope = self.one_table()
        items = [self.item(scope, 1) for _ in range(r_int(self.r, 1, 3))]
        tail = [" ORDER BY ", self.order(scope, self.only_n(scope)), limit]
        return self.finish(items, self.select(items, self.names(len(items)), node, self.where(scope, 0.4), tail))

    def top_of_join(self, limit):
        """Ordered by all that is selected, so that ties are rows that look the same."""
        self.use("top-n of a join")
        node, scope = self.from_clause(1)
        columns = [c for c in scope if c.kind in ("int", "text", "date", "bool")]
        if not columns:
            return self.plain(0, 3)
        columns = self.r.sample(columns, min(len(columns), self.r.randint(1, 4)))
        items = [(c.node(), c.kind, c.tame) for c in columns]
        names = self.names(len(items))
        keys = Items([op(None, name, self.r.choice([" ASC", " DESC"]), self.r.choice([" NULLS FIRST", " NULLS LAST"])) for name in names])
        return self.finish(items, self.select(items, names, node, self.where(scope, 0.4), [" ORDER BY ", keys, limit]))

    def set_operation(self, depth, widest):
        kinds = [self.any_kind() for _ in range(r_int(self.r, 1, 3))]
        branches = []
        for left in range(self.r.choice([1, 1, 2]), -1, -1):
            node, scope = self.from_clause(0)
            # The last branch decides that whole numbers become doubles.
            own = ["int" if k == "double" and left and self.chance(0.3) else k for k in kinds]
            if own != kinds:
                self.use("branches of two types")
            items = [((self.column(scope, k) if self.chance(0.7) else None) or self.expression(k, scope, 1), k, False) for k in own]
            branches.append(self.select(items, self.names(len(items)), node, self.where(scope, 0.5)))
        parts = [branches[0]]
        for b in branches[1:]:
            word = self.r.choice(["UNION", "UNION ALL", "EXCEPT", "INTERSECT", "UNION ALL"] + ["EXCEPT ALL", "INTERSECT ALL"] * (self.chance(0.15)))
            self.use(word.lower())
            parts = ["(", op(None, *parts), ")", f" {word} ", "(", b, ")"]
        return Query(op(None, *parts), [Column(n, k, False) for n, k in zip(self.names(len(kinds)), kinds)])

    def cte(self, depth, widest):
        self.use("CTE")
        inner = self.query(0, 4)
        a = self.alias("w")
        scope = [Column(f"{a}.{c.ref}", c.kind, c.tame) for c in inner.columns]
        b = self.alias("x")
        node, more = op(None, f"{a}"), []
        if self.chance(0.5):
            (name, plain), columns = self.table()
            more = [Column(f"{b}.{c}", k, t) for c, k, t in columns]
            node = op(None, f"{a} ", self.r.choice(["JOIN", "LEFT JOIN", "FULL JOIN"]), " ", (name, plain), f" {b} ON ", Items(self.join_condition(scope, more), " AND "))
        both = scope + more
        items = [self.item(both, 1) for _ in range(r_int(self.r, 1, 4))]
        select = self.select(items, self.names(len(items)), node, self.where(both, 0.5))
        return self.finish(items, op(None, f"WITH {a} AS (", inner.node, ") ", select))


def is_column(node):
    """A literal among the keys of GROUP BY would be a position."""
    return len(node.parts) == 1 and isinstance(node.parts[0], str) and (
        "." in node.parts[0] and node.parts[0][0].isalpha() and " " not in node.parts[0] or node.parts[0] in ("k", "v", "i"))


def r_int(r, low, high):
    return r.randint(low, max(low, high))


def statement(r, relations=BASE):
    """A query, and what it uses."""
    s = Statements(r, relations)
    return s.query(1), s.used
