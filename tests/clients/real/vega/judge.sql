-- The same tables by DuckDB, from the messages themselves: raw_TOPIC(_partition, _offset, payload).
CREATE OR REPLACE VIEW movies_json AS SELECT *, json_valid(payload) AS valid FROM raw_movies;
CREATE OR REPLACE VIEW movies_good AS SELECT * FROM movies_json WHERE valid AND json_type(payload, '$.Title') IN ('VARCHAR', 'NULL')
  AND json_type(payload, '$.Director') IN ('VARCHAR', 'NULL') AND json_type(payload, '$.Distributor') IN ('VARCHAR', 'NULL');
CREATE OR REPLACE TABLE "bronze.movies" AS SELECT payload->>'$.Title' AS "Title", (payload->>'$."US Gross"')::BIGINT AS "US Gross",
  (payload->>'$."Worldwide Gross"')::BIGINT AS "Worldwide Gross", (payload->>'$."Production Budget"')::BIGINT AS "Production Budget",
  payload->>'$."Release Date"' AS "Release Date", payload->>'$."MPAA Rating"' AS "MPAA Rating",
  (payload->>'$."Running Time min"')::INT AS "Running Time min", payload->>'$.Distributor' AS "Distributor",
  payload->>'$."Major Genre"' AS "Major Genre", payload->>'$.Director' AS "Director",
  (payload->>'$."Rotten Tomatoes Rating"')::INT AS "Rotten Tomatoes Rating", (payload->>'$."IMDB Rating"')::DECIMAL(3, 1) AS "IMDB Rating",
  (payload->>'$."IMDB Votes"')::BIGINT AS "IMDB Votes", _partition, _offset FROM movies_good;
CREATE OR REPLACE TABLE "bronze.movies_errors" AS SELECT _partition AS "partition", _offset AS "offset" FROM raw_movies
  WHERE (_partition, _offset) NOT IN (SELECT (_partition, _offset) FROM movies_good);
CREATE OR REPLACE TABLE "silver.movies_unrated" AS SELECT "Title", "IMDB Rating", "IMDB Votes", _partition, _offset FROM "bronze.movies"
  WHERE "Title" IS NOT NULL AND ("IMDB Rating" BETWEEN 1.0 AND 10.0 AND "IMDB Votes" > 0) IS NOT TRUE;
CREATE OR REPLACE TABLE "silver.movies" AS SELECT DISTINCT ON ("Title", "Release Date") "Title", "Release Date", "US Gross",
  "Worldwide Gross", "Production Budget", "MPAA Rating", "Distributor", "Major Genre", "Director", "IMDB Rating", "IMDB Votes"
  FROM "bronze.movies" WHERE "Title" IS NOT NULL AND "IMDB Rating" BETWEEN 1.0 AND 10.0 AND "IMDB Votes" > 0
  ORDER BY "Title", "Release Date", _partition, _offset;
CREATE OR REPLACE TABLE "gold.genres" AS SELECT "Major Genre", "MPAA Rating", count(*) AS movies, count("US Gross") AS "with US Gross",
  sum("US Gross")::BIGINT AS "US Gross", max("IMDB Rating") AS "best (IMDB)", sum("IMDB Votes")::BIGINT AS "IMDB Votes",
  sum(CASE WHEN "US Gross" > "Production Budget" THEN 1 ELSE 0 END)::BIGINT AS "paid, in the US"
  FROM "silver.movies" GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.medians" AS SELECT "Distributor", median("US Gross"::DOUBLE) AS "median US Gross", min("Title") AS "first Title"
  FROM "silver.movies" GROUP BY "Distributor" HAVING count(*) > 2;
CREATE OR REPLACE TABLE "gold.directors" AS SELECT m."Director", m."Title", m."Worldwide Gross",
  (SELECT g."US Gross" FROM "gold.genres" g WHERE g."Major Genre" IS NOT DISTINCT FROM m."Major Genre"
     AND g."MPAA Rating" IS NOT DISTINCT FROM m."MPAA Rating") AS "genre's US Gross",
  1 + (SELECT count(*) FROM "silver.movies" o WHERE o."Director" = m."Director"
         AND (o."Worldwide Gross" > m."Worldwide Gross" OR (o."Worldwide Gross" IS NOT NULL AND m."Worldwide Gross" IS NULL))) AS place
  FROM "silver.movies" m WHERE m."Director" IS NOT NULL;
