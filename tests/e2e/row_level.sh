#!/usr/bin/env bash
# Rows of views leave by position delete files (format version 2) or deletion vectors (3): after each step PyIceberg and DuckDB read of a view what DuckDB computes from its
# source, the totals of the summary are what the manifests hold, the views above follow incrementally, upkeep folds the deletes
# in, and a process that is killed where delete files are written leaves nothing but files without a name.
#
#   row_level.sh [PART...]      parts as in tests/clients/row_level.py; `spark`, Spark's judgement of version 3, when it is named

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
driven row_level.py ${1:+--only "$@"}
