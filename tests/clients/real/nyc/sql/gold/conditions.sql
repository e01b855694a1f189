CREATE MATERIALIZED VIEW gold.conditions
AS SELECT f.origin, w.visib < 3.0 AS foggy, w.precip > 0.00 AS wet, count(*) AS flights, max(f.dep_delay) AS worst, min(w.temp) AS coldest
FROM silver.flights f LEFT JOIN silver.weather w ON f.origin = w.origin AND f.time_hour = w.time_hour
GROUP BY 1, 2, 3;
