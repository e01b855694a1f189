CREATE MATERIALIZED VIEW silver.collected AS SELECT array_agg(m) AS a, count(m) AS n FROM bronze.t;
