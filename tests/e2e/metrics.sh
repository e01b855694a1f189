#!/usr/bin/env bash
# Health, readiness and metrics of `up`, while things go well and while they fail: each metric of the list moves.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
new_project local
HTTP=127.0.0.1:$(free_port)
# In the file, so that one source may have another broker: --set would override its WITH.
sed -i "s/^bootstrap.servers = .*/bootstrap.servers = \"$INGOT_TEST_KAFKA\"/" "$PROJECT/ingot.toml"
OPTIONS=(--project "$PROJECT" --set "serve.listen=127.0.0.1:$FLIGHT_PORT" --set "http.listen=$HTTP"
  --set "warehouse.location=$WORK/lake" --set upkeep.enabled=true --set "upkeep.snapshots-min-age=1 s")
cat >"$PROJECT/bronze/away.sql" <<SQL
CREATE SOURCE away (id VARCHAR)
WITH ('connector' = 'kafka', 'topic' = 'away', 'bootstrap.servers' = '127.0.0.1:$(free_port)') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.away AS SELECT * FROM STREAM away;
SQL
echo 'CREATE MATERIALIZED VIEW gold.failing AS SELECT CAST(id AS INT) AS n FROM silver.vehicle_events;' \
  >"$PROJECT/gold/failing.sql"

say "an address that is taken, and none"
"$PYTHON" -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); time.sleep(30)' "${HTTP#*:}" &
PIDS+=("$!")
TAKEN=$!
eventually 10 listening "${HTTP#*:}"
check_exit 3 "an address that is taken ends the command" ingot up
last_says "http.listen" "  and the setting is named"
kill "$TAKEN"
wait "$TAKEN" 2>/dev/null || true
check_exit 1 "what is no address is refused" ingot up --set http.listen=nowhere
last_says 'C0102' "  with its code"

say "up"
background up up
UP=$BACKGROUND
eventually 30 listening "${HTTP#*:}" || { fail "it listens"; tail -n 20 "$WORK/up.log"; exit 1; }
eventually 30 listening "$FLIGHT_PORT" || { fail "up listens"; tail -n 20 "$WORK/up.log"; exit 1; }
driven metrics.py --http "$HTTP" --flight "grpc://127.0.0.1:$FLIGHT_PORT" --topic "$TOPIC" --lake "$WORK/lake"
began=$SECONDS
code=0
kill -TERM "$UP"
wait "$UP" || code=$?
check "SIGTERM ends it within 10 s" test $((SECONDS - began)) -le 10
check "nothing listens any more" eval '! listening "${HTTP#*:}"'

say "serve alone"
background served serve
eventually 30 listening "${HTTP#*:}" || { fail "serve listens"; tail -n 20 "$WORK/served.log"; exit 1; }
check "serve tells that it is ready" "$PYTHON" -c 'import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())' "http://$HTTP/readyz"
