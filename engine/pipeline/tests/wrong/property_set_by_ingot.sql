CREATE MATERIALIZED VIEW silver.x
TBLPROPERTIES ('ingot.primary-key' = '["id"]', 'format-version' = '1', 'write.format.default' = 'orc')
TAGS ('team' = 'a', 'team' = 'b')
AS SELECT id FROM bronze.vehicle_events
