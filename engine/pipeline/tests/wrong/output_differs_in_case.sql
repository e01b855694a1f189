CREATE MATERIALIZED VIEW silver.x
AS SELECT id, lat AS "ID" FROM bronze.vehicle_events
