CREATE SOURCE airports (faa VARCHAR, name VARCHAR, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst VARCHAR, tzone VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${AIRPORTS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.airports
ON DECODE ERROR INTO bronze.airports_errors
AS SELECT * FROM STREAM airports;
