CREATE MATERIALIZED VIEW silver.x
AS SELECT id FROM bronze.vehicle_events WHERE date_trunc(lat, ts) IS NOT NULL
