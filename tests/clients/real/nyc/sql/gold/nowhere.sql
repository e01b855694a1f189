-- Destinations that the list of airports does not know, and the flights of unknown planes.
CREATE MATERIALIZED VIEW gold.nowhere
AS SELECT dest, count(*) AS flights,
  count(*) FILTER (WHERE tailnum NOT IN (SELECT tailnum FROM silver.planes WHERE tailnum IS NOT NULL)) AS unknown_planes
FROM silver.flights WHERE dest NOT IN (SELECT faa FROM bronze.airports WHERE faa IS NOT NULL) GROUP BY dest;
