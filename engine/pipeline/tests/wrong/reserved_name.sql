CREATE MATERIALIZED VIEW silver._ingot_state
AS SELECT id FROM bronze.vehicle_events
