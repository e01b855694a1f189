CREATE MATERIALIZED VIEW gold.strongest
AS SELECT net, id, mag, place, happened FROM silver.earthquakes
QUALIFY row_number() OVER (PARTITION BY net ORDER BY mag DESC, id) <= 3;
