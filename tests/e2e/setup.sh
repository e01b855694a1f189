#!/usr/bin/env bash
# What setup.sh says and runs on machines that lack something: no test of it installs anything. Each machine is a folder of
# programs that is the whole PATH; package managers, sudo, curl and rustup there only write down how they were called.
# The last line is `N passed, N failed`.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
CASE=''
PASSED=0
FAILED=0

# machine NAME PROGRAM...: a fresh PATH with the shell, what every system has, and these programs of this machine.
machine() {
  CASE=$1
  BIN=$WORK/$1
  CALLS=$WORK/$1.calls
  mkdir -p "$BIN" "$WORK/home"
  : >"$CALLS"
  local program
  for program in sh bash sed awk tr cut grep sort cat mktemp rm dirname env as ld "${@:2}"; do
    ln -sf "$(command -v "$program")" "$BIN/$program"
  done
  stub id 'echo 0'
}

# stub NAME [LINE]: a program that writes its arguments down and does no more than the line.
stub() {
  printf '#!/bin/sh\necho "%s $*" >>"%s"\n%s\n' "$1" "$CALLS" "${2:-:}" >"$BIN/$1"
  chmod +x "$BIN/$1"
}

# A Rust from elsewhere, of some version.
rust() {
  stub cargo "echo cargo $1"
  stub rustc "echo 'rustc $1 (abc 2026-01-01)'"
}

# setup CODE [ARGUMENT...]: runs setup.sh without a terminal, and expects the exit code.
setup() {
  local code=0
  env -i HOME="$WORK/home" PATH="$BIN" TMPDIR="$WORK" sh "$ROOT/setup.sh" "${@:2}" >"$WORK/said" 2>&1 </dev/null || code=$?
  expect "exit code $1" [ "$code" = "$1" ]
}

expect() {
  if "${@:2}"; then
    PASSED=$((PASSED + 1))
  else
    FAILED=$((FAILED + 1))
    echo "FAIL $CASE: $1"
    sed 's/^/  said:   /' "$WORK/said"
    sed 's/^/  called: /' "$CALLS"
  fi
}
said() { expect "says: $1" grep -qF -- "$1" "$WORK/said"; }
called() { expect "calls: $1" grep -qF -- "$1" "$CALLS"; }
lacks() { ! grep -qF -- "$1" "$2"; }
not_called() { expect "does not call: $1" lacks "$1" "$CALLS"; }

machine everything cc c++ make pkg-config
rust 1.97.0
setup 0
expect 'says nothing' [ ! -s "$WORK/said" ]
setup 0 --check
said 'nothing is missing'

machine fresh
stub curl
stub apt-get
setup 1 --check
said "OpenSSL's headers"
said 'apt-get update; env DEBIAN_FRONTEND=noninteractive apt-get install -y build-essential libssl-dev pkg-config'
said 'https://sh.rustup.rs'
not_called apt-get
setup 1
called 'apt-get install -y build-essential libssl-dev pkg-config'
called 'https://sh.rustup.rs'
said 'this is still missing'
said 'RUSTUP_DIST_SERVER'

machine old-rust cc c++ make pkg-config
rust 1.94.1
stub curl
setup 1 --yes
called 'https://sh.rustup.rs'

machine old-toolchain cc c++ make pkg-config
# shellcheck disable=SC2016
stub rustup '[ "$1" = toolchain ]'
setup 1 --yes
called 'rustup toolchain install 1.'
called '--component rustfmt,clippy'
not_called sh.rustup.rs

machine no-component cc c++ make pkg-config
# shellcheck disable=SC2016
stub rustup '[ "$1" != component ] || echo rustfmt-x86_64-unknown-linux-gnu'
setup 1 --check
said 'rustup toolchain install 1.'
stub rustup 'printf "rustfmt-x86_64-unknown-linux-gnu\nclippy-x86_64-unknown-linux-gnu\n"'
setup 0

machine no-root cc c++ make
rust 1.95.0
stub id 'echo 1000'
stub apt-get
setup 1 --yes
said 'there is no sudo'
said 'apt-get install -y libssl-dev pkg-config'
not_called apt-get

machine sudo-with-password cc c++ make
rust 1.95.0
stub id 'echo 1000'
stub apt-get
stub sudo 'exit 1'
setup 1 --yes
said 'no terminal'
said 'sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y libssl-dev pkg-config'
not_called apt-get

machine sudo-without-password cc c++ make
rust 1.95.0
stub id 'echo 1000'
stub apt-get
stub sudo
setup 1
called 'sudo apt-get update'
called 'apt-get install -y libssl-dev pkg-config'

machine packages-fail cc c++ make
rust 1.95.0
stub apt-get 'exit 100'
setup 1 --yes
said 'that failed'

machine unknown-manager cc c++ make
rust 1.95.0
setup 1
said 'no package manager that this script knows'
said 'libssl-dev pkg-config in Debian'

machine fedora
rust 1.95.0
stub dnf
setup 1 --yes
called 'dnf install -y gcc gcc-c++ make openssl-devel pkgconf-pkg-config'

machine arch
rust 1.95.0
stub pacman
setup 1 --yes
called 'pacman -Sy --needed --noconfirm base-devel openssl pkgconf'

machine suse
rust 1.95.0
stub zypper
setup 1 --yes
called 'zypper --non-interactive install gcc gcc-c++ libopenssl-devel make pkg-config'

machine wrong-use
setup 2 --sure
setup 2 --yes --check

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
