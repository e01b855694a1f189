#!/usr/bin/env bash
# A real Kafka broker (KRaft, one node or more) on 127.0.0.1, without a container runtime.
#
#   kafka.sh start             start it, or use what is there; prints what `env` prints
#   kafka.sh stop              stop it, if it was started from here
#   kafka.sh kill              stop it by SIGKILL
#   kafka.sh env               print `export INGOT_TEST_KAFKA=host:port` for the shell
#   kafka.sh status            say what is used; exit 3 if nothing is
#   kafka.sh topic NAME [N]    create a topic of N partitions (4), if it is not there
#   kafka.sh wipe              forget all its data (when stopped)
#
# Uses, in this order: the broker at $INGOT_TEST_KAFKA; one that was started from here; a Kafka installed in
# $KAFKA_HOME; else Kafka from Maven Central, kept in the cache folder. $INGOT_TEST_KAFKA_PORT fixes the port.
# $INGOT_TEST_KAFKA_NODE=2, 3, ... means one more broker, which joins the first (started before, in the same $INGOT_TEST_RUN).
# $INGOT_TEST_KAFKA_CONF: more lines for server.properties.

set -euo pipefail
NODE=${INGOT_TEST_KAFKA_NODE:-1}
NAME=kafka
[ "$NODE" = 1 ] || NAME=kafka-$NODE
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/service.sh"
VERSION=4.3.1
HEAP=${INGOT_TEST_KAFKA_HEAP:-512m}

libs() {
  if [ -n "${KAFKA_HOME:-}" ] && [ -d "$KAFKA_HOME/libs" ]; then
    echo "$KAFKA_HOME/libs"
  else
    echo "$CACHE/kafka-$VERSION/libs"
  fi
}

install_kafka() {
  need java openjdk-17-jdk-headless
  [ -d "$(libs)" ] && return 0
  need mvn maven
  local work=$CACHE/kafka-$VERSION/install
  mkdir -p "$work"
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ingot.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  say "installing Kafka $VERSION"
  mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/libs" >"$STATE/install.log" 2>&1 ||
    die "could not install Kafka; see $STATE/install.log"
  mv "$work/libs" "$CACHE/kafka-$VERSION/libs"      # whole or not at all
}

java_tool() { java -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$(libs)/*" "$@"; }
topics() { java_tool "$HERE/Topic.java" "$@"; }

listening() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}"); }

configure() {
  local port=$1 controller=$2 roles=broker own=
  [ "$NODE" != 1 ] || { roles=broker,controller; own=,CONTROLLER://127.0.0.1:$controller; }
  cat >"$STATE/server.properties" <<CONF
process.roles=$roles
node.id=$NODE
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port$own
advertised.listeners=PLAINTEXT://127.0.0.1:$port$own
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$STATE/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.delete.delay.ms=1000
file.delete.delay.ms=1000
${INGOT_TEST_KAFKA_CONF:-}
CONF
}

start() {
  if [ -n "${INGOT_TEST_KAFKA:-}" ]; then
    listening "$INGOT_TEST_KAFKA" 2>/dev/null || die "INGOT_TEST_KAFKA names $INGOT_TEST_KAFKA, and nothing listens there"
    print_env; return
  fi
  if running; then print_env; return; fi
  install_kafka
  local port=${INGOT_TEST_KAFKA_PORT:-} controller
  [ -n "$port" ] || port=$(cat "$STATE/port" 2>/dev/null || true)      # the same as last time, if it is free
  if [ -z "$port" ] || listening "127.0.0.1:$port" 2>/dev/null; then
    [ -z "${INGOT_TEST_KAFKA_PORT:-}" ] || die "port $port is taken"
    port=$(free_port)
  fi
  # The same as last time, too: the other nodes know it.
  controller=$(cat "$RUN/kafka/controller" 2>/dev/null || true)
  if [ "$NODE" = 1 ] && { [ -z "$controller" ] || listening "127.0.0.1:$controller" 2>/dev/null; }; then controller=$(free_port); fi
  [ -n "$controller" ] || die "start the first node before this one"
  configure "$port" "$controller"
  if [ ! -f "$STATE/data/meta.properties" ]; then
    local id how=()
    if [ "$NODE" = 1 ]; then
      id=$(java_tool kafka.tools.StorageTool random-uuid)
      how=(--standalone)
    else
      id=$(sed -n 's/^cluster.id=//p' "$RUN/kafka/data/meta.properties")
    fi
    java_tool kafka.tools.StorageTool format ${how[@]+"${how[@]}"} -t "$id" -c "$STATE/server.properties" >"$STATE/format.log" 2>&1 ||
      { cat "$STATE/format.log" >&2; die "could not format its log folder"; }
  fi
  [ "$NODE" != 1 ] || echo "$controller" >"$STATE/controller"
  launch java -Xmx"$HEAP" -Xms128m -cp "$(libs)/*" kafka.Kafka "$STATE/server.properties"
  await 180 listening "127.0.0.1:$port"
  [ "$NODE" != 1 ] || await 180 topics "127.0.0.1:$port" list
  echo "$port" >"$STATE/port"
  echo "export INGOT_TEST_KAFKA=127.0.0.1:$port" >"$STATE/env"
  say "listens on 127.0.0.1:$port (log: $STATE/log)"
  print_env
}

print_env() {
  if [ -n "${INGOT_TEST_KAFKA:-}" ]; then echo "export INGOT_TEST_KAFKA=$INGOT_TEST_KAFKA"; return; fi
  running && [ -f "$STATE/env" ] || die "not running; kafka.sh start"
  cat "$STATE/env"
}

status() {
  if [ -n "${INGOT_TEST_KAFKA:-}" ]; then say "INGOT_TEST_KAFKA=$INGOT_TEST_KAFKA"
  elif running; then say "running, $(cat "$STATE/env"), log $STATE/log"
  else say "not running"; exit 3; fi
}

topic() {
  [ $# -ge 1 ] || usage
  local exports
  exports=$(print_env)
  eval "$exports"
  install_kafka
  topics "$INGOT_TEST_KAFKA" create "$1" "${2:-4}"
}

wipe() {
  ! running || die "is running; kafka.sh stop first"
  rm -rf "$STATE/data"
}

case ${1:-} in
  start) start ;;
  stop) stop_server ;;
  kill) stop_server KILL ;;
  env) print_env ;;
  status) status ;;
  topic) shift; topic "$@" ;;
  wipe) wipe ;;
  *) usage ;;
esac
