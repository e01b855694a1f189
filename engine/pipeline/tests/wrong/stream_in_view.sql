CREATE MATERIALIZED VIEW silver.x
AS SELECT id FROM STREAM bronze.vehicle_events
