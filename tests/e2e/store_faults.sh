#!/usr/bin/env bash
# A failing object store (MinIO behind a proxy), a full disk, a locked and a read-only catalog:
# store_faults.sh [--seed N] [--only WORD] [--share] [-v]; `tests/clients/store_faults.py` says what must hold.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
start_minio
driven store_faults.py "$@"
