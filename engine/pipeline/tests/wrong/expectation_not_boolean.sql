CREATE MATERIALIZED VIEW silver.x (
  CONSTRAINT charged EXPECT (battery))
AS SELECT id, battery FROM bronze.vehicle_events
