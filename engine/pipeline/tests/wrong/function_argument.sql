CREATE MATERIALIZED VIEW silver.x
AS SELECT id, round(type, 'x') AS r FROM bronze.vehicle_events
