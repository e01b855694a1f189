CREATE MATERIALIZED VIEW silver.x (
  CONSTRAINT charged EXPECT (batery > 0),
  CONSTRAINT known EXPECT (isknown(id)) ON VIOLATION FAIL UPDATE)
AS SELECT id, battery FROM bronze.vehicle_events
