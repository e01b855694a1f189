#!/usr/bin/env bash
# A lake that an earlier version wrote goes on: streaming tables keep their rows and their types, views are rebuilt as
# announced, verify calls nothing different, and what PyIceberg read before it reads after.
#
#   upgrade.sh               from the lake that is kept in tests/fixtures/upgrade, written by the version before the second
#                            semantics (0.1.0 at commit 7445565)
#   INGOT_OLD=FILE upgrade.sh            from a lake that this older binary writes now
#   INGOT_OLD=FILE upgrade.sh --record   writes the kept lake anew

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
FIXTURE=$ROOT/tests/fixtures/upgrade
OLD_ROWS=160
# Avro files hold absolute paths, so a lake that is moved needs a folder with a name as long as the one it was made in.
if [ "${1:-}" = --record ]; then LAKE_AT=/tmp/ingot-upgrade.origin; mkdir "$LAKE_AT"; else LAKE_AT=$(mktemp -d /tmp/ingot-upgrade.XXXXXX); fi
leave() {
  local code=$?
  rm -rf "$LAKE_AT"
  set +e
  (exit "$code")
  finish
}
trap leave EXIT
LAKE_IN=$LAKE_AT/lake
CATALOG=$LAKE_IN/catalog.db
LAKE=(--catalog-uri "sqlite:///$CATALOG" --warehouse "file://$LAKE_IN")
start_kafka
export UPGRADE_TOPIC=e2e-upgrade-$$-$RANDOM
PROJECT=$WORK/project
cp -r "$FIXTURE/project" "$PROJECT"
OPTIONS=(--project "$PROJECT" --set "kafka.bootstrap.servers=$INGOT_TEST_KAFKA" --set "warehouse.location=$LAKE_IN")
upgrade() { "$PYTHON" "$CLIENTS/upgrade.py" "$@"; }
send() { upgrade send "$INGOT_TEST_KAFKA" "$UPGRADE_TOPIC" "$@"; }
old() { timeout --kill-after=15 300 "$INGOT_OLD" "$@" "${OPTIONS[@]}" -q; }
# said PATTERN TEXT / unsaid PATTERN TEXT: of the last output.
unsaid() {
  if grep -qE -- "$1" "$WORK/last.out"; then
    fail "$2 (something matches $1)"
    grep -E -- "$1" "$WORK/last.out" | sed 's/^/      /'
  else
    pass "$2"
  fi
}
# keeps TEXT: types and old rows of the streaming tables are what they were.
keeps() {
  upgrade types "$LAKE_IN" | grep -E '^(bronze|silver.copy)' >"$WORK/types.now"
  check "$1: the stored types" diff "$WORK/types.before" "$WORK/types.now"
  for table in bronze.orders bronze.orders_errors bronze.sums bronze.sums_errors; do
    upgrade rows "$LAKE_IN" "$table" "$OLD_ROWS" >"$WORK/rows.now"
    check "$1: the old rows of $table" diff "$WORK/$table.before" "$WORK/rows.now"
  done
}

topics create "$UPGRADE_TOPIC" --partitions 2 --forever
if [ -n "${INGOT_OLD:-}" ]; then
  say "the version before writes a lake"
  for upto in 80 "$OLD_ROWS"; do
    send $((upto - 80)) "$upto"
    check "run --once of the version before" old run --once
  done
  check "its own verify" old verify
  if [ "${1:-}" = --record ]; then
    upgrade origin "$INGOT_TEST_KAFKA" "$UPGRADE_TOPIC" "$LAKE_IN" >"$LAKE_IN/origin.json"
    # Metadata that is no longer current is of no use.
    pointers >"$WORK/pointers"
    find "$LAKE_IN" -name '*.metadata.json' | while read -r file; do
      grep -qF "$(basename "$file")" "$WORK/pointers" || rm "$file"
    done
    tar -C "$LAKE_IN" --sort=name --owner=0 --group=0 --mtime=@0 -cf - . | xz -9e >"$FIXTURE/lake.tar.xz"
    ls -l "$FIXTURE/lake.tar.xz"
    exit 0
  fi
else
  say "a lake of the version before"
  mkdir "$LAKE_IN"
  tar -C "$LAKE_IN" -xJf "$FIXTURE/lake.tar.xz"
  send 0 "$OLD_ROWS"
  check "it goes on here" upgrade adopt "$INGOT_TEST_KAFKA" "$UPGRADE_TOPIC" "$LAKE_IN"
fi
upgrade types "$LAKE_IN" | grep -E '^(bronze|silver.copy)' >"$WORK/types.before"
for table in bronze.orders bronze.orders_errors bronze.sums bronze.sums_errors; do
  upgrade rows "$LAKE_IN" "$table" "$OLD_ROWS" >"$WORK/$table.before"
done
check "it holds rows" test "$(wc -l <"$WORK/bronze.sums.before")" -gt 100

say "this version looks at it"
check "check" ingot check
check "plan" ingot plan
for view in silver.rows silver.rows_rejected silver.latest gold.names gold.ranks; do
  last_says "^$view  rebuild \(R0550: its rows were made by version 1" "  plan announces the rebuild of $view"
