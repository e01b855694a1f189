CREATE MATERIALIZED VIEW silver.least AS SELECT min(m) AS a, first_value(k ORDER BY m) AS f FROM bronze.t;
