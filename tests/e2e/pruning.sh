#!/usr/bin/env bash
# Random filters over random tables that PyIceberg wrote, of every type, transform and kind of delete, give the rows that
# DuckDB finds among those that were written: nothing that manifests, files and row groups are left out by holds a wanted row.
#
#   pruning.sh [--tables N] [--seed N]

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
driven pruning.py "$@"
