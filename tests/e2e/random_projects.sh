#!/usr/bin/env bash
# Random projects under messages and other engines' acts, every table compared after each step.
#
#   random_projects.sh [--comparisons N] [--seed N] [--only PROJECT]      random_projects.py says more

. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
start_kafka
driven random_projects.py "$@"
