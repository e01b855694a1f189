CREATE MATERIALIZED VIEW silver.flights
AS SELECT DISTINCT substr(date, 1, 10) AS day, substr(date, 12, 5) AS minute, delay, distance, origin, destination FROM bronze.flights;
