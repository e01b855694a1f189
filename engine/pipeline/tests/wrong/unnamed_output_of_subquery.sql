CREATE MATERIALIZED VIEW silver.x
AS SELECT * FROM (SELECT type, count(*) FROM bronze.vehicle_events GROUP BY type)
