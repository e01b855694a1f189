#!/usr/bin/env bash
# A catch-up and a verification of tables several times larger than `run.memory_bytes_max` stay within it and a room for
# what no pool counts: code, threads, Kafka's queues, single batches. Statements that must hold more than it end with an
# error that names it, within the same room.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
ROWS=${INGOT_TEST_ROWS:-4000000}
LIMIT_MIB=${INGOT_TEST_LIMIT_MIB:-64}
ROOM_MIB=${INGOT_TEST_ROOM_MIB:-300}
INGOT_TEST_SECONDS=1500
start_kafka
new_project local
OPTIONS+=(--set "run.memory_bytes_max=$((LIMIT_MIB << 20))" --set "run.batch_bytes_max=$((8 << 20))"
  --set "kafka.queued.max.messages.kbytes=16384")

# peak NAME COMMAND...: runs it to its end; its exit code in CODE, the most memory it held in PEAK, in MiB.
peak() {
  local name=$1 high
  shift
  background "$name" "$@"
  PEAK=0
  while high=$(awk '/^VmHWM/ {print int($2 / 1024)}' "/proc/$BACKGROUND/status" 2>/dev/null) && [ -n "$high" ]; do
    PEAK=$high
    sleep 0.05
  done
  CODE=0
  wait "$BACKGROUND" || CODE=$?
  cp "$WORK/$name.log" "$WORK/last.out"
}

# bounded TEXT: the last peak is within the limit and the room.
bounded() {
  check "$1: exit $CODE" test "$CODE" = 0
  check "$1: the peak was $PEAK MiB, at most $LIMIT_MIB + $ROOM_MIB" test "$PEAK" -le $((LIMIT_MIB + ROOM_MIB))
}

say "a first run, so that what follows is a catch-up"
check "produce" ingot produce --topic "$TOPIC" --events 1000 --seed 3
check "run --once" ingot run --once

say "$ROWS events"
check "produce" ingot produce --topic "$TOPIC" --events "$ROWS" --seed 4
peak ingest run --once --select bronze.vehicle_events
bounded "ingestion"
peak catchup run --once
bounded "the catch-up of the views"
cat "$WORK/catchup.log"
check "silver went by parts" grep -q "a part of it is in" "$WORK/catchup.log"

say "verification"
peak verify verify
bounded "verify"
cat "$WORK/verify.log"

say "statements that hold all rows"
for call in "array_agg(id ORDER BY ts DESC)" "string_agg(id, ',' ORDER BY ts)" "array_agg(DISTINCT ts ORDER BY ts)"; do
  for keys in "" "GROUP BY type"; do
    peak held sql --format csv "SELECT $call AS a FROM bronze.vehicle_events $keys"
    check "$call $keys: $(tail -c 300 "$WORK/held.log" | tr '\n' ' ')" grep -q "run.memory_bytes_max" "$WORK/held.log"
    check "$call $keys: the peak was $PEAK MiB, at most $LIMIT_MIB + $ROOM_MIB" test "$PEAK" -le $((LIMIT_MIB + ROOM_MIB))
  done
done
peak held sql "SELECT max(id) AS id FROM (SELECT id, sum(battery) OVER () AS a FROM bronze.vehicle_events) WHERE a > 0"
check "a window over all rows is refused" grep -q "rows of a window" "$WORK/held.log"
check "a window over all rows: the peak was $PEAK MiB" test "$PEAK" -le $((LIMIT_MIB + ROOM_MIB))
topics delete "$TOPIC"
