CREATE MATERIALIZED VIEW silver.x
AS SELECT id, CAST(ts AS TIMESTAMP(9)) AS ts FROM bronze.vehicle_events
