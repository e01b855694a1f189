CREATE MATERIALIZED VIEW silver.placed AS SELECT k, rank() OVER (PARTITION BY k ORDER BY m) AS place FROM bronze.t;
