CREATE MATERIALIZED VIEW silver."Vehicles"
AS SELECT id FROM bronze.vehicle_events
