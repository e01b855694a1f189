CREATE TEMPORARY VIEW a AS SELECT idd FROM bronze.vehicle_events;
CREATE MATERIALIZED VIEW silver.x AS SELECT nothing, idd FROM a WHERE no_such_function(idd);
CREATE VIEW gold.y AS SELECT other FROM silver.x
