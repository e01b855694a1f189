CREATE MATERIALIZED VIEW silver.x
AS SELECT id, lat + tags AS x FROM bronze.vehicle_events CROSS JOIN bronze.rides
