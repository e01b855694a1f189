CREATE SOURCE airlines (carrier VARCHAR, name VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${AIRLINES}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.airlines
ON DECODE ERROR INTO bronze.airlines_errors
AS SELECT * FROM STREAM airlines;
