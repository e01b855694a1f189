CREATE MATERIALIZED VIEW silver.x
AS SELECT id, lat FROM bronze.vehicle_events
UNION ALL
SELECT vehicle_id FROM bronze.rides
