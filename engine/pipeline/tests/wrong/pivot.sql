CREATE MATERIALIZED VIEW silver.x
AS SELECT * FROM bronze.vehicle_events PIVOT (sum(lat) FOR type IN ('car', 'bike'))
