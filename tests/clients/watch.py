"""Reads gold and silver over ADBC again and again while `ingot up` refreshes them.

Every read must see a whole refresh: the tables' joint state is one that a refresh left, so gold's totals never fall
and never run ahead of silver, and one statement that reads a table twice sees the same rows twice. Ends when gold
holds what silver holds and neither has moved for a while; says how many states it saw.
"""

import argparse
import sys
import time

import adbc_driver_flightsql.dbapi as flight_sql

QUESTION = """
SELECT (SELECT count(*) FROM silver.vehicle_events) AS silver, (SELECT sum(total) FROM gold.stats) AS gold,
       (SELECT count(*) FROM silver.vehicle_events) AS silver_again, (SELECT sum(total) FROM gold.stats) AS gold_again
"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("uri")
parser.add_argument("--still", type=float, default=4, help="seconds without a change that end it")
parser.add_argument("--seconds", type=float, default=90)
parser.add_argument("--states-at-least", type=int, default=3)
args = parser.parse_args()

states, reads, wrong = [], 0, []
began = moved = time.monotonic()
with flight_sql.connect(args.uri, autocommit=True) as connection, connection.cursor() as cursor:
    while time.monotonic() - began < args.seconds:
        try:
            cursor.execute(QUESTION)
            silver, gold, silver_again, gold_again = cursor.fetchone()
        except flight_sql.Error as e:
            if states or not any(text in str(e) for text in ("does not exist", "is not built yet")):
                raise
            time.sleep(0.2)  # the tables are yet to be made
            moved = time.monotonic()
            continue
        reads += 1
        gold, gold_again = gold or 0, gold_again or 0
        state = (silver, gold)
        if (silver_again, gold_again) != state:
            wrong.append(f"one statement saw {state} and {(silver_again, gold_again)}")
        if gold > silver:
            wrong.append(f"gold is ahead of silver: {state}")
        if states and (silver < states[-1][0] or gold < states[-1][1]):
            wrong.append(f"went back: {states[-1]} to {state}")
        if not states or state != states[-1]:
            states.append(state)
            moved = time.monotonic()
        if silver == gold and time.monotonic() - moved > args.still:
            break
        time.sleep(0.05)
    else:
        wrong.append("gold did not catch up with silver in time")
if len(states) < args.states_at_least:
    wrong.append(f"only {len(states)} states: nothing was shown")
print(f"{reads} reads, {len(states)} states, the last {states[-1] if states else None}")
for line in wrong[:5]:
    print(line)
sys.exit(1 if wrong else 0)
