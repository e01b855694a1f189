"""The shipped project's three layers, computed from the messages of the topic by plain Python.

    message ──▶ decode() ──▶ Bronze ──▶ judge_rows() ──▶ Silver ──▶ stats() ──▶ Gold
                   └─▶ decode errors        └─▶ rejected

Written from the meaning of the SQL alone, so that it can disagree with the engine. Rows are tuples in the declared
order of columns; doubles are their 64 bits as an integer, so that equal means equal to the bit; instants are
microseconds since 1970.

Not here: where messages and tables come from (`judge.py`).
"""

import json
import math
import re
import struct
from collections import Counter, defaultdict
from datetime import date

TABLES = {
    "bronze.vehicle_events": [
        ("id", "string"), ("type", "string"), ("battery", "double"), ("lat", "double"), ("lon", "double"),
        ("ts", "timestamptz"), ("_partition", "int"), ("_offset", "long"), ("_kafka_ts", "timestamptz")],
    "bronze.vehicle_events_errors": [
        ("topic", "string"), ("partition", "int"), ("offset", "long"), ("timestamp", "timestamptz"),
        ("key", "binary"), ("payload", "binary"), ("code", "string"), ("reason", "string")],
    "silver.vehicle_events": [
        ("id", "string"), ("type", "string"), ("battery", "double"), ("lat", "double"), ("lon", "double"),
        ("ts", "timestamptz")],
    "silver.vehicle_events_rejected": [
        ("id", "string"), ("type", "string"), ("battery", "double"), ("lat", "double"), ("lon", "double"),
        ("ts", "timestamptz"), ("_partition", "int"), ("_offset", "long"), ("_violations", "list<string>")],
    "gold.stats": [
        ("type", "string"), ("total", "long"), ("avg_battery", "double"), ("max_lat", "double")],
}

KNOWN_TYPES = ("car", "bike", "scoot")


class Malformed(Exception):
    """A message that does not decode, with why."""


class Number(str):
    """A JSON number as it was written: 1 and 1.0 and -0 stay apart until a column's type decides."""


def bits(value):
    """The 64 bits of a double, or None."""
    return None if value is None else struct.unpack("<q", struct.pack("<d", value))[0]


def double(value):
    """The double of 64 bits, or None."""
    return None if value is None else struct.unpack("<d", struct.pack("<q", value))[0]


def _refuse_constant(text):
    raise Malformed(f"{text} is not JSON")


def parse_object(payload):
    """The fields of a message: exactly one JSON object of valid UTF-8; the last of duplicate keys wins."""
    if payload is None:
        raise Malformed("tombstone")
    try:
        text = payload.decode("utf-8", errors="strict")
    except UnicodeDecodeError as e:
        raise Malformed(f"not UTF-8: {e}") from None
    try:
        value = json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as e:
        raise Malformed(f"not JSON: {e}") from None
    if type(value) is not dict:
        raise Malformed("not a JSON object")
    return value


def decode_string(value):
    if type(value) is not str:
        raise Malformed("not a string")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise Malformed("half a surrogate pair")
    return value


def decode_double(value):
    if type(value) is not Number:
        raise Malformed("not a number")
    result = float(value)
    if math.isinf(result):
        raise Malformed("overflow")
    return result


INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?")


