# What the end-to-end scripts share: a project of their own, servers, the real binary, and checks that count.
# Sourced, never run. $INGOT names the binary (default: the debug build).
#
# Everything a script starts is stopped when it ends. Its folder is removed when it passed and kept, with the logs,
# when it failed. Prints one line a check, and `N passed, N failed` at the end.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SERVICES=$ROOT/tests/services
CLIENTS=$ROOT/tests/clients
INGOT=${INGOT:-${CARGO_TARGET_DIR:-$ROOT/target}/debug/ingot}
SCRIPT=$(basename "$0" .sh)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/ingot-$SCRIPT.XXXXXX")
PASSED=0
FAILED=0
PIDS=()
SERVER=
[ -x "$INGOT" ] || { echo "$SCRIPT: no binary at $INGOT: cargo build, or set INGOT" >&2; exit 2; }

say() { printf '== %4ds  %s\n' "$SECONDS" "$*"; }

pass() { PASSED=$((PASSED + 1)); printf 'ok    %s\n' "$*"; }

fail() { FAILED=$((FAILED + 1)); printf 'FAIL  %s\n' "$*"; }

# check TEXT COMMAND...: holds when the command exits with 0; what it printed is shown when it does not.
check() { check_exit 0 "$@"; }

# check_exit CODE TEXT COMMAND...
check_exit() {
  local wanted=$1 text=$2 code=0
  shift 2
  "$@" >"$WORK/last.out" 2>&1 || code=$?
  if [ "$code" = "$wanted" ]; then
    pass "$text"
  else
    fail "$text (exit $code, not $wanted)"
    tail -n 40 "$WORK/last.out" | sed 's/^/      /'
  fi
}

# last_says PATTERN TEXT: the output of the last check matches.
last_says() {
  if grep -qE -- "$1" "$WORK/last.out"; then
    pass "$2"
  else
    fail "$2 (nothing matches $1)"
    tail -n 20 "$WORK/last.out" | sed 's/^/      /'
  fi
}

# eventually SECONDS COMMAND...
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.2
  done
}

finish() {
  local code=$? pid
  trap - EXIT
  for pid in ${PIDS[@]+"${PIDS[@]}"}; do kill "$pid" 2>/dev/null || true; done
  if [ "$code" != 0 ]; then
    FAILED=$((FAILED + 1))
    echo "FAIL  $SCRIPT ended early (exit $code)"
    [ ! -s "$WORK/driver.err" ] || tail -n 60 "$WORK/driver.err"
  fi
  if [ "$FAILED" = 0 ]; then rm -rf "$WORK"; else echo "kept: $WORK"; fi
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" = 0 ] || exit 1
}
trap finish EXIT
trap 'exit 143' TERM

start_kafka() {
  local exports
  exports=$("$SERVICES/kafka.sh" start) || exit 1
  eval "$exports"
}

start_minio() {
  local exports
  exports=$("$SERVICES/minio.sh" start) || exit 1
  eval "$exports"
}

PYTHON=$("$SERVICES/python.sh" install)

topics() { "$PYTHON" "$CLIENTS/topics.py" "$INGOT_TEST_KAFKA" "$@"; }

# A driver that is ended because its time is over says where its threads stood.
DRIVER='import faulthandler, os, runpy, signal, sys
faulthandler.register(signal.SIGTERM, chain=True)
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")'

# driven SCRIPT ARG...: a driver of tests/clients that starts and kills the binary itself; what it counts is counted here.
driven() {
  local script=$1 last
  shift
  "$PYTHON" -c "$DRIVER" "$CLIENTS/$script" --ingot "$INGOT" ${INGOT_TEST_KAFKA:+--brokers "$INGOT_TEST_KAFKA"} --work "$WORK" "$@" 2>"$WORK/driver.err" |
    tee "$WORK/driver.out" || true
  last=$(tail -n 1 "$WORK/driver.out")
  if [[ $last =~ ^([0-9]+)\ right,\ ([0-9]+)\ wrong$ ]]; then
    PASSED=$((PASSED + BASH_REMATCH[1]))
    FAILED=$((FAILED + BASH_REMATCH[2]))
  else
    fail "$script did not come to its end"
    tail -n 40 "$WORK/driver.err"
  fi
}

