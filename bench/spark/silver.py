"""Silver as a whole: the rows that hold, one for each id and instant."""

from session import done, session

spark = session("silver")
spark.sql("""CREATE TABLE IF NOT EXISTS lake.fleet.silver
    (id string, type string, battery double, lat double, lon double, ts timestamp) USING iceberg PARTITIONED BY (days(ts))""")
rows = (
    spark.table("lake.fleet.bronze")
    .selectExpr("id", "lower(trim(type)) AS type", "battery", "lat", "lon", "ts")
    .where("id IS NOT NULL AND ts IS NOT NULL AND type IN ('car', 'bike', 'scoot') AND battery BETWEEN 0 AND 100")
    .dropDuplicates(["id", "ts"])
)
rows.createOrReplaceTempView("clean")
spark.sql("INSERT OVERWRITE lake.fleet.silver SELECT * FROM clean")
# From the snapshot's summary: counting them would be a job of its own.
newest = "SELECT summary['total-records'] FROM lake.fleet.silver.snapshots ORDER BY committed_at DESC LIMIT 1"
done(spark, spark.sql(newest).first()[0])
