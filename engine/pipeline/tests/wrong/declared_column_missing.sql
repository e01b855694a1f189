CREATE MATERIALIZED VIEW silver.x (id COMMENT 'vehicle', latitude NOT NULL)
AS SELECT id, lat FROM bronze.vehicle_events
