CREATE SOURCE vehicles (
  id VARCHAR, type VARCHAR, battery DOUBLE, lat DOUBLE, lon DOUBLE, ts TIMESTAMPTZ)
INCLUDE PARTITION AS _partition INCLUDE OFFSET AS _offset INCLUDE TIMESTAMP AS _kafka_ts
WITH ('connector' = 'kafka', 'topic' = 'vehicles-events')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.vehicle_events
PARTITIONED BY (days(ts)) COMMENT 'raw vehicle telemetry'
ON DECODE ERROR INTO bronze.vehicle_events_errors
AS SELECT * FROM STREAM vehicles;
