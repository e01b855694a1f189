-- The same tables by DuckDB, from the messages themselves: raw_TOPIC(_partition, _offset, payload).
CREATE OR REPLACE TABLE "bronze.flights" AS SELECT f.*, _partition, _offset FROM (SELECT _partition, _offset, from_json(payload, '{"year":"INT",
  "month":"INT","day":"INT","dep_time":"INT","sched_dep_time":"INT","dep_delay":"INT","arr_time":"INT","sched_arr_time":"INT","arr_delay":"INT",
  "carrier":"VARCHAR","flight":"INT","tailnum":"VARCHAR","origin":"VARCHAR","dest":"VARCHAR","air_time":"INT","distance":"INT","hour":"INT",
  "minute":"INT","time_hour":"TIMESTAMPTZ"}') AS f FROM raw_flights WHERE json_valid(payload));
CREATE OR REPLACE TABLE "bronze.flights_errors" AS SELECT _partition AS "partition", _offset AS "offset" FROM raw_flights WHERE NOT coalesce(json_valid(payload), FALSE);
CREATE OR REPLACE TABLE "bronze.planes" AS SELECT f.*, _partition, _offset FROM (SELECT _partition, _offset, from_json(payload, '{"tailnum":"VARCHAR",
  "year":"INT","type":"VARCHAR","manufacturer":"VARCHAR","model":"VARCHAR","engines":"INT","seats":"INT","speed":"INT","engine":"VARCHAR"}') AS f
  FROM raw_planes WHERE json_valid(payload));
CREATE OR REPLACE TABLE "bronze.airlines" AS SELECT payload->>'$.carrier' AS carrier, payload->>'$.name' AS name, _partition, _offset
  FROM raw_airlines WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.airports" AS SELECT payload->>'$.faa' AS faa, payload->>'$.name' AS name, (payload->>'$.lat')::DOUBLE AS lat,
  (payload->>'$.lon')::DOUBLE AS lon, _partition, _offset FROM raw_airports WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.weather" AS SELECT f.*, _partition, _offset FROM (SELECT _partition, _offset, from_json(payload, '{"origin":"VARCHAR",
  "temp":"DECIMAL(6,2)","humid":"DECIMAL(6,2)","wind_speed":"DOUBLE","precip":"DECIMAL(6,2)","visib":"DOUBLE","time_hour":"TIMESTAMPTZ"}') AS f
  FROM raw_weather WHERE json_valid(payload));
CREATE OR REPLACE TABLE "silver.flights_cancelled" AS SELECT carrier, flight, dep_time, _partition, _offset FROM "bronze.flights"
  WHERE carrier IS NOT NULL AND flight IS NOT NULL AND time_hour IS NOT NULL AND (dep_time IS NULL OR arr_delay IS NULL);
CREATE OR REPLACE TABLE "silver.flights" AS SELECT DISTINCT ON (carrier, flight, origin, time_hour)
  carrier, flight, tailnum, origin, dest, time_hour, dep_delay, arr_delay, air_time, distance FROM "bronze.flights"
  WHERE carrier IS NOT NULL AND flight IS NOT NULL AND time_hour IS NOT NULL AND dep_time IS NOT NULL AND arr_delay IS NOT NULL
  ORDER BY carrier, flight, origin, time_hour, _partition, _offset;
CREATE OR REPLACE TABLE "silver.planes" AS SELECT DISTINCT ON (tailnum) tailnum, year, manufacturer, model, engines, seats FROM "bronze.planes"
  ORDER BY tailnum, _partition DESC, _offset DESC;
CREATE OR REPLACE TABLE "silver.weather" AS SELECT DISTINCT ON (origin, time_hour) origin, time_hour, temp, humid, wind_speed, precip, visib
  FROM "bronze.weather" ORDER BY origin, time_hour, _partition, _offset;
CREATE OR REPLACE TABLE "gold.carriers" AS SELECT carrier, count(*) AS flights, count(DISTINCT tailnum) AS planes, avg(dep_delay::DOUBLE) AS mean_delay,
  max(dep_delay) AS worst, sum(distance)::BIGINT AS miles, count(CASE WHEN arr_delay <= 0 THEN 1 END) AS on_time FROM "silver.flights" GROUP BY carrier;
CREATE OR REPLACE TABLE "gold.named" AS SELECT (SELECT min(name) FROM "bronze.airlines" a WHERE a.carrier = c.carrier) AS name, flights, worst FROM "gold.carriers" c;
CREATE OR REPLACE TABLE "gold.medians" AS SELECT origin, dest, median(arr_delay::DOUBLE) AS median_delay, median(air_time::DOUBLE) AS median_time
  FROM "silver.flights" GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.conditions" AS SELECT f.origin, w.visib < 3 AS foggy, w.precip > 0 AS wet, count(*) AS flights, max(f.dep_delay) AS worst,
  min(w.temp) AS coldest FROM "silver.flights" f LEFT JOIN "silver.weather" w USING (origin, time_hour) GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.makers" AS SELECT p.manufacturer, count(*) AS flights, sum(p.seats)::BIGINT AS seats, min(p.year) AS oldest
  FROM "silver.flights" f, "silver.planes" p WHERE f.tailnum = p.tailnum GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.nowhere" AS SELECT dest, count(*) AS flights,
  count(CASE WHEN tailnum IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "silver.planes" p WHERE p.tailnum = f.tailnum) THEN 1 END) AS unknown_planes
  FROM "silver.flights" f WHERE dest IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "bronze.airports" a WHERE a.faa = f.dest) GROUP BY dest;
CREATE OR REPLACE TABLE "gold.worst" AS SELECT carrier, flight, origin, time_hour, dep_delay FROM "silver.flights"
  ORDER BY dep_delay DESC NULLS LAST, carrier, flight, origin, time_hour LIMIT 25;
