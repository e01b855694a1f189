#!/usr/bin/env bash
# The Arrow Flight SQL JDBC driver, from Maven Central.
#
#   jdbc.sh install                  fetch it, if it is not there, and print the jar's path
#   jdbc.sh path                     print the path; exit 3 if it is not there
#   jdbc.sh run FILE.java ARG...     run a Java source file with the driver on its class path

set -euo pipefail
NAME=jdbc
. "$(dirname "${BASH_SOURCE[0]}")/service.sh"
VERSION=18.3.0
JAR=$CACHE/jdbc/flight-sql-jdbc-driver-$VERSION.jar

install_driver() {
  need javac openjdk-17-jdk-headless
  if [ ! -f "$JAR" ]; then
    need mvn maven
    mkdir -p "$CACHE/jdbc"
    say "fetching the Flight SQL JDBC driver $VERSION"
    cat >"$STATE/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ingot.tests</groupId><artifactId>jdbc</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.arrow</groupId><artifactId>flight-sql-jdbc-driver</artifactId><version>$VERSION</version></dependency>
  </dependencies>
</project>
POM
    mvn -q -B -f "$STATE/pom.xml" dependency:copy-dependencies -DincludeArtifactIds=flight-sql-jdbc-driver \
      -DoutputDirectory="$STATE/fetched" >"$STATE/install.log" 2>&1 || die "could not fetch the driver; see $STATE/install.log"
    mv "$STATE/fetched/flight-sql-jdbc-driver-$VERSION.jar" "$JAR"
  fi
  echo "$JAR"
}

case ${1:-} in
  install) install_driver ;;
  path) [ -f "$JAR" ] || exit 3; echo "$JAR" ;;
  run)
    shift
    [ $# -ge 1 ] || usage
    install_driver >/dev/null
    exec java --add-opens=java.base/java.nio=ALL-UNNAMED -Xmx512m -cp "$JAR" "$@"
    ;;
  *) usage ;;
esac
