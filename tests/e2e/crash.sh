#!/usr/bin/env bash
# Kills at every named point and at random, on a real Kafka; the lake is judged after each:
# crash.sh [--lake local|s3] [--kills N] [--seed N] [--seconds S] [-v]; `tests/clients/crash.py` says what must hold.
# Recovery time is measured on the way.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
case " $* " in *" s3 "*) start_minio ;; esac
driven crash.py "$@"
