CREATE TEMPORARY VIEW checked (
  CONSTRAINT has_id EXPECT (id IS NOT NULL) ON VIOLATION QUARANTINE INTO silver.bad)
AS SELECT id, lat FROM bronze.vehicle_events;
CREATE MATERIALIZED VIEW silver.x AS SELECT id, lat FROM bronze.vehicle_events
