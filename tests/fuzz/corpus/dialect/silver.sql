-- Silver: one clean row for each vehicle and instant.

-- A temporary view is local to this file and is not stored. It carries the expectations because rows must be
-- judged before duplicates are dropped: otherwise a bad copy could win over a good one and then be thrown away.
-- An expectation passes only if it is TRUE: a NULL battery is dropped, and counted.
CREATE TEMPORARY VIEW clean_events (
  CONSTRAINT has_key EXPECT (id IS NOT NULL AND ts IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT known_type EXPECT (type IN ('car', 'bike', 'scoot')) ON VIOLATION QUARANTINE INTO silver.vehicle_events_rejected,
  CONSTRAINT battery_pct EXPECT (battery BETWEEN 0 AND 100) ON VIOLATION DROP ROW
)
AS SELECT id, lower(trim(type)) AS type, battery, lat, lon, ts, _partition, _offset
FROM bronze.vehicle_events;

-- Of several events with the same id and ts the one that was written first to the lowest partition stays.
-- Refreshed from the new rows of bronze alone.
CREATE MATERIALIZED VIEW silver.vehicle_events (
  PRIMARY KEY (id, ts) NOT ENFORCED
)
PARTITIONED BY (days(ts))
AS SELECT id, type, battery, lat, lon, ts
FROM clean_events
QUALIFY row_number() OVER (PARTITION BY id, ts ORDER BY _partition, _offset) = 1;
