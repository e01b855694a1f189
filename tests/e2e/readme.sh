#!/usr/bin/env bash
# The README's commands, as they stand there: readme.sh {demo|test|tour}
#
# demo and test are the first and second line of the block "Two commands". The tour is all blocks marked `sh tour`, as
# one shell script, with fresh servers, and then the Python of "Connecting" against what the tour left behind. Run it in
# a clean clone, so that it fails if a command needs a file that is not committed.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"

# block NAME: the text of the README's code blocks that begin with ```NAME.
block() { awk -v fence="\`\`\`$1" '$0 == fence {on = 1; next} /^```/ {on = 0} on' README.md; }

command_number() {
  local line
  line=$(block sh | sed -n "$1p")
  [ -n "$line" ] || { echo "readme: there is no command $1" >&2; exit 1; }
  printf '%s\n' "$line"
}

case ${1:-} in
  demo | test)
    [ "$(block sh | wc -l)" = 2 ] || { echo "readme: the README does not have two commands" >&2; exit 1; }
    line=$(command_number "$([ "$1" = demo ] && echo 1 || echo 2)")
    echo "\$ $line"
    bash -euo pipefail -c "$line" </dev/null
    ;;
  tour)
    script=$(block 'sh tour')
    [ "$(grep -c . <<<"$script")" -gt 10 ] || { echo "readme: no tour" >&2; exit 1; }
    [ ! -e warehouse ] || { echo "readme: there is a warehouse here already; use a clean clone" >&2; exit 1; }
    trap 'tests/services/kafka.sh stop; tests/services/minio.sh stop' EXIT
    bash -euxo pipefail -c "$script" </dev/null
    python=$(tests/services/python.sh install)
    cargo run --quiet -- serve </dev/null &
    server=$!
    trap 'kill $server 2>/dev/null; tests/services/kafka.sh stop; tests/services/minio.sh stop' EXIT
    for _ in $(seq 150); do
      (exec 3<>/dev/tcp/127.0.0.1/32010) 2>/dev/null && break
      sleep 0.2
    done
    code=$(block python)
    [ "$(grep -c fetch_arrow_table <<<"$code")" = 1 ] && [ "$(grep -c SqlCatalog <<<"$code")" = 2 ] ||
      { echo "readme: the Python is not there" >&2; exit 1; }
    "$python" -c "${code//\/path\/to\/warehouse/$PWD/warehouse}"
    rm -rf warehouse
    ;;
  *)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
