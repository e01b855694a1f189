#!/usr/bin/env bash
# Other engines act on our tables between any two of our commits: Spark and PyIceberg delete, roll back, replace, expire,
# drop, change columns, compact, on streaming tables, on error tables and on views, while `run` goes on and while it is
# stopped. Afterwards every table is right, or it has stopped with an error whose text says what to do.
#
#   foreign.sh [--only PART...]      parts, in this order: sides streams idle commands names

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
PARTS="sides streams idle commands names"
[ "${1:-}" != --only ] || { shift; PARTS=$*; }
SPARK_RUN=$SERVICES/spark.sh
"$SPARK_RUN" install >/dev/null
start_kafka
new_project local 2
rm -r "$PROJECT/bronze" "$PROJECT/silver" "$PROJECT/gold"
mkdir "$PROJECT/bronze" "$PROJECT/silver" "$PROJECT/gold"
# Every 2.5 s: acts fall between any two commits of ours, and on a machine of two cores others get their turn.
OPTIONS+=(--set run.commit_interval_ms=2500 --set run.freshness=2500ms)

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
  CONSTRAINT wanted EXPECT (type IN ('car', 'bike', 'scoot') AND kafka_offset % 5 <> 0) ON VIOLATION QUARANTINE INTO silver.$1_rejected)
AS SELECT id, type, battery, kafka_partition, kafka_offset FROM bronze.$1;
SQL
  cat >"$PROJECT/gold/$1.sql" <<SQL
CREATE MATERIALIZED VIEW gold.$1 AS
SELECT type, count(*) AS total, sum(battery) AS charge, max(battery) AS highest FROM silver.$1 GROUP BY type;
SQL
}

# session IN OUT COMMAND...: an engine that answers each line on IN with one on OUT; its start takes seconds, so it is kept.
session() {
  mkfifo "$WORK/$1" "$WORK/$2"
  "${@:3}" <"$WORK/$1" >"$WORK/$2" 2>"$WORK/$1.log" &
  PIDS+=("$!")
}
session spark.in spark.out "$SPARK_RUN" run "$CLIENTS/spark_session.py" "${LAKE[@]}"
exec 7>"$WORK/spark.in" 8<"$WORK/spark.out"

# ready FD: an engine has started.
ready() {
  local answer
  read -r -t 300 answer <&"$1" && [ "$answer" = "ok ready" ]
}

# asked IN OUT TEXT: one line; prints its answer, fails with it.
asked() {
  local answer
  printf '%s\n' "$3" >&"$1"
  while read -r -t 300 answer <&"$2"; do
    case $answer in
      ok*) printf '%s\n' "${answer#ok}"; return 0 ;;
      error*) printf '%s: %s\n' "$3" "$answer" >&2; return 1 ;;
    esac
  done
  echo "no answer to $3" >&2
  exit 1         # its answer would be taken for the next one's
}
spark() { asked 7 8 "$1"; }
python_act() { asked 5 6 "$1"; }

