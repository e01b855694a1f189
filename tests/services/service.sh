# What the scripts in this folder share: where things are kept, how a server is started, awaited and stopped.
# Sourced, never run. Each script says: NAME, and the functions it needs of its own.
#
#   INGOT_TEST_CACHE   installed programs; kept from run to run        (default ~/.cache/ingot/services)
#   INGOT_TEST_RUN     data, logs and process ids of started servers   (default $INGOT_TEST_CACHE/run)
#
# A server is stopped only if it was started from here: the process id in its pid file must still be the same
# process, by its start time, that was started.

CACHE=${INGOT_TEST_CACHE:-$HOME/.cache/ingot/services}
RUN=${INGOT_TEST_RUN:-$CACHE/run}
STATE=$RUN/$NAME
mkdir -p "$CACHE" "$STATE"

say() { printf '%s: %s\n' "$NAME" "$*" >&2; }
die() { say "$*"; exit 1; }

# apt_install PACKAGE...: Debian packages, by root or with sudo.
apt_install() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  command -v apt-get >/dev/null 2>&1 || die "there is no apt-get to install $* with: install them by hand"
  say "installing $*"
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@")
  "${install[@]}" >>"$STATE/apt.log" 2>&1 && return
  { "${as_root[@]}" apt-get update -qq && "${install[@]}"; } >>"$STATE/apt.log" 2>&1 ||
    die "could not install $*; see $STATE/apt.log"
}

# need COMMAND PACKAGE...: installs the packages when the command is missing.
need() {
  command -v "$1" >/dev/null 2>&1 || apt_install "${@:2}"
}

# new_venv FOLDER: an empty virtual environment (Debian keeps what that needs in a package of its own).
new_venv() {
  need python3 python3
  rm -rf "$1"
  python3 -m venv "$1" >>"$STATE/venv.log" 2>&1 && return
  apt_install python3-venv
  rm -rf "$1"
  python3 -m venv "$1" >>"$STATE/venv.log" 2>&1 || die "could not make a virtual environment; see $STATE/venv.log"
}

free_port() {
  need python3 python3
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The start time of a process, which with its id names it for good; empty if there is none.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

running() {
  local pid when
  [ -s "$STATE/pid" ] || return 1
  read -r pid when <"$STATE/pid"
  [ -n "$pid" ] && [ "$(started_at "$pid")" = "$when" ]
}

# launch COMMAND...: in the background, in a session of its own, with its log kept.
launch() {
  [ ! -s "$STATE/log" ] || mv "$STATE/log" "$STATE/log.previous"
  setsid "$@" >"$STATE/log" 2>&1 </dev/null &
  local pid=$!
  sleep 0.1
  printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$STATE/pid"
}

# await SECONDS CHECK...: until the check holds; fails at once when the server has died.
await() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    running || { tail -n 30 "$STATE/log" >&2; die "ended while starting; see $STATE/log"; }
    [ $SECONDS -lt $deadline ] || { tail -n 30 "$STATE/log" >&2; die "not ready in time; see $STATE/log"; }
    sleep 0.2
  done
}

# stop_server [SIGNAL]
stop_server() {
  running || { rm -f "$STATE/pid" "$STATE/env"; return 0; }
  local pid when deadline=$((SECONDS + 20))
  read -r pid when <"$STATE/pid"
  kill -s "${1:-TERM}" "$pid" 2>/dev/null || true
  while running && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
  if running; then
    say "does not stop, killing it"
    kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$STATE/pid" "$STATE/env"
  say "stopped"
}

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
