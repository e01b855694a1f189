CREATE MATERIALIZED VIEW silver.x
AS SELECT e.id, v.id, e.lat
FROM bronze.vehicle_events e JOIN silver.vehicles v ON v.id = e.id
