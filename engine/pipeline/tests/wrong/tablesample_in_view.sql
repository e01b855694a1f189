CREATE VIEW gold.sample AS SELECT id FROM bronze.vehicle_events TABLESAMPLE (10 PERCENT);

CREATE MATERIALIZED VIEW silver.x AS SELECT id FROM bronze.vehicle_events
