CREATE MATERIALIZED VIEW gold.medians
AS SELECT "Distributor", median(CAST("US Gross" AS DOUBLE)) AS "median US Gross", min("Title") AS "first Title"
FROM silver.movies GROUP BY "Distributor" HAVING count(*) > 2;
