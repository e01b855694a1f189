CREATE MATERIALIZED VIEW silver.x
AS SELECT id, id IN (SELECT b.id FROM bronze.vehicle_events AS b WHERE b.ts < a.ts GROUP BY ROLLUP (b.id)) AS came_before
FROM bronze.vehicle_events AS a