# Acts: each on one table, by its name without the catalog's.
# snapshot TABLE N: the id of the Nth ancestor of its head.
snapshot() {
  spark "SELECT snapshot_id FROM ingot.$1.history WHERE is_current_ancestor ORDER BY made_current_at DESC LIMIT 1 OFFSET $2" |
    grep -oE '[0-9]{10,}'
}
offset_of() { case $1 in *_errors) echo '`offset`' ;; gold.*) echo total ;; *) echo kafka_offset ;; esac; }
# delete_rows TABLE MODE REMAINDER TYPE: rows that are there: a third of the offsets, or one of an aggregate's groups.
delete_rows() {
  local rows="$(offset_of "$1") % 3 = $3"
  case $1 in gold.*) rows="type = '$4'" ;; esac
  spark "ALTER TABLE ingot.$1 SET TBLPROPERTIES('write.delete.mode'='$2', 'write.delete.isolation-level'='snapshot')" && spark "DELETE FROM ingot.$1 WHERE $rows"
}
act_cow() { delete_rows "$1" copy-on-write 0 bike; }
act_mor() { delete_rows "$1" merge-on-read 1 scoot; }
act_rollback() {
  local to
  to=$(snapshot "$1" 1) && spark "CALL ingot.system.rollback_to_snapshot('$1', $to)"
}
act_replace() { spark "CREATE OR REPLACE TABLE ingot.$1 USING iceberg AS SELECT * FROM ingot.$1 WHERE $(offset_of "$1") % 2 = 0"; }
act_emptied() { spark "CREATE OR REPLACE TABLE ingot.$1 (id STRING) USING iceberg"; }
act_expire() {
  spark "CALL ingot.system.expire_snapshots(table => '$1', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)"
}
act_drop() { spark "DROP TABLE ingot.$1"; }
act_recreate() { spark "DROP TABLE IF EXISTS ingot.$1" && spark "CREATE TABLE ingot.$1 (id STRING, type STRING) USING iceberg"; }
act_add() { spark "ALTER TABLE ingot.$1 ADD COLUMN noted STRING FIRST"; }
act_rename() { spark "ALTER TABLE ingot.$1 RENAME COLUMN $(case $1 in *_errors) echo reason ;; *) echo type ;; esac) TO renamed"; }
act_forget() { spark "ALTER TABLE ingot.$1 DROP COLUMN $(case $1 in *_errors) echo reason ;; gold.*) echo highest ;; *) echo battery ;; esac)"; }
act_layout() {
  local column=id
  case $1 in *_errors) column=topic ;; gold.*) column=total ;; esac
  spark "ALTER TABLE ingot.$1 ADD PARTITION FIELD bucket(2, $column)" && spark "ALTER TABLE ingot.$1 WRITE ORDERED BY $(offset_of "$1")"
}
act_compact() { spark "CALL ingot.system.rewrite_data_files(table => '$1', options => map('rewrite-all', 'true'))"; }
act_manifests() { spark "CALL ingot.system.rewrite_manifests('$1')"; }
act_properties() {
  spark "ALTER TABLE ingot.$1 SET TBLPROPERTIES('write.format.default'='orc', 'note'='x')" &&
    spark "ALTER TABLE ingot.$1 UNSET TBLPROPERTIES IF EXISTS ('write.parquet.compression-codec')"
}
act_insert() { spark "INSERT INTO ingot.$1 SELECT * FROM ingot.$1 LIMIT 2"; }
act_py_delete() { python_act "delete $1"; }
act_py_column() { python_act "add_column $1"; }
act_py_rename() { python_act "rename_column $1"; }
act_py_rollback() { python_act "rollback $1"; }
act_py_expire() { python_act "expire $1"; }

# Sets of tables and the acts on them, one after another: after the first sets' acts a streaming table goes on, after the
# last four it stops with a name.
GOES_ON="rows columns back kept"
STOPS="replaced emptied dropped anew"
acts_of() {
  case $1 in
    rows) echo insert cow compact manifests mor py_delete ;;
    columns) echo add rename forget layout py_column py_rename ;;
    back) echo rollback py_rollback ;;
    kept) echo expire properties py_expire ;;
    replaced) echo replace ;;
    emptied) echo emptied ;;
    dropped) echo drop ;;
    anew) echo recreate ;;
  esac
}
for name in $GOES_ON $STOPS; do tables "$name"; done

