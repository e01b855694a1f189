CREATE MATERIALIZED VIEW silver.x
AS SELECT *, e.id AS id
FROM bronze.vehicle_events AS e
