CREATE MATERIALIZED VIEW silver.x
AS SELECT id, CAST(lat AS NUMBR) AS lat FROM bronze.vehicle_events
