#!/usr/bin/env bash
# Nothing is lost: where a streaming table began outlives every expiry, a column that its SQL file leaves out keeps its
# values until it is pruned, and a partition column may have any name; PyIceberg and Spark see the same.
#
#   lost.sh [--spark]        with --spark, Spark expires and reads as well

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
WITH_SPARK=
[ "${1:-}" != --spark ] || WITH_SPARK=1
start_kafka
new_project local 2
rm -r "$PROJECT/bronze" "$PROJECT/silver" "$PROJECT/gold"
mkdir "$PROJECT/bronze" "$PROJECT/silver" "$PROJECT/gold"
SOURCE="(id VARCHAR, type VARCHAR, battery DOUBLE, ts TIMESTAMPTZ) INCLUDE PARTITION AS kafka_partition INCLUDE OFFSET AS kafka_offset
WITH ('connector' = 'kafka', 'topic' = '$TOPIC') FORMAT PLAIN ENCODE JSON;"
# stream NAME CLAUSES SELECT
stream() {
  cat >"$PROJECT/bronze/$1.sql" <<SQL
CREATE SOURCE s_$1 $SOURCE
CREATE STREAMING TABLE bronze.$1 $2 ON DECODE ERROR INTO bronze.$1_errors AS SELECT $3 FROM STREAM s_$1;
SQL
}
stream kept "" "id, battery, kafka_partition, kafka_offset"
stream named 'PARTITIONED BY ("my col", days("ev-time"), "é", "日本語", "9x")' \
  'id, type AS "my col", ts AS "ev-time", type AS "é", upper(type) AS "日本語", kafka_partition AS "9x"'
echo 'CREATE STREAMING TABLE silver.flow AS SELECT * FROM STREAM bronze.named;' >"$PROJECT/silver/flow.sql"
echo 'CREATE MATERIALIZED VIEW silver.kept AS SELECT * FROM bronze.kept;' >"$PROJECT/silver/kept.sql"
lost() { "$PYTHON" "$CLIENTS/lost.py" "${LAKE[@]}" "$@"; }
round() {
  topics send "$TOPIC" 300 --seed "$1"
  check "run --once" ingot run --once
}
# same TEXT: bronze.kept holds each message of the topic once.
same() {
  check "verify $1" ingot verify
  last_says 'bronze.kept  equal: ' "  bronze.kept is equal to the log"
}

say "PyIceberg expires everything but the head"
round 1
round 2
round 3
check "expire" lost expire bronze.kept bronze.kept_errors bronze.named
same "after it"
last_says 'bronze.named  equal: ' "  so is bronze.named"
check "refresh --full" ingot refresh bronze.kept --full
same "after a full refresh"
check "expire again" lost expire bronze.kept silver.flow
round 4
same "and on"
last_says 'silver.flow  equal: ' "  so is a streaming table over one"
say "others write twice, then expire"
check "append, append, expire" lost append silver.flow bronze.kept
check "append, append, expire" lost append silver.flow bronze.kept
check "append, append, expire" lost expire silver.flow bronze.kept
flow() { ingot sql --format csv "SELECT (SELECT count(*) FROM silver.flow) - (SELECT count(*) FROM bronze.named) AS more" | tail -1; }
check "six rows more" test "$(flow)" = 6
round 5
check "the next round brings its rows once" test "$(flow)" = 6
check "refresh --full" ingot refresh bronze.kept --full
check "refresh --full" ingot refresh silver.flow --full
same "after a full refresh"

