CREATE STREAMING TABLE silver.x
AS SELECT id, lat FROM bronze.vehicle_events