def decode_instant(value):
    """ISO 8601 to microseconds since 1970; UTC where no offset is written."""
    if type(value) is not str:
        raise Malformed("not a string")
    m = INSTANT.fullmatch(value)
    if not m:
        raise Malformed("not an instant")
    year, month, day, hour, minute, second, fraction, _, sign, off_hour, off_minute = m.groups()
    hour, minute, second = int(hour), int(minute), int(second or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise Malformed("no such time of day")
    try:
        days = date(int(year), int(month), int(day)).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError as e:
        raise Malformed(str(e)) from None
    micros = int((fraction or "0").ljust(6, "0")[:6])
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    if sign:
        offset = int(off_hour) * 3600 + int(off_minute or 0) * 60
        seconds -= offset if sign == "+" else -offset
    return seconds * 1_000_000 + micros


FIELDS = [("id", decode_string), ("type", decode_string), ("battery", decode_double), ("lat", decode_double),
          ("lon", decode_double), ("ts", decode_instant)]


def decode(payload):
    """The declared columns of one message: strings, floats, an instant; None where absent or null."""
    fields = parse_object(payload)
    row = []
    for name, convert in FIELDS:
        value = fields.get(name)
        row.append(None if value is None else convert(value))
    return tuple(row)


def bronze(messages):
    """Rows of Bronze and of its decode errors, from (topic, partition, offset, timestamp_ms, key, payload)."""
    rows, errors = [], []
    for topic, partition, offset, timestamp_ms, key, payload in messages:
        micros = None if timestamp_ms is None else timestamp_ms * 1000
        try:
            id_, type_, battery, lat, lon, ts = decode(payload)
        except Malformed as why:
            errors.append((topic, partition, offset, micros, key, payload, str(why)))
            continue
        rows.append((id_, type_, bits(battery), bits(lat), bits(lon), ts, partition, offset, micros))
    return rows, errors


def judge_rows(rows):
    """Silver and its quarantine: expectations first, in their order, then one row for each (id, ts)."""
    kept, rejected, dropped = {}, [], Counter()
    for row in rows:
        id_, type_, battery, lat, lon, ts, partition, offset, _ = row
        type_ = None if type_ is None else type_.strip(" ").lower()
        percent = double(battery)
        broken = []
        if id_ is None or ts is None:
            broken.append("has_key")
        if type_ not in KNOWN_TYPES:
            broken.append("known_type")
        if percent is None or not 0 <= percent <= 100:
            broken.append("battery_pct")
        if broken:
            if broken[0] == "known_type":
                rejected.append((id_, type_, battery, lat, lon, ts, partition, offset, tuple(broken)))
            else:
                dropped[broken[0]] += 1
            continue
        place = (partition, offset)
        first = kept.get((id_, ts))
        if first is None or place < first[0]:
            kept[(id_, ts)] = (place, (id_, type_, battery, lat, lon, ts))
    return [row for _, row in kept.values()], rejected, dropped


def stats(rows):
    """Gold: for each type how many, the mean charge (the exact sum, rounded once, over the count), the highest lat."""
    groups = defaultdict(lambda: (0, [], []))
    for _, type_, battery, lat, _, _ in rows:
        count, batteries, lats = groups[type_]
        groups[type_] = (count + 1, batteries, lats)
        if battery is not None:
            batteries.append(double(battery))
        if lat is not None:
            lats.append(double(lat))
    result = []
    for type_, (count, batteries, lats) in groups.items():
        mean = (math.fsum(batteries) + 0.0) / len(batteries) if batteries else None
        result.append((type_, count, bits(mean), bits(max(lats, default=None))))
    return result


def layers(messages):
    """All five tables, by name. Decode errors end in the judge's own reason instead of `code` and `reason`."""
    rows, errors = bronze(messages)
    silver, rejected, dropped = judge_rows(rows)
    return {
        "bronze.vehicle_events": rows,
        "bronze.vehicle_events_errors": errors,
        "silver.vehicle_events": silver,
        "silver.vehicle_events_rejected": rejected,
        "gold.stats": stats(silver),
    }, dropped


def difference(expected, found):
    """Rows of two multisets that are in one alone: ([(row, times)] missing, [(row, times)] too many)."""
    want, have = Counter(expected), Counter(found)
    order = lambda item: tuple((v is not None, str(v)) for v in item[0])
    return sorted((want - have).items(), key=order), sorted((have - want).items(), key=order)


def fold_positions(summaries):
    """The newest entry of each partition, from the `ingot.kafka.positions` values of a table, head first.

    Summaries without positions are skipped, those that hold only the partitions that moved are completed by older
    ones. Also the identity (cluster, topic, topic id), which all of them must share.
    """
    identity, newest = None, {}
    for text in summaries:
        if text is None:
            continue
        value = json.loads(text)
        this = (value["flow"], value["cluster"], value["topic"], value["topic-id"])
        if identity is None:
            identity = this
        if this != identity:
            continue
        for partition, entry in value["partitions"].items():
            newest.setdefault(int(partition), entry)
        if value.get("full"):
            break
    return identity, newest
