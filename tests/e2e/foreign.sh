#!/usr/bin/env bash
# Other engines act on our tables between any two of our commits: Spark and PyIceberg delete, roll back, replace, expire,
# drop, change columns, compact, on streaming tables, on error tables and on views, while `run` goes on and while it is
# stopped. Afterwards every table is right, or it has stopped with an error whose text says what to do.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
SPARK_RUN=$SERVICES/spark.sh
"$SPARK_RUN" install >/dev/null
start_kafka
new_project local 2
rm -r "$PROJECT/bronze" "$PROJECT/silver" "$PROJECT/gold"
mkdir "$PROJECT/bronze" "$PROJECT/silver" "$PROJECT/gold"
# One batch does not hold all: tables have a few commits to be rolled back over.
OPTIONS+=(--set run.commit_interval_ms=1500)

# The columns have no underscore: Spark keeps _partition for itself and refuses to change a table that has one.
# tables NAME: a streaming table with its errors, a view with its quarantine, and an aggregate with hidden state.
tables() {
  cat >"$PROJECT/bronze/$1.sql" <<SQL
CREATE SOURCE s_$1 (id VARCHAR, type VARCHAR, battery DOUBLE, lat DOUBLE, lon DOUBLE, ts TIMESTAMPTZ)
INCLUDE PARTITION AS kafka_partition INCLUDE OFFSET AS kafka_offset
WITH ('connector' = 'kafka', 'topic' = '$TOPIC') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.$1 PARTITIONED BY (days(ts)) ON DECODE ERROR INTO bronze.$1_errors AS
SELECT id, type, battery, ts, kafka_partition, kafka_offset FROM STREAM s_$1;
SQL
  cat >"$PROJECT/silver/$1.sql" <<SQL
CREATE MATERIALIZED VIEW silver.$1 (
  CONSTRAINT known_type EXPECT (type IN ('car', 'bike', 'scoot')) ON VIOLATION QUARANTINE INTO silver.$1_rejected)
AS SELECT id, type, battery, kafka_partition, kafka_offset FROM bronze.$1;
SQL
  cat >"$PROJECT/gold/$1.sql" <<SQL
CREATE MATERIALIZED VIEW gold.$1 AS
SELECT type, count(*) AS total, sum(battery) AS charge, max(battery) AS highest FROM silver.$1 GROUP BY type;
SQL
}

SQL_IN=$WORK/spark.in
SQL_OUT=$WORK/spark.out
mkfifo "$SQL_IN" "$SQL_OUT"
"$SPARK_RUN" run "$CLIENTS/spark_session.py" "${LAKE[@]}" <"$SQL_IN" >"$SQL_OUT" 2>"$WORK/spark.log" &
PIDS+=("$!")
exec 7>"$SQL_IN" 8<"$SQL_OUT"

# spark_ready: its session takes ten seconds to start.
spark_ready() {
  local answer
  read -r -t 300 answer <&8 && [ "$answer" = "ok ready" ]
}

# spark SQL: one statement; prints its answer, fails with it.
spark() {
  local answer
  printf '%s\n' "$1" >&7
  while read -r -t 300 answer <&8; do
    case $answer in
      ok*) printf '%s\n' "${answer#ok }"; return 0 ;;
      error*) printf 'spark: %s: %s\n' "$1" "$answer" >&2; return 1 ;;
    esac
  done
  echo "spark: no answer to $1" >&2
  exit 1
}

