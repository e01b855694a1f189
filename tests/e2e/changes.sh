#!/usr/bin/env bash
# What changes around a project that lives on: the topic gains partitions, the broker goes away and comes back, views
# and streaming tables are edited, one table fails, the log is trimmed.

unset INGOT_TEST_KAFKA      # a broker of its own: it is stopped and started again
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
new_project local 2
rows() { ingot sql --format csv "SELECT count(*) AS n FROM $1" 2>/dev/null | tail -n 1; }
has_rows() { [ "$(rows "$1")" = "$2" ]; }

say "new partitions"
topics send "$TOPIC" 3000 --seed 1
check "run --once" ingot run --once
background runner run
RUNNER=$BACKGROUND
topics grow "$TOPIC" 4
topics send "$TOPIC" 3000 --seed 2
wanted=$(topics ends "$TOPIC" | awk '$1 > 1 {n += $3} END {print n}')
check "the new partitions hold $wanted messages" test "$wanted" -gt 500
check "run reads them" eventually 60 has_rows "(SELECT _offset FROM bronze.vehicle_events WHERE _partition > 1 UNION ALL SELECT \"offset\" FROM bronze.vehicle_events_errors WHERE \"partition\" > 1)" "$wanted"

say "the broker goes away and comes back"
"$SERVICES/kafka.sh" stop
check "run says that it waits" eventually 60 grep -q 'waiting for the kafka broker' "$WORK/runner.log"
check "and goes on running" kill -0 "$RUNNER"
check_exit 3 "produce says that something outside failed" ingot produce --topic "$TOPIC" --events 10 --set kafka.message.timeout.ms=3000
unset INGOT_TEST_KAFKA
start_kafka
topics send "$TOPIC" 1000 --seed 3
check "run reads on when it is back" eventually 60 has_rows "(SELECT _offset FROM bronze.vehicle_events UNION ALL SELECT \"offset\" FROM bronze.vehicle_events_errors)" 7000
code=0
kill -TERM "$RUNNER"
wait "$RUNNER" || code=$?
check "SIGTERM ends it with 143" test "$code" = 143
check "run --once" ingot run --once
check "verify" ingot verify
serve
judged "after growth and an outage"
kill "$SERVER"
wait "$SERVER" 2>/dev/null || true

say "a changed view"
sed -i 's/max(lat) AS max_lat/max(lat) AS max_lat, min(lat) AS min_lat/' "$PROJECT/gold/stats.sql"
check_exit 11 "plan announces a rebuild" ingot plan --exit-code
last_says 'gold.stats .*rebuild' "of gold.stats"
check_exit 1 "run --no-rebuild refuses" ingot run --once --no-rebuild
check "run --once" ingot run --once
check "the new column is there" ingot sql "SELECT min_lat FROM gold.stats WHERE min_lat IS NOT NULL"
check "verify" ingot verify
before=$(rows silver.vehicle_events)
sed -i 's/BETWEEN 0 AND 100/BETWEEN 0 AND 50/' "$PROJECT/silver/vehicle_events.sql"
check_exit 11 "plan announces a rebuild" ingot plan --exit-code
last_says 'silver.vehicle_events .*rebuild' "of silver.vehicle_events"
check "run --once" ingot run --once
check "verify" ingot verify
check "silver lost the rows above 50 %" test "$(rows silver.vehicle_events)" -lt "$before"
check "gold follows" has_rows "gold.stats WHERE total > 0 AND avg_battery <= 50" 3
check_exit 0 "plan has nothing left" ingot plan --exit-code

say "a changed streaming table"
before=$(rows bronze.vehicle_events)
sed -i "s/AS SELECT \* FROM STREAM vehicles/AS SELECT id, 'v2-' || type AS type, battery, lat, lon, ts, _partition, _offset, _kafka_ts FROM STREAM vehicles/" "$PROJECT/bronze/vehicle_events.sql"
check "run --once" ingot run --once
check "its history stays" has_rows "bronze.vehicle_events WHERE type IS NULL OR type NOT LIKE 'v2-%'" "$before"
topics send "$TOPIC" 1000 --seed 4
check "run --once" ingot run --once
check "new messages by the new definition" test "$(rows "bronze.vehicle_events WHERE type LIKE 'v2-%'")" -gt 500
check "verify" ingot verify
check "refresh --full reads the log again" ingot refresh bronze.vehicle_events --full
check "nothing of the old definition is left" has_rows "bronze.vehicle_events WHERE type NOT LIKE 'v2-%'" 0
check "run --once" ingot run --once
check "verify" ingot verify

say "one table fails"
cat >"$PROJECT/bronze/strict.sql" <<SQL
CREATE SOURCE strict_events (id VARCHAR, battery DOUBLE) WITH ('connector' = 'kafka', 'topic' = '$TOPIC') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.strict AS SELECT * FROM STREAM strict_events;
SQL
topics send "$TOPIC" 1000 --seed 5
before=$(rows bronze.vehicle_events)
check_exit 1 "run --once reports it" ingot run --once
last_says 'bronze\.strict +failed' "by name"
check "the others went on" test "$(rows bronze.vehicle_events)" -gt "$before"
rm "$PROJECT/bronze/strict.sql"

say "the log is trimmed"
topics trim "$TOPIC"
check "verify holds without the log" ingot verify
check_exit 1 "refresh --full refuses" ingot refresh bronze.vehicle_events --full
last_says 'no longer reach|accept-loss|log (starts|begins)|trimmed' "and says why"
check "run --once goes on" ingot run --once
