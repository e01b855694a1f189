"""One Spark session over a project's catalog, fed with statements: its start costs ten seconds, so it is kept.

    spark_session.py --catalog-uri sqlite:////path/catalog.db --warehouse file:///folder      (tests/services/spark.sh run)

Reads one SQL statement a line from standard input and answers each with one line: `ok` and its rows as JSON, or
`error` and the message. The catalog is called as in the lake (`ingot`), so tables are `ingot.bronze.t`.
"""

import argparse
import json
import os
import sys

from lake_args import add_lake_arguments


def session(args):
    from pyspark.sql import SparkSession

    catalog = f"spark.sql.catalog.{args.catalog_name}"
    settings = {
        "spark.master": "local[2]", "spark.driver.memory": "1g", "spark.jars": os.environ["INGOT_TEST_SPARK_JARS"],
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "2",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        catalog + ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        catalog + ".uri": "jdbc:sqlite:" + args.catalog_uri.removeprefix("sqlite:///"),
        catalog + ".jdbc.schema-version": "V1", catalog + ".warehouse": args.warehouse,
        # Another process changes the tables all the time.
        catalog + ".cache-enabled": "false"}
    builder = SparkSession.builder.appName("foreign")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_lake_arguments(parser)
    spark = session(parser.parse_args())
    print("ok ready", flush=True)
    for line in sys.stdin:
        try:
            rows = [r.asDict(recursive=True) for r in spark.sql(line.strip()).collect()]
            answer = "ok " + json.dumps(rows, default=str)
        except Exception as e:
            answer = "error " + " ".join(str(e).split())[:1000]
        print(answer, flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
