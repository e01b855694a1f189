#!/bin/sh
# Installs what building Ingot takes and is missing (setup.sh), builds Ingot, and runs every test that needs no server.
#
#   ./test.sh [--yes] [ARGUMENT...]   --yes: install without asking; the rest are arguments of `cargo test --workspace`
#   ./test.sh --check                 only say what is missing

set -eu
cd "$(dirname "$0")"
case ${1:-} in
  --check) exec ./setup.sh --check ;;
  -h | --help)
    sed -n '2,/^$/s/^# \{0,1\}//p' test.sh
    exit
    ;;
  --yes)
    ./setup.sh --yes
    shift
    ;;
  *) ./setup.sh ;;
esac
PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
export PATH
exec cargo test --workspace "$@"
