CREATE VIEW silver.x (CONSTRAINT ok EXPECT (id IS NOT NULL))
AS SELECT id FROM bronze.vehicle_events
