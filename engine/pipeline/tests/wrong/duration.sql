CREATE MATERIALIZED VIEW silver.x
AS SELECT vehicle_id, ended - started AS took FROM bronze.rides
