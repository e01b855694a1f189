CREATE MATERIALIZED VIEW silver.x
REFRESH POLICY INCREMENTAL STRICT
AS SELECT e.id, v.seen FROM bronze.vehicle_events e JOIN silver.vehicles v ON v.id = e.id
