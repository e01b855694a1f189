#!/usr/bin/env bash
# Rows that are erased are in no file any more, wherever erasing them was killed: tests/clients/erase.py says what must hold.

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
driven erase.py "$@"
