#!/usr/bin/env bash
# Upkeep beside ingestion, killed and judged from outside: tests/clients/upkeep.py says what must hold.
#
#   upkeep.sh [--rounds N] [--seconds S] [--seed N]

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
driven upkeep.py "$@"
