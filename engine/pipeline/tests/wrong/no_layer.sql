CREATE MATERIALIZED VIEW vehicles_clean
AS SELECT id FROM bronze.vehicle_events
