#!/usr/bin/env bash
# Crashes on a real Kafka, judged from outside; what must hold is said in each driver of tests/clients.
#
#   crash.sh [kills]   [--lake local|s3] [--kills N] [--seed N] [--seconds S] [-v]     crash.py: SIGKILL at every named point
#                                                          and at random; recovery time is measured on the way
#   crash.sh suspend   [--share N] [--seed N]              suspend.py: two processes, one suspended in the middle of its work
#   crash.sh power     [--share N] [--seed N]              power.py: what was not synced is gone
#   crash.sh edits     [--steps N] [--seconds S] [--seed N]        edits.py: other SQL between a crash and its recovery

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
part=kills
case ${1:-} in kills | suspend | power | edits) part=$1; shift ;; esac
start_kafka
case " $* " in *" s3 "*) start_minio ;; esac
[ "$part" != power ] || command -v strace >/dev/null || { echo "strace is not installed" >&2; exit 2; }
case $part in
  kills) driven crash.py "$@" ;;
  *) driven "$part.py" "$@" ;;
esac
