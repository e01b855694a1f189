CREATE MATERIALIZED VIEW silver.x
AS SELECT id, random() AS r, uuid() AS u FROM bronze.vehicle_events