if [ -n "$WITH_SPARK" ]; then
  say "Spark expires everything but the head"
  "$SERVICES/spark.sh" install >/dev/null
  spark() {
    printf '%s\n' "$@" | "$SERVICES/spark.sh" run "$CLIENTS/spark_session.py" "${LAKE[@]}" 2>"$WORK/spark.log" >"$WORK/spark.out"
    cat "$WORK/spark.out"
    ! grep -q '^error' "$WORK/spark.out"
  }
  round 5
  old="older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1"
  check "expire and read" spark "CALL ingot.system.expire_snapshots(table => 'bronze.kept', $old)" \
    "SELECT count(*) AS n FROM ingot.bronze.named WHERE \`my col\` = 'car'" \
    "SELECT count(*) AS m FROM ingot.bronze.named WHERE \`日本語\` = 'CAR'" \
    "SELECT partition.\`my col\`, partition.\`ev-time_day\` FROM ingot.bronze.named.partitions LIMIT 1"
  cars=$(grep -oE '"n": [0-9]+' "$WORK/spark.out" | grep -oE '[0-9]+')
  upper=$(grep -oE '"m": [0-9]+' "$WORK/spark.out" | grep -oE '[0-9]+')
  check "a table of Spark's" spark "CREATE TABLE ingot.bronze.other USING iceberg PARTITIONED BY (\`my col\`, \`é\`) AS SELECT * FROM ingot.bronze.named"
  check "  is read by its partitions" ingot sql --format csv "SELECT count(*) AS n FROM bronze.other WHERE \"my col\" = 'car' AND \"é\" = 'car'"
  last_says "^$cars\$" "  and has Spark's number of rows"
  check "Spark finds rows by their partitions" test "${cars:-0}" -gt 0 -a "$cars" = "$upper"
  same "after it"
  check "refresh --full" ingot refresh bronze.kept --full
  same "after a full refresh"
fi

kept() { ingot sql --format csv "SELECT (SELECT count(*) FROM bronze.kept) - (SELECT count(*) FROM bronze.named) AS more" | tail -1; }
# lost_position CODE ACT...: a table that lost its position stops by that code, and reading everything again mends it.
lost_position() {
  local code=$1
  shift
  for act; do check "$act" lost "$act" bronze.kept; done
  topics send "$TOPIC" 50 --seed 7
  check_exit 1 "run --once stops" ingot run --once
  last_says "$code" "  with $code"
  last_says 'ingot refresh (bronze.kept|TABLE) --full' "  and says how to go on"
  check "refresh --full" ingot refresh bronze.kept --full
  same "after it"
  round 8
  same "and on"
}
say "a table that nothing tells the position of"
lost_position L0131 append forget expire purge
say "a rollback under another's rows, and nothing tells of it"
lost_position L0132 rollback append expire purge
say "a rollback that old metadata tell of"
for act in rollback append expire; do check "$act" lost "$act" bronze.kept; done
round 9
check "what went is read again" test "$(kept)" = 3
check "refresh --full" ingot refresh bronze.kept --full
same "after it"
say "a position that cannot be read"
lost_position L0134 append garble expire

say "partition columns of any name"
check "PyIceberg finds rows by their partitions" lost partitions bronze.named

say "a column is left out"
stream kept "" "id, kafka_partition, kafka_offset"
check "plan" ingot plan
last_says 'note: column "battery" is not in its SELECT' "  plan says so"
before=$(lost columns bronze.kept | grep battery)
round 6
check "its values are there" test "$(lost columns bronze.kept | grep battery)" = "$before"
check "models do not have it" ingot sql "SELECT count(*) AS n FROM silver.kept"
check_exit 1 "  by no name" ingot sql "SELECT battery FROM silver.kept"
check "status" ingot status
last_says 'note: column "battery"' "  status says so"
check "another engine renames it" lost rename bronze.kept
check "plan" ingot plan
last_says 'note: column "charge" is not in its SELECT' "  plan calls it by its new name"
round 7
check "its values are there" test "$(lost columns bronze.kept | grep charge)" = "${before/battery/charge}"
check "verify" ingot verify
last_says 'bronze.kept  consistent: ' "  bronze.kept is consistent"
check_exit 1 "models do not have it" ingot sql "SELECT charge FROM silver.kept"
check_exit 2 "prune asks first" ingot prune </dev/null
last_says 'nothing was dropped: confirm with --yes' "  and says how"
check "nothing was dropped" test -n "$(lost columns bronze.kept | grep charge)"
check "prune --yes" ingot prune --yes
last_says 'bronze.kept  column "charge" dropped' "  says what went"
check "it is gone" test -z "$(lost columns bronze.kept | grep charge || true)"
check "run --once goes on" ingot run --once
check "verify" ingot verify
