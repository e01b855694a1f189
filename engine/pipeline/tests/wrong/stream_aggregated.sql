CREATE STREAMING TABLE silver.x
AS SELECT id, count(*) AS n FROM STREAM bronze.vehicle_events GROUP BY id
