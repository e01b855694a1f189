#!/usr/bin/env bash
# Real data through three layers in three rounds with late duplicates, equal to DuckDB after each.
#
#   real_data.sh [--seed N] [--share S] [nyc] [vega] [jaffle]      all three by default; real_data.py says more

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
DATA=$("$SERVICES/datasets.sh" install)
case " $* " in *" nyc "* | *" vega "* | *" jaffle "*) ;; *) set -- "$@" nyc vega jaffle ;; esac
driven real_data.py --data "$DATA" "$@"
