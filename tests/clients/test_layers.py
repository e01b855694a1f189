"""The judge is judged: what layers.py decides, on values small enough to see."""

import json
import math
import unittest

from layers import (Malformed, bits, bronze, decode, decode_instant, difference, double, fold_positions, judge_rows,
                    layers, stats)


def event(**fields):
    base = {"id": "a", "type": "car", "battery": 50, "lat": 59.5, "lon": 18.0, "ts": "2026-01-02T03:04:05Z"}
    base.update(fields)
    return json.dumps(base).encode()


class Decoding(unittest.TestCase):
    def test_absent_and_null_are_null(self):
        self.assertEqual(decode(b"{}"), (None,) * 6)
        self.assertEqual(decode(b'{"id":null,"battery":null}'), (None,) * 6)

    def test_types_must_match(self):
        for text in (b'{"id":1}', b'{"battery":"50"}', b'{"battery":true}', b'{"ts":5}', b'{"type":[]}', b'{"lat":{}}'):
            with self.assertRaises(Malformed, msg=text):
                decode(text)

    def test_one_object_of_valid_json(self):
        for text in (None, b"", b" ", b"[]", b"1", b"null", b"{}{}", b"{} x", b"{", b'{"id":"\xff"}', b"\xef\xbb\xbf{}",
                     b'{"battery":NaN}', b'{"battery":Infinity}', b"{'id':1}", b'{"id":"a",}', b'{"battery":01}',
                     b'{"id":"\\ud800"}', b'{"id":"a\nb"}'):
            with self.assertRaises(Malformed, msg=text):
                decode(text)

    def test_numbers_to_the_bit(self):
        self.assertEqual(bits(decode(b'{"battery":-0}')[2]), bits(-0.0))
        self.assertEqual(decode(b'{"battery":9007199254740993}')[2], 9007199254740992.0)
        self.assertEqual(decode(b'{"battery":1e-400}')[2], 0.0)
        with self.assertRaises(Malformed):
            decode(b'{"battery":1e400}')

    def test_last_duplicate_key_wins(self):
        self.assertEqual(decode(b'{"id":"a","id":"b"}')[0], "b")

    def test_keys_are_as_written(self):
        self.assertEqual(decode(b'{"ID":"a"}')[0], None)

    def test_instants(self):
        self.assertEqual(decode_instant("1970-01-01T00:00:00Z"), 0)
        self.assertEqual(decode_instant("1970-01-01T00:00:00"), 0)
        self.assertEqual(decode_instant("1970-01-01T01:00:00+01:00"), 0)
        self.assertEqual(decode_instant("1970-01-01 00:00:00.1234567Z"), 123456)
        self.assertEqual(decode_instant("1969-12-31T23:59:59.9999999Z"), -1)
        self.assertEqual(decode_instant("2024-02-29T00:00:00-00:30"), 1709166600000000)
        for text in ("2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:00:60Z",
                     "yesterday", "", "2023-01-01T00:00:00ZZ"):
            with self.assertRaises(Malformed, msg=text):
                decode_instant(text)


class Layers(unittest.TestCase):
    def rows(self, *payloads):
        return bronze([("t", 0, i, 1000 + i, b"k", p) for i, p in enumerate(payloads)])

    def test_a_bad_message_is_an_error_with_its_bytes(self):
        rows, errors = self.rows(event(), b"{", None)
        self.assertEqual(len(rows), 1)
        self.assertEqual([e[:6] for e in errors], [("t", 0, 1, 1001000, b"k", b"{"), ("t", 0, 2, 1002000, b"k", None)])

    def test_the_first_broken_expectation_decides(self):
        rows, _ = self.rows(
            event(type="truck", battery=200), event(id=None, type="truck"), event(battery=101), event(battery=None),
            event(type=None))
        silver, rejected, dropped = judge_rows(rows)
        self.assertEqual(silver, [])
        self.assertEqual([r[-1] for r in rejected], [("known_type", "battery_pct"), ("known_type",)])
        self.assertEqual(dropped, {"has_key": 1, "battery_pct": 2})

    def test_a_bad_copy_does_not_win(self):
        rows, _ = self.rows(event(battery=300), event(battery=7), event(battery=8))
        silver, _, _ = judge_rows(rows)
        self.assertEqual([double(r[2]) for r in silver], [7.0])

    def test_the_lowest_partition_and_offset_win_in_any_order(self):
        a = bronze([("t", 1, 0, 0, None, event(battery=1)), ("t", 0, 9, 0, None, event(battery=2)),
                    ("t", 0, 8, 0, None, event(battery=3))])[0]
        for rows in (a, a[::-1]):
            self.assertEqual([double(r[2]) for r in judge_rows(rows)[0]], [3.0])

    def test_types_are_trimmed_and_lowered(self):
        rows, _ = self.rows(event(type="  CAR "), event(type="\tcar", ts="2026-01-02T03:04:06Z"))
        silver, rejected, _ = judge_rows(rows)
        self.assertEqual([r[1] for r in silver], ["car"])
        self.assertEqual([r[1] for r in rejected], ["\tcar"])

    def test_the_mean_is_the_exact_sum_over_the_count(self):
        values = [0.1] * 10
        rows = [(str(i), "car", bits(v), bits(59.0 + v), bits(1.0), i) for i, v in enumerate(values)]
        self.assertEqual(stats(rows), [("car", 10, bits(math.fsum(values) / 10), bits(59.1))])
        self.assertNotEqual(bits(sum(values) / 10), bits(math.fsum(values) / 10))

    def test_all_layers_together(self):
        tables, dropped = layers([("t", 0, 0, 1, None, event()), ("t", 0, 1, 2, None, event()), ("t", 0, 2, 3, None, b"x")])
        self.assertEqual({k: len(v) for k, v in tables.items()}, {
            "bronze.vehicle_events": 2, "bronze.vehicle_events_errors": 1, "silver.vehicle_events": 1,
            "silver.vehicle_events_rejected": 0, "gold.stats": 1})
        self.assertEqual(dropped, {})


class Comparing(unittest.TestCase):
    def test_multisets_differ_by_a_copy(self):
        self.assertEqual(difference([(1,), (1,)], [(1,)]), ([((1,), 1)], []))
        self.assertEqual(difference([(1,)], [(1,), (None,)]), ([], [((None,), 1)]))
        self.assertEqual(difference([(1,), (2,)], [(2,), (1,)]), ([], []))

    def test_a_last_bit_is_a_difference(self):
        one = bits(1.0)
        self.assertEqual(difference([(one,)], [(one + 1,)]), ([((one,), 1)], [((one + 1,), 1)]))

    def test_positions_fold_from_the_head(self):
        entry = lambda to: {"from": 0, "to": to}
        value = lambda full, parts: json.dumps(
            {"v": 1, "full": full, "flow": "f", "cluster": "c", "topic": "t", "topic-id": "i", "partitions": parts})
        identity, newest = fold_positions([
            None, value(False, {"1": entry(9)}), value(False, {"0": entry(5), "1": entry(4)}),
            value(True, {"0": entry(1), "1": entry(1), "2": entry(7)}), value(True, {"3": entry(1)})])
        self.assertEqual(identity, ("f", "c", "t", "i"))
        self.assertEqual({k: v["to"] for k, v in newest.items()}, {0: 5, 1: 9, 2: 7})


if __name__ == "__main__":
    unittest.main()
