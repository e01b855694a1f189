CREATE MATERIALIZED VIEW silver.vehicles
AS SELECT id, count(*) AS events, max(ts) AS seen FROM bronze.vehicle_events GROUP BY id;
