CREATE MATERIALIZED VIEW gold.worst
AS SELECT carrier, flight, origin, time_hour, dep_delay FROM silver.flights
ORDER BY dep_delay DESC NULLS LAST, carrier, flight, origin, time_hour LIMIT 25;
