#!/usr/bin/env bash
# Three real brokers that are killed, moved and robbed of records under a running project:
# broker_faults.sh [--seed N] [--only WORD]; `tests/clients/broker_faults.py` says what must hold. The brokers are its own.

unset INGOT_TEST_KAFKA
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
driven broker_faults.py "$@"
