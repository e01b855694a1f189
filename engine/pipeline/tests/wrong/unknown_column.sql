CREATE MATERIALIZED VIEW silver.x
AS SELECT id, batery FROM bronze.vehicle_events
