CREATE MATERIALIZED VIEW silver.vehicles
AS SELECT id FROM bronze.vehicle_events
