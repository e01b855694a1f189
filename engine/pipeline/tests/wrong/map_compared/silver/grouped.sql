CREATE MATERIALIZED VIEW silver.grouped AS SELECT m, count(*) AS n FROM bronze.t GROUP BY m;
