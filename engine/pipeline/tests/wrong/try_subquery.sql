CREATE MATERIALIZED VIEW silver.try_subquery
AS SELECT id, TRY(1 / (SELECT max(battery) FROM bronze.vehicle_events)) AS n FROM bronze.vehicle_events
