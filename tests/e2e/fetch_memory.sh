#!/usr/bin/env bash
# A fetch of five million rows streams: the server's peak memory stays under a limit that the rows do not fit in.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
ROWS=${INGOT_TEST_ROWS:-5000000}
LIMIT_MIB=${INGOT_TEST_MEMORY_MIB:-250}
start_kafka
new_project local

say "$ROWS events"
check "produce" ingot produce --topic "$TOPIC" --events "$ROWS" --seed 3
INGOT_TEST_SECONDS=900
check "run --once" ingot run --once --select bronze.vehicle_events
serve

say "the fetch"
check "ADBC reads all rows" "$PYTHON" "$CLIENTS/fetch.py" "$FLIGHT" bronze.vehicle_events --rows "$ROWS" --pause 3
cat "$WORK/last.out"
peak=$(awk '/^VmHWM/ {print int($2 / 1024)}' "/proc/$SERVER/status")
check "the server's peak was $peak MiB, at most $LIMIT_MIB" test "$peak" -le "$LIMIT_MIB"
topics delete "$TOPIC"
