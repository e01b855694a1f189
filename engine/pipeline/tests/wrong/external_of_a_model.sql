CREATE EXTERNAL TABLE bronze.vehicle_events (id STRING)
