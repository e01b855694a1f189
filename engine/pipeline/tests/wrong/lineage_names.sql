CREATE MATERIALIZED VIEW silver.x
TBLPROPERTIES ('format-version' = '3')
AS SELECT id AS _row_id FROM bronze.vehicle_events
