#!/usr/bin/env bash
# The benchmarks: one command, one table.
#
#   bench/run.sh [kafka|refresh|freshness|start|fetch|scan|build|release ... | all] [options]
#
#   --scale quick|full|smoke   how much (quick: minutes; full: what docs/performance.md is made of; smoke: does it work)
#   --events N                 events of kafka and refresh, rows of fetch, instead of the scale's
#   --runs N                   runs of each figure; the median is shown
#   --spark                    Spark runs beside (installed the first time; once each, it takes minutes)
#   --record                   append the table, the machine and the command to docs/performance.md
#   --keep                     leave the warehouses and logs where they are
#
# `all`, the default, is everything but build and release. Builds Ingot and the peers that are written in Rust with
# `cargo build --release` first; $INGOT names another binary, beside whose `examples` folder the peers are then found.
# Servers and clients come from tests/services; $INGOT_TEST_KAFKA names a broker that runs already.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1:-} in -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit ;; esac
if [ -z "${INGOT:-}" ]; then
  (cd "$ROOT" && cargo build --workspace --release --bins --examples)
  INGOT=${CARGO_TARGET_DIR:-$ROOT/target}/release/ingot
fi
[ -x "$INGOT" ] || { echo "bench: no binary at $INGOT" >&2; exit 2; }
INGOT=$(cd "$(dirname "$INGOT")" && pwd)/$(basename "$INGOT")
export INGOT
PYTHON=$("$ROOT/tests/services/python.sh" install)
exec "$PYTHON" "$ROOT/bench/bench.py" "$@"
