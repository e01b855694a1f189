#!/usr/bin/env bash
# What other engines delete is gone: position delete files, deletion vectors and equality deletes, alone and beside each
# other; files that are damaged or of formats that are not read are named; times of nanoseconds.
#
#   deletes.sh [PART...]     parts as in tests/clients/deletes.py; `spark`, Spark's own deletes and Java's, when it is named

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
driven deletes.py ${1:+--only "$@"}
