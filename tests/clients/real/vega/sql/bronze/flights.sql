CREATE SOURCE flights (date VARCHAR, delay INT, distance INT, origin VARCHAR, destination VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${FLIGHTS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.flights
ON DECODE ERROR INTO bronze.flights_errors
AS SELECT * FROM STREAM flights;
