CREATE MATERIALIZED VIEW silver.counted AS SELECT count(m) AS n, max(m['a']) AS a FROM bronze.t;
