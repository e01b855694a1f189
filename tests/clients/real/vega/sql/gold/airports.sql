CREATE MATERIALIZED VIEW gold.airports
AS SELECT coalesce(d.airport, a.airport) AS airport, d.departures, a.arrivals, d.late, a.median_delay
FROM (SELECT origin AS airport, count(*) AS departures, count(*) FILTER (WHERE delay > 15) AS late FROM silver.flights GROUP BY origin) d
FULL JOIN (SELECT destination AS airport, count(*) AS arrivals, median(CAST(delay AS DOUBLE)) AS median_delay FROM silver.flights
           GROUP BY destination) a ON d.airport = a.airport;
