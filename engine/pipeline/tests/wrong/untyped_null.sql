CREATE MATERIALIZED VIEW silver.x
AS SELECT id, NULL AS note FROM bronze.vehicle_events
