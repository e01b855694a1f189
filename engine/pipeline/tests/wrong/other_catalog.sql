CREATE MATERIALIZED VIEW silver.x
AS SELECT id FROM lakehouse.bronze.vehicle_events
