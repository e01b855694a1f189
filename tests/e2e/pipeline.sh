#!/usr/bin/env bash
# The whole path on a real Kafka: pipeline.sh {local|minio}
# Bad, doubled and late events; a clean run; all judges; kill -9 in the middle; a damaged table.

STORE=${1:-local}
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
EVENTS=${INGOT_TEST_EVENTS:-60000}
start_kafka
[ "$STORE" = local ] || start_minio
new_project "$STORE"

say "a first run ($STORE, $EVENTS events)"
check "check needs no broker" ingot check --set kafka.bootstrap.servers=127.0.0.1:1
check "fmt finds nothing to change" ingot fmt --check
check "produce" ingot produce --topic "$TOPIC" --events "$EVENTS" --seed 7 --malformed 0.01 --duplicates 0.02 --late 0.02
check_exit 10 "plan announces work" ingot plan --exit-code
check "run --once" ingot run --once
check_exit 0 "plan has nothing left" ingot plan --exit-code
check "verify" ingot verify
check "status" ingot status --json
check "sql, embedded" ingot sql --format csv "SELECT * FROM gold.stats ORDER BY type"
last_says '^(bike|car|scoot),[0-9]+,' "sql prints gold.stats"
serve
judged "first run" --rejected-at-least 100
check "sql --connect" ingot sql --connect "$FLIGHT" --format json "SELECT count(*) AS n FROM silver.vehicle_events"

say "nothing new"
pointers >"$WORK/before"
check "run --once again" ingot run --once
pointers >"$WORK/after"
check "an idle run commits nothing" diff "$WORK/before" "$WORK/after"
sed -i '1i -- a comment, and   some  space' "$PROJECT/gold/stats.sql"
check_exit 0 "a comment rebuilds nothing" ingot plan --exit-code

say "one lease"
background running run
RUNNER=$BACKGROUND
sleep 2
check_exit 5 "a second run finds the lease held" ingot run --once --timeout 3s
kill -TERM "$RUNNER"
began=$SECONDS
code=0
wait "$RUNNER" || code=$?
check "SIGTERM ends run within 10 s" test $((SECONDS - began)) -le 10
check "with exit code 143" test "$code" = 143

say "kill -9, again and again, while events arrive"
"$INGOT" produce "${OPTIONS[@]}" --topic "$TOPIC" --events "$EVENTS" --rate $((EVENTS / 10)) --seed 8 --malformed 0.01 \
  --duplicates 0.02 --late 0.02 >"$WORK/produce.log" 2>&1 &
PRODUCER=$!
PIDS+=("$PRODUCER")
RANDOM=4711
kills=0
moved=0
while kill -0 "$PRODUCER" 2>/dev/null && [ "$kills" -lt 12 ]; do
  pointers >"$WORK/before"
  background "killed-$kills" run
  sleep "$(printf '%d.%03d' $((RANDOM % 3)) $((200 + RANDOM % 800)))"
  kill -9 "$BACKGROUND" 2>/dev/null || fail "run was not there to be killed; see killed-$kills.log"
  wait "$BACKGROUND" 2>/dev/null || true
  kills=$((kills + 1))
  pointers >"$WORK/after"
  cmp -s "$WORK/before" "$WORK/after" || moved=$((moved + 1))
done
code=0
wait "$PRODUCER" || code=$?
check "the producer ended well" test "$code" = 0
check "killed $kills times, $moved of them after a commit" test "$kills" -ge 3 -a "$moved" -ge 1
check "run --once" ingot run --once
check "verify" ingot verify
judged "after $kills kills" --rejected-at-least 200

say "damage is found"
damage() {
  local table=$1 how=$2
  check "$table: $how" "$PYTHON" "$CLIENTS/corrupt.py" "${LAKE[@]}" "$table" "$how" --undo "$WORK/undo.json"
  check_exit 1 "$table: verify finds it ($how)" ingot verify "$table"
  check "$table: undone" "$PYTHON" "$CLIENTS/corrupt.py" "${LAKE[@]}" --undo "$WORK/undo.json"
}
tables="bronze.vehicle_events silver.vehicle_events gold.stats"
[ "$STORE" = local ] || tables=gold.stats
for table in $tables; do
  for how in double lose flip; do damage "$table" "$how"; done
done
check "verify holds again" ingot verify
