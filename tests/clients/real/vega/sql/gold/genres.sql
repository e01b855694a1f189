CREATE MATERIALIZED VIEW gold.genres
AS SELECT "Major Genre", "MPAA Rating", count(*) AS movies, count("US Gross") AS "with US Gross", sum("US Gross") AS "US Gross",
  max("IMDB Rating") AS "best (IMDB)", sum("IMDB Votes") AS "IMDB Votes",
  count(*) FILTER (WHERE "US Gross" > "Production Budget") AS "paid, in the US"
FROM silver.movies GROUP BY "Major Genre", "MPAA Rating";