free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# new_project STORE: the shipped project on a topic of its own, on local disk or on MinIO.
new_project() {
  TOPIC=e2e-$SCRIPT-$$-$RANDOM
  PROJECT=$WORK/sql
  cp -r "$ROOT/sql" "$PROJECT"
  sed -i "s/'vehicles-events'/'$TOPIC'/" "$PROJECT/bronze/vehicle_events.sql"
  FLIGHT_PORT=$(free_port)
  OPTIONS=(--project "$PROJECT" --set "kafka.bootstrap.servers=$INGOT_TEST_KAFKA" --set "serve.listen=127.0.0.1:$FLIGHT_PORT")
  case $1 in
    local)
      CATALOG=$WORK/lake/catalog.db
      OPTIONS+=(--set "warehouse.location=$WORK/lake")
      LAKE=(--catalog-uri "sqlite:///$CATALOG" --warehouse "file://$WORK/lake")
      ;;
    minio)
      CATALOG=$WORK/catalog/catalog.db
      mkdir -p "$WORK/catalog"
      local prefix="s3://$INGOT_TEST_S3_BUCKET/$TOPIC"
      OPTIONS+=(--set "warehouse.location=$prefix" --set "catalog.uri=sqlite:///$CATALOG" --set "s3.region=us-east-1"
        --set "s3.endpoint=$INGOT_TEST_S3_ENDPOINT" --set "s3.path-style-access=true")
      export INGOT_S3__ACCESS_KEY_ID=$INGOT_TEST_S3_ACCESS_KEY INGOT_S3__SECRET_ACCESS_KEY=$INGOT_TEST_S3_SECRET_KEY
      LAKE=(--catalog-uri "sqlite:///$CATALOG" --warehouse "$prefix" --s3-endpoint "$INGOT_TEST_S3_ENDPOINT")
      ;;
  esac
  topics create "$TOPIC" --partitions "${2:-4}"
}

# ingot COMMAND...: in the foreground, bounded in time.
ingot() {
  local command=$1
  shift
  timeout --kill-after=15 "${INGOT_TEST_SECONDS:-300}" "$INGOT" "$command" "${OPTIONS[@]}" "$@"
}

# background NAME COMMAND...: `ingot COMMAND` itself (no wrapper between, so that a kill reaches it); its id in BACKGROUND.
background() {
  local name=$1 command=$2
  shift 2
  "$INGOT" "$command" "${OPTIONS[@]}" "$@" >"$WORK/$name.log" 2>&1 </dev/null &
  BACKGROUND=$!
  PIDS+=("$BACKGROUND")
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

serve() {
  background serve serve
  SERVER=$BACKGROUND
  if eventually 30 listening "$FLIGHT_PORT"; then pass "serve listens"; else
    fail "serve listens"
    tail -n 20 "$WORK/serve.log"
    exit 1
  fi
  FLIGHT=grpc://127.0.0.1:$FLIGHT_PORT
}

# Where each table stands: its name and the metadata file that the catalog points at.
pointers() {
  "$PYTHON" - "$CATALOG" <<'PY'
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(
        "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables ORDER BY 1, 2"):
    print(*row)
PY
}

# judged TEXT ARG...: all three judges. The server must run and nothing must write.
judged() {
  local text=$1
  shift
  if "$PYTHON" "$CLIENTS/judge.py" "${LAKE[@]}" --brokers "$INGOT_TEST_KAFKA" --topic "$TOPIC" --flight "$FLIGHT" \
    --canonical "$WORK/canonical" "$@" >"$WORK/judge.out" 2>&1; then
    pass "$text: judge: $(grep '^topic' "$WORK/judge.out"); $(tail -n 1 "$WORK/judge.out")"
  else
    fail "$text: judge"
    grep -v '^ok' "$WORK/judge.out" | head -n 60 | sed 's/^/      /'
    return
  fi
  check "$text: JDBC's own checks" jdbc
  check "$text: JDBC reads what the judge computed" diff "$WORK/canonical" "$WORK/jdbc.out"
}

jdbc() {
  "$SERVICES/jdbc.sh" run "$CLIENTS/Judge.java" "jdbc:arrow-flight-sql://127.0.0.1:$FLIGHT_PORT/?useEncryption=false" \
    2>"$WORK/jdbc.err" >"$WORK/jdbc.out" || { grep -v '^ok' "$WORK/jdbc.err"; return 1; }
}
