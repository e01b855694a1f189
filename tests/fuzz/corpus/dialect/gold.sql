-- Gold: the fleet at a glance, one row for each type of vehicle.
-- Refreshed from the rows that silver gained or lost. Float sums are exact, so the average has the same bits
-- whether it was merged row by row or computed at once.
CREATE MATERIALIZED VIEW gold.stats
AS SELECT type, count(*) AS total, avg(battery) AS avg_battery, max(lat) AS max_lat
FROM silver.vehicle_events
GROUP BY type;
