-- Bronze: what arrived, as it arrived. One row a message of the topic "vehicles-events", appended once and never
-- changed. The brokers are in ingot.toml, so this file is the same on a laptop and in production.

-- The columns to decode out of each message. A field that is absent is NULL; fields that are not named here are
-- ignored. JSON types must match: "12" is not a DOUBLE.
CREATE SOURCE vehicles (
  id VARCHAR,
  type VARCHAR,
  battery DOUBLE,
  lat DOUBLE,
  lon DOUBLE,
  ts TIMESTAMPTZ
)
-- Where a row came from: enough to find its message again, and the order in which duplicates are judged.
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
INCLUDE TIMESTAMP AS _kafka_ts
WITH (
  'connector' = 'kafka',
  'topic' = 'vehicles-events'
)
FORMAT PLAIN ENCODE JSON;

-- STREAM: read each message once, from the position that the table itself remembers.
CREATE STREAMING TABLE bronze.vehicle_events
PARTITIONED BY (days(ts))
COMMENT 'raw vehicle telemetry'
-- A message that does not decode goes here with its bytes, its offset and the reason. Without this clause it
-- would stop the table.
ON DECODE ERROR INTO bronze.vehicle_events_errors
AS SELECT * FROM STREAM vehicles;
