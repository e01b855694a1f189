CREATE SOURCE planes (tailnum VARCHAR, year INT, type VARCHAR, manufacturer VARCHAR, model VARCHAR, engines INT, seats INT, speed INT, engine VARCHAR)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${PLANES}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.planes
ON DECODE ERROR INTO bronze.planes_errors
AS SELECT * FROM STREAM planes;
