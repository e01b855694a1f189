#!/usr/bin/env bash
# Spark 3.5 with Iceberg, from PyPI and Maven Central: the other engine of the foreign acts and of the comparisons.
#
#   spark.sh install         make it, if it is not there, and print its Python interpreter's path
#   spark.sh path            print the path; exit 3 if it is not there
#   spark.sh jars            print the jars that a session needs, comma-separated
#   spark.sh run FILE ARG... run a Python file with pyspark, the jars in INGOT_TEST_SPARK_JARS
#
# Kept in the cache folder (see service.sh) and made anew when the versions below change.

set -euo pipefail
NAME=spark
. "$(dirname "${BASH_SOURCE[0]}")/service.sh"
SPARK=3.5.7
ICEBERG=1.12.0
SQLITE=3.54.1.0
VERSIONS="spark $SPARK iceberg $ICEBERG sqlite $SQLITE"
HOME_=$CACHE/spark-$SPARK

write_pom() {
  cat >"$1" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ingot.tests</groupId><artifactId>spark</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.iceberg</groupId><artifactId>iceberg-spark-runtime-3.5_2.12</artifactId><version>$ICEBERG</version></dependency>
    <dependency><groupId>org.apache.iceberg</groupId><artifactId>iceberg-aws-bundle</artifactId><version>$ICEBERG</version></dependency>
    <dependency><groupId>org.xerial</groupId><artifactId>sqlite-jdbc</artifactId><version>$SQLITE</version></dependency>
    <dependency><groupId>org.apache.spark</groupId><artifactId>spark-sql-kafka-0-10_2.12</artifactId><version>$SPARK</version>
      <exclusions>
        <exclusion><groupId>org.apache.hadoop</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>org.slf4j</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>org.lz4</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>org.xerial.snappy</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>org.scala-lang</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>org.scala-lang.modules</groupId><artifactId>*</artifactId></exclusion>
        <exclusion><groupId>com.google.code.findbugs</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>
  </dependencies>
</project>
POM
}

installed() { [ -f "$HOME_/versions" ] && [ "$(cat "$HOME_/versions")" = "$VERSIONS" ]; }

install_spark() {
  need java openjdk-17-jdk-headless
  if installed; then
    echo "$HOME_/python/bin/python"
    return
  fi
  need mvn maven
  say "installing Spark $SPARK and Iceberg $ICEBERG"
  rm -rf "$HOME_"
  mkdir -p "$HOME_"
  new_venv "$HOME_/python"
  "$HOME_/python/bin/pip" install -q "pyspark==$SPARK" >>"$STATE/install.log" 2>&1 ||
    die "could not install pyspark; see $STATE/install.log"
  write_pom "$HOME_/pom.xml"
  mvn -q -B -f "$HOME_/pom.xml" dependency:copy-dependencies -DoutputDirectory="$HOME_/jars" >>"$STATE/install.log" 2>&1 ||
    die "could not fetch the jars; see $STATE/install.log"
  echo "$VERSIONS" >"$HOME_/versions"      # last: whole or not at all
  echo "$HOME_/python/bin/python"
}

jars() {
  installed || exit 3
  local list=("$HOME_"/jars/*.jar)
  (IFS=,; echo "${list[*]}")
}

case ${1:-} in
  install) install_spark ;;
  path) installed || exit 3; echo "$HOME_/python/bin/python" ;;
  jars) jars ;;
  run)
    shift
    [ $# -ge 1 ] || usage
    install_spark >/dev/null
    INGOT_TEST_SPARK_JARS=$(jars)
    export INGOT_TEST_SPARK_JARS
    exec "$HOME_/python/bin/python" "$@"
    ;;
  *) usage ;;
esac
