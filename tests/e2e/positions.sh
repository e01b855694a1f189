#!/usr/bin/env bash
# Positions behind transactions, and a topic that is deleted and made anew.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
new_project local 2
serve_and_judge() {
  serve
  judged "$1"
  kill "$SERVER"
  wait "$SERVER" 2>/dev/null || true
}

say "a trailing aborted transaction"
topics send "$TOPIC" 300 --seed 1
topics transaction "$TOPIC" 200 commit --seed 2
topics transaction "$TOPIC" 100 abort --seed 3
check "run --once" ingot run --once
serve_and_judge "behind an aborted transaction"
pointers >"$WORK/before"
check "run --once again" ingot run --once
pointers >"$WORK/after"
check "control records alone are not committed again" diff "$WORK/before" "$WORK/after"

say "an open transaction"
"$PYTHON" "$CLIENTS/topics.py" "$INGOT_TEST_KAFKA" open "$TOPIC" 50 --seed 4 --hold 20 >"$WORK/open.out" &
OPEN=$!
PIDS+=("$OPEN")
eventually 30 grep -q open "$WORK/open.out" || fail "the transaction did not open"
topics send "$TOPIC" 100 --seed 5
began=$SECONDS
check "run --once does not wait for it" ingot run --once
check "and ends in good time" test $((SECONDS - began)) -le 60
serve_and_judge "beside an open transaction"
wait "$OPEN" || fail "the open transaction's holder failed"
check "run --once after it" ingot run --once
check "verify" ingot verify
serve_and_judge "after the open transaction"

say "the topic is deleted and made anew"
pointers >"$WORK/before"
topics delete "$TOPIC"
topics create "$TOPIC" --partitions 2
topics send "$TOPIC" 2000 --seed 6
check_exit 1 "run --once refuses" ingot run --once
last_says 'S[0-9]{4}' "with a source error's code"
last_says "topic \"$TOPIC\" was deleted and created again" "and says what happened"
pointers >"$WORK/after"
check "nothing was written" diff <(grep bronze "$WORK/before") <(grep bronze "$WORK/after")
