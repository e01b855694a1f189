CREATE MATERIALIZED VIEW silver.x
AS SELECT id, seen
FROM bronze.vehicle_events e JOIN silver.vehicles v ON e.id = v.id
