#!/usr/bin/env bash
# Tables that another engine writes are sources: PyIceberg appends, overwrites, deletes, evolves, expires, drops and makes
# anew, and after each step the views over them equal DuckDB's answer over PyIceberg's scan, refreshed in the way that is
# written down beside the step.
#
#   external.sh [PART...]       parts as in tests/clients/external.py

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
driven external.py ${1:+--only "$@"}