# Acts: each on one table, by its name without the catalog's.
# snapshot TABLE N: the id of the Nth ancestor of its head.
snapshot() {
  spark "SELECT snapshot_id FROM ingot.$1.history WHERE is_current_ancestor ORDER BY made_current_at DESC LIMIT 1 OFFSET $2" |
    grep -oE '[0-9]{10,}'
}
offset_of() { case $1 in *_errors) echo '`offset`' ;; gold.*) echo total ;; *) echo kafka_offset ;; esac; }
delete_rows() {
  spark "ALTER TABLE ingot.$1 SET TBLPROPERTIES('write.delete.mode'='$2', 'write.delete.isolation-level'='snapshot')" && spark "DELETE FROM ingot.$1 WHERE $(offset_of "$1") % 7 = 3"
}
act_cow() { delete_rows "$1" copy-on-write; }
act_mor() { delete_rows "$1" merge-on-read; }
act_rollback() { spark "CALL ingot.system.rollback_to_snapshot('$1', $(snapshot "$1" 1))"; }
act_replace() { spark "CREATE OR REPLACE TABLE ingot.$1 USING iceberg AS SELECT * FROM ingot.$1 WHERE $(offset_of "$1") % 2 = 0"; }
act_emptied() { spark "CREATE OR REPLACE TABLE ingot.$1 (id STRING) USING iceberg"; }
act_expire() {
  spark "CALL ingot.system.expire_snapshots(table => '$1', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)"
}
act_drop() { spark "DROP TABLE ingot.$1"; }
act_recreate() { spark "DROP TABLE ingot.$1" && spark "CREATE TABLE ingot.$1 (id STRING, type STRING) USING iceberg"; }
act_add() { spark "ALTER TABLE ingot.$1 ADD COLUMN noted STRING FIRST"; }
act_rename() { spark "ALTER TABLE ingot.$1 RENAME COLUMN $(case $1 in *_errors) echo reason ;; *) echo type ;; esac) TO renamed"; }
act_forget() { spark "ALTER TABLE ingot.$1 DROP COLUMN $(case $1 in *_errors) echo reason ;; gold.*) echo highest ;; *) echo battery ;; esac)"; }
act_layout() {
  local column=id
  case $1 in *_errors) column=topic ;; gold.*) column=total ;; esac
  spark "ALTER TABLE ingot.$1 ADD PARTITION FIELD bucket(2, $column)" && spark "ALTER TABLE ingot.$1 WRITE ORDERED BY $(offset_of "$1")"
}
act_compact() {
  spark "CALL ingot.system.rewrite_data_files(table => '$1', options => map('rewrite-all', 'true'))" && spark "CALL ingot.system.rewrite_manifests('$1')"
}
act_properties() {
  spark "ALTER TABLE ingot.$1 SET TBLPROPERTIES('write.format.default'='orc', 'note'='x')" &&
    spark "ALTER TABLE ingot.$1 UNSET TBLPROPERTIES IF EXISTS ('write.parquet.compression-codec')"
}
act_insert() { spark "INSERT INTO ingot.$1 SELECT * FROM ingot.$1 LIMIT 2"; }
act_py_delete() { "$PYTHON" "$CLIENTS/foreign.py" "${LAKE[@]}" act delete "$1"; }
act_py_column() { "$PYTHON" "$CLIENTS/foreign.py" "${LAKE[@]}" act add_column "$1"; }

# Sets of tables and the acts on them, one after another: after the first sets' acts a streaming table goes on, after the
# last four it stops with a name.
GOES_ON="rows columns back kept"
STOPS="replaced emptied dropped anew"
acts_of() {
  case $1 in
    rows) echo cow mor compact insert py_delete ;;
    columns) echo add rename forget layout py_column ;;
    back) echo rollback ;;
    kept) echo expire properties ;;
    replaced) echo replace ;;
    emptied) echo emptied ;;
    dropped) echo drop ;;
    anew) echo recreate ;;
  esac
}
for name in $GOES_ON $STOPS; do tables "$name"; done

# An act that loses against a commit of ours is tried again, as its engine would be.
did() {
  local tries
  for tries in 1 2 3 4 5 6 7 8; do
    "act_$1" "$2" >"$WORK/act.out" 2>&1 && return
    grep -qE 'CommitFailed|refresh is required|concurrent|conflicting|has changed|Deleted manifest|Missing field' "$WORK/act.out" || break
    sleep 1
  done
  { fail "$1 on $2"; sed 's/^/      /' "$WORK/act.out" | cut -c1-400; }
}
# suffer SET TABLE: all acts of a set on one table.
suffer() {
  local act
  for act in $(acts_of "$1"); do did "$act" "$2"; done
}
foreign() { "$PYTHON" "$CLIENTS/foreign.py" "${LAKE[@]}" "$1" --brokers "$INGOT_TEST_KAFKA" --topic "$TOPIC" "${@:2}"; }
# right SECONDS TEXT SET...: the judge agrees within the time; what it said last is shown when it does not.
right() {
  local deadline=$((SECONDS + $1)) text=$2 code
  shift 2
  while :; do
    code=0
    foreign judge "$@" >"$WORK/judge.out" 2>&1 || code=$?
    [ "$code" != 0 ] || { pass "$text: $(tail -n 1 "$WORK/judge.out")"; return; }
    [ $SECONDS -lt $deadline ] || break
    sleep 1
  done
  fail "$text"
  if grep -q '^FAIL' "$WORK/judge.out"; then grep -A2 '^FAIL' "$WORK/judge.out" | cut -c1-300; else tail -n 20 "$WORK/judge.out"; fi
}
# all_read SECONDS SET...: the streaming tables have read the log to its end.
all_read() { check "the log is read by $*" eventually "$1" foreign settled "${@:2}"; }
events() { ingot produce --topic "$TOPIC" --events "$1" --seed "$2" --malformed 0.03 >/dev/null; }
events_flow() {
  "$INGOT" produce "${OPTIONS[@]}" --topic "$TOPIC" --events 100000 --rate 60 --seed "$1" --malformed 0.03 >"$WORK/produce.log" 2>&1 &
  PRODUCER=$!
  PIDS+=("$PRODUCER")
}
events_end() {
  kill "$PRODUCER" 2>/dev/null || true
  wait "$PRODUCER" 2>/dev/null || true
}
# stopped_with TABLE CODE HINT
stopped_with() {
  if grep -aF 'this table stops' "$WORK/runner.log" | grep -aF "table=$1 code=\"$2\"" | grep -aqF "$3"; then
    pass "$1 stopped with $2 and says: $3"
  else
    fail "$1 stopped with $2 and says: $3"
    grep -aF "table=$1 " "$WORK/runner.log" | tail -n 3 | cut -c1-400
  fi
}

