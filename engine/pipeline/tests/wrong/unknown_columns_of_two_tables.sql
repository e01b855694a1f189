CREATE MATERIALIZED VIEW silver.x
AS SELECT v.idd, e.latt
FROM bronze.vehicle_events e JOIN silver.vehicles v ON v.id = e.id
