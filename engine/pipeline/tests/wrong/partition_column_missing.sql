CREATE MATERIALIZED VIEW silver.x
PARTITIONED BY (days(tss))
SORTED BY (idd DESC)
AS SELECT id, ts FROM bronze.vehicle_events
