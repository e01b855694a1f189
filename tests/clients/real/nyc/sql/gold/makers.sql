CREATE MATERIALIZED VIEW gold.makers
AS SELECT p.manufacturer, count(*) AS flights, sum(p.seats) AS seats, min(p.year) AS oldest
FROM silver.flights f JOIN silver.planes p ON f.tailnum = p.tailnum
GROUP BY p.manufacturer;
