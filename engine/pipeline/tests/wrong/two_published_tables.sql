CREATE MATERIALIZED VIEW silver.x
AS SELECT id FROM bronze.vehicle_events;
CREATE MATERIALIZED VIEW silver.y
AS SELECT id FROM bronze.rides
