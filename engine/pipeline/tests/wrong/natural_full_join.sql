CREATE TEMPORARY VIEW both AS SELECT a.id FROM bronze.vehicle_events AS a NATURAL FULL JOIN bronze.vehicle_events AS b;

CREATE MATERIALIZED VIEW silver.x AS SELECT id FROM both
