CREATE MATERIALIZED VIEW gold.carriers
AS SELECT carrier, count(*) AS flights, count(DISTINCT tailnum) AS planes, avg(CAST(dep_delay AS DOUBLE)) AS mean_delay,
  max(dep_delay) AS worst, sum(distance) AS miles, count(*) FILTER (WHERE arr_delay <= 0) AS on_time
FROM silver.flights GROUP BY carrier;
