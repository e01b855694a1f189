"""The written rules of arithmetic on values that Spark 3.5's documentation or arithmetic by hand gives, and the tools around them."""

import random
import unittest
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa

import sql_rules as rules
from answers import bag
from sql_random import statement
from sql_tree import DUCKDB, Items, Node, shrink, text


class Types(unittest.TestCase):
    def test_of_decimals(self):
        d = ("DECIMAL", 12, 2)
        self.assertEqual(rules.combined("+", d, d), ("DECIMAL", 13, 2))
        self.assertEqual(rules.combined("*", d, d), ("DECIMAL", 25, 4))
        self.assertEqual(rules.combined("/", d, d), ("DECIMAL", 27, 15))
        self.assertEqual(rules.combined("%", d, ("DECIMAL", 5, 3)), ("DECIMAL", 5, 3))

    def test_past_38_digits_six_stay_behind_the_point(self):
        h = ("DECIMAL", 38, 10)
        self.assertEqual(rules.combined("*", h, h), ("DECIMAL", 38, 6))
        self.assertEqual(rules.combined("/", h, h), ("DECIMAL", 38, 6))
        self.assertEqual(rules.combined("+", h, h), ("DECIMAL", 38, 9))

    def test_of_aggregates(self):
        self.assertEqual(rules.sum_type(("DECIMAL", 12, 2)), ("DECIMAL", 22, 2))
        self.assertEqual(rules.avg_type(("DECIMAL", 12, 2)), ("DECIMAL", 16, 6))
        self.assertEqual(rules.sum_type("INT"), "BIGINT")

    def test_beside_double(self):
        self.assertEqual(rules.combined("*", ("DECIMAL", 12, 2), "DOUBLE"), "DOUBLE")


class Values(unittest.TestCase):
    def test_halves_go_away_from_zero(self):
        for x, wanted in (("0.125", "0.13"), ("-0.125", "-0.13"), ("0.1249", "0.12"), ("2.5", "2.5")):
            self.assertEqual(rules.half_up(Fraction(x), 2), Fraction(wanted))

    def test_overflow_is_an_error(self):
        for sign, a, b in (("+", 2**31 - 1, 1), ("-", -2**31, 1), ("*", 65536, 65536), ("/", -2**31, -1), ("/", 1, 0), ("%", 1, 0)):
            self.assertRaises(rules.Fails, rules.operate, sign, a, b, "INT")
        self.assertRaises(rules.Fails, rules.fitted, Fraction(10**10), ("DECIMAL", 12, 2))

    def test_division_cuts_integers_and_rounds_decimals(self):
        self.assertEqual(rules.operate("/", -7, 2, "INT"), -3)
        self.assertEqual(rules.operate("%", -7, 2, "INT"), -1)
        self.assertEqual(rules.operate("/", Fraction(2), Fraction(3), rules.combined("/", ("DECIMAL", 1, 0), ("DECIMAL", 1, 0))), Fraction("0.666667"))

    def test_sums_are_exact_inside(self):
        self.assertEqual(rules.total([2**63 - 1, 5, -10], "BIGINT"), 2**63 - 6)
        self.assertRaises(rules.Fails, rules.total, [2**63 - 1, 1], "BIGINT")
        self.assertEqual(rules.total([1e300, 1.0, -1e300], "DOUBLE"), 1.0)
        self.assertEqual(rules.total([0.1] * 10, "DOUBLE"), 1.0)
        self.assertEqual(str(rules.total([-0.0], "DOUBLE")), "0.0")

    def test_nan_is_the_largest_and_equals_itself(self):
        nan = float("nan")
        self.assertTrue(rules.compared("=", nan, nan))
        self.assertTrue(rules.compared(">", nan, float("inf")))
        self.assertEqual(str(rules.extreme([1.0, nan, 2.0], True)), "nan")
        self.assertEqual(rules.extreme([1.0, nan, 2.0], False), 1.0)


class Comparison(unittest.TestCase):
    def test_sees_what_differs(self):
        of = lambda values, t: bag(pa.table({"x": pa.array(values, t)}))
        one = of([1, None, 2], pa.int32())
        self.assertEqual(one, of([2, 1, None], pa.int64()))
        self.assertEqual(one, of([Decimal("1.00"), Decimal(2), None], pa.decimal128(12, 2)))
        for other in (of([1, 2], pa.int32()), of([1, None, None, 2], pa.int32()), of([1.0, None, 2.0], pa.float64()), of(["1", None, "2"], pa.string())):
            self.assertNotEqual(one, other)
        self.assertNotEqual(of([0.3], pa.float64()), of([0.1 + 0.2], pa.float64()))
        self.assertEqual(of([float("nan"), -0.0], pa.float64()), of([0.0, float("nan")], pa.float64()))
        self.assertNotEqual(bag(pa.table({"x": [-0.0]}), zeros=True), bag(pa.table({"x": [0.0]}), zeros=True))


class Statements(unittest.TestCase):
    def test_of_a_seed_are_the_same(self):
        one, other = (text(statement(random.Random(5))[0].node) for _ in range(2))
        self.assertEqual(one, other)

    def test_use_every_construct(self):
        used = Counter()
        r = random.Random(1)
        for _ in range(1500):
            used.update(statement(r)[1])
        for construct in ("full join using", "right join using", "IN as a value", "correlated IN", "except", "intersect", "union", "grouping sets",
                          "rows frame", "range or groups frame", "top-n groups", "QUALIFY", "DISTINCT ON", "FILTER", "CASE", "time difference"):
            self.assertGreater(used[construct], 3, construct)

    def test_shrink_to_what_is_wrong(self):
        tree = Node(None, "SELECT ", Items([Node("int", c) for c in "abc"]), " WHERE ", Node("bool", "(", Node("bool", "(x)"), " AND y)"))
        small = shrink(tree, lambda t: "b" in text(t), 100)
        self.assertEqual(text(small), "SELECT b WHERE (x)")
        self.assertEqual(text(small, DUCKDB), text(small))


if __name__ == "__main__":
    unittest.main()
