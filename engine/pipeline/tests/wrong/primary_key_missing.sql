CREATE MATERIALIZED VIEW silver.x (PRIMARY KEY (id, day, id) NOT ENFORCED)
AS SELECT id, ts FROM bronze.vehicle_events
