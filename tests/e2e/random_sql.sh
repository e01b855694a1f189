#!/usr/bin/env bash
# Random SQL over random data, answered by a materialized view, by Flight SQL and by DuckDB or the written rules.
#
#   random_sql.sh [--statements N] [--seed N] [--only BATCH[:STATEMENT]]      random_sql.py says more

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
driven random_sql.py "$@"
