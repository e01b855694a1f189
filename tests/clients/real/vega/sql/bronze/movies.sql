-- Names with blanks; titles that are numbers in the file do not decode.
CREATE SOURCE movies (
  "Title" VARCHAR, "US Gross" BIGINT, "Worldwide Gross" BIGINT, "Production Budget" BIGINT, "Release Date" VARCHAR,
  "MPAA Rating" VARCHAR, "Running Time min" INT, "Distributor" VARCHAR, "Major Genre" VARCHAR, "Director" VARCHAR,
  "Rotten Tomatoes Rating" INT, "IMDB Rating" DECIMAL(3, 1), "IMDB Votes" BIGINT
)
INCLUDE PARTITION AS _partition
INCLUDE OFFSET AS _offset
WITH ('connector' = 'kafka', 'topic' = '${MOVIES}')
FORMAT PLAIN ENCODE JSON;

CREATE STREAMING TABLE bronze.movies
ON DECODE ERROR INTO bronze.movies_errors
AS SELECT * FROM STREAM movies;
