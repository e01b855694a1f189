CREATE MATERIALIZED VIEW silver.shares
AS SELECT id, percentile_cont(95) WITHIN GROUP (ORDER BY battery) AS p95 FROM bronze.vehicle_events GROUP BY id
