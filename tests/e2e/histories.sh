#!/usr/bin/env bash
# Random histories: tables that PyIceberg, Spark and Ingot change in turn, judged by plain lists of rows after each step
# (tests/clients/histories.py says what is compared).
#
#   histories.sh [--histories N] [--seed N] [--only N] [--drop S,S]      PyIceberg and Ingot
#   histories.sh spark [N] [OPTION...]                                   Spark as well, N histories

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
if [ "${1:-}" = spark ]; then
  shift
  "$SERVICES/spark.sh" install >/dev/null
  if [[ ${1:-} =~ ^[0-9]+$ ]]; then set -- --histories "$@"; fi
  driven histories.py --workers 1 --side-by-side 20 --spark "$SERVICES/spark.sh run" "$@"
else
  driven histories.py "$@"
fi
