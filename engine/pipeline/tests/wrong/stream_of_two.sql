CREATE STREAMING TABLE silver.x
AS SELECT id FROM STREAM bronze.vehicle_events
UNION ALL SELECT vehicle_id FROM STREAM bronze.rides
