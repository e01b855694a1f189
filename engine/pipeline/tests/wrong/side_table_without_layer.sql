CREATE MATERIALIZED VIEW silver.x (
  CONSTRAINT north EXPECT (lat > 0) ON VIOLATION QUARANTINE INTO rejected)
AS SELECT id, lat FROM bronze.vehicle_events
