#!/usr/bin/env bash
# Iceberg tables in the shapes that others write are read to the values of the specification: Hive tables taken over,
# defaults, evolved structs, lists and maps, time travel after a rollback, dropped partition fields of the first format
# version, columns of types that are not read, and the tables that tell about a table.
#
#   reads.sh [PART...]       parts as in tests/clients/reads.py

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
driven reads.py ${1:+--only "$@"}
