CREATE TEMPORARY VIEW flown (
  CONSTRAINT has_key EXPECT (carrier IS NOT NULL AND flight IS NOT NULL AND time_hour IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT departed EXPECT (dep_time IS NOT NULL) ON VIOLATION QUARANTINE INTO silver.flights_cancelled,
  CONSTRAINT arrived EXPECT (arr_delay IS NOT NULL) ON VIOLATION QUARANTINE INTO silver.flights_cancelled
)
AS SELECT carrier, flight, tailnum, origin, dest, time_hour, dep_time, dep_delay, arr_delay, air_time, distance, _partition, _offset
FROM bronze.flights;

CREATE MATERIALIZED VIEW silver.flights
PARTITIONED BY (months(time_hour))
AS SELECT carrier, flight, tailnum, origin, dest, time_hour, dep_delay, arr_delay, air_time, distance
FROM flown
QUALIFY row_number() OVER (PARTITION BY carrier, flight, origin, time_hour ORDER BY _partition, _offset) = 1;