# An act that loses against a commit of ours, or meets a table that is being put back, is tried again until it takes
# effect, as its engine's user would.
LOST='CommitFailed|ValidationException|refresh is required|oncurrent|onflict|has changed|Deleted manifest|Missing field'
LOST+='|already exists|database is locked|SQLITE_BUSY|Cannot commit|FileNotFound|NotFoundException|NoSuchTable|TABLE_OR_VIEW_NOT_FOUND'
did() {
  local tries=1 began=$SECONDS
  until "act_$1" "$2" >"$WORK/act.out" 2>&1; do
    if ! grep -qE "$LOST" "$WORK/act.out" || { [ "$tries" -ge 4 ] && [ $((SECONDS - began)) -ge 40 ]; }; then
      fail "$1 on $2, tried $tries times"
      sed 's/^/      /' "$WORK/act.out" | cut -c1-600
      return 1
    fi
    tries=$((tries + 1))
    sleep 0.3
  done
  echo "$1 $2 tries=$tries seconds=$((SECONDS - began))" >>"$WORK/acts.log"
}
# suffer SET TABLE: all acts of a set on one table.
suffer() {
  local act
  for act in $(acts_of "$1"); do did "$act" "$2" || true; done
}
others_snapshots() {
  local changed="coalesce(summary['added-records'], '0') <> '0' OR coalesce(summary['deleted-records'], '0') <> '0'"
  changed+=" OR coalesce(summary['added-position-deletes'], '0') <> '0'"
  spark "SELECT count(*) FROM ingot.$1.snapshots WHERE operation <> 'replace' AND coalesce(summary['engine-name'], '') <> 'ingot' AND ($changed)" |
    grep -oE '[0-9]+' | tail -n 1
}
# took_effect TABLE N: the deletes and inserts of `rows` left snapshots: they did not match nothing.
took_effect() { check "others' deletes and inserts are in $1's history" test "$(others_snapshots "$1")" -ge "$2"; }
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
all_read() { check "the log is read by ${*:2}" eventually "$1" foreign settled "${@:2}"; }
events() { ingot produce --topic "$TOPIC" --events "$1" --seed "$2" --malformed 0.06 >/dev/null; }
events_flow() {
  "$INGOT" produce "${OPTIONS[@]}" --topic "$TOPIC" --events 100000 --rate 30 --seed "$1" --malformed 0.06 >"$WORK/produce.log" 2>&1 &
  PRODUCER=$!
  PIDS+=("$PRODUCER")
}
events_end() {
  kill "$PRODUCER" 2>/dev/null || true
  wait "$PRODUCER" 2>/dev/null || true
}
go() {
  background runner run
  RUNNER=$BACKGROUND
}
halt() {
  check "run still goes on" kill -0 "$RUNNER"
  check "no table failed from a defect" test "$(grep -acE 'R0311|panicked' "$WORK/runner.log")" = 0
  kill -TERM "$RUNNER"
  wait "$RUNNER" || true
  cat "$WORK/runner.log" >>"$WORK/runners.log"
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
all_stopped() {
  local name
  for name in $STOPS; do grep -aF 'this table stops' "$WORK/runner.log" | grep -aqF "table=bronze.$name " || return 1; done
}

say "first rows"
echo '{}' >"$WORK/ends"
for seed in 1 2; do
  events 200 $seed
  check "run --once" ingot run --once
done
session python.in python.out "$PYTHON" "$CLIENTS/foreign.py" "${LAKE[@]}" session
exec 5>"$WORK/python.in" 6<"$WORK/python.out"
right 1 "before any act" $GOES_ON $STOPS
check "the judge objects to a row less, doubled or made up" foreign red rows
check "Spark is there" ready 8
check "PyIceberg is there" ready 6

sides() {
  say "acts on error tables and views, while run goes on and events arrive"
  local name
  go
  events_flow 9
  for name in $GOES_ON $STOPS; do
    suffer "$name" "bronze.${name}_errors"
    suffer "$name" "gold.$name"
  done
  events_end
  took_effect bronze.rows_errors 4
  took_effect gold.rows 4
  foreign ends >"$WORK/ends"
  events 150 4
  all_read 60 $GOES_ON $STOPS
  right 60 "views equal their queries, error tables hold the log's errors less what others took" $GOES_ON $STOPS \
    --lost "$WORK/ends" $STOPS back kept
  halt
}

streams() {
  say "acts on streaming tables, while run goes on and events arrive"
  local name
  go
  events_flow 10
  for name in $GOES_ON $STOPS; do suffer "$name" "bronze.$name"; done
  events_end
  took_effect bronze.rows 4
  events 150 5
  all_read 60 $GOES_ON
  right 60 "they went on" $GOES_ON --lost "$WORK/ends" back kept
  eventually 30 all_stopped || true
  stopped_with bronze.dropped L0108 'start `ingot run` again'
  stopped_with bronze.replaced L0131 'ingot refresh bronze.replaced --full'
  stopped_with bronze.emptied L0131 'ingot refresh bronze.emptied --full'
  # Between its DROP and its CREATE it may be seen as dropped.
  if grep -aq 'table=bronze.anew code="L0108"' "$WORK/runner.log"; then
    stopped_with bronze.anew L0108 'start `ingot run` again'
  else
    stopped_with bronze.anew S0112 'ingot refresh bronze.anew --full'
  fi
  halt
  STRUCK=yes
}

idle() {
  say "acts while nothing runs"
  local name
  for name in $GOES_ON; do
    suffer "$name" "bronze.$name"
    suffer "$name" "silver.${name}_rejected"
  done
  strike
  took_effect silver.rows_rejected 4
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
}

# The tables that stop have been struck by now.
STRUCK=
strike() {
  local name
  [ -z "$STRUCK" ] || return 0
  for name in $STOPS; do suffer "$name" "bronze.$name"; done
  STRUCK=yes
}

commands() {
  say "the commands that the errors name"
  local name
  strike
  for name in replaced emptied anew; do check "ingot refresh bronze.$name --full" ingot refresh "bronze.$name" --full; done
  check "run --once" ingot run --once
  right 1 "they are whole again" $STOPS --lost "$WORK/ends" $STOPS
}

names() {
  say "other names"
  local layer
  sed -i 's/s_back/s_other/' "$PROJECT/bronze/back.sql"
  spark "ALTER TABLE ingot.bronze.columns RENAME TO bronze.moved" >/dev/null
  spark "ALTER TABLE ingot.bronze.columns_errors RENAME TO bronze.moved_errors" >/dev/null
  for layer in bronze silver gold; do mv "$PROJECT/$layer/columns.sql" "$PROJECT/$layer/moved.sql"; done
  sed -i 's/columns/moved/g' "$PROJECT"/*/moved.sql
  events 150 7
  check "run --once" ingot run --once
  right 1 "a renamed source and a renamed table read on where they stood" back moved --lost "$WORK/ends" back
  check_exit 0 "plan has nothing left" ingot plan --exit-code
}

for part in $PARTS; do $part; done
say "done"