say "first rows"
for seed in 1 2 3; do
  events 150 $seed
  check "run --once" ingot run --once
done
right 1 "before any act" $GOES_ON $STOPS
check "Spark is there" spark_ready

say "acts on error tables and views, while run goes on and events arrive"
background runner run
RUNNER=$BACKGROUND
events_flow 9
for name in $GOES_ON $STOPS; do
  suffer "$name" "bronze.${name}_errors"
  suffer "$name" "silver.${name}_rejected"
  suffer "$name" "gold.$name"
done
events_end
foreign ends >"$WORK/ends"
events 150 4
all_read 90 $GOES_ON $STOPS
right 60 "views equal their queries, error tables hold the log's errors less what others took" $GOES_ON $STOPS \
  --lost "$WORK/ends" $STOPS back kept

say "acts on streaming tables, while run goes on and events arrive"
events_flow 10
for name in $GOES_ON $STOPS; do suffer "$name" "bronze.$name"; done
events_end
events 150 5
all_read 90 $GOES_ON
right 60 "they went on" $GOES_ON --lost "$WORK/ends" back kept
stopped_with bronze.dropped L0108 'start `ingot run` again'
stopped_with bronze.replaced L0131 'ingot refresh bronze.replaced --full'
stopped_with bronze.emptied L0131 'ingot refresh bronze.emptied --full'
# Between its DROP and its CREATE it may be seen as dropped.
if grep -aq 'table=bronze.anew code="L0108"' "$WORK/runner.log"; then
  stopped_with bronze.anew L0108 'start `ingot run` again'
else
  stopped_with bronze.anew S0112 'ingot refresh bronze.anew --full'
fi
check "run still goes on" kill -0 "$RUNNER"
check "no table failed from a defect" test "$(grep -acE 'R0311|panicked' "$WORK/runner.log")" = 0
kill -TERM "$RUNNER"
wait "$RUNNER" || true

say "acts while nothing runs"
for name in $GOES_ON; do
  suffer "$name" "bronze.$name"
  suffer "$name" "gold.$name"
done
events 150 6
check_exit 1 "run --once goes on with the others and names those that stand" ingot run --once
last_says 'L0131' "with their codes"
right 1 "they went on" $GOES_ON --lost "$WORK/ends" back kept
check "an idle table whose columns others changed is put right without a message" did add bronze.columns
ingot run --once --select '*.columns' >/dev/null 2>&1 || true
right 1 "it is" columns
check "verify holds where rows were left alone" ingot verify bronze.columns gold.columns
check_exit 1 "verify says where rows were changed" ingot verify bronze.rows
last_says 'another writer' "and that another writer did"

say "the commands that the errors name"
for name in replaced emptied anew; do check "ingot refresh bronze.$name --full" ingot refresh "bronze.$name" --full; done
check "run --once" ingot run --once
right 1 "they are whole again" $STOPS --lost "$WORK/ends" $STOPS

say "other names"
sed -i 's/s_back/s_other/' "$PROJECT/bronze/back.sql"
spark "ALTER TABLE ingot.bronze.columns RENAME TO ingot.bronze.moved" >/dev/null
spark "ALTER TABLE ingot.bronze.columns_errors RENAME TO ingot.bronze.moved_errors" >/dev/null
for layer in bronze silver gold; do mv "$PROJECT/$layer/columns.sql" "$PROJECT/$layer/moved.sql"; done
sed -i 's/columns/moved/g' "$PROJECT"/*/moved.sql
events 150 7
check "run --once" ingot run --once
right 1 "a renamed source and a renamed table read on where they stood" back moved --lost "$WORK/ends" back
check_exit 0 "plan has nothing left" ingot plan --exit-code
