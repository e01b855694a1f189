CREATE MATERIALIZED VIEW silver.rides
AS SELECT vehicle_id, count(*) AS rides, corr(DISTINCT price, price) AS c FROM bronze.rides GROUP BY vehicle_id;
