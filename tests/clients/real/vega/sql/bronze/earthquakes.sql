-- One feature of GeoJSON a message.
CREATE SOURCE earthquakes (
  id VARCHAR FROM '$.id' NOT NULL,
  mag DOUBLE FROM '$.properties.mag',
  place VARCHAR FROM '$.properties.place',
  happened TIMESTAMPTZ FROM '$.properties.time',
  mag_type VARCHAR FROM '$.properties.magType',
  stations INT FROM '$.properties.nst',
  net VARCHAR FROM '$.properties.net',
  lon DOUBLE FROM '$.geometry.coordinates[0]',
  lat DOUBLE FROM '$.geometry.coordinates[1]',
  depth DOUBLE FROM '$.geometry.coordinates[2]'
)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${EARTHQUAKES}')
FORMAT PLAIN ENCODE JSON (timestamp_format = 'epoch_ms');

CREATE STREAMING TABLE bronze.earthquakes
PARTITIONED BY (days(happened))
ON DECODE ERROR INTO bronze.earthquakes_errors
AS SELECT * FROM STREAM earthquakes;
