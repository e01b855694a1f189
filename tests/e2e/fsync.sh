#!/usr/bin/env bash
# What a commit makes durable, and when: strace of a run sees every data, manifest list, manifest and metadata file,
# and the folder of each, synced before SQLite is told of them.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
command -v strace >/dev/null || { echo "strace is not installed" >&2; exit 2; }
start_kafka
new_project local
topics send "$TOPIC" 500 --seed 1

say "a run under strace"
traced() {
  timeout --kill-after=15 300 strace -f -y -qq -s 8192 -o "$WORK/trace" \
    -e trace=openat,creat,write,pwrite64,pwritev,writev,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat \
    "$INGOT" run "${OPTIONS[@]}" --once
}
check "run --once" traced
check "every file was synced before its commit" "$PYTHON" "$CLIENTS/fsync_trace.py" "${LAKE[@]}" --trace "$WORK/trace"
cat "$WORK/last.out"

say "the trace's reader is not fooled"
grep -avE '^[0-9]+ +(<\.\.\. )?f(data)?sync' "$WORK/trace" >"$WORK/without"
check_exit 1 "without the syncs it objects" "$PYTHON" "$CLIENTS/fsync_trace.py" "${LAKE[@]}" --trace "$WORK/without"
last_says 'not synced before the commit' "and says of what"
