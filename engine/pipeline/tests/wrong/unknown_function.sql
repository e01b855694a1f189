CREATE MATERIALIZED VIEW silver.x
AS SELECT id, to_timestmp(id) AS at FROM bronze.vehicle_events
