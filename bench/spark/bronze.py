"""Bronze by Structured Streaming: what is new in the topic, decoded, appended; positions in Spark's checkpoint.

No shuffle before the write (`fanout-enabled`), which is the fastest of Iceberg's ways here.
"""

import os

from session import FOLDER, done, session

COLUMNS = "id string, type string, battery double, lat double, lon double, ts timestamp"
spark = session("bronze")
from pyspark.sql import functions as F  # noqa: E402

spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.fleet")
spark.sql(f"""CREATE TABLE IF NOT EXISTS lake.fleet.bronze ({COLUMNS}, _partition int, _offset bigint, _kafka_ts timestamp)
    USING iceberg PARTITIONED BY (days(ts)) TBLPROPERTIES ('format-version' = '2')""")
messages = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", os.environ["BENCH_BROKERS"])
    .option("subscribe", os.environ["BENCH_TOPIC"])
    .option("startingOffsets", "earliest")
    .option("kafka.isolation.level", "read_committed")
    .load()
)
rows = messages.select(
    F.from_json(F.col("value").cast("string"), COLUMNS).alias("event"),
    F.col("partition").alias("_partition"),
    F.col("offset").alias("_offset"),
    F.col("timestamp").alias("_kafka_ts"),
).select("event.*", "_partition", "_offset", "_kafka_ts")
query = (
    rows.writeStream.format("iceberg")
    .outputMode("append")
    .option("checkpointLocation", f"{FOLDER}/checkpoint")
    .option("fanout-enabled", "true")
    .option("distribution-mode", "none")
    .trigger(availableNow=True)
    .toTable("lake.fleet.bronze")
)
query.awaitTermination()
done(spark, sum(p["numInputRows"] for p in query.recentProgress))
