#!/usr/bin/env bash
# Eight processes write one table, upkeep at full speed among them, while clients ask (tests/clients/concurrency.py says what must
# hold). Kills at the points of upkeep are in crash.sh, processes that stand still across it in `crash.sh suspend`, a store
# that fails under it in store_faults.sh.
#
#   concurrency.sh [--seconds S] [--seed N]

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
driven concurrency.py --port "$(free_port)" "$@"
