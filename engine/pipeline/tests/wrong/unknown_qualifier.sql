CREATE MATERIALIZED VIEW silver.x
AS SELECT v.id FROM bronze.vehicle_events e
