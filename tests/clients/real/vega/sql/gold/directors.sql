-- A join of movies with what their genre brought.
CREATE MATERIALIZED VIEW gold.directors
AS SELECT m."Director", m."Title", m."Worldwide Gross", g."US Gross" AS "genre's US Gross",
  rank() OVER (PARTITION BY m."Director" ORDER BY m."Worldwide Gross" DESC NULLS LAST) AS place
FROM silver.movies m LEFT JOIN gold.genres g
  ON m."Major Genre" IS NOT DISTINCT FROM g."Major Genre" AND m."MPAA Rating" IS NOT DISTINCT FROM g."MPAA Rating"
WHERE m."Director" IS NOT NULL;
