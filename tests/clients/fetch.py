"""Fetches a whole table over ADBC, batch by batch, keeping none; a pause shows whether the server runs ahead."""

import argparse
import sys
import time

import adbc_driver_flightsql.dbapi as flight_sql

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("uri")
parser.add_argument("table")
parser.add_argument("--rows", type=int, required=True)
parser.add_argument("--pause", type=float, default=0, help="seconds to stop after the first batch")
args = parser.parse_args()

rows = size = 0
with flight_sql.connect(args.uri, autocommit=True) as connection, connection.cursor() as cursor:
    cursor.execute(f"SELECT * FROM {args.table}")
    began = time.monotonic()
    for batch in cursor.fetch_record_batch():
        if rows == 0:
            time.sleep(args.pause)
        rows += batch.num_rows
        size += batch.nbytes
seconds = time.monotonic() - began - args.pause
print(f"{rows} rows, {size >> 20} MiB of Arrow in {seconds:.1f} s, {rows / max(seconds, 1e-9):,.0f} rows/s")
sys.exit(0 if rows == args.rows else 1)
