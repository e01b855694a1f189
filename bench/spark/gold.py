"""Gold as a whole: one row for each type."""

from session import done, session

spark = session("gold")
spark.sql("CREATE TABLE IF NOT EXISTS lake.fleet.gold (type string, total bigint, avg_battery double, max_lat double) USING iceberg")
spark.sql("""INSERT OVERWRITE lake.fleet.gold
    SELECT type, count(*), avg(battery), max(lat) FROM lake.fleet.silver GROUP BY type""")
done(spark, spark.sql("SELECT sum(total) FROM lake.fleet.gold").first()[0])
