CREATE STREAMING TABLE silver.x
AS SELECT e.id, v.seen
FROM STREAM bronze.vehicle_events e JOIN silver.vehicles v ON v.id = e.id
