CREATE MATERIALIZED VIEW silver.x
AS SELECT type, id, count(*) AS n FROM bronze.vehicle_events GROUP BY type
