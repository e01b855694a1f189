CREATE MATERIALIZED VIEW silver.x
AS SELECT id FROM bronze.vehicle_event
