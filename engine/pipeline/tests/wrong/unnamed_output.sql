CREATE MATERIALIZED VIEW silver.x
AS SELECT type, count(*), avg(battery), upper(type) || '!' FROM bronze.vehicle_events GROUP BY type
