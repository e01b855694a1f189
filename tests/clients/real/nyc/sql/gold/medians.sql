CREATE MATERIALIZED VIEW gold.medians
AS SELECT origin, dest, median(CAST(arr_delay AS DOUBLE)) AS median_delay, median(CAST(air_time AS DOUBLE)) AS median_time
FROM silver.flights GROUP BY origin, dest;
