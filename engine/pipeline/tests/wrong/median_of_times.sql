CREATE MATERIALIZED VIEW silver.middles
AS SELECT id, median(ts) AS middle FROM bronze.vehicle_events GROUP BY id
