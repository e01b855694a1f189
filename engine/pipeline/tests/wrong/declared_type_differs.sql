CREATE MATERIALIZED VIEW silver.x (id BIGINT, lat DOUBLE, seen TIMESTAMP)
AS SELECT id, lat, ts AS seen FROM bronze.vehicle_events
