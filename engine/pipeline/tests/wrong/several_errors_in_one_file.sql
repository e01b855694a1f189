CREATE TEMPORARY VIEW a AS SELECT idd FROM bronze.vehicle_events;
CREATE TEMPORARY VIEW b AS SELECT id FROM bronze.vehicle_evens;
CREATE MATERIALIZED VIEW silver.x PARTITION BY (days(ts)) AS SELECT id FROM a;
CREATE VIEW gold.y AS SELECT count(*) FROM silver.vehicles
