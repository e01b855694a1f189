#!/usr/bin/env bash
# The Python of the judges: a virtual environment with the clients that Ingot is compared with.
#
#   python.sh install        make it, if it is not there, and print its interpreter's path
#   python.sh path           print the path; exit 3 if it is not there
#
# Kept in the cache folder (see service.sh) and made anew when the list below changes.

set -euo pipefail
NAME=python
. "$(dirname "${BASH_SOURCE[0]}")/service.sh"
PACKAGES='confluent-kafka==2.16.1
pyiceberg[sql-sqlite,pyarrow]==0.12.0
pyiceberg-core==0.11.0
adbc-driver-manager==1.13.0
adbc-driver-flightsql==1.13.0
pyarrow==26.0.1
duckdb==2.0.1'
VENV=$CACHE/python

install_python() {
  if [ -f "$VENV/packages" ] && [ "$(cat "$VENV/packages")" = "$PACKAGES" ]; then
    echo "$VENV/bin/python"
    return
  fi
  say "installing the judges' clients"
  new_venv "$VENV"
  local list=()
  mapfile -t list <<<"$PACKAGES"
  "$VENV/bin/pip" install -q "${list[@]}" >>"$STATE/install.log" 2>&1 || die "could not install; see $STATE/install.log"
  printf '%s\n' "$PACKAGES" >"$VENV/packages"
  echo "$VENV/bin/python"
}

case ${1:-} in
  install) install_python ;;
  path) [ -f "$VENV/packages" ] || exit 3; echo "$VENV/bin/python" ;;
  *) usage ;;
esac
