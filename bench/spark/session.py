"""A Spark session on two cores with Iceberg's catalog in a SQLite file, as the three jobs share it."""

import os

FOLDER = os.environ["BENCH_FOLDER"]


def session(name):
    from pyspark.sql import SparkSession

    settings = {
        "spark.master": f"local[{os.environ.get('BENCH_CORES', '2')}]",
        "spark.driver.memory": "6g",
        "spark.jars": os.environ["INGOT_TEST_SPARK_JARS"],
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        # As many as there are cores, twice; the default of 200 is slower here.
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "spark.sql.catalog.lake.uri": f"jdbc:sqlite:{FOLDER}/catalog.db",
        "spark.sql.catalog.lake.jdbc.schema-version": "V1",
        "spark.sql.catalog.lake.warehouse": f"file://{FOLDER}/warehouse",
    }
    builder = SparkSession.builder.appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def done(spark, rows):
    """Tells the benchmark how many rows there were, and ends."""
    with open(f"{FOLDER}/rows", "w") as file:
        file.write(str(rows))
    spark.stop()