done
last_says 'write CAST\(n \* 1\.1 AS DOUBLE\) AS gross$' "  and names the cast of gross"
last_says '"fixed" keeps its stored type DOUBLE.*write CAST\(0\.5 AS DOUBLE\) AS fixed$' "  of a literal"
last_says 'write CAST\(\[n \* 0.1, 2\] AS ARRAY<DOUBLE>\) AS steps$' "  of a list"
last_says 'write CAST\(third \+ 1 AS DECIMAL\(27, 6\)\) AS third_more$' "  of a table over the table"
unsaid 'blocked' "  and stops nowhere"
cp "$WORK/last.out" "$WORK/plan.out"
check "status" ingot status
last_says 'write CAST\(n \* 1\.1 AS DOUBLE\) AS gross$' "  status names it, too"
ingot verify >"$WORK/last.out" 2>&1 || true
unsaid 'DIFFERENT|different:' "verify calls nothing different"
check_exit 1 "run --once --no-rebuild refuses" ingot run --once --no-rebuild
check "a served view has the stored type" ingot sql "SELECT arrow_typeof(gross) AS t FROM gold.dear LIMIT 1"
last_says 'Float64' "  DOUBLE"

say "and goes on"
check "run --once" ingot run --once
keeps "after it"
check "verify" ingot verify
last_says 'bronze.sums  consistent:.*made by an earlier definition, by version 1' "  some rows were made by an earlier definition"
last_says 'silver.copy  consistent:.*made by an earlier definition, by version 1.*; the 0 since are those of its query' "  those of a table over it, too"
unsaid 'DIFFERENT|different:' "  and nothing is different"
before=$(pointers)
check "run --once again" ingot run --once
check "  does nothing" test "$(pointers)" = "$before"
send "$OLD_ROWS" 400
check "run --once with more messages" ingot run --once
keeps "with more messages"
check "verify" ingot verify
last_says 'silver.copy  consistent:.*; the 1[0-9][0-9] since are those of its query' "  and compares the new ones"
check "the new rows are what SQL says" upgrade judge "$LAKE_IN" "$OLD_ROWS" 400

say "other engines expire all snapshots"
check "expire" "$PYTHON" "$CLIENTS/lost.py" "${LAKE[@]}" expire bronze.sums bronze.orders silver.copy
send 400 450
check "run --once" ingot run --once
keeps "after it"
check "the new rows" upgrade judge "$LAKE_IN" "$OLD_ROWS" 450
check "plan" ingot plan
last_says 'write CAST\(n \* 1\.1 AS DOUBLE\) AS gross$' "  the cast is still named"

say "the definition is edited"
sed -i 's/  0.5 AS fixed,/  0.5 AS fixed, upper(name) AS shout,/' "$PROJECT/bronze/sums.sql"
send 450 500
check "run --once" ingot run --once
upgrade types "$LAKE_IN" | grep -E '^(bronze|silver.copy)' | grep -v shout >"$WORK/types.now"
check "the stored types" diff "$WORK/types.before" "$WORK/types.now"
check "the new rows" upgrade judge "$LAKE_IN" "$OLD_ROWS" 500
sed -i 's/  n \* 1.1 AS gross,/  CAST(n * 1.1 AS DOUBLE) AS gross,/' "$PROJECT/bronze/sums.sql"
check "plan, with the cast written" ingot plan
unsaid '"gross" keeps' "  is silent about it"
last_says '"more" keeps' "  and still names the others"
unsaid 'rebuild' "  and rebuilds no view"
check "run --once" ingot run --once
sed -i 's/  CAST(n \* 1.1 AS DOUBLE) AS gross,/  n * 1.1 AS gross,/' "$PROJECT/bronze/sums.sql"
check "plan, with the cast taken back" ingot plan
last_says 'bronze.sums  blocked \(R0310: .*CAST\(... AS DOUBLE\)' "  is an edit, and refused with what to write"

say "everything is read again"
check "refresh --full" ingot refresh bronze.sums --full
check "refresh --full of the table over it" ingot refresh silver.copy --full
check "run --once" ingot run --once
check "verify" ingot verify
last_says 'bronze.sums  equal: ' "  bronze.sums is equal to its log"
upgrade types "$LAKE_IN" >"$WORK/last.out"
last_says 'bronze.sums.gross: decimal\(' "  and has the types of the new rules"
check "plan" ingot plan
unsaid '^    note: |blocked|rebuild|  (append|read|refresh)' "  has nothing to say"

if [ -z "${INGOT_OLD:-}" ]; then
  say "the first thing that this version does is to go on past a loss"
  rm -rf "$LAKE_IN"
  mkdir "$LAKE_IN"
  tar -C "$LAKE_IN" -xJf "$FIXTURE/lake.tar.xz"
  export UPGRADE_TOPIC=$UPGRADE_TOPIC-again
  cp -r "$FIXTURE/project/." "$PROJECT"
  topics create "$UPGRADE_TOPIC" --partitions 2 --forever
  send 0 "$OLD_ROWS"
  upgrade adopt "$INGOT_TEST_KAFKA" "$UPGRADE_TOPIC" "$LAKE_IN"
  send "$OLD_ROWS" 200
  topics trim "$UPGRADE_TOPIC"
  send 200 240
  check "plan" ingot plan
  last_says 'bronze.sums  blocked \(S01' "  retention took messages"
  check "refresh --accept-loss" ingot refresh bronze.sums --accept-loss
  check "refresh --accept-loss" ingot refresh bronze.orders --accept-loss
  check "run --once" ingot run --once
  keeps "after it"
  check "plan" ingot plan
  last_says 'write CAST\(n \* 1\.1 AS DOUBLE\) AS gross$' "  still names the cast"
  check "the new rows" upgrade judge "$LAKE_IN" 200 240
fi
