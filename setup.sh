#!/bin/sh
# Makes this machine ready to build Ingot: a compiler for C and C++, make, pkg-config, OpenSSL's headers, and the Rust
# toolchain that rust-toolchain.toml names. What is there already stays as it is.
#
#   ./setup.sh           says what is missing and how it will install it, asks where there is a terminal, and installs
#   ./setup.sh --yes     the same without the question
#   ./setup.sh --check   only says what is missing, with the commands
#
# System packages are installed by apt-get, dnf, pacman or zypper, as root or through sudo; Rust by rustup, for this user
# alone. Where that is not possible the commands are named. The exit code is 0 when nothing is missing, 1 when something
# is, 2 for wrong use.

set -eu
cd "$(dirname "$0")"
PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH

say() { printf 'setup: %s\n' "$*" >&2; }
line() { printf '         %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

mode=ask
case $#:${1:-} in
  0:) ;;
  1:--yes) mode=yes ;;
  1:--check) mode=check ;;
  *)
    sed -n '2,/^$/s/^# \{0,1\}//p' setup.sh >&2
    exit 2
    ;;
esac
asks() { [ "$mode" = ask ] && [ -t 0 ] && [ -t 2 ]; }

channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
components=$(sed -n 's/^components = \[\(.*\)\]$/\1/p' rust-toolchain.toml | tr -d '" ')
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
toolchain="rustup toolchain install $channel --profile minimal --component $components"
installer="curl --proto '=https' --tlsv1.2 --connect-timeout 20 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none"

# Whether cc makes a program, which takes the C library's headers as well.
compiles() {
  has cc && has c++ || return 1
  folder=$(mktemp -d)
  printf '#include <stdio.h>\nint main(void) { return 0; }\n' >"$folder/a.c"
  code=0
  cc -o "$folder/a" "$folder/a.c" >/dev/null 2>&1 || code=1
  rm -rf "$folder"
  return $code
}

# With OPENSSL_DIR the build does not ask pkg-config.
finds_openssl() { [ -n "${OPENSSL_DIR:-}" ] || { has pkg-config && pkg-config --exists openssl; }; }

# Whether the version $1 (1.97.0) is not older than $2 (1.95).
at_least() {
  printf '%s %s\n' "$1" "$2" | awk '{split($1, a, "."); split($2, b, "."); exit !(a[1] > b[1] || (a[1] == b[1] && a[2] >= b[2]))}'
}

# rustup with the pinned toolchain and its components, or a Rust from elsewhere that is new enough. Asks rustup only what
# it answers without installing.
finds_rust() {
  if has rustup; then
    rustup run "$channel" cargo --version >/dev/null 2>&1 || return 1
    installed=$(rustup component list --toolchain "$channel" --installed 2>/dev/null) || return 1
    for component in $(echo "$components" | tr , ' '); do
      printf '%s\n' "$installed" | grep -q "^$component" || return 1
    done
  else
    has cargo && has rustc && at_least "$(rustc --version | cut -d' ' -f2)" "$oldest"
  fi
}

need() {
  missing="$missing$1
"
  wanted="$wanted $2"
}

# Sets `missing`, a line for each thing, and `wanted`, words for what the package manager is to bring.
look() {
  missing='' wanted=''
  compiles || need "a compiler for C and C++ with the C library's headers" compiler
  has make || need make make
  has bash || need 'bash, which configures librdkafka' bash
  has pkg-config || need pkg-config pkg-config
  finds_openssl || need "OpenSSL's headers" openssl
  rust=yes
  if ! finds_rust; then
    rust=no
    has rustup || has curl || need 'curl, to fetch the installer of Rust' curl
    missing="${missing}Rust $channel
"
  fi
}

# packages MANAGER: the names of what is wanted there.
packages() {
  for word in $wanted; do
    case $1:$word in
      apt-get:compiler | apt-get:make) echo build-essential ;;
      apt-get:openssl) echo libssl-dev ;;
      dnf:compiler | zypper:compiler) echo gcc gcc-c++ ;;
      dnf:pkg-config) echo pkgconf-pkg-config ;;
      dnf:openssl) echo openssl-devel ;;
      zypper:openssl) echo libopenssl-devel ;;
      pacman:compiler | pacman:make) echo base-devel ;;
      pacman:pkg-config) echo pkgconf ;;
      *) echo "$word" ;;
    esac
  done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# Sets `system`, the command for the system packages, and `refused`, why it cannot be run from here.
plan() {
  system='' refused=''
  [ -n "$wanted" ] || return 0
  as_root=
  if [ "$(id -u)" != 0 ]; then
    as_root='sudo '
    if ! has sudo; then
      as_root='' refused='root has to run the first command: this user is not root, and there is no sudo'
    elif [ ! -t 0 ] && ! sudo -n true 2>/dev/null; then
      refused='sudo asks for a password, and there is no terminal to give it on'
    fi
  fi
  if has apt-get; then
    system="${as_root}apt-get update; ${as_root}env DEBIAN_FRONTEND=noninteractive apt-get install -y $(packages apt-get)"
  elif has dnf; then
    system="${as_root}dnf install -y $(packages dnf)"
  elif has pacman; then
    system="${as_root}pacman -Sy --needed --noconfirm $(packages pacman)"
  elif has zypper; then
    system="${as_root}zypper --non-interactive install $(packages zypper)"
  else
    refused="there is no package manager that this script knows; the packages are called $(packages apt-get) in Debian and $(packages dnf) in Fedora"
  fi
}

look
if [ -z "$missing" ]; then
  [ "$mode" != check ] || say 'nothing is missing'
  exit 0
fi
plan
say 'building Ingot needs what this machine does not have:'
printf '%s' "$missing" | while read -r thing; do line "$thing"; done
say 'it is installed by:'
[ -z "$system" ] || line "$system"
if [ "$rust" = no ]; then
  has rustup || line "$installer"
  line "$toolchain"
fi
if [ -n "$refused" ]; then
  say "$refused"
  [ "$mode" = check ] || say 'nothing was installed; when the packages are there, start again'
  exit 1
fi
[ "$mode" != check ] || exit 1
if asks; then
  printf 'setup: run them now? [Y/n] ' >&2
  read -r answer || answer=n
  case $answer in
    '' | [Yy] | [Yy][Ee][Ss]) ;;
    *)
      say 'nothing was installed'
      exit 1
      ;;
  esac
fi

if [ -n "$system" ]; then
  say "running: $system"
  sh -c "$system" >&2 || { say "that failed; when these packages are installed, start again"; exit 1; }
fi
if [ "$rust" = no ]; then
  if ! has rustup; then
    say "running: $installer"
    RUSTUP_INIT_SKIP_PATH_CHECK=yes sh -c "$installer" >&2 || true
  fi
  if has rustup; then
    say "running: $toolchain"
    sh -c "$toolchain" >&2 || true
  fi
fi

look
[ -n "$missing" ] || exit 0
say 'this is still missing:'
printf '%s' "$missing" | while read -r thing; do line "$thing"; done
if [ "$rust" = no ]; then
  say "Rust comes from https://sh.rustup.rs and https://static.rust-lang.org. Where these cannot be reached, one of these helps:"
  line "install rustup from your distribution, set RUSTUP_DIST_SERVER to a mirror, and start again"
  line "copy ~/.cargo and ~/.rustup from a machine like this one where \`$toolchain\` was run"
  line "put cargo and rustc of version $oldest or newer on the PATH, without rustup"
fi
exit 1
