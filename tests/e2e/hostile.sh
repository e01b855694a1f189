#!/usr/bin/env bash
# Messages that no well-behaved producer sends, through a real broker: ten thousand columns, NUL in keys and headers,
# doubled keys, lone surrogates, bytes that are no UTF-8, deep nesting, messages of 90 and 104 MB. Every message is a row or
# an error row.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
new_project local 1
rm -r "$PROJECT/bronze" "$PROJECT/silver" "$PROJECT/gold"
mkdir "$PROJECT/bronze"
WIDE=$TOPIC-wide ODD=$TOPIC-odd
"$PYTHON" - "$WIDE" "$ODD" "$PROJECT/bronze" <<'PY'
import pathlib, sys
wide, odd, folder = sys.argv[1:]
columns = ", ".join(f"c{i} BIGINT" for i in range(10_000))
pathlib.Path(folder, "wide.sql").write_text(f"""CREATE SOURCE wide_source ({columns}) INCLUDE OFFSET AS at
WITH ('connector' = 'kafka', 'topic' = '{wide}') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.wide AS SELECT * FROM STREAM wide_source;
""")
pathlib.Path(folder, "odd.sql").write_text(f"""CREATE SOURCE odd_source (v VARCHAR, n BIGINT)
INCLUDE KEY AS k INCLUDE OFFSET AS at INCLUDE HEADERS AS h
WITH ('connector' = 'kafka', 'topic' = '{odd}') FORMAT PLAIN ENCODE JSON;
CREATE STREAMING TABLE bronze.odd ON DECODE ERROR INTO bronze.odd_errors AS SELECT k, v, at, h FROM STREAM odd_source;
""")
PY
topics delete "$TOPIC"

check "messages were sent" "$PYTHON" "$CLIENTS/hostile.py" send "$INGOT_TEST_KAFKA" "$WIDE" "$ODD"
check "check" ingot check
check "run --once" ingot run --once
judge() { check "$1" "$PYTHON" "$CLIENTS/hostile.py" judge "sqlite:///$CATALOG" "file://$WORK/lake"; }
judge "rows and error rows are those that were sent"
check "verify" ingot verify
check "run --once again" ingot run --once
judge "and nothing is there twice"
serve
check "ten thousand columns over Flight SQL" ingot sql --json "SELECT * FROM bronze.wide WHERE at = 2"
last_says '"c9999": ?-9999\b' "with their values"
check "a row beside 194 MB" ingot sql "SELECT v FROM bronze.odd WHERE v = 'last'"
last_says 'last' "is there"
