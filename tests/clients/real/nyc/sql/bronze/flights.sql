CREATE SOURCE flights (
  year INT, month INT, day INT, dep_time INT, sched_dep_time INT, dep_delay INT, arr_time INT, sched_arr_time INT, arr_delay INT,
  carrier VARCHAR, flight INT, tailnum VARCHAR, origin VARCHAR, dest VARCHAR, air_time INT, distance INT, hour INT, minute INT,
  time_hour TIMESTAMPTZ
)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${FLIGHTS}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.flights
PARTITIONED BY (months(time_hour), origin)
ON DECODE ERROR INTO bronze.flights_errors
AS SELECT * FROM STREAM flights;
