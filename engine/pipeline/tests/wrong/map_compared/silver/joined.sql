CREATE MATERIALIZED VIEW silver.joined AS SELECT a.k FROM bronze.t AS a JOIN bronze.t AS b ON a.m = b.m;
