CREATE MATERIALIZED VIEW silver.x
FROZEN WHERE (ts < now() - INTERVAL '30 days')
AS SELECT id, ts FROM bronze.vehicle_events
