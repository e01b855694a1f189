CREATE MATERIALIZED VIEW silver.rides
AS SELECT r.vehicle_id, (
  SELECT e.battery FROM bronze.vehicle_events AS e WHERE e.id = r.vehicle_id ORDER BY e.ts LIMIT 1) AS battery
FROM bronze.rides AS r;
