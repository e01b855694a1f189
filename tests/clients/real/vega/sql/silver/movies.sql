CREATE TEMPORARY VIEW titled (
  CONSTRAINT has_title EXPECT ("Title" IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT rated EXPECT ("IMDB Rating" BETWEEN 1.0 AND 10.0 AND "IMDB Votes" > 0) ON VIOLATION QUARANTINE INTO silver.movies_unrated
)
AS SELECT "Title", "US Gross", "Worldwide Gross", "Production Budget", "MPAA Rating", "Distributor", "Major Genre", "Director",
  "IMDB Rating", "IMDB Votes", "Release Date", _partition, _offset
FROM bronze.movies;

CREATE MATERIALIZED VIEW silver.movies
AS SELECT "Title", "Release Date", "US Gross", "Worldwide Gross", "Production Budget", "MPAA Rating", "Distributor", "Major Genre",
  "Director", "IMDB Rating", "IMDB Votes"
FROM titled
QUALIFY row_number() OVER (PARTITION BY "Title", "Release Date" ORDER BY _partition, _offset) = 1;