CREATE OR REPLACE VIEW earthquakes_good AS SELECT * FROM raw_earthquakes WHERE json_valid(payload)
  AND json_type(payload, '$.id') = 'VARCHAR' AND coalesce(json_type(payload, '$.properties.mag'), 'NULL') NOT IN ('VARCHAR', 'OBJECT');
CREATE OR REPLACE TABLE "bronze.earthquakes" AS SELECT payload->>'$.id' AS id, (payload->>'$.properties.mag')::DOUBLE AS mag,
  payload->>'$.properties.place' AS place, epoch_ms((payload->>'$.properties.time')::BIGINT)::TIMESTAMPTZ AS happened,
  payload->>'$.properties.magType' AS mag_type, (payload->>'$.properties.nst')::INT AS stations, payload->>'$.properties.net' AS net,
  (payload->>'$.geometry.coordinates[0]')::DOUBLE AS lon, (payload->>'$.geometry.coordinates[1]')::DOUBLE AS lat,
  (payload->>'$.geometry.coordinates[2]')::DOUBLE AS depth, _partition, _offset FROM earthquakes_good;
CREATE OR REPLACE TABLE "bronze.earthquakes_errors" AS SELECT _partition AS "partition", _offset AS "offset" FROM raw_earthquakes
  WHERE (_partition, _offset) NOT IN (SELECT (_partition, _offset) FROM earthquakes_good);
CREATE OR REPLACE TABLE "silver.earthquakes_rejected" AS SELECT id, mag, depth, _partition, _offset FROM "bronze.earthquakes"
  WHERE mag IS NULL OR (depth > -10 AND mag < 10) IS NOT TRUE;
CREATE OR REPLACE TABLE "silver.earthquakes" AS SELECT DISTINCT ON (id) id, mag, place, happened, mag_type, stations, net, lon, lat, depth
  FROM "bronze.earthquakes" WHERE mag IS NOT NULL AND depth > -10 AND mag < 10 ORDER BY id, _partition, _offset;
CREATE OR REPLACE TABLE "gold.quakes" AS SELECT date_trunc('day', happened) AS day, mag_type, count(*) AS quakes, max(mag) AS strongest,
  min(depth) AS shallowest, sum((mag >= 4.5)::INT)::BIGINT AS strong, sum(stations)::BIGINT AS stations
  FROM "silver.earthquakes" GROUP BY ALL;
CREATE OR REPLACE TABLE "gold.strongest" AS SELECT net, id, mag, place, happened FROM "silver.earthquakes" e
  WHERE (SELECT count(*) FROM "silver.earthquakes" o WHERE o.net IS NOT DISTINCT FROM e.net AND (o.mag > e.mag OR (o.mag = e.mag AND o.id < e.id))) < 3;
CREATE OR REPLACE VIEW flights_good AS SELECT * FROM raw_flights WHERE json_valid(payload);
CREATE OR REPLACE TABLE "bronze.flights" AS SELECT payload->>'$.date' AS date, (payload->>'$.delay')::INT AS delay,
  (payload->>'$.distance')::INT AS distance, payload->>'$.origin' AS origin, payload->>'$.destination' AS destination, _partition, _offset
  FROM flights_good;
CREATE OR REPLACE TABLE "bronze.flights_errors" AS SELECT _partition AS "partition", _offset AS "offset" FROM raw_flights WHERE NOT coalesce(json_valid(payload), FALSE);
CREATE OR REPLACE TABLE "silver.flights" AS SELECT DISTINCT date[1:10] AS day, date[12:16] AS minute, delay, distance, origin, destination FROM "bronze.flights";
CREATE OR REPLACE TABLE "gold.airports" AS SELECT airport,
  nullif((SELECT count(*) FROM "silver.flights" WHERE origin = airport), 0) AS departures,
  nullif((SELECT count(*) FROM "silver.flights" WHERE destination = airport), 0) AS arrivals,
  CASE WHEN EXISTS (SELECT 1 FROM "silver.flights" WHERE origin = airport) THEN (SELECT count(*) FROM "silver.flights" WHERE origin = airport AND delay > 15) END AS late,
  (SELECT median(delay::DOUBLE) FROM "silver.flights" WHERE destination = airport) AS median_delay
  FROM (SELECT origin AS airport FROM "silver.flights" UNION SELECT destination FROM "silver.flights");
