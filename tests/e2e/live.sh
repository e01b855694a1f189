#!/usr/bin/env bash
# `up` while events arrive, with a reader on its endpoint; `demo` on a terminal.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
new_project local

say "up, while events arrive"
background up up
UP=$BACKGROUND
eventually 30 listening "$FLIGHT_PORT" || { fail "up listens"; tail -n 20 "$WORK/up.log"; exit 1; }
FLIGHT=grpc://127.0.0.1:$FLIGHT_PORT
"$INGOT" produce "${OPTIONS[@]}" --topic "$TOPIC" --events 40000 --rate 4000 --seed 5 --malformed 0.01 --duplicates 0.02 \
  >"$WORK/produce.log" 2>&1 &
PRODUCER=$!
PIDS+=("$PRODUCER")
check "readers see whole refreshes only, and the last one" "$PYTHON" "$CLIENTS/watch.py" "$FLIGHT"
tail -n 3 "$WORK/last.out"
code=0
wait "$PRODUCER" || code=$?
check "the producer ended well" test "$code" = 0
eventually 20 ingot status --json || true
judged "up"
before=$(pointers | md5sum)
sleep 3
check "an idle up commits nothing" test "$(pointers | md5sum)" = "$before"
check_exit 1 "an address that others reach is refused" ingot serve --set serve.listen=0.0.0.0:0
last_says 'C0108' "with its code"
began=$SECONDS
code=0
kill -TERM "$UP"
wait "$UP" || code=$?
check "SIGTERM ends up with 143 within 10 s" test "$code" = 143 -a $((SECONDS - began)) -le 10
check "verify" ingot verify

say "demo on a terminal"
check "it shows what happens, says how to connect, serves, and ends on Ctrl-C" "$PYTHON" "$CLIENTS/terminal.py" "$INGOT" "$(free_port)"
