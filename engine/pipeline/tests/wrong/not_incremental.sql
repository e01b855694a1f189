CREATE MATERIALIZED VIEW silver.rides
REFRESH POLICY INCREMENTAL STRICT
AS SELECT v.id, median(r.price) AS middle, count(DISTINCT r.started) AS starts
FROM bronze.rides AS r LEFT JOIN silver.vehicles AS v ON v.id = r.vehicle_id
WHERE r.vehicle_id NOT IN (SELECT id FROM silver.vehicles)
GROUP BY v.id
HAVING count(*) > 1;
