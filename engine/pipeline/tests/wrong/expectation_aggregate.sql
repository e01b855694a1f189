CREATE MATERIALIZED VIEW silver.x (
  CONSTRAINT many EXPECT (count(*) > 10),
  CONSTRAINT known EXPECT (id IN (SELECT id FROM silver.vehicles)))
AS SELECT id, battery FROM bronze.vehicle_events
