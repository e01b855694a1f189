CREATE MATERIALIZED VIEW silver.x
AS SELECT id, lat AS id
FROM bronze.vehicle_events
