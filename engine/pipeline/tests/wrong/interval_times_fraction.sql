CREATE MATERIALIZED VIEW silver.later
AS SELECT id, ts + INTERVAL '1 day' * 1.5 AS later FROM bronze.vehicle_events
