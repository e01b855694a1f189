CREATE MATERIALIZED VIEW silver.ties AS SELECT array_agg(k ORDER BY m['a']) AS a FROM bronze.t;
