CREATE MATERIALIZED VIEW silver.x
AS SELECT e.id, e.colour FROM bronze.vehicle_events e
