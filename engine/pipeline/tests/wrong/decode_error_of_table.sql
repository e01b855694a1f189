CREATE STREAMING TABLE silver.x
ON DECODE ERROR INTO silver.x_errors
AS SELECT id FROM STREAM bronze.vehicle_events
