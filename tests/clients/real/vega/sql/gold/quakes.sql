CREATE MATERIALIZED VIEW gold.quakes
AS SELECT date_trunc('day', happened) AS day, mag_type, count(*) AS quakes, max(mag) AS strongest, min(depth) AS shallowest,
  count(*) FILTER (WHERE mag >= 4.5) AS strong, sum(stations) AS stations
FROM silver.earthquakes GROUP BY 1, 2;
