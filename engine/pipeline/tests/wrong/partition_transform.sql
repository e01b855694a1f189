CREATE MATERIALIZED VIEW silver.x
PARTITIONED BY (days(id), bucket(8, lat), hours(day), truncate(4, ts))
SORTED BY (tags)
AS SELECT id, lat, ts, CAST(ts AS DATE) AS day, [id] AS tags FROM bronze.vehicle_events
